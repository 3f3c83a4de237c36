package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"distroless/internal/plan/spec"
	"distroless/internal/trust/diff"
	"distroless/internal/trust/inventory"
	"distroless/internal/trust/source"
)

func newDiff(s *surroundings) *cobra.Command {
	var o diffOptions
	cmd := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Show how two images differ",
		Long: `Show how two images differ: packages with their versions, files, sizes and
settings. Each is a layout or an OCI archive, with a tag where it holds several, or
an image in a registry, and may be another vendor's. Indices are compared platform by platform.

Exit code 0 whether or not they differ; with --exit-code, 1 if they do.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), s, args[0], args[1]) },
	}
	cmd.Flags().StringVar(&o.format, "format", "text", "`format`: text, json or markdown")
	cmd.Flags().StringVar(&o.arch, "arch", "", "`architecture` of indices to compare (default all that both have)")
	cmd.Flags().BoolVar(&o.all, "all", false, "list every file")
	cmd.Flags().BoolVar(&o.exitCode, "exit-code", false, "exit with 1 if the images differ")
	o.registryFlags.add(cmd)
	return cmd
}

type diffOptions struct {
	registryFlags
	format, arch  string
	all, exitCode bool
}

func (o *diffOptions) run(ctx context.Context, s *surroundings, oldRef, newRef string) error {
	if o.format != "text" && o.format != "json" && o.format != "markdown" {
		return usagef("--format %s: expected text, json or markdown", o.format)
	}
	r := inventory.Reader{NoMD5: true, NoSHA1: true}
	old, err := o.platforms(ctx, s, oldRef)
	if err != nil {
		return err
	}
	now, err := o.platforms(ctx, s, newRef)
	if err != nil {
		return err
	}
	out := []*diff.Diff{}
	differ := false
	for _, pair := range pairs(old, now) {
		a, err := r.Read(ctx, pair[0])
		if err != nil {
			return err
		}
		b, err := r.Read(ctx, pair[1])
		if err != nil {
			return err
		}
		d := diff.Compare(oldRef, a, newRef, b)
		differ = differ || !d.Same()
		out = append(out, d)
	}
	if len(out) == 0 {
		return fmt.Errorf("diff %s %s: no platform that both have: %s; %s", oldRef, newRef, platformNames(old), platformNames(now))
	}
	if err := o.write(s, out); err != nil {
		return err
	}
	if differ && o.exitCode {
		return fmt.Errorf("%s and %s differ", oldRef, newRef)
	}
	return nil
}

func (o *diffOptions) write(s *surroundings, out []*diff.Diff) error {
	if o.format == "json" {
		return newUI(s, false, false, true).result(out)
	}
	for i, d := range out {
		if i > 0 {
			fmt.Fprintln(s.stdout)
		}
		write := d.Text
		if o.format == "markdown" {
			write = d.Markdown
		}
		if err := write(s.stdout, o.all); err != nil {
			return err
		}
	}
	return nil
}

// platforms are the images of a reference that are to be compared.
func (o *diffOptions) platforms(ctx context.Context, s *surroundings, ref string) ([]inventory.Image, error) {
	src, err := o.openSource(s, ref)
	if err != nil {
		return nil, err
	}
	d, err := src.Resolve(ctx)
	if err != nil {
		return nil, err
	}
	images, err := source.Images(ctx, src, d)
	if err != nil || o.arch == "" {
		return images, err
	}
	p, err := spec.ParseArch(o.arch)
	if err != nil {
		return nil, usageError{err}
	}
	var out []inventory.Image
	for _, img := range images {
		if img.Config.Architecture == p.OCI {
			out = append(out, img)
		}
	}
	return out, nil
}

// pairs puts the images of one platform together; two single images are
// compared whatever they are for.
func pairs(old, now []inventory.Image) [][2]inventory.Image {
	if len(old) == 1 && len(now) == 1 {
		return [][2]inventory.Image{{old[0], now[0]}}
	}
	var out [][2]inventory.Image
	for _, b := range now {
		for _, a := range old {
			if a.Config.OS == b.Config.OS && a.Config.Architecture == b.Config.Architecture && (a.Config.Variant == b.Config.Variant || a.Config.Architecture == "arm64") {
				out = append(out, [2]inventory.Image{a, b})
				break
			}
		}
	}
	return out
}

func platformNames(images []inventory.Image) string {
	out := ""
	for i, img := range images {
		if i > 0 {
			out += ", "
		}
		out += img.Config.Platform().String()
	}
	return out
}
