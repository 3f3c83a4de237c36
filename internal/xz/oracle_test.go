package xz

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"distroless/internal/testenv"
)

// sample is data of the kinds that matter here: text, machine code full of
// calls, runs of one byte and noise.
func sample(size int) []byte {
	random := rand.New(rand.NewPCG(uint64(size), 7))
	words := strings.Fields("the package is free software you may copy it under terms of license version or any later")
	var out []byte
	for len(out) < size {
		switch random.IntN(5) {
		case 0, 1:
			for range 200 {
				out = append(append(out, words[random.IntN(len(words))]...), ' ')
			}
		case 2:
			out = append(out, machineCode(random)...)
		case 3:
			out = append(out, bytes.Repeat([]byte{byte(random.IntN(3))}, random.IntN(3000))...)
		case 4:
			for range 500 {
				out = append(out, byte(random.Uint32()))
			}
		}
	}
	return out[:size]
}

// machineCode is dense with what the branch filters look for.
func machineCode(random *rand.Rand) []byte {
	var out []byte
	for range 300 {
		target := byte(random.IntN(4))
		switch random.IntN(10) {
		case 0, 1:
			out = append(out, 0xe8|target&1, target, byte(random.Uint32()), 0, -(target & 1))
		case 2:
			out = append(out, 0xe8, 0xe9, 0xe8, 0xff*(target&1), 0xe8, 0)
		case 3:
			out = append(out, 0x48, 0, byte(random.Uint32()), 1)
		case 4:
			out = append(out, byte(random.Uint32()), target, 0, 0xeb)
		case 5:
			out = append(out, byte(random.Uint32()), 0xf0|target, byte(random.Uint32()), 0xf8|target)
		case 6:
			out = append(out, 0x40, target, byte(random.Uint32()), 0)
		case 7:
			out = append(out, byte(random.Uint32()), target, 0, 0x94|target)
		case 8:
			out = append(out, byte(random.Uint32()), target, byte(random.Uint32())&0x1f, 0x90|target<<5)
		case 9:
			out = append(out, 0x10|target, 0, 0, 0, 0, 0, byte(random.Uint32()), target<<4, 0x50, 0, 0, 0, 0, target, 0, 0x50)
		}
		for range random.IntN(4) {
			out = append(out, byte(random.Uint32()))
		}
	}
	return out
}

// run runs xz on input.
func run(t testing.TB, xz string, input []byte, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(xz, args...)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("xz %s: %v: %s", strings.Join(args, " "), err, stderr.String())
	}
	return out
}

// encodings are ways to call xz, as arguments. The first group is enough for
// an everyday run.
func encodings(all bool) (out [][]string) {
	add := func(args ...string) { out = append(out, args) }
	for _, p := range []string{"0", "3", "6", "9e"} {
		add("-" + p)
	}
	for _, c := range []string{"none", "crc32", "crc64", "sha256"} {
		add("-1", "--check="+c)
	}
	for _, l := range []string{"lc=0,lp=0,pb=0", "lc=4,lp=0,pb=4", "lc=0,lp=4,pb=1", "lc=2,lp=2,pb=2", "dict=4KiB", "dict=96KiB,nice=273", "mf=hc3,mode=fast"} {
		add("--lzma2=preset=3," + l)
	}
	for _, f := range []string{"x86", "arm", "armthumb", "arm64", "powerpc", "ia64", "sparc", "x86=start=4096", "delta", "delta=dist=4", "delta=dist=256"} {
		add("--"+f, "--lzma2=preset=1")
		add("-T2", "--block-size=50000", "--"+f, "--lzma2=preset=1")
	}
	add("--delta=dist=3", "--x86", "--arm", "--lzma2=preset=1,dict=4KiB")
	add("-T2", "--block-size=33333", "-1")
	add("-T1", "--block-size=33333", "-1")
	add("-T1", "--block-list=1000,70000,5,0", "-1")
	if !all {
		return out
	}
	for p := range 10 {
		add(fmt.Sprintf("-%d", p))
		add(fmt.Sprintf("-%de", p))
		for _, threads := range []string{"-T1", "-T2", "-T4"} {
			for _, size := range []string{"4096", "65536", "400000"} {
				add(threads, fmt.Sprintf("-%d", p), "--block-size="+size)
			}
		}
	}
	for lc := range 5 {
		for lp := range 5 - lc {
			for pb := range 5 {
				add(fmt.Sprintf("--lzma2=preset=1,lc=%d,lp=%d,pb=%d", lc, lp, pb))
			}
		}
	}
	for bits := 12; bits <= 26; bits++ {
		add(fmt.Sprintf("--lzma2=preset=1,dict=%d", 1<<bits))
		add(fmt.Sprintf("--lzma2=preset=1,dict=%d", 3<<(bits-1)))
	}
	return out
}

// Whatever xz writes, however it is told to, must come out as it went in: on
// one core and on two, in large and in small reads.
func TestEncodings(t *testing.T) {
	xz := testenv.Tool(t, "xz")
	size := 300 << 10
	if testenv.Required() {
		size = 1 << 20
	}
	plain := sample(size)
	for _, args := range encodings(testenv.Required()) {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			packed := run(t, xz, plain, append([]string{"-c"}, args...)...)
			for _, workers := range []int{1, 2} {
				got, err := Decode(t.Context(), nil, packed, Options{Workers: workers})
				if err != nil || !bytes.Equal(got, plain) {
					t.Errorf("%d workers: got %d bytes, %v, want %d", workers, len(got), err, len(plain))
				}
			}
			r, err := NewReader(t.Context(), bytes.NewReader(packed), Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if got, err := io.ReadAll(smallReads{r}); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("small reads: got %d bytes, %v, want %d", len(got), err, len(plain))
			}
		})
	}
}

type smallReads struct{ io.Reader }

func (r smallReads) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(len(p), 777)]) }

// Streams of different makes, one behind the other, with padding.
func TestSeveralStreams(t *testing.T) {
	xz := testenv.Tool(t, "xz")
	plain := sample(200 << 10)
	var packed, want []byte
	for i, args := range [][]string{{"-0"}, {"-T2", "--block-size=20000", "-C", "sha256"}, {"--x86", "--lzma2"}, {"-C", "none", "-3"}} {
		packed = append(append(packed, run(t, xz, plain, append([]string{"-c"}, args...)...)...), make([]byte, 4*i)...)
		want = append(want, plain...)
	}
	got, err := Decode(t.Context(), nil, packed, Options{Workers: 2})
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, %v, want %d", len(got), err, len(want))
	}
}

// Old .debs hold .lzma.
func TestLZMA(t *testing.T) {
	xz := testenv.Tool(t, "xz")
	plain := sample(300 << 10)
	for _, args := range [][]string{{"-6"}, {"-0"}, {"--lzma1=preset=1,lc=0,lp=4,pb=0,dict=5000"}, {"--lzma1=preset=1,lc=4,lp=0,pb=4,dict=4KiB"}} {
		packed := run(t, xz, plain, append([]string{"-c", "--format=lzma"}, args...)...)
		sized := bytes.Clone(packed)
		for i := range 8 {
			sized[5+i] = byte(len(plain) >> (8 * i))
		}
		for name, data := range map[string][]byte{"size unknown": packed, "size known": sized} {
			if got, err := decodeLZMA(t.Context(), data); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%s, %s: got %d bytes, %v, want %d", args, name, len(got), err, len(plain))
			}
		}
	}
}

func decodeLZMA(ctx context.Context, data []byte) ([]byte, error) {
	r, err := NewLZMAReader(ctx, bytes.NewReader(data), Options{})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// judge lets xz -t judge files, many at once, and reports which are valid.
func judge(t testing.TB, xz, format string, files [][]byte) []bool {
	t.Helper()
	dir := t.TempDir()
	valid := make([]bool, len(files))
	const batch = 500
	for from := 0; from < len(files); from += batch {
		args := []string{"-t", "--format=" + format}
		for i := from; i < min(from+batch, len(files)); i++ {
			name := filepath.Join(dir, fmt.Sprintf("%06d.%s", i, format))
			if err := os.WriteFile(name, files[i], 0o666); err != nil {
				t.Fatal(err)
			}
			args = append(args, name)
			valid[i] = true
		}
		cmd := exec.Command(xz, args...)
		cmd.Env = append(os.Environ(), "LC_ALL=C")
		out, _ := cmd.CombinedOutput() // fails if any file is not valid
		for line := range strings.Lines(string(out)) {
			var i int
			_, name, ok := strings.Cut(line, dir+string(filepath.Separator))
			if _, err := fmt.Sscanf(name, "%d", &i); err != nil || !ok || i >= len(files) {
				t.Fatalf("xz -t says %q", line)
			}
			valid[i] = false
		}
	}
	return valid
}

// compare fails where our verdict on a file is not that of xz -t.
func compare(t *testing.T, format string, names []string, files [][]byte) {
	t.Helper()
	failures := 0
	for i, valid := range judge(t, testenv.Tool(t, "xz"), format, files) {
		var err error
		if format == "lzma" {
			_, err = decodeLZMA(t.Context(), files[i])
		} else {
			_, err = Decode(t.Context(), nil, files[i], Options{Workers: 1 + i%2, MemLimit: 16 << 30})
		}
		if (err == nil) != valid {
			if failures++; failures <= 10 {
				t.Errorf("%s: we say %v, xz -t says valid: %v", names[i], err, valid)
			}
		}
	}
	if failures > 10 {
		t.Errorf("and %d more", failures-10)
	}
}

// The files built by hand are judged as by xz.
func TestBuiltFilesLikeXZ(t *testing.T) {
	var names []string
	var files [][]byte
	for _, f := range builtFiles() {
		names, files = append(names, f.name), append(files, f.data)
	}
	compare(t, "xz", names, files)
}

// Every byte of small files changed, and every truncation of them, must be
// taken or refused exactly as by xz.
func TestDamaged(t *testing.T) {
	xz := testenv.Tool(t, "xz")
	step := 7
	if testenv.Required() {
		step = 1
	}
	small := []byte(strings.Repeat("abcabcd, 0123 ", 9) + "\xe8\x10\x20\x00\x00 the end")
	for _, args := range [][]string{
		{"--check=none"}, {"--check=crc32"}, {"--check=crc64", "-T2", "--block-size=60"}, {"--check=sha256"},
		{"--check=none", "--x86", "--delta=dist=2", "--lzma2=lc=0,lp=2,pb=0"}, {"--check=none", "-T2", "--block-size=40"},
	} {
		packed := run(t, xz, small, append([]string{"-c"}, args...)...)
		packed = append(packed, 0, 0, 0, 0)
		var names []string
		var files [][]byte
		add := func(name string, data []byte) {
			names, files = append(names, fmt.Sprint(args, " ", name)), append(files, data)
		}
		for i := 0; i < len(packed); i += step {
			add(fmt.Sprintf("truncated to %d", i), packed[:i])
			for _, change := range []byte{0x01, 0x80, 0xff, packed[i]} {
				data := bytes.Clone(packed)
				data[i] ^= change
				add(fmt.Sprintf("byte %d changed by %02x", i, change), data)
			}
		}
		compare(t, "xz", names, files)
	}
}

// The same for .lzma, where no check tells damage from data.
func TestDamagedLZMA(t *testing.T) {
	xz := testenv.Tool(t, "xz")
	step := 5
	if testenv.Required() {
		step = 1
	}
	packed := run(t, xz, []byte(strings.Repeat("abcabcd, 0123 ", 9)), "-c", "--format=lzma", "--lzma1=dict=4KiB")
	sized := bytes.Clone(packed)
	copy(sized[5:], []byte{14 * 9, 0, 0, 0, 0, 0, 0, 0})
	for name, packed := range map[string][]byte{"size unknown": packed, "size known": sized} {
		var names []string
		var files [][]byte
		for i := 0; i < len(packed); i += step {
			names, files = append(names, fmt.Sprintf("%s, truncated to %d", name, i)), append(files, packed[:i])
			for _, change := range []byte{0x01, 0x80, 0xff, packed[i]} {
				if i == 4 {
					continue // a dictionary of gigabytes: a question of memory
				}
				data := bytes.Clone(packed)
				data[i] ^= change
				names, files = append(names, fmt.Sprintf("%s, byte %d changed by %02x", name, i, change)), append(files, data)
			}
		}
		compare(t, "lzma", names, files)
	}
}
