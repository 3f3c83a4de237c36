package inventory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
)

// Reader reads images. A layer that several images share is read once; the
// zero value works.
type Reader struct {
	// Jobs is how many layers are read at once; 0 is two.
	Jobs int
	// Known returns what the layer of a digest holds, "sha256:<hex>", where that
	// is remembered from writing it; nil has it unpacked. The blob is read and
	// held against its digest all the same, so that what is remembered is only
	// believed of the very bytes that it was remembered of. It has no MD5 digests
	// and is asked only with NoMD5, from several goroutines.
	//
	// It is for whoever says what is in an image of their own. Whoever checks what
	// others say must leave it nil: a memory is as good as everybody who could
	// write to it, a digest as nobody but the layer.
	Known func(digest string) *Layer
	// NoMD5 leaves out the digests that only packages' own lists have, and
	// NoSHA1 those that only SBOMs want: each costs time.
	NoMD5, NoSHA1 bool

	mu     sync.Mutex
	layers map[string]*lazy
	rooms  []*room // that nothing is read in
	stacks map[string]*contents
}

// contents are what an image's layers hold together, however it is run: the
// variants of an image share them.
type contents struct {
	files    []File
	packages []Package
	distro   string
}

// lazy is a layer that is read when first asked for. An error is not kept: it
// may be that of an interrupted run.
type lazy struct {
	mu    sync.Mutex
	layer *Layer
}

func (l *lazy) read(ctx context.Context, r *Reader, b Blobs, d v1.Descriptor) (*Layer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.layer != nil {
		return l.layer, nil
	}
	if r.Known != nil && r.NoMD5 {
		if known := r.Known(d.Digest.String()); known != nil {
			if err := checkBlob(ctx, b, d); err != nil {
				return nil, err
			}
			l.layer = known
			return known, nil
		}
	}
	var err error
	in := r.room()
	defer r.leave(in)
	l.layer, err = readLayer(ctx, b, d, newSums(!r.NoMD5, !r.NoSHA1), in)
	return l.layer, err
}

// room returns one to read a layer in.
func (r *Reader) room() *room {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.rooms)
	if n == 0 {
		return newRoom()
	}
	in := r.rooms[n-1]
	r.rooms = r.rooms[:n-1]
	return in
}

func (r *Reader) leave(in *room) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rooms = append(r.rooms, in)
}

func (r *Reader) lazy(digest string) *lazy {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.layers == nil {
		r.layers = map[string]*lazy{}
	}
	if r.layers[digest] == nil {
		r.layers[digest] = new(lazy)
	}
	return r.layers[digest]
}

// Read reads an image whole: every blob's digest is verified, every layer is
// the one that the config names. What does not agree is a [*Mismatch].
func (r *Reader) Read(ctx context.Context, img Image) (*Inventory, error) {
	layers, err := r.readLayers(ctx, img)
	if err != nil {
		return nil, err
	}
	v := &Inventory{
		Digest: img.Descriptor.Digest.String(), Manifest: img.Manifest, Config: img.Config.Config,
		Created: img.Config.Created.UTC().Format(time.RFC3339),
		Name:    img.Manifest.Annotations["org.opencontainers.image.title"],
	}
	v.Platform.OS, v.Platform.Architecture, v.Platform.Variant = img.Config.OS, img.Config.Architecture, img.Config.Variant
	for _, l := range layers {
		v.DiffIDs = append(v.DiffIDs, l.DiffID)
	}
	c, err := r.contents(img, layers)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", v.Digest, err)
	}
	v.Files, v.Packages, v.Distro = c.files, c.packages, c.distro
	return v, nil
}

// contents merges the layers of an image, once for all images that have the same
// ones and the same history of them.
func (r *Reader) contents(img Image, layers []*Layer) (*contents, error) {
	var id strings.Builder
	history := historyOf(img)
	for i, l := range layers {
		fmt.Fprintf(&id, "%s %q\n", l.DiffID, history[i])
	}
	r.mu.Lock()
	c := r.stacks[id.String()]
	r.mu.Unlock()
	if c != nil {
		return c, nil
	}
	files, texts, err := merge(layers)
	if err != nil {
		return nil, err
	}
	c = &contents{distro: distro(texts), files: make([]File, 0, len(files))}
	for _, p := range slices.Sorted(maps.Keys(files)) {
		c.files = append(c.files, *files[p])
	}
	if c.packages, err = packages(texts); err != nil {
		return nil, err
	}
	if err := c.own(texts, history); err != nil {
		return nil, err
	}
	r.mu.Lock()
	if r.stacks == nil {
		r.stacks = map[string]*contents{}
	}
	r.stacks[id.String()] = c
	r.mu.Unlock()
	return c, nil
}

func (r *Reader) readLayers(ctx context.Context, img Image) ([]*Layer, error) {
	diffs := img.Config.RootFS.DiffIDs
	if len(diffs) != len(img.Manifest.Layers) {
		return nil, &Mismatch{Kind: "config", What: "config " + img.Manifest.Config.Digest.String(),
			Got: fmt.Sprintf("names %d layers, the manifest %d", len(diffs), len(img.Manifest.Layers))}
	}
	out := make([]*Layer, len(diffs))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(2, r.Jobs))
	for _, i := range bySize(img.Manifest.Layers) {
		d := img.Manifest.Layers[i]
		g.Go(func() error {
			l, err := r.lazy(d.Digest.String()).read(gctx, r, img.Blobs, d)
			if err != nil {
				return err
			}
			out[i] = l
			if l.DiffID != diffs[i].String() {
				return &Mismatch{Kind: "config", What: "layer " + d.Digest.String(),
					Got: fmt.Sprintf("holds the archive %s, the config says %s", l.DiffID, diffs[i])}
			}
			return nil
		})
	}
	return out, g.Wait()
}

// bySize returns the indices of layers, the largest first: one that is begun
// last is waited for alone.
func bySize(layers []v1.Descriptor) []int {
	order := make([]int, len(layers))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(layers[b].Size, layers[a].Size) })
	return order
}

// historyOf lists, for each layer, what the config's history says of it.
func historyOf(img Image) []string {
	out := make([]string, len(img.Manifest.Layers))
	i := 0
	for _, h := range img.Config.History {
		if h.EmptyLayer {
			continue
		}
		if i < len(out) {
			out[i] = h.CreatedBy
		}
		i++
	}
	return out
}

// merge lays the layers over each other, whiteouts applied as the OCI image
// specification says.
func merge(layers []*Layer) (map[string]*File, map[string][]byte, error) {
	files, texts := map[string]*File{}, map[string][]byte{}
	for i, l := range layers {
		for j := range l.Files {
			applyWhiteout(files, texts, l.Files[j].Path)
		}
		for j := range l.Files {
			f := l.Files[j]
			if strings.HasPrefix(path.Base(f.Path), whiteout) {
				continue
			}
			if old := files[f.Path]; old != nil && old.Kind == Dir && f.Kind != Dir {
				removeBelow(files, texts, f.Path)
			}
			f.Layer = i
			if f.Link != "" {
				t := files[f.Link]
				if t == nil || t.Kind != Regular {
					return nil, nil, fmt.Errorf("%s: a hard link to %s, which is no file below it", f.Path, f.Link)
				}
				f.Size, f.SHA1, f.SHA256, f.MD5 = t.Size, t.SHA1, t.SHA256, t.MD5
			}
			files[f.Path] = &f
			delete(texts, f.Path)
			if t, ok := l.Texts[f.Path]; ok {
				texts[f.Path] = t
			} else if t, ok := texts[f.Link]; ok && isText(f.Path) {
				texts[f.Path] = t
			}
		}
	}
	return files, texts, nil
}

const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

// applyWhiteout removes what a whiteout hides of the layers below.
func applyWhiteout(files map[string]*File, texts map[string][]byte, p string) {
	dir, base := path.Split(p)
	switch {
	case base == opaque:
		removeBelow(files, texts, path.Clean(dir))
	case strings.HasPrefix(base, whiteout):
		hidden := path.Join(dir, strings.TrimPrefix(base, whiteout))
		removeBelow(files, texts, hidden)
		delete(files, hidden)
		delete(texts, hidden)
	}
}

func removeBelow(files map[string]*File, texts map[string][]byte, dir string) {
	prefix := strings.TrimSuffix(dir, "/") + "/"
	for p := range files {
		if strings.HasPrefix(p, prefix) {
			delete(files, p)
			delete(texts, p)
		}
	}
}
