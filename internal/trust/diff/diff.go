// Package diff says how two images differ: in packages, files, sizes and
// settings. Either may be anybody's; what it knows of them is their inventory.
//
// Start with [Compare].
package diff

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"distroless/internal/debian/version"
	"distroless/internal/trust/inventory"
)

// Diff is what differs between the images of one platform. It is what
// `distroless diff --json` prints.
type Diff struct {
	Platform string    `json:"platform"`
	Old      Side      `json:"old"`
	New      Side      `json:"new"`
	Packages []Package `json:"packages"` // sorted by name
	Files    []File    `json:"files"`    // sorted by path
	Settings []Setting `json:"settings"`
}

// Side is one of the images.
type Side struct {
	Reference string `json:"reference"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`     // compressed layers, in bytes
	Unpacked  int64  `json:"unpacked"` // of files, in bytes
	Files     int    `json:"files"`
	Packages  int    `json:"packages"`
	Layers    int    `json:"layers"`
}

// Package is a package that only one image has, or in another version.
type Package struct {
	Name string `json:"name"`
	Arch string `json:"arch"`
	Old  string `json:"old,omitempty"` // versions
	New  string `json:"new,omitempty"`
	// Change is added, removed, upgraded, downgraded or, where the version is
	// the same and the paragraph is not, rebuilt.
	Change string `json:"change"`
}

// File is a path that only one image has, or that differs.
type File struct {
	Path    string `json:"path"`
	Kind    string `json:"kind"`
	Owner   string `json:"owner"`
	Change  string `json:"change"`            // added, removed or changed
	Details string `json:"details,omitempty"` // of a changed one: "content, mode 0644 to 0755"
	OldSize int64  `json:"oldSize,omitempty"`
	NewSize int64  `json:"newSize,omitempty"`
	// OldSHA256 and NewSHA256 are the digests of a file's bytes.
	OldSHA256 string `json:"oldSha256,omitempty"`
	NewSHA256 string `json:"newSha256,omitempty"`
}

// Setting is a setting of the config, or an annotation, that differs.
type Setting struct {
	Name string `json:"name"` // "env PATH", "entrypoint", "label x"
	Old  string `json:"old"`
	New  string `json:"new"`
}

// Same reports whether nothing differs but, maybe, how the layers are
// compressed and divided.
func (d *Diff) Same() bool {
	return len(d.Packages)+len(d.Files)+len(d.Settings) == 0
}

// Compare compares two images. The references are only repeated.
func Compare(oldRef string, old *inventory.Inventory, newRef string, now *inventory.Inventory) *Diff {
	return &Diff{
		Platform: now.Platform.String(), Old: side(oldRef, old), New: side(newRef, now),
		Packages: packages(old, now), Files: files(old, now), Settings: settings(old, now),
	}
}

func side(ref string, v *inventory.Inventory) Side {
	s := Side{Reference: ref, Digest: v.Digest, Packages: len(v.Packages), Layers: len(v.Manifest.Layers)}
	for _, l := range v.Manifest.Layers {
		s.Size += l.Size
	}
	for i := range v.Files {
		if v.Files[i].Kind == inventory.Regular {
			s.Files++
			s.Unpacked += v.Files[i].Size
		}
	}
	return s
}

func packages(old, now *inventory.Inventory) []Package {
	key := func(p *inventory.Package) string { return p.Name + ":" + p.Arch }
	a, b := map[string]*inventory.Package{}, map[string]*inventory.Package{}
	for i := range old.Packages {
		a[key(&old.Packages[i])] = &old.Packages[i]
	}
	for i := range now.Packages {
		b[key(&now.Packages[i])] = &now.Packages[i]
	}
	out := []Package{}
	for _, k := range keys(a, b) {
		switch x, y := a[k], b[k]; {
		case x == nil:
			out = append(out, Package{Name: y.Name, Arch: y.Arch, New: y.Version, Change: "added"})
		case y == nil:
			out = append(out, Package{Name: x.Name, Arch: x.Arch, Old: x.Version, Change: "removed"})
		case x.Version != y.Version:
			p := Package{Name: x.Name, Arch: x.Arch, Old: x.Version, New: y.Version, Change: "upgraded"}
			if version.Compare(x.Version, y.Version) > 0 {
				p.Change = "downgraded"
			}
			out = append(out, p)
		case !slices.Equal(paragraph(x), paragraph(y)):
			out = append(out, Package{Name: x.Name, Arch: x.Arch, Old: x.Version, New: y.Version, Change: "rebuilt"})
		}
	}
	return out
}

// paragraph is a package's control paragraph, less what dpkg adds to it when
// it installs.
func paragraph(p *inventory.Package) []string {
	var out []string
	for _, f := range p.Control {
		switch strings.ToLower(f.Name) {
		case "status", "conffiles", "config-version":
		default:
			out = append(out, f.Name+"="+f.Value)
		}
	}
	return out
}

func files(old, now *inventory.Inventory) []File {
	out := []File{}
	i, j := 0, 0
	for i < len(old.Files) || j < len(now.Files) {
		order := 0
		switch {
		case i == len(old.Files):
			order = 1
		case j == len(now.Files):
			order = -1
		default:
			order = strings.Compare(old.Files[i].Path, now.Files[j].Path)
		}
		switch {
		case order < 0:
			f := one(&old.Files[i], "removed")
			f.OldSize, f.OldSHA256 = old.Files[i].Size, old.Files[i].SHA256
			out = append(out, f)
			i++
		case order > 0:
			f := one(&now.Files[j], "added")
			f.NewSize, f.NewSHA256 = now.Files[j].Size, now.Files[j].SHA256
			out = append(out, f)
			j++
		default:
			if d := details(&old.Files[i], &now.Files[j]); d != "" {
				f := one(&now.Files[j], "changed")
				f.Details = d
				f.OldSize, f.OldSHA256 = old.Files[i].Size, old.Files[i].SHA256
				f.NewSize, f.NewSHA256 = now.Files[j].Size, now.Files[j].SHA256
				out = append(out, f)
			}
			i++
			j++
		}
	}
	return out
}

func one(f *inventory.File, change string) File {
	return File{Path: f.Path, Kind: f.Kind.String(), Owner: f.Owner, Change: change}
}

// details says how two files of one path differ; "" for not at all.
func details(a, b *inventory.File) string {
	if a.Kind != b.Kind {
		return fmt.Sprintf("a %s, now a %s", a.Kind, b.Kind)
	}
	var out []string
	if a.SHA256 != b.SHA256 {
		out = append(out, "content")
	}
	if a.Target != b.Target {
		out = append(out, fmt.Sprintf("target %s to %s", a.Target, b.Target))
	}
	if a.Mode != b.Mode && a.Kind != inventory.Symlink {
		out = append(out, fmt.Sprintf("mode %04o to %04o", a.Mode, b.Mode))
	}
	if a.UID != b.UID || a.GID != b.GID {
		out = append(out, fmt.Sprintf("owner %d:%d to %d:%d", a.UID, a.GID, b.UID, b.GID))
	}
	return strings.Join(out, ", ")
}

func settings(old, now *inventory.Inventory) []Setting {
	a, b := settingsOf(old), settingsOf(now)
	out := []Setting{}
	for _, k := range keys(a, b) {
		if a[k] != b[k] {
			out = append(out, Setting{Name: k, Old: a[k], New: b[k]})
		}
	}
	return out
}

// settingsOf are the settings of an image as text, and its annotations but
// those that differ whenever anything does.
func settingsOf(v *inventory.Inventory) map[string]string {
	c := &v.Config
	m := map[string]string{
		"user": cmp.Or(c.User, "0"), "workdir": cmp.Or(c.WorkingDir, "/"), "stop signal": c.StopSignal,
		"entrypoint": list(c.Entrypoint), "cmd": list(c.Cmd),
		"ports": list(slices.Sorted(maps.Keys(c.ExposedPorts))), "volumes": list(slices.Sorted(maps.Keys(c.Volumes))),
	}
	for _, e := range c.Env {
		k, value, _ := strings.Cut(e, "=")
		m["env "+k] = value
	}
	for k, value := range c.Labels {
		m["label "+k] = value
	}
	for k, value := range v.Manifest.Annotations {
		switch k {
		case "org.opencontainers.image.created", "org.opencontainers.image.base.digest":
		default:
			m["annotation "+k] = value
		}
	}
	return m
}

func list(s []string) string {
	if len(s) == 0 {
		return ""
	}
	return fmt.Sprintf("%q", s)
}

func keys[T any](a, b map[string]T) []string {
	all := slices.Collect(maps.Keys(a))
	all = append(all, slices.Collect(maps.Keys(b))...)
	slices.Sort(all)
	return slices.Compact(all)
}
