package ldcache_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"distroless/internal/rootfs/closure"
	"distroless/internal/rootfs/closure/closuretest"
	"distroless/internal/rootfs/ldcache"
	"distroless/internal/testenv"
)

// packages have what ldconfig treats in its own way: directories of their own,
// links for the linker, linker scripts, libraries without sonames. Some have
// another name in each release.
var packages = []string{
	"libc-bin", "libc6", "libc6-dev", "libgcc-s1", "libstdc++6", "gcc-14-base", "zlib1g", "zlib1g-dev", "libssl3t64", "libssl3", "libssl1.1",
	"libfakeroot", "libgomp1", "libexpat1", "libsqlite3-0", "libgmp10", "libncursesw6", "libtinfo6", "libcrypt1", "libzstd1",
	"libopenblas0-pthread", "libblas3", "libasan8", "libtcmalloc-minimal4", "libtcmalloc-minimal4t64", "libjpeg62-turbo", "liblapack3", "libgfortran5", "libquadmath0", "libunwind8", "liblzma5",
}

// The real ldconfig of each release and architecture must write the same file:
// ld.so of that architecture reads it, and one byte off may hide a library.
func TestOracleLdconfig(t *testing.T) {
	testenv.E2E(t)
	compared := map[string]bool{}
	for _, c := range []struct {
		suite, arch, qemu string
		merged            bool
	}{
		{"trixie", "amd64", "", true},
		{"trixie", "arm64", "qemu-aarch64-static", true},
		{"trixie", "armhf", "qemu-arm-static", true},
		{"trixie", "s390x", "qemu-s390x-static", true},
		{"trixie", "ppc64el", "qemu-ppc64le-static", true},
		{"trixie", "riscv64", "qemu-riscv64-static", true},
		{"bookworm", "amd64", "", false},
		{"bookworm", "amd64", "", true},
		{"bookworm", "arm64", "qemu-aarch64-static", false},
		{"bookworm", "armhf", "qemu-arm-static", false},
		{"bookworm", "s390x", "qemu-s390x-static", false},
		{"bookworm", "ppc64el", "qemu-ppc64le-static", false},
		{"bullseye", "amd64", "", false},
		{"bullseye", "arm64", "qemu-aarch64-static", false},
		{"bullseye", "armhf", "qemu-arm-static", false},
	} {
		name := c.suite + "-" + c.arch
		if c.merged && c.suite == "bookworm" {
			name += "-merged"
		}
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			version := unpack(t, root, c.suite, c.arch, c.merged, packages...)
			var run []string
			if c.qemu != "" || runtime.GOARCH != "amd64" {
				run = append(run, testenv.Tool(t, c.qemu))
			}
			run = append(run, filepath.Join(root, "sbin/ldconfig"))
			checkTree(t, closuretest.NewDisk(t, root), c.arch, compareCaches(t, root, c.arch, version, run))
			addOddities(t, root, "libzstd.so.1.*")
			if c.arch == "amd64" {
				addLevels(t, root)
			}
			compareCaches(t, root, c.arch, version, run)
			compared[c.arch] = true
		})
	}
	// The archive may have lost packages that it lists for a release, of no
	// architecture for all.
	for _, arch := range []string{"amd64", "arm64", "armhf", "s390x", "ppc64el", "riscv64"} {
		if !compared[arch] {
			t.Errorf("%s: compared with no release's ldconfig", arch)
		}
	}
}

// The machine's own ldconfig agrees on a few of the machine's own libraries:
// the quick form of the test above.
func TestOracleMachine(t *testing.T) {
	ldconfig := testenv.Tool(t, "ldconfig")
	out, err := exec.Command(ldconfig, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`\(Debian GLIBC (\S+)\)`).FindSubmatch(out)
	if m == nil && runtime.GOARCH == "amd64" && testenv.Required() {
		t.Fatalf("ldconfig is not Debian's, but DISTROLESS_E2E=1 requires it: %.60q", out)
	}
	if m == nil || runtime.GOARCH != "amd64" {
		t.Skipf("not Debian's ldconfig on amd64: %.60q", out)
	}
	root := t.TempDir()
	for _, pattern := range []string{"/usr/lib/x86_64-linux-gnu/lib[a-m]*.so.[0-9]*", "/usr/lib/x86_64-linux-gnu/libz*.so.[0-9]*"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names[:min(len(names), 80)] {
			if target, err := os.Readlink(name); err == nil {
				if err := os.MkdirAll(filepath.Dir(root+name), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(target, root+name); err != nil {
					t.Fatal(err)
				}
				continue
			}
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if len(data) < 1<<20 {
				write(t, root+name, data)
			}
		}
	}
	write(t, root+"/etc/ld.so.conf", []byte("include /etc/ld.so.conf.d/*.conf\n"))
	compareCaches(t, root, "amd64", string(m[1]), []string{ldconfig})
	addOddities(t, root, "libz.so.1.*")
	compareCaches(t, root, "amd64", string(m[1]), []string{ldconfig})
}

// compareCaches sets the given ldconfig and ours on a tree.
func compareCaches(t *testing.T, root, arch, version string, run []string) *ldcache.Cache {
	t.Helper()
	run = append(run, "-r", root, "-X", "-i")
	if out, err := exec.Command(run[0], run[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v: %s", run, err, out)
	}
	want, err := os.ReadFile(filepath.Join(root, ldcache.Path))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := ldcache.Scan(closuretest.NewDisk(t, root), ldcache.Options{Arch: arch, Version: version})
	if err != nil {
		t.Fatal(err)
	}
	if len(cache.Entries) < 20 {
		t.Errorf("only %d libraries in the cache", len(cache.Entries))
	}
	got := cache.Bytes()
	t.Logf("%d libraries, %d bytes", len(cache.Entries), len(got))
	if !bytes.Equal(got, want) {
		t.Errorf("caches differ\n%s", differences(t, root, got, want))
	}
	return cache
}

// checkTree looks for faults that a whole set of real packages does not have,
// on every architecture: a finding here is one too many.
func checkTree(t *testing.T, tree closure.Tree, arch string, cache *ldcache.Cache) {
	t.Helper()
	r, err := closure.Check(tree, closure.Options{Arch: arch, Cache: cache.Paths()})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		switch f.Check {
		case closure.Library, closure.Version, closure.Loader, closure.Architecture, closure.Damaged:
			t.Errorf("a finding on a tree of real packages: [%s] %s", f.Check, f)
		}
	}
}

// differences shows both as ldconfig prints them, and the first bytes that are
// not the same.
func differences(t *testing.T, root string, got, want []byte) string {
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	dir := t.TempDir()
	var out strings.Builder
	for name, b := range map[string][]byte{"ours": got, "theirs": want} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
		text, _ := exec.Command("/sbin/ldconfig", "-p", "-C", filepath.Join(dir, name)).CombinedOutput()
		if err := os.WriteFile(filepath.Join(dir, name+".txt"), text, 0o644); err != nil {
			t.Fatal(err)
		}
		end := min(i+64, len(b))
		out.WriteString(name + " from byte " + hex.EncodeToString([]byte{byte(i >> 16), byte(i >> 8), byte(i)}) + ":\n" + hex.Dump(b[min(i, end):end]))
	}
	diff, _ := exec.Command("diff", filepath.Join(dir, "ours.txt"), filepath.Join(dir, "theirs.txt")).CombinedOutput()
	return out.String() + string(diff[:min(len(diff), 4000)])
}

// addOddities adds to a tree what no package has, yet ldconfig has rules for.
func addOddities(t *testing.T, root, like string) {
	t.Helper()
	var lib string
	for _, dir := range []string{"usr/lib/*", "lib/*"} {
		if m, _ := filepath.Glob(filepath.Join(root, dir, like)); m != nil {
			lib = m[0]
		}
	}
	data, err := os.ReadFile(lib)
	if err != nil {
		t.Fatal(err)
	}
	dir := strings.TrimPrefix(filepath.Dir(lib), root)
	for _, p := range []string{
		"/opt/b/libzstd.so.1.2", "/opt/b/libzstd.so.1.10", "/opt/a/libother.so.9", "/opt/a/libother.so.10", "/opt/a/ld.so.1",
		"/opt/a/libx.so.1.dpkg-new", "/opt/a/libx.so.1;4a", "/opt/a/libx.so.2.#prelink#", "/opt/a/libx.so.3.#prelink#.abcdef", "/opt/a/notlib.so", "/opt/a/liblong.so.123456",
		dir + "/glibc-hwcaps/x86-64-v3/libzstd.so.1.4", dir + "/glibc-hwcaps/x86-64-v2/libzstd.so.1.4", dir + "/glibc-hwcaps/power9/libzstd.so.1.4",
		dir + "/glibc-hwcaps/.hidden/libzstd.so.1", "/opt/a/glibc-hwcaps/x86-64-v4/libzstd.so.1.5", "/opt/c/glibc-hwcaps/unused/README", "/opt/d/libd.so.1",
	} {
		write(t, root+p, data)
	}
	write(t, root+"/opt/a/libscript.so", []byte("/* GNU ld script */\nGROUP ( libother.so.9 )\n                                                      "))
	write(t, root+"/opt/a/libempty.so", nil)
	write(t, root+"/etc/ld.so.conf.d/zz.conf", []byte("# a comment\n\n  /opt/b/ # b\n/opt/a\n/opt/a/\n/opt/link\n/gone\n/opt/c\nhwcap 1 x\ninclude /etc/more.d/[!b]*.conf /etc/none/*.conf\n"))
	write(t, root+"/etc/more.d/a.conf", []byte("/opt/d"))
	write(t, root+"/etc/more.d/b.conf", []byte("/opt/e\n"))
	write(t, root+"/etc/more.d/.c.conf", []byte("/opt/e\n"))
	write(t, root+"/opt/e/libe.so.1", data)
	for _, l := range [][2]string{
		{"/opt/link", "a"}, {"/opt/d/libzstd.so", "../b/libzstd.so.1.2"}, {"/opt/d/libdangling.so.1", "gone"}, {"/opt/d/libdir.so", "../b"},
		{"/opt/d/libforeign.so.7", "/opt/a/libother.so.9"}, {"/opt/b/libzstd.so.1", "libzstd.so.1.10"}, {"/opt/d/libabs.so", "/opt/a/libother.so.9"},
	} {
		if err := os.Symlink(l[1], root+l[0]); err != nil {
			t.Fatal(err)
		}
	}
}

// addLevels adds libraries that say which level of x86 they need.
func addLevels(t *testing.T, root string) {
	t.Helper()
	gcc := testenv.Tool(t, "gcc")
	for _, level := range []string{"baseline", "v2", "v3", "v4"} {
		out := filepath.Join(root, "opt/c/glibc-hwcaps/x86-64-"+level, "liblevel.so.1")
		if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(gcc, "-shared", "-nostdlib", "-x", "c", "-", "-Wl,-z,x86-64-"+level, "-Wl,-soname,liblevel.so.1", "-o", out)
		cmd.Stdin = strings.NewReader("int level;\n")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
}

func write(t *testing.T, p string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
