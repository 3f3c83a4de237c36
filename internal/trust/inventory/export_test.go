package inventory

import (
	"context"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"distroless/internal/oci/layer"
)

// ReadLayer reads one layer, without MD5 digests.
func ReadLayer(ctx context.Context, r io.Reader, b layer.Blob) (*Layer, error) {
	h, err := v1.NewHash(b.Digest)
	if err != nil {
		return nil, err
	}
	return readLayer(ctx, blob{r}, v1.Descriptor{MediaType: types.MediaType(b.MediaType), Digest: h, Size: b.Size}, newSums(false, true), newRoom())
}

type blob struct{ r io.Reader }

func (b blob) Blob(v1.Descriptor) (io.ReadCloser, error) { return io.NopCloser(b.r), nil }
