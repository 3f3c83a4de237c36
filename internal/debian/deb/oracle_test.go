package deb

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"distroless/internal/testenv"
)

// runFilter pipes b through a compressor; nil where it is not installed.
func runFilter(t testing.TB, b []byte, name string, args ...string) []byte {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		return nil
	}
	cmd := exec.Command(path, args...)
	cmd.Stdin = bytes.NewReader(b)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return out
}

// downloaded are packages of Debian with what is rare elsewhere: set-id bits,
// hard links, odd owners, non-ASCII names, many entries, several xz blocks,
// no files at all.
var downloaded = strings.Fields(`base-files libc6 libc-bin passwd mount sudo
	ca-certificates git perl-base tzdata python3-minimal dash bash coreutils
	openssh-client at man-db postfix exim4-base dbus nginx-common systemd
	libgtk-3-common fonts-dejavu-core build-essential openjdk-17-jre-headless`)

// fetchDebs downloads packages with the machine's own apt; those that its
// suites do not have are left out.
func fetchDebs(t testing.TB, names []string) []string {
	t.Helper()
	apt := testenv.Tool(t, "apt-get")
	dir := t.TempDir()
	for _, name := range names {
		cmd := exec.Command(apt, "-o", "APT::Sandbox::User=root", "download", name)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Logf("apt-get download %s: %v: %s", name, err, out)
		}
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(debs) < len(names)*4/5 {
		t.Fatalf("apt-get download: %d of %d packages, %v: has apt-get update been run?", len(debs), len(names), err)
	}
	return debs
}

// What dpkg would install is what goes into an image: the same paths, kinds,
// modes, owners, times, link targets and contents.
func TestOracleDpkg(t *testing.T) {
	testenv.E2E(t)
	dpkg := testenv.Tool(t, "dpkg-deb")
	total := 0
	debs := fetchDebs(t, downloaded)
	for _, path := range debs {
		got := listOurs(t, path)
		want := listTar(t, dpkg, path)
		if !slices.Equal(got, want) {
			diffLists(t, filepath.Base(path)+" and dpkg-deb --fsys-tarfile", got, want)
		}
		got, disk := sortedWithoutDirTimes(got), sortedWithoutDirTimes(listExtracted(t, dpkg, path))
		if !slices.Equal(got, disk) {
			diffLists(t, filepath.Base(path)+" and dpkg-deb -x", got, disk)
		}
		total += len(got)
	}
	t.Logf("compared %d entries of %d packages", total, len(debs))
}

// sortedWithoutDirTimes: tar makes some symlinks after it has set the times of
// the directories that hold them, so those times say when the test ran.
func sortedWithoutDirTimes(lines []string) []string {
	lines = slices.Clone(lines)
	for i, l := range lines {
		if head, rest, ok := strings.Cut(l, " "+Dir.String()+" "); ok {
			f := strings.Fields(rest) // mode, owner, time
			lines[i] = strings.Join([]string{head, f[0], f[1]}, " ")
		}
	}
	slices.Sort(lines)
	return lines
}

func diffLists(t *testing.T, what string, got, want []string) {
	t.Helper()
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("%s differ: only ours %s", what, line)
		}
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("%s differ: only theirs %s", what, line)
		}
	}
}

func line(path string, kind Kind, mode uint32, uid, gid int, mtime int64, link string, content []byte) string {
	return fmt.Sprintf("%s %s %o %d:%d %d %s %x", path, kind, mode, uid, gid, mtime, link, sha256.Sum256(content))
}

func listOurs(t *testing.T, path string) []string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	hash := sha256.New()
	r, err := Open(context.Background(), io.TeeReader(f, hash), filepath.Base(path), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var lines []string
	contents := map[string][]byte{}
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := r.Content(nil)
		if err != nil {
			t.Fatal(err)
		}
		switch h.Kind {
		case File:
			contents[h.Path] = content
		case Hardlink:
			content = contents[h.Link]
		}
		lines = append(lines, line(h.Path, h.Kind, h.Mode, h.UID, h.GID, h.ModTime, h.Link, content))
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(whole); !bytes.Equal(hash.Sum(nil), sum[:]) {
		t.Errorf("%s: not every byte was read once", path)
	}
	return lines
}

// listTar lists the data member as dpkg-deb unpacks it.
func listTar(t *testing.T, dpkg, path string) []string {
	t.Helper()
	out, err := exec.Command(dpkg, "--fsys-tarfile", path).Output()
	if err != nil {
		t.Fatalf("dpkg-deb --fsys-tarfile %s: %v", path, err)
	}
	var lines []string
	contents := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(out)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join("/", h.Name)
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		kind := map[byte]Kind{tar.TypeDir: Dir, tar.TypeReg: File, tar.TypeSymlink: Symlink, tar.TypeLink: Hardlink}[h.Typeflag]
		link := h.Linkname
		if kind == Hardlink {
			link = filepath.Join("/", link)
			content = contents[link]
		}
		contents[name] = content
		lines = append(lines, line(name, kind, uint32(h.Mode), h.Uid, h.Gid, h.ModTime.Unix(), link, content))
	}
}

// listExtracted lists what dpkg-deb -x writes. It knows no hard link from the
// file itself, so those take their kind from the file seen first.
func listExtracted(t *testing.T, dpkg, deb string) []string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	if out, err := exec.Command(dpkg, "-x", deb, root).CombinedOutput(); err != nil {
		t.Fatalf("dpkg-deb -x %s: %v: %s", deb, err, out)
	}
	links := map[string]string{}
	for _, l := range listTar(t, dpkg, deb) {
		if f := strings.Fields(l); strings.Contains(l, " hard link ") {
			links[f[0]] = f[6]
		}
	}
	var lines []string
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st syscall.Stat_t
		if err := syscall.Lstat(path, &st); err != nil {
			return err
		}
		name := strings.TrimPrefix(path, root)
		if name == "" {
			name = "/"
		}
		kind, link, content := Dir, "", []byte(nil)
		switch st.Mode & syscall.S_IFMT {
		case syscall.S_IFLNK:
			kind = Symlink
			link, err = os.Readlink(path)
		case syscall.S_IFREG:
			kind = File
			content, err = os.ReadFile(path)
		}
		if target, ok := links[name]; ok {
			kind, link = Hardlink, target
		}
		lines = append(lines, line(name, kind, st.Mode&0o7777, int(st.Uid), int(st.Gid), st.Mtim.Sec, link, content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}
