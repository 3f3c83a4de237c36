package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"distroless/internal/build"
	"distroless/internal/oci/dockerarchive"
	"distroless/internal/oci/layout"
)

const loadLong = `Put an image of a layout into docker, podman or containerd, or write it as an
archive for "docker load". The image is a layout or an OCI archive, with a tag
where it holds several: dist/base-debian13:debug. It is called
base-debian13:debug there, with the architecture behind it (:debug-arm64) unless
it is this machine's.`

type loadOptions struct {
	arch, into, output string
	json, quiet        bool
}

func newLoad(s *surroundings) *cobra.Command {
	var o loadOptions
	cmd := &cobra.Command{
		Use:   "load LAYOUT[:TAG]",
		Short: "Put an image into docker, podman or containerd",
		Long:  loadLong,
		Example: `  distroless load dist/base-debian13
  distroless load dist/base-debian13:debug --into podman
  distroless load dist/base-debian13 --arch arm64 --output base.tar`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), s, args[0]) },
	}
	f := cmd.Flags()
	f.StringVar(&o.arch, "arch", "", "`architecture`, by OCI's name (default this machine's where there are several)")
	f.StringVar(&o.into, "into", "", "`store` to load into: docker, podman or containerd (default the first that answers)")
	f.StringVar(&o.output, "output", "", "write a docker archive to this `file` instead")
	f.BoolVar(&o.json, "json", false, "print results as JSON")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print errors only")
	return cmd
}

// loadReport is what was loaded, as --json prints it.
type loadReport struct {
	Into   string   `json:"into,omitempty"`   // docker, podman or containerd
	Output string   `json:"output,omitempty"` // the archive's file
	Names  []string `json:"names"`
	Digest string   `json:"digest"` // of the manifest, which is not loaded with it
	Config string   `json:"config"` // digest of the configuration: docker's image ID
}

func (o *loadOptions) run(ctx context.Context, s *surroundings, ref string) error {
	if o.into != "" && o.output != "" {
		return usagef("load: --into and --output at once: give one")
	}
	l, tag, err := openReference(ref)
	if err != nil {
		return err
	}
	image, names, err := chooseImage(l, titleOf(l), tag, o.arch)
	if err != nil {
		return err
	}
	u := newUI(s, o.quiet, false, o.json)
	defer u.close()
	rep := loadReport{Output: o.output, Names: names, Digest: image.Descriptor.Digest.String(), Config: image.Manifest.Config.Digest.String()}
	if o.output != "" {
		err = saveDocker(ctx, o.output, image, names)
	} else {
		rep.Into, err = loadInto(ctx, o.into, image, names)
	}
	if err != nil {
		return err
	}
	u.close()
	for _, n := range names {
		if rep.Into != "" {
			u.printf("%s  in %s  %s\n", n, rep.Into, rep.Config)
		} else {
			u.printf("%s  in %s  %s\n", n, rep.Output, rep.Config)
		}
	}
	return u.result(rep)
}

// chooseImage picks the image for one architecture, and what it is called
// where it is loaded.
func chooseImage(l *layout.Layout, title, tag, arch string) (*layout.Opened, []string, error) {
	d, err := l.Tag(tag)
	if err != nil {
		return nil, nil, err
	}
	images, err := l.Images(d)
	if err != nil {
		return nil, nil, err
	}
	if machine := build.MachineArch(); arch == "" && slices.ContainsFunc(images, func(i *layout.Opened) bool { return i.Config.Architecture == machine }) {
		arch = machine
	}
	image, err := dockerarchive.Choose(images, arch)
	if err != nil {
		return nil, nil, usageError{err}
	}
	if tag == "" {
		tag = "latest"
	}
	if a := image.Config.Architecture; a != build.MachineArch() && !strings.HasSuffix(tag, "-"+a) {
		tag += "-" + a
	}
	return image, []string{title + ":" + tag}, nil
}

// saveDocker writes a docker archive, whole or not at all.
func saveDocker(ctx context.Context, file string, image *layout.Opened, names []string) error {
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
	err = dockerarchive.Write(ctx, tmp, image, names)
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		if e := os.Remove(tmp.Name()); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

// store is a place that images are loaded into.
type store struct {
	name  string
	asks  []string                                 // a command that succeeds if it is there and answers
	loads func(platform string) (command []string) // reads a docker archive from standard input
}

// stores lists them in the order in which they are tried.
func stores() []store {
	return []store{
		{"docker", []string{"docker", "version", "--format", "{{.Server.Version}}"}, func(string) []string { return []string{"docker", "load", "-q"} }},
		{"podman", []string{"podman", "version"}, func(string) []string { return []string{"podman", "load", "-q"} }},
		{"containerd", []string{"ctr", "version"}, func(platform string) []string {
			return []string{"ctr", "images", "import", "--platform", platform, "-"}
		}},
	}
}

// chooseStore finds the store of a name, or the first that answers.
func chooseStore(ctx context.Context, name string) (*store, error) {
	var known, why []string
	for _, st := range stores() {
		known = append(known, st.name)
		if name != "" && name != st.name {
			continue
		}
		if _, err := exec.LookPath(st.asks[0]); err != nil {
			why = append(why, st.asks[0]+" is not installed")
			continue
		}
		out, err := exec.CommandContext(ctx, st.asks[0], st.asks[1:]...).CombinedOutput()
		if err == nil {
			return &st, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		why = append(why, fmt.Sprintf("%s does not answer (%s)", st.name, lastLine(string(out), err)))
	}
	if len(why) == 0 {
		return nil, usagef("load into %q: expected one of %s", name, strings.Join(known, ", "))
	}
	return nil, fmt.Errorf("load: %s: start one, or write an archive with --output", strings.Join(why, ", "))
}

func lastLine(out string, err error) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return last
	}
	return err.Error()
}

// loadInto puts an image into the store of a name, or into the first that
// answers, and says which that was.
func loadInto(ctx context.Context, name string, image *layout.Opened, names []string) (string, error) {
	st, err := chooseStore(ctx, name)
	if err != nil {
		return "", err
	}
	args := st.loads(image.Config.Platform().String())
	r, w := io.Pipe()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin = r
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	written := make(chan error, 1)
	go func() {
		err := dockerarchive.Write(ctx, w, image, names)
		w.CloseWithError(err)
		written <- err
	}()
	err = cmd.Run()
	r.Close() // a store that has stopped reading
	wrote := <-written
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case wrote != nil && !errors.Is(wrote, io.ErrClosedPipe):
		return "", wrote
	case err != nil:
		return "", fmt.Errorf("load %s into %s: %w: %s", strings.Join(names, ", "), st.name, err, lastLine(out.String(), err))
	}
	return st.name, nil
}

// openMade writes an image that has just been built to a temporary layout, for
// build --load and --format docker. remove ends it.
func openMade(ctx context.Context, m *build.Made) (l *layout.Layout, remove func() error, err error) {
	dir, err := os.MkdirTemp("", "distroless-")
	if err != nil {
		return nil, nil, fmt.Errorf("load %s: %w", m.Reference(), err)
	}
	remove = func() error { return os.RemoveAll(dir) }
	at := filepath.Join(dir, m.Reference())
	if err := layout.Write(ctx, at, m.Layout()); err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	if l, err = layout.Open(at); err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	return l, remove, nil
}

// saveMade is build --format docker: one variant and architecture of an image
// that has just been built, as a docker archive.
func saveMade(ctx context.Context, m *build.Made, variant, arch, file string) (err error) {
	return withMade(ctx, m, variant, arch, func(image *layout.Opened, names []string) error {
		return saveDocker(ctx, file, image, names)
	})
}

// loadMade is build --load: the same into a store, which it names.
func loadMade(ctx context.Context, m *build.Made, variant, arch, into string) (st string, err error) {
	err = withMade(ctx, m, variant, arch, func(image *layout.Opened, names []string) error {
		st, err = loadInto(ctx, into, image, names)
		return err
	})
	return st, err
}

func withMade(ctx context.Context, m *build.Made, variant, arch string, f func(*layout.Opened, []string) error) (err error) {
	l, remove, err := openMade(ctx, m)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	if m.Indices[variant] == nil { // an architecture is missing: only its name with one is there
		variant += "-" + m.Images[variant][m.Archs[0]].Platform.Architecture
	}
	image, names, err := chooseImage(l, m.Reference(), variant, arch)
	if err != nil {
		return err
	}
	return f(image, names)
}
