package layout

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Document returns the bytes of a document that the image names, verified.
func (o *Opened) Document(d v1.Descriptor) ([]byte, error) { return o.layout.Document(d) }

// Uncompressed opens a layer's tar archive. At its end the layer's bytes have
// been verified: Read returns an error in place of io.EOF where they differ
// from the digest.
func (o *Opened) Uncompressed(d v1.Descriptor) (io.ReadCloser, error) {
	r, err := o.layout.file(blobName(d.Digest.String()))
	if err != nil {
		return nil, fmt.Errorf("layout %s: %w", o.layout.path, err)
	}
	h := sha256.New()
	raw := io.TeeReader(r, h)
	z, err := decompressor(string(d.MediaType), raw)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("layer %s: %w", d.Digest, err), r.Close())
	}
	return &unpacked{z: z, raw: raw, file: r, h: h, want: d.Digest}, nil
}

// unpacked is a layer that is decompressed and verified as it is read.
type unpacked struct {
	z, raw io.Reader
	file   io.Closer
	h      hash.Hash
	want   v1.Hash
}

func (u *unpacked) Read(p []byte) (int, error) {
	n, err := u.z.Read(p)
	if err != io.EOF {
		return n, err
	}
	// A decompressor need not have read what lies behind its end.
	if _, err := io.Copy(io.Discard, u.raw); err != nil {
		return n, err
	}
	if got := hex.EncodeToString(u.h.Sum(nil)); got != u.want.Hex {
		return n, fmt.Errorf("layer %s has digest sha256:%s: the layout was altered or damaged", u.want, got)
	}
	return n, io.EOF
}

func (u *unpacked) Close() error {
	if c, ok := u.z.(io.Closer); ok {
		return errors.Join(c.Close(), u.file.Close())
	}
	return u.file.Close()
}
