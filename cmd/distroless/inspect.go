package main

import (
	"archive/tar"
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"distroless/internal/oci/layout"
	"distroless/internal/plan/spec"
)

func newInspect(s *surroundings) *cobra.Command {
	var asJSON bool
	var archs []string
	var top int
	cmd := &cobra.Command{
		Use:   "inspect LAYOUT[:TAG]",
		Short: "Show where an image's bytes go",
		Long: `Show where the bytes of an image go: by layer, package and directory. The image
is a layout or an OCI archive, with a tag where it holds several:
dist/base-debian13:debug. Compressed sizes of packages and directories are their
share of their layers, by unpacked size.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			u := newUI(s, false, false, asJSON)
			return inspect(u, args[0], archs, top)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print results as JSON")
	cmd.Flags().StringSliceVar(&archs, "arch", nil, "`architecture` to show, by Debian's or OCI's name, repeatable, or all (default all)")
	cmd.Flags().IntVar(&top, "top", 12, "show the `n` largest directories")
	return cmd
}

// inspected is one image, as --json prints it.
type inspected struct {
	Digest      string    `json:"digest"`
	Platform    string    `json:"platform"`
	Created     string    `json:"created"`
	User        string    `json:"user"`
	Entrypoint  []string  `json:"entrypoint"`
	Cmd         []string  `json:"cmd"`
	Env         []string  `json:"env"`
	Size        int64     `json:"size"`     // compressed, in bytes
	Unpacked    int64     `json:"unpacked"` // of files, in bytes
	Files       int       `json:"files"`
	Layers      []portion `json:"layers"`
	Packages    []portion `json:"packages"`
	Directories []portion `json:"directories"`
}

// portion is a part of an image with its bytes.
type portion struct {
	Name     string `json:"name"`
	Version  string `json:"version,omitempty"`
	Size     int64  `json:"size"` // compressed, in bytes; a share, but for layers
	Unpacked int64  `json:"unpacked"`
	Files    int    `json:"files"`
}

func inspect(u *ui, ref string, names []string, top int) error {
	archs := map[string]bool{} // by OCI's names
	for _, n := range names {
		if n == "all" {
			clear(archs)
			break
		}
		p, err := spec.ParseArch(n)
		if err != nil {
			return usageError{err}
		}
		archs[p.OCI] = true
	}
	l, tag, err := openReference(ref)
	if err != nil {
		return err
	}
	d, err := l.Tag(tag)
	if err != nil {
		return err
	}
	images, err := l.Images(d)
	if err != nil {
		return err
	}
	out := []inspected{}
	for _, img := range images {
		if len(archs) > 0 && !archs[img.Config.Architecture] {
			continue
		}
		i, err := inspectImage(img)
		if err != nil {
			return err
		}
		out = append(out, i)
		printInspected(u, i, top)
	}
	if len(out) == 0 {
		return fmt.Errorf("inspect %s: no image for %s in it", ref, strings.Join(names, ", "))
	}
	return u.result(out)
}

// openReference opens "path:tag"; a path that exists as it stands has no tag.
func openReference(ref string) (*layout.Layout, string, error) {
	at, tag := ref, ""
	if i := strings.LastIndexByte(ref, ':'); i > 0 && !exists(ref) {
		at, tag = ref[:i], ref[i+1:]
	}
	l, err := layout.Open(at)
	return l, tag, err
}

// tally counts an image's files while its layers are walked.
type tally struct {
	owner   map[string]string // path to package
	version map[string]string
	byLayer []portion
	files   []countedFile
}

type countedFile struct {
	path  string
	layer int
	size  int64
}

func inspectImage(img *layout.Opened) (inspected, error) {
	t := &tally{owner: map[string]string{}, version: map[string]string{}}
	for i, d := range img.Manifest.Layers {
		p := portion{Name: fmt.Sprint(i + 1), Size: d.Size}
		if i < len(img.Config.History) {
			p.Name = img.Config.History[i].CreatedBy
		}
		err := img.Walk(d, func(h *tar.Header, r io.Reader) error {
			if h.Typeflag != tar.TypeReg {
				return nil
			}
			p.Unpacked += h.Size
			p.Files++
			t.files = append(t.files, countedFile{"/" + h.Name, i, h.Size})
			return t.readStatus(h.Name, r)
		})
		if err != nil {
			return inspected{}, err
		}
		t.byLayer = append(t.byLayer, p)
	}
	return t.result(img), nil
}

// readStatus learns from dpkg's lists which package a file belongs to.
func (t *tally) readStatus(name string, r io.Reader) error {
	base, ok := strings.CutPrefix(name, "var/lib/dpkg/status.d/")
	if !ok {
		return nil
	}
	pkg, sums := strings.CutSuffix(base, ".md5sums")
	t.owner["/"+name] = pkg
	sc := bufio.NewScanner(io.LimitReader(r, 16<<20))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		line := sc.Text()
		switch {
		case sums:
			if _, file, ok := strings.Cut(line, "  "); ok {
				t.owner["/"+file] = pkg
			}
		case strings.HasPrefix(line, "Version: "):
			t.version[pkg] = strings.TrimPrefix(line, "Version: ")
		}
	}
	return sc.Err()
}

func (t *tally) result(img *layout.Opened) inspected {
	packages, dirs := map[string]*portion{}, map[string]*portion{}
	out := inspected{
		Digest: img.Descriptor.Digest.String(), Created: img.Config.Created.UTC().Format("2006-01-02T15:04:05Z"),
		Platform: img.Config.Platform().String(), User: img.Config.Config.User,
		Entrypoint: img.Config.Config.Entrypoint, Cmd: img.Config.Config.Cmd, Env: img.Config.Config.Env,
		Layers: t.byLayer, Files: len(t.files),
	}
	for _, l := range t.byLayer {
		out.Size += l.Size
		out.Unpacked += l.Unpacked
	}
	for _, f := range t.files {
		l := t.byLayer[f.layer]
		share := int64(0)
		if l.Unpacked > 0 {
			share = int64(float64(l.Size) * float64(f.size) / float64(l.Unpacked))
		}
		owner := t.owner[f.path]
		if owner == "" {
			owner = "(generated or unlisted)"
		}
		count(packages, owner, share, f.size)
		for dir := path.Dir(f.path); ; dir = path.Dir(dir) {
			count(dirs, dir, share, f.size)
			if dir == "/" {
				break
			}
		}
	}
	for name, p := range packages {
		p.Version = t.version[name]
	}
	out.Packages, out.Directories = largest(packages), largest(dirs)
	return out
}

func count(m map[string]*portion, name string, share, n int64) {
	p := m[name]
	if p == nil {
		p = &portion{Name: name}
		m[name] = p
	}
	p.Size += share
	p.Unpacked += n
	p.Files++
}

func largest(m map[string]*portion) []portion {
	var out []portion
	for _, name := range slices.Sorted(maps.Keys(m)) {
		out = append(out, *m[name])
	}
	slices.SortStableFunc(out, func(a, b portion) int { return cmp.Compare(b.Size, a.Size) })
	return out
}

func printInspected(u *ui, i inspected, top int) {
	u.printf("%s  %s\n", i.Platform, i.Digest)
	u.printf("created %s, user %s, entrypoint %q, cmd %q\n", i.Created, i.User, i.Entrypoint, i.Cmd)
	u.printf("%s compressed, %s in %d files, %d packages\n", size(i.Size), size(i.Unpacked), i.Files, packagesIn(i))
	table := func(title string, parts []portion) {
		u.printf("\n%10s %10s %7s  %s\n", "compressed", "unpacked", "files", title)
		for _, p := range parts {
			u.printf("%10s %10s %7d  %s\n", size(p.Size), size(p.Unpacked), p.Files, strings.TrimSpace(p.Name+" "+p.Version))
		}
	}
	table("layer", i.Layers)
	table("package", i.Packages)
	table("directory", i.Directories[:min(top, len(i.Directories))])
	u.printf("\n")
}

func packagesIn(i inspected) int {
	n := 0
	for _, p := range i.Packages {
		if p.Version != "" {
			n++
		}
	}
	return n
}
