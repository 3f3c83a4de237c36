// Package structure holds an image against a file of tests: which files it
// has, what is in them, what its configuration says, and what programs in it
// do. The files are those of container-structure-test, schema versions 1.0.0
// and 2.0.0.
//
// Tests of files, metadata and licences read the image's layers and need
// nothing else; those of commands need a [Runtime]. Where an image comes from
// is for the caller: package layout reads one from disk.
//
// Start with [Parse] and [Run].
package structure

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Image is what is tested: one image for one platform.
type Image struct {
	Config v1.ConfigFile
	Layers []v1.Descriptor // the lowest first
	// Walk calls f for every entry of a layer, in order. It verifies the
	// layer's digest.
	Walk func(d v1.Descriptor, f func(*tar.Header, io.Reader) error) error
}

// Options of [Run]; the zero value runs no commands.
type Options struct {
	// Runtime carries out command tests. It is asked for when the first one
	// comes up; nil makes such tests fail.
	Runtime func(context.Context) (Runtime, error)
	// Timeout bounds each command; 0 is [DefaultTimeout].
	Timeout time.Duration
	// Environ are the caller's environment variables, which files may pass on
	// by name; nil for none.
	Environ func(string) (string, bool)
}

// DefaultTimeout is how long a command may take.
const DefaultTimeout = 5 * time.Minute

// Kinds of tests, as results name them.
const (
	KindCommand  = "command"
	KindExists   = "file"
	KindContents = "contents"
	KindMetadata = "metadata"
	KindLicense  = "licence"
)

// Result is what came of one test.
type Result struct {
	File   string   `json:"file"` // that the test is from
	Kind   string   `json:"kind"`
	Name   string   `json:"name"`
	Pass   bool     `json:"pass"`
	Errors []string `json:"errors,omitempty"`
	Stdout string   `json:"stdout,omitempty"` // of a command
	Stderr string   `json:"stderr,omitempty"`
	// Seconds that the test took.
	Seconds float64 `json:"seconds"`
}

func (r *Result) failf(format string, args ...any) {
	r.Errors = append(r.Errors, fmt.Sprintf(format, args...))
}

// run is one image under test.
type run struct {
	opts    Options
	img     Image
	env     map[string]string // the image's
	tree    *tree
	texts   map[*node][]byte // files whose text tests ask for
	session session
	noRun   error // why commands cannot be run
}

// Run carries out the tests of several files on an image, in the files' order:
// commands, files, contents, licences, metadata. A test that fails is no
// error; an image that cannot be read is.
func Run(ctx context.Context, img Image, suites []*Suite, opts Options) (results []Result, err error) {
	r := &run{opts: opts, img: img, env: environment(img.Config.Config.Env)}
	if r.tree, err = readTree(ctx, img); err != nil {
		return nil, err
	}
	if err := r.readTexts(ctx, suites); err != nil {
		return nil, err
	}
	defer func() {
		if r.session != nil {
			err = errors.Join(err, r.session.close())
		}
	}()
	for _, s := range suites {
		for _, t := range r.tests(s) {
			if err := ctx.Err(); err != nil {
				return results, err
			}
			began := time.Now()
			res := Result{File: s.File, Kind: t.kind, Name: t.name}
			t.run(ctx, &res)
			res.Pass = len(res.Errors) == 0
			res.Seconds = time.Since(began).Seconds()
			results = append(results, res)
		}
	}
	return results, ctx.Err()
}

// test is one test that is ready to be run.
type test struct {
	kind, name string
	run        func(context.Context, *Result)
}

func (r *run) tests(s *Suite) []test {
	var out []test
	for i := range s.Commands {
		t := &s.Commands[i]
		out = append(out, test{KindCommand, t.Name, func(ctx context.Context, res *Result) { r.command(ctx, s, t, res) }})
	}
	for i := range s.Exists {
		t := &s.Exists[i]
		out = append(out, test{KindExists, t.Name, func(_ context.Context, res *Result) { r.exists(t, res) }})
	}
	for i := range s.Contents {
		t := &s.Contents[i]
		out = append(out, test{KindContents, t.Name, func(_ context.Context, res *Result) { r.contents(t, res) }})
	}
	for i := range s.Licenses {
		t := &s.Licenses[i]
		out = append(out, test{KindLicense, "licences", func(_ context.Context, res *Result) { r.licences(t, res) }})
	}
	if s.Metadata != nil {
		out = append(out, test{KindMetadata, "metadata", func(_ context.Context, res *Result) { r.metadata(s.Metadata, res) }})
	}
	return out
}
