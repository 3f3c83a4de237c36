package diff_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"distroless/internal/oci/image"
	"distroless/internal/trust/diff"
	"distroless/internal/trust/inventory"
	"distroless/internal/trust/source"
	"distroless/internal/trust/trusttest"
)

func load(t *testing.T, layers ...trusttest.Layer) *inventory.Inventory {
	t.Helper()
	img, blobs := trusttest.Image(t, "amd64", layers...)
	s, err := source.Open(trusttest.Layout(t, []*image.Image{img}, blobs) + ":latest-amd64")
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.Resolve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	images, err := source.Images(t.Context(), s, d)
	if err != nil {
		t.Fatal(err)
	}
	v, err := new(inventory.Reader).Read(t.Context(), images[0])
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestCompare: if it fails, somebody approves an update without seeing what it
// changes.
func TestCompare(t *testing.T) {
	a := load(t, trusttest.SampleLayers("amd64")...)
	layers := trusttest.SampleLayers("amd64")
	f := layers[1].Files
	f["/var/lib/dpkg/status.d/libc6"] = strings.Replace(f["/var/lib/dpkg/status.d/libc6"], "2.41-12", "2.41-9", 1)
	f["/usr/lib/libc.so.6"] = "other, longer machine code"
	delete(layers[2].Files, "/var/lib/dpkg/status.d/libstdc++6")
	layers[2].Files["/etc/os-release"] = "-> /etc/other"
	layers[2].Files["/tmp"] = "a file now"
	layers[2].Files["/var/lib/dpkg/status.d/new"] = "Package: new\nVersion: 1\nArchitecture: all\n"
	layers[0].Files["/var/lib/dpkg/status.d/base-files"] += "Homepage: http://example.org/\n"
	b := load(t, layers...)
	b.Config.User, b.Config.Env = "65532", append(b.Config.Env, "A=|1")

	d := diff.Compare("old", a, "new", b)
	var got []string
	for _, p := range d.Packages {
		got = append(got, fmt.Sprintf("%s %s %s %s", p.Change, p.Name, p.Old, p.New))
	}
	for _, f := range d.Files {
		if !strings.HasPrefix(f.Path, "/var/") {
			got = append(got, fmt.Sprintf("%s %s %s", f.Change, f.Path, f.Details))
		}
	}
	for _, s := range d.Settings {
		got = append(got, fmt.Sprintf("%s %q %q", s.Name, s.Old, s.New))
	}
	want := []string{
		"rebuilt base-files 13.8+deb13u1 13.8+deb13u1", "downgraded libc6 2.41-12 2.41-9", "removed libstdc++6 14.2.0-19 ", "added new  1",
		"changed /etc/os-release target ../usr/lib/os-release to /etc/other",
		"changed /tmp a directory, now a file",
		"changed /usr/lib/libc-2.41.so content", "changed /usr/lib/libc.so.6 content",
		`env A "" "|1"`, `user "0" "65532"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	var text, md bytes.Buffer
	if err := d.Text(&text, false); err != nil {
		t.Fatal(err)
	}
	if err := d.Markdown(&md, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"~ libc6 2.41-12 -> 2.41-9\n", "+ new 1\n", "~ env A: (none) -> |1\n", "~ /tmp a directory, now a file"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text has no %q:\n%s", want, text.String())
		}
	}
	for _, want := range []string{"| libc6 | 2.41-12 | 2.41-9 | downgraded |\n", `| env A |  | \|1 |`} {
		if !strings.Contains(md.String(), want) {
			t.Errorf("the Markdown has no %q:\n%s", want, md.String())
		}
	}
}

func TestSame(t *testing.T) {
	a, b := load(t, trusttest.SampleLayers("amd64")...), load(t, trusttest.SampleLayers("amd64")...)
	d := diff.Compare("a", a, "b", b)
	var text bytes.Buffer
	if err := d.Text(&text, true); err != nil || !d.Same() || !strings.Contains(text.String(), "the same packages") {
		t.Errorf("an image differs from itself: %v\n%s", err, text.String())
	}
}
