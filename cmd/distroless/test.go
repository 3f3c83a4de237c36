package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"distroless/internal/build"
	"distroless/internal/oci/layout"
	"distroless/internal/plan/spec"
	"distroless/internal/structure"
)

// testFlags are what `distroless test` may be told.
type testFlags struct {
	files, archs   []string
	runtime, junit string
	timeout        time.Duration
	json, quiet    bool
}

func newTest(s *surroundings) *cobra.Command {
	var f testFlags
	cmd := &cobra.Command{
		Use:   "test LAYOUT[:TAG] -f FILE",
		Short: "Hold an image against a file of tests",
		Long: `Hold an image against files of tests, in the schema of container-structure-test,
1.0.0 or 2.0.0: commands, files, their contents, metadata, licences. The image is a
layout or an OCI archive, with a tag where it holds several:
dist/base-debian13:debug.

Files and metadata are read from the layers and need nothing else. Commands are run
by runc, crun, podman or docker, whichever is there, without a network. Of an index
the image for this machine is tested; --arch names others, whose commands need
emulation.

The exit code is 1 when a test failed.`,
		Example: `  distroless test dist/static-debian13 -f tests.yaml
  distroless test dist/python3-debian13:nonroot -f common.yaml -f python3.yaml --junit report.xml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(f.files) == 0 {
				return usagef("name a file of tests with -f")
			}
			return f.run(cmd.Context(), s, newUI(s, f.quiet, false, f.json), args[0])
		},
	}
	fl := cmd.Flags()
	fl.StringArrayVarP(&f.files, "file", "f", nil, "`file` of tests, repeatable")
	fl.StringSliceVar(&f.archs, "arch", nil, "`architecture` to test, by Debian's or OCI's name, repeatable, or all (default this machine's, or the only one)")
	fl.StringVar(&f.runtime, "runtime", "", "`program` that runs commands: "+strings.Join(structure.Runtimes(), ", ")+" (default the first that works)")
	fl.StringVar(&f.junit, "junit", "", "write a report as JUnit's XML to a `file` too")
	fl.DurationVar(&f.timeout, "timeout", structure.DefaultTimeout, "how long a command may take")
	fl.BoolVar(&f.json, "json", false, "print results as JSON")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "print errors only")
	return cmd
}

func (f *testFlags) run(ctx context.Context, s *surroundings, u *ui, ref string) error {
	if f.timeout <= 0 {
		return usagef("--timeout %s: expected more than nothing", f.timeout)
	}
	if f.runtime != "" && !slices.Contains(structure.Runtimes(), f.runtime) {
		return usagef("--runtime %s: expected one of %s", f.runtime, strings.Join(structure.Runtimes(), ", "))
	}
	suites, err := readSuites(f.files)
	if err != nil {
		return err
	}
	images, err := f.images(ref)
	if err != nil {
		return err
	}
	opts := structure.Options{Timeout: f.timeout, Environ: s.environ, Runtime: func(ctx context.Context) (structure.Runtime, error) {
		return structure.FindRuntime(ctx, f.runtime, os.Geteuid() == 0)
	}}
	var reports []structure.Report
	for _, img := range images {
		results, err := structure.Run(ctx, structure.Image{Config: img.Config, Layers: img.Manifest.Layers, Walk: img.Walk}, suites, opts)
		if err != nil {
			return fmt.Errorf("test %s: %w", ref, err)
		}
		r := structure.NewReport(ref, img.Descriptor.Digest.String(), img.Config.Platform().String(), results)
		printReport(u, r)
		reports = append(reports, r)
	}
	return f.finish(u, ref, reports)
}

// finish writes the reports that were asked for; a test that failed is an error.
func (f *testFlags) finish(u *ui, ref string, reports []structure.Report) error {
	if err := u.result(reports); err != nil {
		return err
	}
	if f.junit != "" {
		if err := writeJUnit(f.junit, reports); err != nil {
			return fmt.Errorf("--junit: %w", err)
		}
	}
	failed, all := 0, 0
	for _, r := range reports {
		failed += r.Failed
		all += r.Failed + r.Passed
	}
	if failed > 0 {
		return fmt.Errorf("test %s: %d of %d tests failed", ref, failed, all)
	}
	return nil
}

func readSuites(files []string) ([]*structure.Suite, error) {
	var suites []*structure.Suite
	var errs []error
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read tests: %w", err)
		}
		s, err := structure.Parse(file, data)
		suites, errs = append(suites, s), append(errs, err)
	}
	return suites, errors.Join(errs...)
}

// images are those that the flags mean: the named architectures', else this
// machine's, else the only one.
func (f *testFlags) images(ref string) ([]*layout.Opened, error) {
	l, tag, err := openReference(ref)
	if err != nil {
		return nil, err
	}
	d, err := l.Tag(tag)
	if err != nil {
		return nil, err
	}
	all, err := l.Images(d)
	if err != nil {
		return nil, err
	}
	archs := f.archs
	switch {
	case len(archs) == 0 && len(all) == 1:
		return all, nil
	case len(archs) == 0:
		archs = []string{build.MachineArch()}
	}
	var out []*layout.Opened
	for _, name := range archs {
		if name == "all" {
			return all, nil
		}
		p, err := spec.ParseArch(name)
		if err != nil {
			return nil, usageError{err}
		}
		found := false
		for _, img := range all {
			if img.Config.Architecture == p.OCI {
				out, found = append(out, img), true
			}
		}
		if !found {
			return nil, fmt.Errorf("test %s: no image for %s in it: name another with --arch", ref, name)
		}
	}
	return out, nil
}

func printReport(u *ui, r structure.Report) {
	u.printf("%s %s %s\n", r.Image, r.Platform, r.Digest)
	for _, t := range r.Tests {
		verdict := "ok  "
		if !t.Pass {
			verdict = "FAIL"
		}
		u.printf("%s  %-8s  %s", verdict, t.Kind, t.Name)
		if t.Kind == structure.KindCommand {
			u.printf("  (%.2f s)", t.Seconds)
		}
		u.printf("\n")
		for _, e := range t.Errors {
			u.printf("        %s\n", strings.ReplaceAll(e, "\n", "\n        "))
		}
	}
	u.printf("%d passed, %d failed\n", r.Passed, r.Failed)
}

// writeJUnit writes the file whole or not at all.
func writeJUnit(file string, reports []structure.Report) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), ".junit-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if err := errors.Join(structure.JUnit(tmp, reports), tmp.Chmod(0o644), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), file)
}
