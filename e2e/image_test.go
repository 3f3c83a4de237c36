package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"distroless/internal/testenv"
)

// TestImages runs programs in the images, of both releases and architectures.
// If it fails, programs that people put into these images do not work.
func TestImages(t *testing.T) {
	testenv.E2E(t)
	began := time.Now()
	rep := must(t, all.images)
	t.Logf("built in %.1f s", time.Since(began).Seconds())
	for _, arch := range proven {
		runs(t, arch)
		began := time.Now()
		bin := compile(t, arch)
		t.Logf("%s: compiled in %.1f s", arch, time.Since(began).Seconds())
		for _, distro := range distros {
			t.Run(distro+"/"+arch, func(t *testing.T) {
				tryAll(t, filepath.Join(rep.dir, "dist"), distro, arch, bin, names)
			})
		}
	}
}

// tryAll runs the test's programs in images of one distro and architecture.
func tryAll(t *testing.T, dist, distro, arch string, bin programs, images []string) {
	release := strings.TrimPrefix(distro, "debian")
	oci := platforms()[arch].goarch
	for _, name := range images {
		at := filepath.Join(dist, name+"-"+distro)
		ref := func(variant string) string { return fmt.Sprintf("localhost/%s-%s:%s-%s", name, distro, variant, oci) }
		for _, v := range []string{"latest", "nonroot", "debug", "debug-nonroot"} {
			load(t, at, v+"-"+oci, ref(v))
		}
		for _, v := range []string{"latest", "nonroot"} {
			t.Run(name+"/"+v, func(t *testing.T) {
				probe(t, ref(v), bin.static, v, release)
				if name != "static" {
					probe(t, ref(v), bin.base)
				}
				if name == "cc" {
					probe(t, ref(v), bin.cc)
				}
			})
		}
		t.Run(name+"/debug", func(t *testing.T) { tryDebug(t, ref("debug"), "0", "/") })
		t.Run(name+"/debug-nonroot", func(t *testing.T) { tryDebug(t, ref("debug-nonroot"), "65532", "/home/nonroot") })
	}
}

// tryDebug uses the shell of a debug variant, which is what the image enters.
func tryDebug(t *testing.T, image, uid, dir string) {
	out := podman(t, all.dir, "run", "--rm", image, "-c", `set -e
id -u; pwd; cd /tmp
printf 'b 2\na 1\n' > x; sort x | awk '{print $2}' | sed s/1/one/ | tr '\n' ' ' | tee y; wc -c < y
test "$(cat y | sha256sum | cut -c 1-64 | wc -c)" = 65
gzip -c x | zcat | grep -c . ; vi --help 2>&1 | head -n 1 | cut -d ' ' -f 1; find /busybox -type d; rm x y
/busybox/env -i /busybox/date -u -d @0 +%Y`)
	want := uid + "\n" + dir + "\none 2 6\n2\nBusyBox\n/busybox\n1970\n"
	if out != want {
		t.Errorf("in %s the shell printed %q, want %q", image, out, want)
	}
	listed := lines(podman(t, all.dir, "run", "--rm", image, "-c", "busybox --list"))
	linked := lines(podman(t, all.dir, "run", "--rm", image, "-c", "cd /busybox; ls -A1"))
	if !slices.Equal(listed, linked) {
		t.Errorf("%s: busybox lists %d applets, the folder holds %d\nonly listed: %v\nonly linked: %v",
			image, len(listed), len(linked), without(listed, linked), without(linked, listed))
	}
}

// lines splits and sorts.
func lines(text string) []string {
	l := strings.Fields(text)
	slices.Sort(l)
	return l
}

// without returns what of a is not in b.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}
