package archivetest_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"distroless/internal/debian/archivetest"
	"distroless/internal/testenv"
	"distroless/internal/xz"
)

// If the stored .xz were not a right one, tests that use it would test
// nothing.
func TestXZ(t *testing.T) {
	for _, n := range []int{0, 1, 3, 4, 65535, 65536, 65537, 200_000} {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(rand.N(256))
		}
		packed := archivetest.XZ(data)
		r, err := xz.NewReader(t.Context(), bytes.NewReader(packed), xz.Options{})
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: other bytes came back, error %v", n, err)
		}
	}
}

func TestXZAgainstXZ(t *testing.T) {
	tool := testenv.Tool(t, "xz")
	want := strings.Repeat("stored ", 20_000)
	cmd := exec.Command(tool, "-dc")
	cmd.Stdin = bytes.NewReader(archivetest.XZ([]byte(want)))
	got, err := cmd.Output()
	if err != nil || string(got) != want {
		t.Errorf("xz -dc: %v, %d bytes, want %d", err, len(got), len(want))
	}
}

// Packages of tests must be ones that dpkg would take.
func TestBuildAgainstDpkgDeb(t *testing.T) {
	tool := testenv.Tool(t, "dpkg-deb")
	for _, compression := range []string{"none", "gz", "xz", "zst"} {
		t.Run(compression, func(t *testing.T) {
			p := archivetest.Package{
				Name: "libx1", Version: "1:1.0-1", MultiArch: "same", Depends: "libc6 (>= 2.36)", Compression: compression,
				Files: []archivetest.File{
					archivetest.Exec("usr/bin/x", "#!/bin/sh\n"),
					archivetest.Text("usr/share/doc/libx1/copyright", "free\n"),
					archivetest.Symlink("usr/bin/y", "x"),
					archivetest.Hardlink("usr/bin/z", "usr/bin/x"),
					{Path: "usr/bin/su", Mode: 0o4755, Data: "s"},
				},
				Scripts:   map[string]string{"postinst": "#!/bin/sh\nexit 0\n"},
				Conffiles: []string{},
			}
			data, err := p.Build()
			if err != nil {
				t.Fatal(err)
			}
			again, _ := p.Build()
			if !bytes.Equal(data, again) {
				t.Error("built twice, not the same bytes")
			}
			deb := filepath.Join(t.TempDir(), "x.deb")
			if err := os.WriteFile(deb, data, 0o600); err != nil {
				t.Fatal(err)
			}
			list, err := exec.Command(tool, "-c", deb).CombinedOutput()
			if err != nil {
				t.Fatalf("dpkg-deb -c: %v\n%s", err, list)
			}
			for _, want := range []string{"-rwsr-xr-x root/root", "./usr/bin/y -> x", "./usr/bin/z link to ./usr/bin/x", "drwxr-xr-x root/root         0 2025-08-09 12:00 ./usr/share/doc/"} {
				if !strings.Contains(string(list), want) {
					t.Errorf("dpkg-deb -c has no %q:\n%s", want, list)
				}
			}
			version, err := exec.Command(tool, "-f", deb, "Version").CombinedOutput()
			if err != nil || strings.TrimSpace(string(version)) != "1:1.0-1" {
				t.Errorf("dpkg-deb -f: %v, %s", err, version)
			}
		})
	}
}
