package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// storage is podman's store of the test run: nothing of the machine's own is
// used or changed.
type storage struct{ root, runroot, driver string }

// conf keeps limits that a container inherits within what small machines have,
// and needs neither a network nor systemd.
const conf = `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
netns = "none"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
`

// containers is the environment variable that names the test's containers.conf.
func (s *shared) containers() string {
	return "CONTAINERS_CONF=" + filepath.Join(s.dir, "containers.conf")
}

// newStorage chooses overlay, which is faster, where the folder's file system
// can carry it, and vfs elsewhere.
func (s *shared) newStorage() (*storage, error) {
	if err := os.WriteFile(filepath.Join(s.dir, "containers.conf"), []byte(conf), 0o644); err != nil {
		return nil, err
	}
	var failures strings.Builder
	for _, driver := range []string{"overlay", "vfs"} {
		at := filepath.Join(s.dir, "storage")
		st := &storage{filepath.Join(at, "root"), filepath.Join(at, "run"), driver}
		cmd := exec.Command("podman", st.args("info")...)
		cmd.Env = append(os.Environ(), s.containers())
		out, err := cmd.CombinedOutput()
		if err == nil {
			return st, nil
		}
		fmt.Fprintf(&failures, "podman info with driver %s: %v\n%s", driver, err, out)
		if err := s.dropStorage(); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("no storage works for podman:\n%s", failures.String())
}

// dropStorage removes podman's storage, if there is one.
func (s *shared) dropStorage() error {
	at := filepath.Join(s.dir, "storage")
	// The overlay driver leaves its folder mounted on itself.
	err := syscall.Unmount(filepath.Join(at, "root", "overlay"), syscall.MNT_DETACH)
	if err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("unmount podman's storage: %w", err)
	}
	return os.RemoveAll(at)
}

func (st *storage) args(args ...string) []string {
	return append([]string{"--root", st.root, "--runroot", st.runroot, "--storage-driver", st.driver}, args...)
}

// podman runs podman in dir on the test's storage.
func podman(t testing.TB, dir string, args ...string) string {
	t.Helper()
	return tool(t, dir, "podman", must(t, all.storage).args(args...)...)
}

// load copies an image of a layout into the storage, under a name of its own.
func load(t testing.TB, layout, tag, name string) {
	t.Helper()
	st := must(t, all.storage)
	tool(t, all.dir, "skopeo", "copy", "-q", "oci:"+layout+":"+tag,
		fmt.Sprintf("containers-storage:[%s@%s+%s]%s", st.driver, st.root, st.runroot, name))
}

// probe runs a program of the test in an image, and fails unless it says that
// all is well.
func probe(t testing.TB, image, program string, args ...string) {
	t.Helper()
	full := append([]string{"run", "--rm", "--volume", program + ":/probe:ro", "--entrypoint", "/probe", image}, args...)
	if out := podman(t, all.dir, full...); !strings.HasSuffix(out, "all well\n") {
		t.Errorf("run %s in %s:\n%s", filepath.Base(program), image, out)
	}
}

// platform is how other tools call an architecture of Debian's.
type platform struct {
	goarch string
	goarm  string
	gnu    string // prefix of the cross compilers
	qemu   string
}

// platforms by Debian's name.
func platforms() map[string]platform {
	return map[string]platform{
		"amd64":   {goarch: "amd64", gnu: "x86_64-linux-gnu", qemu: "x86_64"},
		"arm64":   {goarch: "arm64", gnu: "aarch64-linux-gnu", qemu: "aarch64"},
		"armhf":   {goarch: "arm", goarm: "7", gnu: "arm-linux-gnueabihf", qemu: "arm"},
		"ppc64el": {goarch: "ppc64le", gnu: "powerpc64le-linux-gnu", qemu: "ppc64le"},
		"riscv64": {goarch: "riscv64", gnu: "riscv64-linux-gnu", qemu: "riscv64"},
		"s390x":   {goarch: "s390x", gnu: "s390x-linux-gnu", qemu: "s390x"},
	}
}

// runs ends the test unless the machine runs programs of an architecture, by
// itself or under emulation.
func runs(t testing.TB, arch string) {
	t.Helper()
	p := platforms()[arch]
	if p.goarch == runtime.GOARCH {
		return
	}
	data, err := os.ReadFile("/proc/sys/fs/binfmt_misc/qemu-" + p.qemu)
	if err != nil || !strings.HasPrefix(string(data), "enabled") {
		t.Fatalf("run programs of %s: no emulation: mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc; update-binfmts --enable qemu-%s", arch, p.qemu)
	}
}

// programs are the test's own, compiled for an architecture.
type programs struct{ static, base, cc string }

// compile builds the test's programs; C and C++ ones with the cross compiler
// where the architecture is not the machine's.
func compile(t testing.TB, arch string) programs {
	t.Helper()
	p := platforms()[arch]
	dir := t.TempDir()
	out := programs{filepath.Join(dir, "static"), filepath.Join(dir, "base"), filepath.Join(dir, "cc")}
	tags := "small"
	if slices.Contains(proven, arch) {
		tags = ""
	}
	cmd := exec.Command("go", "build", "-tags", tags, "-o", out.static, "./testdata/static")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+p.goarch, "GOARM="+p.goarm)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, text)
	}
	tool(t, ".", p.gnu+"-gcc", "-Wall", "-Wextra", "-O2", "-o", out.base, "testdata/base/base.c", "-pthread", "-ldl")
	tool(t, ".", p.gnu+"-g++", "-Wall", "-Wextra", "-O2", "-fopenmp", "-o", out.cc, "testdata/cc/cc.cc", "-pthread")
	return out
}
