package source

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"distroless/internal/trust/inventory"
)

// fixed gives the same bytes for everything.
type fixed struct {
	Source
	data []byte
}

func (f fixed) Blob(context.Context, v1.Descriptor) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(f.data)), nil
}

// TestDocument reads documents that are what their descriptors say, and ones that
// are not. If it fails, what was altered is read, or the error misleads.
func TestDocument(t *testing.T) {
	text := []byte(strings.Repeat("a document ", 1000))
	sum := sha256.Sum256(text)
	d := v1.Descriptor{MediaType: types.OCIConfigJSON, Size: int64(len(text)), Digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}}
	for name, c := range map[string]struct {
		sent []byte
		size int64
		want string
	}{
		"as it should be":           {text, d.Size, ""},
		"another":                   {bytes.ToUpper(text), d.Size, "has digest sha256:"},
		"cut":                       {text[:100], d.Size, "has digest sha256:"},
		"longer":                    {append(bytes.Clone(text), "and more"...), d.Size, "has more than the 11000 bytes"},
		"a descriptor that is less": {text, 10, "has more than the 10 bytes"},
	} {
		d := d
		d.Size = c.size
		got, err := Document(t.Context(), fixed{data: c.sent}, d)
		if c.want == "" {
			if err != nil || !bytes.Equal(got, text) {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
			continue
		}
		var m *inventory.Mismatch
		if !errors.As(err, &m) || m.Kind != "config" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the error is %v, want %q", name, err, c.want)
		}
	}
	d.Size = MaxDocument + 1
	if _, err := Document(t.Context(), fixed{data: text}, d); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a document that is too large: %v", err)
	}
}
