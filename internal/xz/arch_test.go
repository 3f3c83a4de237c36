package xz

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"distroless/internal/testenv"
)

// corpusEnv names the directory of files that TestCorpus reads.
const corpusEnv = "XZ_TEST_CORPUS"

// digests decodes every file of a directory and lists what comes out: a
// digest, or the error.
func digests(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.xz"))
	if err != nil || len(names) == 0 {
		t.Fatalf("find files: none in %s", dir)
	}
	var out strings.Builder
	for _, name := range names {
		packed, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := Decode(t.Context(), nil, packed, Options{Workers: 2})
		raw, rawErr := decodeLZMA(t.Context(), packed)
		fmt.Fprintf(&out, "%s %x %v %x %v\n", filepath.Base(name), sha256.Sum256(plain), err, sha256.Sum256(raw), rawErr)
	}
	return out.String()
}

// TestCorpus prints what the files of a directory decode to; it is what
// TestArchitectures runs under emulation.
func TestCorpus(t *testing.T) {
	dir := os.Getenv(corpusEnv)
	if dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, "digests"), []byte(digests(t, dir)), 0o666); err != nil {
		t.Fatal(err)
	}
}

// Machines of 32 bits, and those with the highest byte first, must decode the
// same bytes and fail in the same places.
func TestArchitectures(t *testing.T) {
	testenv.E2E(t)
	xz := testenv.Tool(t, "xz")
	dir := t.TempDir()
	write := func(data []byte) {
		names, _ := filepath.Glob(filepath.Join(dir, "*.xz"))
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%04d.xz", len(names))), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	plain := sample(100 << 10)
	for i, args := range encodings(false) {
		packed := run(t, xz, plain, append([]string{"-c"}, args...)...)
		write(packed)
		damaged := bytes.Clone(packed)
		damaged[len(packed)*(i%9+1)/11] ^= 1
		write(damaged)
	}
	for _, f := range builtFiles() {
		write(f.data)
	}
	write(run(t, xz, plain, "-c", "--format=lzma"))
	want := digests(t, dir)
	// 32 bits, 64 with the highest byte first, and both at once.
	for arch, emulator := range map[string]string{"arm": "qemu-arm-static", "s390x": "qemu-s390x-static", "mips": "qemu-mips-static"} {
		binary := filepath.Join(t.TempDir(), arch)
		build := exec.Command(testenv.Tool(t, "go"), "test", "-c", "-o", binary, ".")
		build.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build for %s: %v: %s", arch, err, out)
		}
		cmd := exec.Command(testenv.Tool(t, emulator), binary, "-test.run", "^(TestCorpus|TestBuiltFiles|TestCRC64|TestReadersAndWriters|TestMemLimit)$")
		cmd.Env = append(os.Environ(), corpusEnv+"="+dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("run on %s: %v: %s", arch, err, out)
			continue
		}
		got, err := os.ReadFile(filepath.Join(dir, "digests"))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s decodes otherwise:\n%s", arch, firstDifference(string(got), want))
		}
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return "got  " + g[i] + "\nwant " + w[i]
		}
	}
	return "one list is longer"
}
