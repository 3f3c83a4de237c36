package e2e

import (
	"archive/zip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"distroless/internal/testenv"
)

// TestPython runs programs in the images of Python: every module of the
// standard library is imported, and what it stands on is used. If it fails,
// programs in Python do not find what they import.
func TestPython(t *testing.T) {
	testenv.E2E(t)
	dist := langImages(t, "python3", "python3", testdata(t, "lang-builders/python-builder.yaml"), "--distro", "debian13")
	langImages(t, "python3", "python3", "--distro", "debian12", "--distro", "debian11")
	langImages(t, "python3", "python2.7", "--distro", "debian11")
	probe := mount(testdata(t, "lang-python/probe.py"), "/probe.py:ro")
	for _, c := range []struct{ distro, variant string }{
		{"debian13", "latest"}, {"debian13", "nonroot"}, {"debian13", "debug"}, {"debian12", "latest"}, {"debian11", "nonroot"},
	} {
		t.Run(c.distro+"/"+c.variant, func(t *testing.T) {
			allWell(t, langRun(t, filepath.Join(dist, "python3-"+c.distro), c.variant, probe, "--", "/probe.py", "/tmp"))
		})
	}
	t.Run("2.7", func(t *testing.T) {
		probe := mount(testdata(t, "lang-python/probe27.py"), "/probe.py:ro")
		allWell(t, langRun(t, filepath.Join(dist, "python2.7-debian11"), "latest", probe, "--", "/probe.py", "/tmp"))
	})
	t.Run("loader's cache", func(t *testing.T) {
		out := langRun(t, filepath.Join(dist, "python3-debian13"), "latest", "--entrypoint=/sbin/ldconfig", "--", "-p")
		if !strings.Contains(out, "\tlibc.so.6 (libc6,x86-64) => /") {
			t.Errorf("ldconfig -p says %q", out)
		}
	})
	t.Run("wheel", func(t *testing.T) { tryWheel(t, dist) })
}

// tryWheel compiles an extension with the compiler of the release, installs it
// as a wheel into a virtual environment in the debug image, and uses it in the
// plain one.
func tryWheel(t *testing.T, dist string) {
	dir := langDir(t)
	work := mount(dir, "/job")
	langRun(t, filepath.Join(dist, "python-builder-debian13"), "latest", work, mount(testdata(t, "lang-python"), "/source:ro"), "--entrypoint=/usr/bin/gcc", "--",
		"-shared", "-fPIC", "-Wall", "-I/usr/include/python3.13", "-o", "/job/extension.so", "/source/extension.c")
	library, err := os.ReadFile(filepath.Join(dir, "extension.so"))
	if err != nil {
		t.Fatal(err)
	}
	const info = "extension-1.0.dist-info/"
	writeZip(t, filepath.Join(dir, "extension-1.0-cp313-cp313-linux_x86_64.whl"), map[string]string{
		"extension.so":    string(library),
		info + "METADATA": "Metadata-Version: 2.1\nName: extension\nVersion: 1.0\n",
		info + "WHEEL":    "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: cp313-cp313-linux_x86_64\n",
		info + "RECORD":   fmt.Sprintf("extension.so,,\n%[1]sMETADATA,,\n%[1]sWHEEL,,\n%[1]sRECORD,,\n", info),
	})
	python := filepath.Join(dist, "python3-debian13")
	langRun(t, python, "debug", work, "--", "-m", "venv", "/job/venv")
	langRun(t, python, "debug", work, "--entrypoint=/job/venv/bin/pip", "--", "install", "-q", "--no-index", "--disable-pip-version-check",
		"/job/extension-1.0-cp313-cp313-linux_x86_64.whl")
	out := langRun(t, python, "latest", work, "--entrypoint=/job/venv/bin/python", "--", "-c", "import extension; print(extension.answer())")
	if out != "42\n" {
		t.Errorf("the extension says %q, want 42", out)
	}
}

// TestPythonEmulated runs Python for another architecture.
func TestPythonEmulated(t *testing.T) {
	testenv.E2E(t)
	runs(t, "arm64")
	dist := langImages(t, "python3-arm64", "python3", "--arch", "arm64", "--variant", "latest")
	if out := pythonSays(t, filepath.Join(dist, "python3-debian13"), "latest-arm64"); out != "aarch64 8 little True 42 libc.so.6\n" {
		t.Errorf("Python says %q", out)
	}
}

// pythonSays is what Python in an image says of the machine, authorities,
// databases and libraries.
func pythonSays(t *testing.T, layout, tag string) string {
	t.Helper()
	return langRun(t, layout, tag, "--", "-c", `
import ctypes.util, platform, sqlite3, ssl, struct, sys
print(platform.machine(), struct.calcsize("P"), sys.byteorder, len(ssl.create_default_context().get_ca_certs()) > 100,
      sqlite3.connect(":memory:").execute("select 6*7").fetchone()[0], ctypes.util.find_library("c"))`)
}

// writeZip writes an archive of a few files.
func writeZip(t *testing.T, file string, files map[string]string) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := zip.NewWriter(f)
	for name, text := range files {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
}
