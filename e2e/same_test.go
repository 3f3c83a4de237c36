package e2e

import (
	"archive/tar"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"distroless/internal/oci/layout"
	"distroless/internal/testenv"
)

// TestReproducible builds the same images in every way that must not matter.
// If it fails, people who build from one lock do not get the same digests.
func TestReproducible(t *testing.T) {
	testenv.E2E(t)
	m := must(t, all.mirror)
	dir := t.TempDir()
	b := func(name, cache string, args []string, env ...string) *run {
		full := append([]string{"build", "--json", "--distro", "debian13", "--lock", "lock-first", "--output", "out-" + name, "--cache", "cache-" + cache}, m.args()...)
		return &run{dir: dir, args: append(full, args...), env: env}
	}
	all := []string{"static", "base", "cc", "--arch", "amd64", "--arch", "arm64"}
	first := b("first", "1", append(all, "--jobs", "1")).start().wait()
	t.Logf("cold, one job: %.1f s", first.took.Seconds())
	want := first.ok(t).digests()
	if len(want) != 12 {
		t.Fatalf("%d digests, want 12: %v", len(want), want)
	}
	narrow := b("umask", "4", all)
	narrow.umask = "077"
	for _, c := range []struct {
		what string
		r    *run
	}{
		{"cold, eight jobs, no lock", b("jobs", "2", append(all, "--jobs", "8", "--lock", "lock-jobs"))},
		{"cold, other order, no lock", b("order", "3", []string{"cc", "static", "base", "--arch", "arm64,amd64", "--variant", "nonroot,debug-nonroot,debug,latest", "--lock", "lock-order"})},
		{"cold, umask 077", narrow},
		{"cold, other surroundings", b("env", "5", all, "TZ=Pacific/Chatham", "LANG=tr_TR.UTF-8", "LC_ALL=tr_TR.UTF-8", "HOME="+dir, "USER=somebody", "HOSTNAME=elsewhere", "GOMAXPROCS=3")},
		{"cold, SOURCE_DATE_EPOCH after locking", b("epoch", "6", all, "SOURCE_DATE_EPOCH=1000000000")},
		{"warm", b("warm", "1", append(all, "--locked"))},
		{"one at a time, upwards", b("single", "7", []string{"base", "--arch", "amd64", "--arch", "arm64"})},
		{"warm, one on top", b("single2", "7", []string{"cc", "--arch", "amd64", "--arch", "arm64"})},
	} {
		o := c.r.start().wait()
		got := o.ok(t).digests()
		t.Logf("%s: %.1f s", c.what, o.took.Seconds())
		for name, digest := range got {
			if digest != want[name] {
				t.Errorf("%s: %s is %s, first it was %s", c.what, name, digest, want[name])
			}
		}
	}
	for _, other := range []string{"out-jobs", "out-warm", "lock-jobs", "lock-order"} {
		kind, _, _ := strings.Cut(other, "-")
		tool(t, dir, "diff", "-r", kind+"-first", other)
	}
}

// TestSourceDateEpoch builds from a lock made with SOURCE_DATE_EPOCH. If it
// fails, times in an image are later than the user allowed.
func TestSourceDateEpoch(t *testing.T) {
	testenv.E2E(t)
	m := must(t, all.mirror)
	dir := t.TempDir()
	const epoch = 1700000000
	args := append([]string{"build", "base", "--json", "--arch", "amd64", "--lock", "lock.json", "--cache", filepath.Join(all.cache, "cache")}, m.args()...)
	with := (&run{dir: dir, args: append(args, "--output", "a"), env: []string{"SOURCE_DATE_EPOCH=1700000000"}}).start().wait().ok(t)
	later := (&run{dir: dir, args: append(args, "--output", "b")}).start().wait().ok(t)
	if !maps.Equal(with.digests(), later.digests()) {
		t.Error("the lock's SOURCE_DATE_EPOCH does not hold in a later build")
	}
	l, err := layout.Open(filepath.Join(dir, "a", "base-debian13"))
	if err != nil {
		t.Fatal(err)
	}
	clamped := 0
	for _, o := range images(t, l, "debug") {
		if o.Config.Created.Unix() != epoch {
			t.Errorf("created %s, want %s", o.Config.Created, time.Unix(epoch, 0).UTC())
		}
		for _, d := range o.Manifest.Layers {
			if err := o.Walk(d, func(h *tar.Header, _ io.Reader) error {
				switch at := h.ModTime.Unix(); {
				case at > epoch:
					t.Errorf("%s has time %s", h.Name, h.ModTime)
				case at == epoch:
					clamped++
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if clamped == 0 {
		t.Error("no file has the time of SOURCE_DATE_EPOCH")
	}
}

// images opens what a tag of a layout names.
func images(t testing.TB, l *layout.Layout, tag string) []*layout.Opened {
	t.Helper()
	d, err := l.Tag(tag)
	if err != nil {
		t.Fatal(err)
	}
	o, err := l.Images(d)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestTags holds a layout's names against what the program promises. If it
// fails, tools that want one architecture do not find it.
func TestTags(t *testing.T) {
	testenv.E2E(t)
	rep := must(t, all.images)
	var want []string
	for _, v := range []string{"latest", "nonroot", "debug", "debug-nonroot"} {
		want = append(want, v, v+"-amd64", v+"-arm64")
	}
	for _, i := range rep.Images {
		l, err := layout.Open(filepath.Join(rep.dir, i.Reference))
		if err != nil {
			t.Fatal(err)
		}
		if got := l.Tags(); !slices.Equal(got, want) {
			t.Errorf("%s has the tags %s, want %s", i.Reference, strings.Join(got, " "), strings.Join(want, " "))
		}
		for _, v := range i.Variants {
			d, err := l.Tag(v.Variant)
			if err != nil || d.Digest.String() != v.Digest || !d.MediaType.IsIndex() {
				t.Errorf("%s:%s is %s %s, the report says %s", i.Reference, v.Variant, d.MediaType, d.Digest, v.Digest)
			}
			for _, p := range v.Platforms {
				if d, err := l.Tag(v.Variant + "-" + p.Arch); err != nil || d.Digest.String() != p.Digest {
					t.Errorf("%s:%s-%s is %s, the report says %s", i.Reference, v.Variant, p.Arch, d.Digest, p.Digest)
				}
			}
		}
	}
}
