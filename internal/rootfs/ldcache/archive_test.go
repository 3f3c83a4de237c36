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
	files, err := filepath.Glob("/etc/apt/sources.list.d/*.sources")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if uri, ok := strings.CutPrefix(line, "URIs:"); ok {
				return strings.TrimSuffix(strings.Fields(uri)[0], "/")
			}
		}
	}
	t.Fatal("look for the archive: no apt source in /etc/apt/sources.list.d: set DISTROLESS_ARCHIVE")
	return ""
}

// get fetches a file of the archive into the machine's cache, once.
func get(t *testing.T, path string) string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	name := filepath.Join(dir, "distroless-tests", strings.ReplaceAll(path, "/", "_"))
	if _, err := os.Stat(name); err == nil {
		return name
	}
	resp, err := http.Get(archiveBase(t) + "/" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("fetch %s: %s", path, resp.Status)
	}
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
	if err := os.Rename(f.Name(), name); err != nil {
		t.Fatal(err)
	}
	return name
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
