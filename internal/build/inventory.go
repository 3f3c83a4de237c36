package build

import (
	"context"
	"fmt"
	"path/filepath"

	"distroless/internal/oci/layer"
	"distroless/internal/rootfs"
	"distroless/internal/trust/inventory"
)

// inventory remembers what a layer holds, while the bytes of its files are still
// in memory, for who lists an image's contents later.
func (r *run) inventory(ctx context.Context, part rootfs.Layer, b layer.Blob) error {
	l, err := inventory.FromEntries(b.DiffID, part.Entries, func(e *rootfs.Entry) ([]byte, error) { return r.read(ctx, e) })
	if err != nil {
		return fmt.Errorf("list layer %s: %w", b.Digest, err)
	}
	return r.b.memo.put("inventory", inventoryKey(b.Digest), l)
}

func inventoryKey(digest string) string {
	return memoKey("inventory", inventory.LayerVersion, digest)
}

// Inventories are what builds with a cache have remembered of the layers that
// they wrote. The key is the digest of the layer's blob, which the build computed
// itself over the bytes that it made of the very entries that it remembers: other
// bytes have another digest, so what is found here is true of every blob with
// that digest, wherever it lies. It does not say that a blob is there or whole,
// and it is no better than the cache: see the design about trust in it.
type Inventories struct{ memo memo }

// OpenInventories returns those in a cache's folder, which need not be there.
func OpenInventories(cache string) *Inventories {
	return &Inventories{memo{filepath.Join(cache, "memo")}}
}

// Layer returns what the layer of a digest, "sha256:<hex>", holds; nil where
// that is not remembered.
func (v *Inventories) Layer(digest string) *inventory.Layer {
	l := new(inventory.Layer)
	if !v.memo.get("inventory", inventoryKey(digest), l) {
		return nil
	}
	return l
}
