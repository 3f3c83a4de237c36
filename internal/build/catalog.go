package build

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"distroless/internal/plan/spec"
)

// Catalog is the set of definitions that a run knows: those inside the program
// and those given as files. A definition inside the program is read when it is
// first asked for. A Catalog is for one goroutine until all files are added;
// after that its methods may be called from several.
type Catalog struct {
	Distros *spec.Distros
	files   fs.FS
	mu      sync.Mutex
	images  map[string]*source // nil for one that has not been read
}

// source is a definition with the folder that its files lie in.
type source struct {
	*spec.Definition
	dir fs.FS // nil for definitions inside the program
}

// LoadCatalog opens a folder of definitions: <image>.yaml each, and distros.yaml,
// which describes the distros.
func LoadCatalog(files fs.FS) (*Catalog, error) {
	c := &Catalog{files: files, images: map[string]*source{}}
	names, err := fs.Glob(files, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("read catalogue: %w", err)
	}
	for _, name := range names {
		if name != distrosFile {
			c.images[strings.TrimSuffix(name, ".yaml")] = nil
		}
	}
	data, err := fs.ReadFile(files, distrosFile)
	if err != nil {
		return nil, fmt.Errorf("read catalogue: %w", err)
	}
	c.Distros, err = spec.ParseDistros(distrosFile, data)
	return c, err
}

const distrosFile = "distros.yaml"

// lookup returns a definition by name, nil if there is none of that name.
func (c *Catalog) lookup(name string) (*source, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, known := c.images[name]
	if !known || s != nil {
		return s, nil
	}
	data, err := fs.ReadFile(c.files, name+".yaml")
	if err != nil {
		return nil, fmt.Errorf("read catalogue: %w", err)
	}
	d, err := spec.Parse("catalog/"+name+".yaml", data)
	if err != nil {
		return nil, err
	}
	if d.Name != name {
		return nil, fmt.Errorf("catalog/%s.yaml: it defines an image named %s: call file and image alike", name, d.Name)
	}
	s = &source{Definition: d}
	c.images[name] = s
	return s, nil
}

// Add reads a definition from a file and returns its name. A definition that
// it stands on is looked for beside it, as <name>.yaml, before the catalogue's.
func (c *Catalog) Add(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read definition: %w", err)
	}
	d, err := spec.Parse(file, data)
	if err != nil {
		return "", err
	}
	c.images[d.Name] = &source{Definition: d, dir: os.DirFS(filepath.Dir(file))}
	if d.From == "" {
		return d.Name, nil
	}
	if old := c.images[d.From]; old != nil && old.dir != nil {
		return d.Name, nil
	}
	beside := filepath.Join(filepath.Dir(file), d.From+".yaml")
	if _, err := os.Stat(beside); err == nil && filepath.Clean(beside) != filepath.Clean(file) {
		if name, err := c.Add(beside); err != nil {
			return "", err
		} else if name != d.From {
			return "", fmt.Errorf("%s: from %s: %s defines an image named %s", file, d.From, beside, name)
		}
	}
	return d.Name, nil
}

// IsFile reports whether an argument names a definition file rather than an
// image of the catalogue.
func IsFile(arg string) bool {
	return strings.ContainsRune(arg, os.PathSeparator) || strings.ContainsRune(arg, '/') ||
		strings.HasSuffix(arg, ".yaml") || strings.HasSuffix(arg, ".yml")
}

func (c *Catalog) known(name string) bool {
	_, ok := c.images[name]
	return ok
}

// Names lists the images, sorted.
func (c *Catalog) Names() []string { return slices.Sorted(maps.Keys(c.images)) }

// Image returns a definition by name.
func (c *Catalog) Image(name string) (*spec.Definition, error) {
	s, err := c.image(name)
	if err != nil {
		return nil, err
	}
	return s.Definition, nil
}

func (c *Catalog) image(name string) (*source, error) {
	s, err := c.lookup(name)
	if s != nil || err != nil {
		return s, err
	}
	for _, d := range c.DistroNames() {
		if short, ok := strings.CutSuffix(name, "-"+d); ok && c.known(short) {
			return nil, fmt.Errorf("image %q: not known; the name is %s, and the distro is a flag: --distro %s", name, short, d)
		}
	}
	return nil, fmt.Errorf("image %q: not known, expected one of %s, or a definition file such as ./%s.yaml", name, strings.Join(c.Names(), ", "), name)
}

// Distro returns a distro by name; "" is the default one.
func (c *Catalog) Distro(name string) (*spec.Distro, error) {
	if name == "" {
		name = c.Distros.Default
	}
	d, ok := c.Distros.Distros[name]
	if !ok {
		return nil, fmt.Errorf("distro %q: not known, expected one of %s", name, strings.Join(c.DistroNames(), ", "))
	}
	return d, nil
}

// step is one definition of a chain, as it holds for a distro.
type step struct {
	spec.Effective
	dir    fs.FS
	digest string
	// local files by the name in the definition
	files map[string][]byte
}

// chain returns the definitions that an image is made of for a distro, the
// lowest first.
func (c *Catalog) chain(name, distro string) ([]*step, error) {
	var names []string
	for at := name; at != ""; {
		if slices.Contains(names, at) {
			return nil, fmt.Errorf("image %s: from goes in a circle: %s", name, strings.Join(append(names, at), " -> "))
		}
		names = append(names, at)
		s, err := c.image(at)
		if err != nil {
			if len(names) > 1 {
				err = fmt.Errorf("image %s: from: %w", names[len(names)-2], err)
			}
			return nil, err
		}
		at = s.From
	}
	slices.Reverse(names)
	var chain []*step
	base := ""
	for _, n := range names {
		s, err := c.image(n)
		if err != nil {
			return nil, err
		}
		sect, err := s.For(distro)
		if err != nil {
			return nil, err
		}
		st := &step{Effective: spec.Effective{Name: n, From: s.From, Distro: distro, Base: base, Sect: sect}, dir: s.dir}
		if err := st.readFiles(); err != nil {
			return nil, err
		}
		st.digest = st.Effective.Digest()
		base = st.digest
		chain = append(chain, st)
	}
	return chain, nil
}

// maxLocal bounds a file beside a definition, in bytes.
const maxLocal = 4 << 30

// readFiles reads what the definition names beside itself: certificates and
// the sources of contents, folders with all that is in them.
func (s *step) readFiles() error {
	s.files = map[string][]byte{}
	s.Sums = spec.Sums{}
	add := func(name string) error {
		clean := path.Clean(filepath.ToSlash(name))
		if s.dir == nil || !fs.ValidPath(clean) {
			return fmt.Errorf("image %s: %s: expected a path below the definition's folder", s.Name, name)
		}
		return fs.WalkDir(s.dir, clean, func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := fs.Stat(s.dir, p)
			if err != nil {
				return err
			}
			if !info.Mode().IsRegular() || info.Size() > maxLocal {
				return fmt.Errorf("%s: expected a regular file of at most %d bytes", p, int64(maxLocal))
			}
			data, err := fs.ReadFile(s.dir, p)
			if err != nil {
				return err
			}
			sum := sha256.Sum256(data)
			s.files[p] = data
			s.Sums[p] = hex.EncodeToString(sum[:])
			if info.Mode()&0o111 != 0 {
				s.Sums[p] += " executable"
			}
			return nil
		})
	}
	for _, c := range s.Sect.Certificates {
		if err := add(c); err != nil {
			return fmt.Errorf("image %s: certificates: %w", s.Name, err)
		}
	}
	for _, a := range s.Sect.Archives {
		if err := add(a.Key); err != nil {
			return fmt.Errorf("image %s: archives: %w", s.Name, err)
		}
	}
	for _, c := range s.Sect.Contents {
		if c.Source == "" {
			continue
		}
		if err := add(c.Source); err != nil {
			return fmt.Errorf("image %s: contents: %w", s.Name, err)
		}
	}
	return nil
}

// archs returns the architectures of an image in a distro: those that the
// nearest definition of its chain names, else the distro's.
func archs(chain []*step, d *spec.Distro) ([]string, error) {
	for _, s := range slices.Backward(chain) {
		if len(s.Sect.Archs) == 0 {
			continue
		}
		var out []string
		for _, a := range s.Sect.Archs {
			p, err := spec.ParseArch(a)
			if err != nil {
				return nil, fmt.Errorf("image %s: archs: %w", s.Name, err)
			}
			out = append(out, p.Debian)
		}
		return out, nil
	}
	return d.Archs(), nil
}

// Relatives lists the images whose names differ from name's in the version at
// the end alone, sorted, that are built for a distro and an architecture, by
// Debian's name. debianOnly leaves out those with anything that is not Debian's.
func (c *Catalog) Relatives(name, distro, arch string, debianOnly bool) []string {
	family := func(s string) string { return strings.TrimRight(s, "0123456789.") }
	var out []string
	for _, other := range c.Names() {
		if other == name || family(other) != family(name) {
			continue
		}
		chain, err := c.chain(other, distro)
		if err != nil || debianOnly && slices.ContainsFunc(chain, func(s *step) bool { return len(s.Sect.Upstream) > 0 }) {
			continue // not for this distro
		}
		if built, err := archs(chain, c.Distros.Distros[distro]); err == nil && slices.Contains(built, arch) {
			out = append(out, other)
		}
	}
	return out
}

// DistroNames lists the distros, sorted.
func (c *Catalog) DistroNames() []string { return slices.Sorted(maps.Keys(c.Distros.Distros)) }

// MachineArch is the architecture that the program runs on, by OCI's name.
func MachineArch() string { return runtime.GOARCH }
