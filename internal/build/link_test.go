package build

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"distroless/internal/fetch"
	"distroless/internal/oci/layout"
)

// Layouts share their layers with the cache, so that a catalogue of images on
// one base is no larger than what differs, and takes no longer to write. If it
// fails, every layout has a copy of every layer, or, worse, one whose bytes
// nobody looked at.
func TestLinkedLayers(t *testing.T) {
	b := newBench(t)
	cache, out := t.TempDir(), t.TempDir()
	write := func(name string) error {
		return layout.Write(t.Context(), filepath.Join(out, name), b.build(cache, nil, "static")[0].Layout())
	}
	blob := func(name string) string {
		m := b.build(cache, nil, "static")[0]
		l := m.Images["latest"]["amd64"].Layers[0]
		return filepath.Join(out, name, "blobs", "sha256", strings.TrimPrefix(l.Digest, "sha256:"))
	}
	for _, name := range []string{"one", "two"} {
		if err := write(name); err != nil {
			t.Fatal(err)
		}
	}
	one, err1 := os.Stat(blob("one"))
	two, err2 := os.Stat(blob("two"))
	if err := errors.Join(err1, err2); err != nil || !os.SameFile(one, two) {
		t.Errorf("two copies of a layer (%v)", err)
	}

	// What is damaged behind one name is found before the next layout has it.
	data, err := os.ReadFile(blob("one"))
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(blob("one"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := write("three"); !errors.Is(err, fetch.ErrChecksum) {
		t.Errorf("a damaged layer: %v, want a checksum error", err)
	}
	if _, err := os.Stat(filepath.Join(out, "three")); err == nil {
		t.Error("a layout with a damaged layer appeared")
	}
	if err := write("three"); err != nil {
		t.Errorf("made anew: %v", err)
	}

	// Where the file system has no links, layers are copied and verified.
	m := b.build(cache, nil, "static")[0]
	c := m.Layout()
	c.Link = func(string, string) (bool, error) { return false, nil }
	if err := layout.Write(t.Context(), filepath.Join(out, "copy"), c); err != nil {
		t.Fatal(err)
	}
	three, err1 := os.Stat(blob("three"))
	copied, err2 := os.Stat(blob("copy"))
	if err := errors.Join(err1, err2); err != nil || os.SameFile(three, copied) {
		t.Errorf("no copy (%v)", err)
	}
}
