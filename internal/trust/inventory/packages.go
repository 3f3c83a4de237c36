package inventory

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"distroless/internal/debian/deb822"
	"distroless/internal/rootfs"
)

const (
	// statusDir holds a paragraph and a list of files per package, in images
	// without dpkg.
	statusDir = "/var/lib/dpkg/status.d/"
	// statusFile and infoDir are dpkg's own, in images that have it.
	statusFile = "/var/lib/dpkg/status"
	infoDir    = "/var/lib/dpkg/info/"
)

// packages reads the installed packages from either form of dpkg's metadata.
func packages(texts map[string][]byte) ([]Package, error) {
	var out []Package
	for _, p := range slices.Sorted(maps.Keys(texts)) {
		if p != statusFile && (!strings.HasPrefix(p, statusDir) || strings.HasSuffix(p, ".md5sums")) {
			continue
		}
		paragraphs, err := deb822.Parse(texts[p])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		for _, c := range paragraphs {
			if st := c.Get("Status"); st != "" && !strings.HasSuffix(st, " installed") {
				continue
			}
			pkg := packageOf(c, p)
			if pkg.Name == "" || pkg.Version == "" {
				return nil, fmt.Errorf("%s: a paragraph without Package or Version", p)
			}
			pkg.Sums = pkg.sums(texts)
			pkg.Copyright = texts["/usr/share/doc/"+pkg.Name+"/copyright"]
			out = append(out, pkg)
		}
	}
	slices.SortStableFunc(out, func(a, b Package) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Arch, b.Arch))
	})
	for i := 1; i < len(out); i++ {
		if out[i].Name == out[i-1].Name && out[i].Arch == out[i-1].Arch {
			return nil, fmt.Errorf("package %s is there twice: %s and %s", out[i].Name, out[i-1].StatusFile, out[i].StatusFile)
		}
	}
	return out, nil
}

func packageOf(c deb822.Paragraph, file string) Package {
	p := Package{Name: c.Get("Package"), Version: c.Get("Version"), Arch: c.Get("Architecture"), Control: c, StatusFile: file}
	// "Source: glibc (2.41-12)": the version only where it differs.
	source, rest, _ := strings.Cut(c.Get("Source"), " ")
	p.Source, p.SourceVersion = cmp.Or(source, p.Name), cmp.Or(strings.Trim(rest, " ()"), p.Version)
	return p
}

// sums are the checksums of the package's list, and of its configuration
// files, which dpkg lists in the paragraph.
func (p *Package) sums(texts map[string][]byte) map[string]string {
	out := map[string]string{}
	for _, name := range []string{
		statusDir + p.Name + ".md5sums", infoDir + p.Name + ".md5sums", infoDir + p.Name + ":" + p.Arch + ".md5sums",
	} {
		for line := range strings.Lines(string(texts[name])) {
			sum, file, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			if ok && file != "" {
				out[path.Clean("/"+strings.TrimLeft(file, " *"))] = sum
			}
		}
	}
	for line := range strings.Lines(p.Control.Get("Conffiles")) {
		if f := strings.Fields(line); len(f) >= 2 && strings.HasPrefix(f[0], "/") {
			out[path.Clean(f[0])] = f[1]
		}
	}
	return out
}

// distro is "debian-13" of the image's os-release, as purls have it.
func distro(texts map[string][]byte) string {
	var id, version string
	text := texts["/usr/lib/os-release"]
	if text == nil {
		text = texts["/etc/os-release"]
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		value = strings.Trim(value, `"'`)
		switch key {
		case "ID":
			id = value
		case "VERSION_ID":
			version = value
		}
	}
	if id == "" || version == "" {
		return id
	}
	return id + "-" + version
}

// made is one level's list of the files that no package ships.
type made struct {
	layer int               // of the list itself: the last of its level
	by    map[string]string // generators by path
}

// lists reads the levels' lists, the lowest first. Those of one layer, as an
// image has them that somebody has squashed, become one.
func (c *contents) lists(texts map[string][]byte) ([]made, error) {
	var out []made
	for _, p := range slices.Sorted(maps.Keys(texts)) {
		if !strings.HasPrefix(p, rootfs.GeneratedDir) {
			continue
		}
		paragraphs, err := deb822.Parse(texts[p])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		m := made{fileAt(c.files, p).Layer, map[string]string{}}
		for _, g := range paragraphs {
			for line := range strings.Lines(g.Get("Files")) {
				if at := strings.TrimSuffix(strings.TrimPrefix(line, " "), "\n"); at != "" {
					m.by[at] = g.Get("Generator")
				}
			}
		}
		if i := slices.IndexFunc(out, func(o made) bool { return o.layer == m.layer }); i >= 0 {
			maps.Copy(out[i].by, m.by)
			continue
		}
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b made) int { return a.layer - b.layer })
	return out, nil
}

// own finds the owner of every path, as the image itself says it: what the list
// of its level names is generated, also over a package's file of a level below;
// the rest belongs to the package that lists it. Links and directories of
// packages, and files of other makers' images, may be in no list: they belong to
// the level whose layer they came in.
func (c *contents) own(texts map[string][]byte, history []string) error {
	lists, err := c.lists(texts)
	if err != nil {
		return err
	}
	listed := map[string]string{}
	for i := range c.packages {
		for p := range c.packages[i].Sums {
			listed[p] = c.packages[i].Name
		}
	}
	for i := range c.files {
		f := &c.files[i]
		f.Owner, f.Generated = "", false
		if at := slices.IndexFunc(lists, func(m made) bool { return m.layer >= f.Layer }); at >= 0 {
			f.Owner = lists[at].by[f.Path]
			f.Generated = f.Owner != ""
		}
		if f.Owner == "" && f.Kind != Dir {
			f.Owner = listed[f.Path]
		}
		if f.Owner == "" {
			f.Owner, f.Generated = level(history[f.Layer]), true
		}
	}
	return nil
}

// level is the name of the level that a layer belongs to, from the words that
// the config's history has for it: "distroless base: openssl".
func level(createdBy string) string {
	if name, ok := strings.CutPrefix(createdBy, "distroless "); ok {
		name, _, _ = strings.Cut(name, ":")
		return "level " + name
	}
	return "unlisted"
}
