package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"distroless/internal/build"
	"distroless/internal/fetch"
	"distroless/internal/oci/layer"
	"distroless/internal/oci/layout"
	"distroless/internal/plan/lock"
	"distroless/internal/plan/spec"
	"distroless/internal/trust/attach"
)

const buildLong = `Build images: resolve what the lock does not hold yet, fetch, assemble, and write
an OCI image layout per image and distro, dist/<name>-<distro>. Without names
every image of the catalogue is built.

A name with a slash or ending in .yaml is a definition file; what it stands on is
looked for beside it, then in the catalogue.

With --output x.tar one image and variant is written as an OCI archive, or with
--format docker as an archive for "docker load". --load puts it into a store of this
machine, --push into a registry: see "distroless push --help" for the names.

--attach puts beside the images what "distroless sign" does: SBOMs in SPDX and
CycloneDX, provenance, and the lock with the definitions; sign them later.`

type buildOptions struct {
	common
	variants    []string
	output      string
	compression string
	format      string
	load        string
	push        pushOptions
	locked      bool
	attach      bool
}

func newBuild(s *surroundings) *cobra.Command {
	var o buildOptions
	cmd := &cobra.Command{
		Use:   "build [NAME|FILE...]",
		Short: "Build images into OCI layouts",
		Long:  buildLong,
		Example: `  distroless build static
  distroless build base cc --distro debian12 --arch amd64 --arch arm64
  distroless build ./distroless.yaml --locked
  distroless build static --variant nonroot --output static.tar`,
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), s, args) },
	}
	f := cmd.Flags()
	o.add(f)
	f.StringSliceVar(&o.variants, "variant", nil, "`variant` to build, repeatable: "+strings.Join(spec.Variants(), ", ")+" (default all)")
	f.StringVar(&o.output, "output", "dist", "parent `folder` of the layouts, or a file that ends in .tar")
	f.StringVar(&o.compression, "compression", "gzip", "compression of layers: gzip, zstd or none, with a level after a colon")
	f.StringVar(&o.format, "format", "oci", "of a .tar: oci, or docker for docker load (one variant and architecture)")
	f.StringVar(&o.load, "load", "", "load the image into a `store`: docker, podman, containerd, or auto for the one that is there (one variant)")
	f.StringVar(&o.push.to, "push", "", "push what was built to a `repository`: the registry with a path")
	o.push.add(f)
	f.BoolVar(&o.attach, "attach", false, "attach SBOMs, provenance and the lock to what was built, unsigned")
	f.BoolVar(&o.locked, "locked", false, "resolve nothing: a missing or outdated cell is an error")
	return cmd
}

func (o *buildOptions) run(ctx context.Context, s *surroundings, args []string) error {
	compression, err := layer.ParseCompression(o.compression)
	if err != nil {
		return usageError{err}
	}
	variants, err := o.chosenVariants()
	if err != nil {
		return err
	}
	se, names, err := o.open(s, args, compression)
	if err != nil {
		return err
	}
	defer se.ui.close()
	keys, err := o.keys(se, names)
	if err != nil {
		return err
	}
	if err := o.checkOutput(keys, variants); err != nil {
		return err
	}
	mode := build.Missing
	if o.locked {
		mode = build.Locked
	}
	good, failed, err := o.resolve(ctx, se, keys, mode)
	if err != nil {
		return err
	}
	for try := 0; ; try++ {
		made, more := se.Images(ctx, good, cellsOf(failed), variants)
		if len(more) > 0 && !o.keepGoing {
			return cellErrors(append(failed, more...))
		}
		rep, err := o.write(ctx, se, made)
		if errors.Is(err, fetch.ErrChecksum) && try < maxHeal {
			continue // a layer in the cache was damaged; it is gone now and made anew
		}
		if err != nil {
			return err
		}
		err = outcome(append(failed, more...), len(made) > 0)
		if o.attach {
			err = errors.Join(err, o.attachMade(ctx, s, se, made))
		}
		if err == nil && o.push.to != "" { // nothing is pushed that lacks an architecture
			rep.Push, err = o.push.pushMade(ctx, s, se, made, o.layoutOf)
		}
		// What was built is there, whatever became of the rest.
		return errors.Join(err, se.ui.result(rep))
	}
}

// maxHeal bounds the damaged layers that one run makes anew: each is found when
// it is written out.
const maxHeal = 32

// resolve brings the lock up to date and writes it. It returns the cells that
// can be built, and the others where the user wants to go on without them.
func (c *common) resolve(ctx context.Context, se *session, keys []lock.Key, mode build.Mode) (good []lock.Key, failed []*build.CellError, err error) {
	changes, failed := se.Resolve(ctx, keys, mode)
	if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	if len(failed) > 0 && !c.keepGoing {
		return nil, nil, cellErrors(failed)
	}
	if len(changes) > 0 {
		if err := se.lock.Write(c.lock); err != nil {
			return nil, nil, err
		}
	}
	noted := map[string]bool{}
	for _, ch := range changes {
		se.ui.step("locked " + ch.Key.String() + ": " + describeChange(ch))
		for _, n := range ch.Notes {
			if !noted[n] {
				noted[n] = true
				se.ui.note("note: %s: %s", ch.Key, n)
			}
		}
	}
	bad := cellsOf(failed)
	for _, k := range keys {
		if !slices.Contains(bad, k) {
			good = append(good, k)
		}
	}
	return good, failed, nil
}

func cellsOf(failed []*build.CellError) []lock.Key {
	var out []lock.Key
	for _, e := range failed {
		out = append(out, e.Key)
	}
	return out
}

// outcome is the command's error: whole, or in part where some cells were made.
func outcome(failed []*build.CellError, some bool) error {
	if len(failed) == 0 {
		return nil
	}
	err := cellErrors(failed)
	if some {
		return incompleteError{err}
	}
	return err
}

func (o *buildOptions) chosenVariants() ([]string, error) {
	all := spec.Variants()
	if len(o.variants) == 0 {
		return all, nil
	}
	for _, v := range o.variants {
		if !slices.Contains(all, v) {
			return nil, usagef("variant %q: expected one of %s", v, strings.Join(all, ", "))
		}
	}
	return slices.DeleteFunc(all, func(v string) bool { return !slices.Contains(o.variants, v) }), nil
}

func (o *buildOptions) archive() bool { return strings.HasSuffix(o.output, ".tar") }

// checkOutput refuses, before any work, an archive of more than one image.
func (o *buildOptions) checkOutput(keys []lock.Key, variants []string) error {
	switch {
	case o.format != "oci" && o.format != "docker":
		return usagef("--format %s: expected oci or docker", o.format)
	case o.format == "docker" && !o.archive():
		return usagef("--format docker: an archive only: --output x.tar")
	case o.push.to != "" && o.archive():
		return usagef("--push: pushes a layout: give --output a folder")
	case o.attach && o.archive():
		return usagef("--attach: attaches to a layout: give --output a folder")
	case o.push.to == "" && (o.push.release != "" || o.push.dryRun):
		return usagef("--release and --dry-run go with --push")
	case !o.archive() && o.load == "":
		return nil
	}
	if (o.format == "docker" || o.load != "") && len(keys) != 1 {
		return usagef("--format docker and --load take one image and architecture, this would be %d", len(keys))
	}
	images := map[string]bool{}
	for _, k := range keys {
		images[k.Image+"-"+k.Distro] = true
	}
	if len(images) != 1 || len(variants) != 1 {
		return usagef("--output %s: an archive holds one image and variant, this would be %d images and %d variants: name one, with --variant latest, say", o.output, len(images), len(variants))
	}
	return nil
}

// report is what a build made, as --json prints it.
type report struct {
	Images []imageReport `json:"images"`
	Push   *pushReport   `json:"push,omitempty"` // with --push; none where it failed
}

type imageReport struct {
	Image     string          `json:"image"`
	Distro    string          `json:"distro"`
	Reference string          `json:"reference"` // where it was written: "dist/base-debian13"
	Variants  []variantReport `json:"variants"`
}

type variantReport struct {
	Variant   string           `json:"variant"`
	Digest    string           `json:"digest,omitempty"` // of the index; none where an architecture failed
	Platforms []platformReport `json:"platforms"`
}

type platformReport struct {
	Arch   string `json:"arch"` // OCI's name
	Digest string `json:"digest"`
	Size   int64  `json:"size"` // compressed layers, in bytes
	Layers int    `json:"layers"`
}

// write writes the images and says what they are; the report is left to the
// caller to print.
func (o *buildOptions) write(ctx context.Context, se *session, made []*build.Made) (*report, error) {
	rep := &report{Images: []imageReport{}}
	if o.format == "oci" && !o.archive() {
		if err := se.WriteLayouts(ctx, made, o.layoutOf); err != nil {
			return nil, err
		}
	}
	for _, m := range made {
		at, err := o.writeOne(ctx, m)
		if err != nil {
			return nil, err
		}
		rep.Images = append(rep.Images, describe(m, at))
	}
	se.ui.close()
	for _, r := range rep.Images {
		printImage(se.ui, r, o.archive())
	}
	if o.load != "" && len(made) == 1 {
		into, err := o.loadOne(ctx, made[0])
		if err != nil {
			return nil, err
		}
		se.ui.printf("loaded into %s\n", into)
	}
	if len(rep.Images) > 0 && o.format == "oci" {
		printNext(se.ui, rep.Images[0], o.archive())
	}
	return rep, nil
}

// writeOne writes one image into the archive that the flags say, and returns
// where the image is; layouts are written by then.
func (o *buildOptions) writeOne(ctx context.Context, m *build.Made) (string, error) {
	switch {
	case o.format == "docker":
		return o.output, saveMade(ctx, m, m.Variants[0], ociArch(m), o.output)
	case o.archive():
		c := m.Layout()
		if c.Tags[0].Index != nil {
			c.Tags = c.Tags[:1] // "podman load" refuses an archive of several names
		}
		return o.output, writeArchive(ctx, o.output, c)
	}
	return o.layoutOf(m), nil
}

// attachMade attaches to the layouts what "distroless sign --unsigned" does.
func (o *buildOptions) attachMade(ctx context.Context, s *surroundings, se *session, made []*build.Made) error {
	spendMemory()
	for _, m := range made {
		a := attachOptions{definition: se.files[m.Image], compression: o.compression, cache: o.cache}
		found, err := a.attach(ctx, s, o.layoutOf(m), se.catalog, se.lock)
		if err != nil {
			return err
		}
		if err := attach.ToLayout(o.layoutOf(m), found.subjects, found.list); err != nil {
			return err
		}
		for _, n := range found.notes {
			se.ui.note("note: %s", n)
		}
	}
	return nil
}

func (o *buildOptions) layoutOf(m *build.Made) string { return filepath.Join(o.output, m.Reference()) }

func (o *buildOptions) loadOne(ctx context.Context, m *build.Made) (string, error) {
	into := o.load
	if into == "auto" {
		into = ""
	}
	return loadMade(ctx, m, m.Variants[0], ociArch(m), into)
}

// ociArch is OCI's name of an image's first architecture.
func ociArch(m *build.Made) string {
	return m.Images[m.Variants[0]][m.Archs[0]].Platform.Architecture
}

func describe(m *build.Made, at string) imageReport {
	r := imageReport{Image: m.Image, Distro: m.Distro, Reference: at}
	for _, v := range m.Variants {
		vr := variantReport{Variant: v}
		if idx := m.Indices[v]; idx != nil {
			vr.Digest = idx.Digest
		}
		for _, a := range m.Archs {
			img := m.Images[v][a]
			vr.Platforms = append(vr.Platforms, platformReport{
				Arch: img.Platform.Architecture, Digest: img.Manifest.Digest, Size: img.Size(), Layers: len(img.Layers),
			})
		}
		r.Variants = append(r.Variants, vr)
	}
	return r
}

func printImage(u *ui, r imageReport, archive bool) {
	for _, v := range r.Variants {
		ref := r.Reference + ":" + v.Variant
		if archive {
			ref = r.Reference
		}
		digest := v.Digest
		if digest == "" {
			digest = "no index: an architecture is missing"
		}
		u.printf("%s  %s\n", ref, digest)
		for _, p := range v.Platforms {
			layers := "layers"
			if p.Layers == 1 {
				layers = "layer"
			}
			u.printf("  %-8s %10s  %d %s\n", p.Arch, size(p.Size), p.Layers, layers)
		}
	}
}

// printNext prints a next step that works with what was just made.
func printNext(u *ui, r imageReport, archive bool) {
	name := r.Image + "-" + r.Distro
	first, debug := r.Variants[0].Variant, ""
	for _, v := range r.Variants {
		if v.Variant == "debug" {
			debug = v.Variant
		}
	}
	if archive {
		u.printf("\nnext:\n  podman load -i %s\n  skopeo copy oci-archive:%s:%s docker://REGISTRY/%s:%s\n", r.Reference, r.Reference, first, name, first)
		return
	}
	suffix := ""
	if r.Variants[0].Digest == "" { // no index: the architectures have names of their own
		suffix = "-" + r.Variants[0].Platforms[0].Arch
	}
	at := filepath.Clean(r.Reference) // podman takes no "./" after "oci:"
	u.printf("\nnext:\n")
	if debug != "" {
		u.printf("  podman run --rm -it oci:%s:%s%s      a shell in it\n", at, debug, suffix)
	}
	u.printf("  FROM oci:%s:%s%s      as a Dockerfile's first line, for podman build and buildah\n", at, first, suffix)
	u.printf("  skopeo copy --all oci:%s:%s%s docker://REGISTRY/%s:%s\n", at, first, suffix, name, first)
}

func writeArchive(ctx context.Context, file string, c *layout.Contents) error {
	if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("write %s: it is there and is not a file: choose another --output", file)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	defer func() {
		if err := os.Remove(tmp.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return // a leftover beside the output is all that it can be
		}
	}()
	if err := layout.Archive(ctx, tmp, c); err != nil {
		tmp.Close()
		return err
	}
	if err := errors.Join(tmp.Chmod(0o644), tmp.Close()); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}
