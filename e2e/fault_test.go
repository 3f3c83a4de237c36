package e2e

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"distroless/internal/oci/layout"
	"distroless/internal/testenv"
)

// basis is a build of base with a cache of its own, from the mirror, that
// faults are done to.
type basis struct {
	dir  string
	args []string
	want map[string]string // its digests when nothing is wrong
}

// newBasis builds once, to know the digests and to have a lock and a cache.
func newBasis(t *testing.T) *basis {
	t.Helper()
	testenv.E2E(t)
	b := &basis{dir: t.TempDir()}
	b.args = append([]string{"build", "base", "--json", "--arch", "amd64", "--lock", "lock.json", "--output", "dist", "--cache", "cache"},
		must(t, all.mirror).args()...)
	b.want = b.run().wait().ok(t).digests()
	return b
}

func (b *basis) run(args ...string) *run {
	return (&run{dir: b.dir, args: append(slices.Clone(b.args), args...)}).start()
}

// whole ends the test unless a run went well and gave the right digests.
func (b *basis) whole(t *testing.T, what string, o outcome) {
	t.Helper()
	if got := o.ok(t).digests(); !maps.Equal(got, b.want) {
		t.Fatalf("%s: digests %v, want %v", what, got, b.want)
	}
}

// files lists the regular files below a folder of the basis.
func (b *basis) files(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(filepath.Join(b.dir, dir), func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			out = append(out, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// remove takes outputs and caches away.
func (b *basis) remove(t *testing.T, names ...string) {
	t.Helper()
	for _, n := range names {
		if err := os.RemoveAll(filepath.Join(b.dir, n)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKilled ends builds at different points, without warning and by Ctrl-C.
// If it fails, what a killed run left behind spoils a later one.
func TestKilled(t *testing.T) {
	b := newBasis(t)
	began := time.Now()
	m := must(t, all.mirror)
	m.slow.Store(int64(2 * time.Millisecond)) // a cold build takes some seconds
	defer m.slow.Store(0)
	ended := 0
	for i, delay := range []time.Duration{5, 60, 250, 500, 750, 1000, 1500, 2000} {
		sig, code := syscall.SIGKILL, -1
		if i%2 == 1 {
			sig, code = os.Interrupt.(syscall.Signal), 130
		}
		if delay <= 60 {
			b.remove(t, "cache", "lock.json")
		}
		b.remove(t, "dist")
		before := m.served.Load()
		r := b.run("--verbose")
		if r.err != nil {
			t.Fatal(r.err)
		}
		for m.served.Load() == before && i > 0 { // it is at work
			time.Sleep(time.Millisecond)
		}
		time.Sleep(delay * time.Millisecond)
		if err := r.cmd.Process.Signal(sig); err != nil {
			t.Logf("after %d ms: %v", delay, err) // it has ended already
		}
		o := r.wait()
		if o.code != 0 {
			ended++
			if o.code != code {
				t.Errorf("%v after %d ms: exit code %d, want %d\n%s", sig, delay, o.code, code, o.stderr)
			}
		}
		if sig != syscall.SIGKILL {
			if left := b.temporary(t); len(left) > 0 && o.code == code {
				// Files of the runs killed before are swept after a day.
				t.Logf("%v after %d ms: %d unfinished files in the cache", sig, delay, len(left))
			}
		}
		b.intact(t)
		if i >= 2 {
			b.remove(t, "cache/sha256", "cache/memo")
		}
	}
	if ended < 5 {
		t.Errorf("only %d of the builds were caught in the middle", ended)
	}
	m.slow.Store(0)
	b.whole(t, "after killed runs", b.run().wait())
	t.Logf("%.1f s", time.Since(began).Seconds())
}

// TestInterrupted stops a build by Ctrl-C in a clean cache: nothing half done
// may be left at all.
func TestInterrupted(t *testing.T) {
	b := newBasis(t)
	m := must(t, all.mirror)
	b.remove(t, "cache", "dist")
	m.slow.Store(int64(5 * time.Millisecond))
	defer m.slow.Store(0)
	before := m.served.Load()
	r := b.run()
	for m.served.Load() < before+2 && r.err == nil {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond)
	if err := r.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	asked := time.Now()
	o := r.wait()
	if o.code != 130 || !strings.Contains(o.stderr, "interrupted") {
		t.Errorf("exit code %d, want 130\n%s", o.code, o.stderr)
	}
	if d := time.Since(asked); d > 5*time.Second {
		t.Errorf("it went on for %s", d)
	}
	if left := b.temporary(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := os.Stat(filepath.Join(b.dir, "dist")); err == nil {
		if out := b.files(t, "dist"); len(out) > 0 {
			t.Errorf("left behind: %v", out)
		}
	}
	m.slow.Store(0)
	b.whole(t, "after Ctrl-C", b.run().wait())
}

// temporary lists what is unfinished in cache and output.
func (b *basis) temporary(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, f := range b.files(t, ".") {
		rest := strings.TrimPrefix(f, b.dir)
		if strings.Contains(rest, "/tmp/") || strings.Contains(rest, "/.") {
			out = append(out, rest)
		}
	}
	return out
}

// intact checks that a layout, if there is one, is whole.
func (b *basis) intact(t *testing.T) {
	t.Helper()
	at := filepath.Join(b.dir, "dist", "base-debian13")
	if _, err := os.Stat(at); err != nil {
		return
	}
	l, err := layout.Open(at)
	if err != nil {
		t.Fatalf("a killed run left a layout that is not whole: %v", err)
	}
	for _, tag := range l.Tags() {
		images(t, l, tag)
	}
}

// TestDamagedCache changes every file of a cache by one bit, or cuts it short.
// If it fails, a failing disk changes images or stops builds for good.
func TestDamagedCache(t *testing.T) {
	b := newBasis(t)
	const layers = 8 // a run may stop at each once, and no more
	flip := func(data []byte) []byte { data[len(data)/2] ^= 1; return data }
	cut := func(data []byte) []byte { return data[:len(data)/2] }
	for _, c := range []struct {
		what    string
		damage  func([]byte) []byte
		remove  []string
		damaged string
	}{
		{"every .deb and index flipped, nothing else left", flip, []string{"cache/memo"}, "cache/sha256"},
		{"every blob flipped", flip, nil, "cache/sha256"},
		{"every blob cut short", cut, nil, "cache/sha256"},
		{"every memo flipped", flip, nil, "cache/memo"},
		{"every memo cut short", cut, nil, "cache/memo"},
		{"everything flipped", flip, nil, "cache"},
		{"everything empty", func([]byte) []byte { return nil }, nil, "cache"},
	} {
		b.remove(t, append(c.remove, "dist")...)
		n := 0
		for _, f := range b.files(t, c.damaged) {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if len(data) > 0 {
				data = c.damage(data)
			}
			if err := os.WriteFile(f, data, 0o644); err != nil {
				t.Fatal(err)
			}
			n++
		}
		// A run may stop at a file that was damaged, having removed it; it may
		// not use one. Then it must go well before long.
		stops := 0
		for {
			o := b.run().wait()
			if o.code == 0 {
				b.whole(t, c.what, o)
				break
			}
			b.intact(t)
			if !strings.Contains(o.stderr, "damaged") && !strings.Contains(o.stderr, "sha256") {
				t.Errorf("%s: the error does not say what is wrong:\n%s", c.what, o.stderr)
			}
			if stops++; stops > layers {
				t.Fatalf("%s: still failing after %d runs:\n%s", c.what, stops, o.stderr)
			}
		}
		t.Logf("%s: %d files, stopped %d times", c.what, n, stops)
		b.intact(t)
	}
}

// TestTwoAtOnce runs two builds on one cold cache at the same time. If it
// fails, a machine cannot run two builds.
func TestTwoAtOnce(t *testing.T) {
	b := newBasis(t)
	b.remove(t, "cache", "dist")
	one, two := b.run(), b.run("--output", "dist2", "--jobs", "1")
	b.whole(t, "the first", one.wait())
	b.whole(t, "the second", two.wait())
	tool(t, b.dir, "diff", "-r", "dist", "dist2")
}

// TestSameOutputAtOnce runs two builds into the same folders at the same time.
func TestSameOutputAtOnce(t *testing.T) {
	b := newBasis(t)
	b.remove(t, "dist", "lock.json")
	one, two := b.run(), b.run()
	b.whole(t, "the first", one.wait())
	b.whole(t, "the second", two.wait())
	b.intact(t)
}
