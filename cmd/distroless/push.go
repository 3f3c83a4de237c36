package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"distroless/catalog"
	"distroless/internal/build"
	"distroless/internal/oci/layout"
	"distroless/internal/oci/registry"
	"distroless/internal/plan/spec"
)

const pushLong = `Push images to a registry: all tags, architectures and attachments of layouts
that a build has written. An argument is a layout, an OCI archive, or the name of
an image, which means dist/<name>-<distro> for every distro that is there; none
means all layouts in dist.

An image becomes REPO/<name>-<distro>:<variant>, the index of its architectures,
and :<variant>-<arch> for each of them; the default distro's also
REPO/<name>:<variant>. A runtime has its version as a tag too (:3.13.5,
:3.13.5-nonroot) and java, nodejs and python3 the older names of the field
(REPO/java-<distro>:21, :21-debug). --release adds a tag that is never moved.

What the registry has is not sent again, and tags move last: a push that was
interrupted has moved none before all that it names was there, and goes on where
it was when it is run again.

Credentials are DISTROLESS_REGISTRY_USERNAME and DISTROLESS_REGISTRY_PASSWORD,
else what "docker login" or "podman login" have left, with credential helpers.`

// pushOptions are the flags of everything that pushes.
type pushOptions struct {
	to       string
	release  string
	image    string
	dist     string
	insecure bool
	dryRun   bool
	jobs     int
	json     bool
	quiet    bool
	verbose  bool
}

func newPush(s *surroundings) *cobra.Command {
	var o pushOptions
	cmd := &cobra.Command{
		Use:   "push [LAYOUT|NAME...] --to REPO",
		Short: "Push images to a registry",
		Long:  pushLong,
		Example: `  distroless push --to registry.example.org/team
  distroless push dist/base-debian13 --to registry.example.org/team --release 2026.1
  distroless push app.tar --image app --to registry.example.org/team --dry-run`,
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), s, args) },
	}
	f := cmd.Flags()
	f.StringVar(&o.to, "to", "", "`repository` above the images: the registry with a path")
	f.StringVar(&o.image, "image", "", "`name` to push a single layout under (default its title, else its file's name)")
	f.StringVar(&o.dist, "dist", "dist", "`folder` of the layouts that names mean")
	f.IntVar(&o.jobs, "jobs", 0, "make `n` requests at once (default 8)")
	f.BoolVar(&o.json, "json", false, "print results as JSON")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print errors only")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "say each step")
	o.add(f)
	return cmd
}

// add declares the flags that build --push has too.
func (o *pushOptions) add(f *pflag.FlagSet) {
	f.StringVar(&o.release, "release", "", "`tag` of this release; one that is there for another image is an error")
	f.BoolVar(&o.insecure, "insecure", false, "allow plain http to any registry (always to this machine), and certificates that do not verify")
	f.BoolVar(&o.dryRun, "dry-run", false, "print what would be uploaded and which tags would move, and do nothing")
}

func (o *pushOptions) run(ctx context.Context, s *surroundings, args []string) error {
	if o.to == "" {
		return usagef("push: no registry to push to: name one with --to, as in --to registry.example.org/team")
	}
	cat, err := build.LoadCatalog(catalog.Files)
	if err != nil {
		return err
	}
	paths, err := o.layouts(args, cat)
	if err != nil {
		return err
	}
	if o.image != "" && len(paths) != 1 {
		return usagef("--image %s: a name is for one layout, these are %d: name one", o.image, len(paths))
	}
	var sources []registry.Source
	for _, p := range paths {
		l, err := layout.Open(p)
		if err != nil {
			return err
		}
		name := o.image
		if name == "" {
			name = titleOf(l)
		}
		src := registry.Source{Layout: l}
		src.Image, src.Distro = splitName(name, cat.DistroNames())
		sources = append(sources, src)
	}
	u := newUI(s, o.quiet, o.verbose, o.json)
	defer u.close()
	rep, err := o.push(ctx, s, u, cat, sources)
	if err != nil {
		return err
	}
	return u.result(rep)
}

// layouts finds what arguments mean: paths as they are, names below the
// folder of layouts, and all that are there where nothing is named.
func (o *pushOptions) layouts(args []string, cat *build.Catalog) ([]string, error) {
	if len(args) == 0 {
		all, err := filepath.Glob(filepath.Join(o.dist, "*", "index.json"))
		if err != nil || len(all) == 0 {
			return nil, usagef("push: no layout in %s: run \"distroless build\" first, or name a layout", o.dist)
		}
		for i := range all {
			all[i] = filepath.Dir(all[i])
		}
		return all, nil
	}
	var out []string
	for _, a := range args {
		if exists(a) {
			out = append(out, a)
			continue
		}
		found := len(out)
		for _, name := range append([]string{a}, suffixed(a, cat.DistroNames())...) {
			if p := filepath.Join(o.dist, name); exists(p) && !strings.ContainsRune(a, filepath.Separator) {
				out = append(out, p)
			}
		}
		if len(out) == found {
			return nil, usagef("push %s: neither a layout nor a name with one in %s: run \"distroless build %s\" first", a, o.dist, a)
		}
	}
	return out, nil
}

func suffixed(name string, distros []string) []string {
	var out []string
	for _, d := range distros {
		out = append(out, name+"-"+d)
	}
	return out
}

// titleOf is what a layout says that it is, "base-debian13", else its file's
// name.
func titleOf(l *layout.Layout) string {
	for _, d := range l.Entries() {
		images, err := l.Images(d)
		if err != nil || len(images) == 0 {
			continue
		}
		if t := images[0].Manifest.Annotations["org.opencontainers.image.title"]; t != "" && !strings.ContainsAny(t, " /:@") {
			return t
		}
	}
	name := filepath.Base(l.Path())
	return strings.TrimSuffix(name, filepath.Ext(filepath.Base(name)))
}

// splitName splits "base-debian13" into name and distro.
func splitName(name string, distros []string) (image, distro string) {
	for _, d := range distros {
		if image, ok := strings.CutSuffix(name, "-"+d); ok && image != "" {
			return image, d
		}
	}
	return name, ""
}

// sourceOf is an image that has just been built, in the layout it was written to.
func sourceOf(m *build.Made, at string) (registry.Source, error) {
	l, err := layout.Open(at)
	return registry.Source{Layout: l, Image: m.Image, Distro: m.Distro}, err
}

// pushMade pushes images that a build has just written: at names each one's
// layout. It is what build --push calls.
func (o *pushOptions) pushMade(ctx context.Context, s *surroundings, se *session, made []*build.Made, at func(*build.Made) string) (*pushReport, error) {
	var sources []registry.Source
	for _, m := range made {
		src, err := sourceOf(m, at(m))
		if err != nil {
			return nil, err
		}
		sources = append(sources, src)
	}
	return o.push(ctx, s, se.ui, se.catalog, sources)
}

// push plans, asks, and pushes, and says what it did; the report is left to the
// caller to print.
func (o *pushOptions) push(ctx context.Context, s *surroundings, u *ui, cat *build.Catalog, sources []registry.Source) (*pushReport, error) {
	d, err := cat.Distro("")
	if err != nil {
		return nil, err
	}
	plan, err := registry.Make(sources, registry.Naming{
		To: o.to, DefaultDistro: d.Name, Variants: spec.Variants(), Release: o.release, Insecure: o.insecure, Images: cat.Names(),
	})
	if err != nil {
		return nil, err
	}
	client := &registry.Client{Keychain: registry.Keychain(s.environ), Jobs: o.jobs, Insecure: o.insecure}
	if u.bars != nil {
		client.Progress = uploads{(*transfers)(u)}
	}
	if o.dryRun {
		st, err := client.Examine(ctx, plan)
		if err != nil {
			return nil, err
		}
		return o.printPlan(u, st), nil
	}
	u.step(fmt.Sprintf("push %d repositories to %s", len(plan.Repositories), o.to))
	res, err := client.Push(ctx, plan)
	if err != nil {
		return nil, err
	}
	u.close()
	return printPushed(u, res), nil
}

// uploads shows uploads as downloads are shown.
type uploads struct{ *transfers }

func (u uploads) Start(name string, size int64) registry.Transfer {
	return u.transfers.Start(name, size)
}

// pushReport is what a push did or, with --dry-run, would do, as --json prints
// it.
type pushReport struct {
	DryRun    bool        `json:"dryRun,omitempty"`
	Tags      []pushedTag `json:"tags"`
	Uploaded  int64       `json:"uploaded"`  // bytes of blobs
	Blobs     pushedBlobs `json:"blobs"`     // over all repositories
	Manifests int         `json:"manifests"` // uploaded
	Requests  int64       `json:"requests,omitempty"`
}

type pushedTag struct {
	Reference string `json:"reference"`
	Digest    string `json:"digest"`
	Before    string `json:"before,omitempty"` // the digest that it named
	Immutable bool   `json:"immutable,omitempty"`
}

// change is "new", "moved" or "unchanged".
func (t pushedTag) change() string {
	switch t.Before {
	case "":
		return "new"
	case t.Digest:
		return "unchanged"
	}
	return "moved"
}

type pushedBlobs struct {
	Uploaded int `json:"uploaded"`
	Mounted  int `json:"mounted"` // from another repository of the registry
	Skipped  int `json:"skipped"` // were there
}

func newPushReport(host string, repositories []*registry.RepositoryState, blobs map[registry.Action]int) *pushReport {
	rep := &pushReport{Tags: []pushedTag{}, Blobs: pushedBlobs{blobs[registry.Upload], blobs[registry.Mount], blobs[registry.There]}}
	for _, r := range repositories {
		for _, t := range r.Tags {
			rep.Tags = append(rep.Tags, pushedTag{Reference: host + "/" + r.Name + ":" + t.Name, Digest: t.Digest, Before: r.Now[t.Name], Immutable: t.Immutable})
		}
	}
	slices.SortStableFunc(rep.Tags, func(a, b pushedTag) int { return strings.Compare(a.Reference, b.Reference) })
	return rep
}

func (o *pushOptions) printPlan(u *ui, st *registry.State) *pushReport {
	blobs, bytes, manifests := st.Summary()
	rep := newPushReport(st.Registry, st.Repositories, blobs)
	rep.DryRun, rep.Uploaded, rep.Manifests = true, bytes, manifests
	u.close()
	for _, r := range st.Repositories {
		for _, b := range r.Blobs {
			if a := r.Actions[b.Digest]; a != registry.There || u.verbose {
				from := ""
				if a == registry.Mount {
					from = " from " + r.MountFrom[b.Digest]
				}
				u.printf("%-6s  %s/%s@%s  %s%s\n", a, st.Registry, r.Name, b.Digest, size(b.Size), from)
			}
		}
	}
	printTags(u, rep)
	u.printf("\nwould upload %d blobs (%s) and %d manifests, mount %d blobs; %d blobs are there\n",
		rep.Blobs.Uploaded, size(rep.Uploaded), rep.Manifests, rep.Blobs.Mounted, rep.Blobs.Skipped)
	return rep
}

func printPushed(u *ui, res *registry.Result) *pushReport {
	rep := newPushReport(res.Registry, res.Repositories, res.Blobs)
	rep.Uploaded, rep.Manifests, rep.Requests = res.Uploaded, res.Manifests, res.Requests
	printTags(u, rep)
	u.printf("\nuploaded %d blobs (%s) and %d manifests, mounted %d blobs; %d blobs were there\n",
		rep.Blobs.Uploaded, size(rep.Uploaded), rep.Manifests, rep.Blobs.Mounted, rep.Blobs.Skipped)
	return rep
}

func printTags(u *ui, rep *pushReport) {
	for _, t := range rep.Tags {
		u.printf("%-9s  %s  %s\n", t.change(), t.Reference, t.Digest)
	}
}
