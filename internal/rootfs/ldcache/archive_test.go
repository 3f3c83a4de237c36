package ldcache_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"distroless/internal/testenv"
)

// archiveBase is the archive that this machine uses.
func archiveBase(t *testing.T) string {
	if s := os.Getenv("DISTROLESS_ARCHIVE"); s != "" {
		return strings.TrimSuffix(s, "/")
	}
	const sources = "/etc/apt/sources.list.d/debian.sources"
	text, err := os.ReadFile(sources)
	if err != nil {
		t.Fatalf("look for the archive: %v: set DISTROLESS_ARCHIVE", err)
	}
	for line := range strings.Lines(string(text)) {
		if uri, ok := strings.CutPrefix(line, "URIs:"); ok {
			return strings.TrimSuffix(strings.Fields(uri)[0], "/")
		}
	}
	t.Fatalf("look for the archive: no URIs in %s: set DISTROLESS_ARCHIVE", sources)
	return ""
}

// get fetches a file of the archive into the machine's cache. An index is
// asked for anew each time, since its packages leave the archive.
func get(t *testing.T, path string) string {
	t.Helper()
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	name := filepath.Join(dir, "distroless-tests", strings.ReplaceAll(path, "/", "_"))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, archiveBase(t)+"/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(name); err == nil {
		if strings.HasSuffix(path, ".deb") {
			return name
		}
		req.Header.Set("If-Modified-Since", st.ModTime().UTC().Format(http.TimeFormat))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotModified:
		return name
	case resp.StatusCode == http.StatusNotFound:
		t.Skipf("the archive has no %s", path)
	case resp.StatusCode != http.StatusOK:
		t.Fatalf("fetch %s: %s", path, resp.Status)
	}
	keep(t, name, resp)
	return name
}

// keep writes a file as a whole or not at all, as old as the archive says.
func keep(t *testing.T, name string, resp *http.Response) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.CreateTemp(filepath.Dir(name), "part-*")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(f, resp.Body); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if at, err := http.ParseTime(resp.Header.Get("Last-Modified")); err == nil {
		if err := os.Chtimes(f.Name(), at, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(f.Name(), name); err != nil {
		t.Fatal(err)
	}
}

// index finds packages in the archive: name to version and path.
func index(t *testing.T, suite, arch string, want map[string]bool) map[string][2]string {
	cmd := exec.Command(testenv.Tool(t, "xz"), "-dc", get(t, fmt.Sprintf("dists/%s/main/binary-%s/Packages.xz", suite, arch)))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	found := map[string][2]string{}
	var name, version string
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ": ")
		switch key {
		case "Package":
			name = value
		case "Version":
			version = value
		case "Filename":
			if want[name] {
				found[name] = [2]string{version, value}
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return found
}

// unpack makes a tree of real packages, with merged directories or not, and
// returns libc-bin's version.
func unpack(t *testing.T, root, suite, arch string, merged bool, packages ...string) string {
	want := map[string]bool{}
	for _, p := range packages {
		want[p] = true
	}
	found := index(t, suite, arch, want)
	if merged {
		for _, d := range []string{"bin", "sbin", "lib", "lib64"} {
			if err := os.MkdirAll(filepath.Join(root, "usr", d), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("usr/"+d, filepath.Join(root, d)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, p := range packages {
		deb, ok := found[p]
		if !ok {
			t.Logf("%s has no %s for %s", suite, p, arch)
			continue
		}
		file := get(t, deb[1])
		// tar keeps the links of a merged tree, which dpkg-deb -x replaces.
		sh := fmt.Sprintf("%s --fsys-tarfile %q | tar -x --keep-directory-symlink -C %q", testenv.Tool(t, "dpkg-deb"), file, root)
		if out, err := exec.Command("/bin/sh", "-c", sh).CombinedOutput(); err != nil {
			t.Fatalf("unpack %s: %v: %s", file, err, out)
		}
	}
	return found["libc-bin"][0]
}
