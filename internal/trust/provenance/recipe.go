package provenance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"distroless/internal/plan/lock"
)

// RecipeType is the media type of a [Recipe], and of the artifact that it is
// attached as.
const RecipeType = "application/vnd.distroless.lock.v1+json"

// recipeVersion is the version of the document's form.
const recipeVersion = 1

// Recipe is all that is needed to build an image again: the definitions that
// it is made of and the lock's cells for them. It is attached to the image, so
// that the image alone suffices.
type Recipe struct {
	Version int `json:"version"`
	// Image, Distro and Variant name what was built; Archs are its
	// architectures by Debian's names, in the index's order.
	Image       string   `json:"image"`
	Distro      string   `json:"distro"`
	Variant     string   `json:"variant"`
	Archs       []string `json:"archs"`
	Compression string   `json:"compression"` // as `build --compression` takes it
	// Lock is the text of a lock file with the cells of the image and those
	// that it stands on.
	Lock string `json:"lock"`
	// Definitions are the texts of definition files, and of distros.yaml, by
	// name: "base.yaml".
	Definitions map[string]string `json:"definitions"`
	// Files lie beside the definitions: certificates, sources of contents. The
	// names are relative to the definitions' folder.
	Files map[string]File `json:"files,omitempty"`
}

// File is a file beside a definition.
type File struct {
	Data       []byte `json:"data"`
	Executable bool   `json:"executable,omitempty"`
}

// Bytes is the recipe as a document, always the same for the same recipe.
func (r *Recipe) Bytes() []byte {
	c := *r
	c.Version = recipeVersion
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(&c); err != nil {
		panic(fmt.Sprintf("marshal recipe: %v", err)) // strings and maps of them: cannot happen
	}
	return b.Bytes()
}

// ParseRecipe reads a recipe and the lock in it.
func ParseRecipe(data []byte) (*Recipe, *lock.Lock, error) {
	r := new(Recipe)
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(r); err != nil {
		return nil, nil, fmt.Errorf("read lock of the image: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, nil, errors.New("read lock of the image: text after the end of the document")
	}
	if r.Version != recipeVersion {
		return nil, nil, fmt.Errorf("read lock of the image: version %d, this program reads version %d", r.Version, recipeVersion)
	}
	if r.Image == "" || r.Distro == "" || r.Variant == "" || len(r.Archs) == 0 {
		return nil, nil, errors.New("read lock of the image: no image, distro, variant or architecture")
	}
	l, err := lock.Parse([]byte(r.Lock))
	if err != nil {
		return nil, nil, fmt.Errorf("read lock of the image: %w", err)
	}
	for _, a := range r.Archs {
		if _, err := Chain(l, lock.Key{Image: r.Image, Distro: r.Distro, Arch: a}); err != nil {
			return nil, nil, fmt.Errorf("read lock of the image: %w", err)
		}
	}
	return r, l, nil
}

// Chain lists a cell's key and those that it stands on, the lowest first.
func Chain(l *lock.Lock, k lock.Key) ([]lock.Key, error) {
	var out []lock.Key
	for {
		c := l.Cells[k]
		if c == nil {
			return nil, fmt.Errorf("cell %s: not in the lock", k)
		}
		if slices.Contains(out, k) {
			return nil, fmt.Errorf("cell %s: stands on itself", k)
		}
		out = append(out, k)
		if c.From == "" {
			slices.Reverse(out)
			return out, nil
		}
		k.Image = c.From
	}
}

// Subset is the part of a lock that an image's architectures need.
func Subset(l *lock.Lock, image, distro string, archs []string) (*lock.Lock, error) {
	out := &lock.Lock{Cells: map[lock.Key]*lock.Cell{}}
	for _, a := range archs {
		chain, err := Chain(l, lock.Key{Image: image, Distro: distro, Arch: a})
		if err != nil {
			return nil, err
		}
		for _, k := range chain {
			out.Cells[k] = l.Cells[k]
		}
	}
	return out, nil
}

// Packages lists what a lock has for a variant of one architecture: those of
// the cell and all below it, with the debug ones where the variant has them.
func Packages(l *lock.Lock, k lock.Key, debug bool) ([]lock.Package, error) {
	chain, err := Chain(l, k)
	if err != nil {
		return nil, err
	}
	var out []lock.Package
	for _, k := range chain {
		out = append(out, l.Cells[k].Packages...)
		if debug {
			out = append(out, l.Cells[k].Debug...)
		}
	}
	return out, nil
}
