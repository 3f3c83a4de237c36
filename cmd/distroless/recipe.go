package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"distroless/catalog"
	"distroless/internal/build"
	"distroless/internal/oci/layer"
	"distroless/internal/plan/lock"
	"distroless/internal/plan/spec"
	"distroless/internal/trust/provenance"
)

// definitions are the texts that an image is defined by, and where its own
// lies: what a recipe holds.
type definitions struct {
	texts map[string]string
	files map[string]provenance.File
}

// gatherDefinitions reads an image's definition and those that it stands on:
// from a file given, those beside it, and the catalogue.
func gatherDefinitions(file, image, distro string) (*definitions, error) {
	d := &definitions{texts: map[string]string{}, files: map[string]provenance.File{}}
	distros, err := fs.ReadFile(catalog.Files, "distros.yaml")
	if err != nil {
		return nil, fmt.Errorf("read catalogue: %w", err)
	}
	d.texts["distros.yaml"] = string(distros)
	dir := ""
	if file != "" {
		dir = filepath.Dir(file)
	}
	for name := image; name != ""; {
		at := file
		if name != image && dir != "" {
			at = filepath.Join(dir, name+".yaml")
		}
		text, local, err := definitionText(at, name)
		if err != nil {
			return nil, err
		}
		def, err := spec.Parse(name+".yaml", text)
		if err != nil {
			return nil, err
		}
		if def.Name != name {
			return nil, fmt.Errorf("read definition of %s: %s defines %s", name, at, def.Name)
		}
		if d.texts[name+".yaml"] != "" {
			return nil, fmt.Errorf("read definition of %s: from goes in a circle", image)
		}
		d.texts[name+".yaml"] = string(text)
		if local {
			if err := d.addFiles(os.DirFS(dir), def, distro); err != nil {
				return nil, err
			}
		}
		name = def.From
	}
	return d, nil
}

// definitionText reads a file if it is there, else the catalogue.
func definitionText(file, name string) (text []byte, local bool, err error) {
	if file != "" {
		text, err := os.ReadFile(file)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return text, true, err
		}
	}
	text, err = fs.ReadFile(catalog.Files, name+".yaml")
	if err != nil {
		return nil, false, fmt.Errorf("read definition of %s: not in the catalogue: name its file with --definition", name)
	}
	return text, false, nil
}

// addFiles adds what a definition names beside itself.
func (d *definitions) addFiles(dir fs.FS, def *spec.Definition, distro string) error {
	sect, err := def.For(distro)
	if err != nil {
		return err
	}
	names := slices.Clone(sect.Certificates)
	for _, a := range sect.Archives {
		names = append(names, a.Key)
	}
	for _, c := range sect.Contents {
		names = append(names, c.Source)
	}
	for _, n := range names {
		if n == "" {
			continue
		}
		err := fs.WalkDir(dir, path.Clean(filepath.ToSlash(n)), func(p string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			info, err := fs.Stat(dir, p)
			if err != nil {
				return err
			}
			data, err := fs.ReadFile(dir, p)
			d.files[p] = provenance.File{Data: data, Executable: info.Mode()&0o111 != 0}
			return err
		})
		if err != nil {
			return fmt.Errorf("read files of %s: %w", def.Name, err)
		}
	}
	return nil
}

// newRecipe makes the recipe of one image or index, and its part of the lock.
func newRecipe(d *definitions, l *lock.Lock, image, distro, variant, compression string, archs []string) (*provenance.Recipe, *lock.Lock, error) {
	part, err := provenance.Subset(l, image, distro, archs)
	if err != nil {
		return nil, nil, err
	}
	return &provenance.Recipe{
		Image: image, Distro: distro, Variant: variant, Archs: archs, Compression: compression,
		Lock: string(part.Bytes()), Definitions: d.texts, Files: d.files,
	}, part, nil
}

// writeRecipe writes a recipe's definitions, their files and the lock into a
// folder, as a user would have them.
func writeRecipe(dir string, r *provenance.Recipe) error {
	put := func(name string, data []byte, mode os.FileMode) error {
		if !filepath.IsLocal(name) {
			return fmt.Errorf("unpack the lock of the image: %q is not a name below a folder", name)
		}
		at := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		return os.WriteFile(at, data, mode)
	}
	for name, f := range r.Files {
		mode := os.FileMode(0o644)
		if f.Executable {
			mode = 0o755
		}
		if err := put(name, f.Data, mode); err != nil {
			return err
		}
	}
	for name, text := range r.Definitions {
		if strings.ContainsAny(name, `/\`) {
			return fmt.Errorf("unpack the lock of the image: definition %q: expected a name without folders", name)
		}
		if err := put(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return put("distroless.lock", []byte(r.Lock), 0o644)
}

// openRecipe writes a recipe into a folder and sets up a builder for it, as if
// its user were there.
func openRecipe(s *surroundings, c common, dir string, r *provenance.Recipe, compression layer.Compression) (*session, error) {
	if err := writeRecipe(dir, r); err != nil {
		return nil, err
	}
	c.lock, c.quiet = filepath.Join(dir, "distroless.lock"), true
	se, _, err := c.open(s, []string{filepath.Join(dir, r.Image+".yaml")}, compression)
	if err != nil {
		return nil, err
	}
	if se.catalog.Distros, err = spec.ParseDistros("distros.yaml", []byte(r.Definitions["distros.yaml"])); err != nil {
		return nil, fmt.Errorf("read the definitions of the image: %w", err)
	}
	return se, nil
}

// recipeKeys lists the cells of a recipe's image.
func recipeKeys(r *provenance.Recipe) []lock.Key {
	var out []lock.Key
	for _, a := range r.Archs {
		out = append(out, lock.Key{Image: r.Image, Distro: r.Distro, Arch: a})
	}
	return out
}

// checkLocked finds out whether definitions are those that the lock is for.
func checkLocked(ctx context.Context, se *session, keys []lock.Key) error {
	_, failed := se.Resolve(ctx, keys, build.Locked)
	if len(failed) > 0 {
		return cellErrors(failed)
	}
	return nil
}

// checkRecipe does so for a recipe, in a folder that it makes and removes.
func checkRecipe(ctx context.Context, s *surroundings, r *provenance.Recipe) error {
	dir, err := os.MkdirTemp("", "distroless-recipe-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	se, err := openRecipe(s, common{cache: filepath.Join(dir, "cache")}, filepath.Join(dir, "recipe"), r, layer.Compression{})
	if err != nil {
		return err
	}
	return checkLocked(ctx, se, recipeKeys(r))
}

// splitTitle splits "base-debian13", an image's title, into image and distro.
func splitTitle(title string, cat *build.Catalog) (image, distro string, ok bool) {
	for _, d := range cat.DistroNames() {
		if image, ok := strings.CutSuffix(title, "-"+d); ok && image != "" {
			return image, d, true
		}
	}
	return title, "", false
}
