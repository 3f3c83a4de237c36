package main

import (
	"archive/tar"
	"bytes"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/match"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/rogpeppe/go-internal/testscript"
)

// alter LAYOUT TAG PATH TEXT lays a file over an image, with right digests all
// the way: what a builder that cannot be trusted would do.
func alter(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 4 {
		ts.Fatalf("usage: alter layout tag path text")
	}
	at, err := layout.FromPath(ts.MkAbs(args[0]))
	ts.Check(err)
	idx, err := at.ImageIndex()
	ts.Check(err)
	m, err := idx.IndexManifest()
	ts.Check(err)
	var d v1.Descriptor
	for _, one := range m.Manifests {
		if match.Name(args[1])(one) {
			d = one
		}
	}
	img, err := at.Image(d.Digest)
	ts.Check(err)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	ts.Check(w.WriteHeader(&tar.Header{Name: args[2][1:], Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(args[3]))}))
	_, err = w.Write([]byte(args[3]))
	ts.Check(err)
	ts.Check(w.Close())
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }, tarball.WithMediaType(types.OCILayer))
	ts.Check(err)
	img, err = mutate.AppendLayers(img, l)
	ts.Check(err)
	ts.Check(at.ReplaceImage(img, match.Name(args[1]), layout.WithAnnotations(d.Annotations)))
}
