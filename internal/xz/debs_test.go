package xz

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"distroless/internal/testenv"
)

// member returns a member of an ar archive, as a .deb is one; see ar(5).
func member(archive []byte, name string) []byte {
	const header = 60
	for at := len("!<arch>\n"); at+header <= len(archive); {
		size, err := strconv.Atoi(strings.TrimSpace(string(archive[at+48 : at+58])))
		if err != nil || at+header+size > len(archive) {
			return nil
		}
		if strings.TrimRight(string(archive[at:at+16]), " /") == name {
			return archive[at+header : at+header+size]
		}
		at += header + size + size&1
	}
	return nil
}

// The packages that images are built from must decode to what xz makes of
// them. DISTROLESS_DEBS names a directory of .debs; without it some of the
// machine's own archive are taken.
func TestDebs(t *testing.T) {
	xz := testenv.Tool(t, "xz")
	dir := os.Getenv("DISTROLESS_DEBS")
	if dir == "" {
		testenv.E2E(t)
		dir = t.TempDir()
		cmd := exec.Command(testenv.Tool(t, "apt-get"), "-qq", "-o", "APT::Sandbox::User=root", "download",
			"libc6", "libssl3", "libpython3.11-stdlib", "openjdk-17-jre-headless", "tzdata", "base-files")
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("download packages: %v: %s", err, out)
		}
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(debs) == 0 {
		t.Fatalf("find packages: no .deb in %s", dir)
	}
	for _, deb := range debs {
		archive, err := os.ReadFile(deb)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"control.tar.xz", "data.tar.xz"} {
			packed := member(archive, name)
			if packed == nil {
				continue
			}
			want := run(t, xz, packed, "-dc")
			got, err := Decode(t.Context(), nil, packed, Options{})
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s, %s: got %d bytes, %v, want %d", filepath.Base(deb), name, len(got), err, len(want))
			}
		}
	}
}
