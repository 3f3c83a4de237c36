package spec

import (
	"fmt"

	"distroless/internal/yamlstrict"
)

// Distros is the file that describes the distros: `debian13` and so on.
type Distros struct {
	// Default names the distro that is built when none is asked for.
	Default string `yaml:"default"`
	// Distros by name.
	Distros map[string]*Distro `yaml:"distros"`
}

// Distro is a release of Debian, or of another distribution made of .debs.
type Distro struct {
	// Name is the key it stands under: `debian13`.
	Name string `yaml:"-"`
	// Codename is the release's name in the archive: `trixie`.
	Codename string `yaml:"codename"`
	// Version is its number: `13`.
	Version string `yaml:"version"`
	// MergedUsr says that /bin, /sbin and /lib are links into /usr, so that
	// packages' paths are mapped through them.
	MergedUsr bool `yaml:"merged-usr"`
	// Keyring names the embedded keys that sign its archive.
	Keyring string `yaml:"keyring"`
	// Suites that packages come from; each must verify for an architecture to
	// be built.
	Suites []Suite `yaml:"suites"`
}

// Suite is one suite of an archive and what is taken from it.
type Suite struct {
	// Name of the suite, as below dists/: `trixie-security`.
	Name string `yaml:"name"`
	// Archive that holds it: `main` (default) or `security`.
	Archive string `yaml:"archive"`
	// Components to read; default `main`.
	Components []string `yaml:"components"`
	// Archs that need this suite, by Debian's names. An architecture that is
	// in no suite's list cannot be built for the distro.
	Archs []string `yaml:"archs"`
}

// ParseDistros reads the file that describes the distros.
func ParseDistros(file string, data []byte) (*Distros, error) {
	ds := new(Distros)
	if err := yamlstrict.Decode(file, data, definition(), ds, ds.validate); err != nil {
		return nil, err
	}
	return ds, nil
}

func (ds *Distros) validate(c *checker) {
	for name, d := range ds.Distros {
		if d == nil {
			c.Addf(c.Find("distros", name), "distro %s: empty", name)
			continue
		}
		d.Name = name
		if d.Codename == "" || len(d.Suites) == 0 {
			c.Addf(c.Find("distros", name), "distro %s: no `codename` or no `suites`", name)
		}
		for i := range d.Suites {
			s := &d.Suites[i]
			if s.Name == "" || len(s.Archs) == 0 {
				c.Addf(c.Find("distros", name, "suites", fmt.Sprint(i)), "distro %s: suite %d: no `name` or no `archs`", name, i)
			}
			if len(s.Components) == 0 {
				s.Components = []string{"main"}
			}
			if s.Archive == "" {
				s.Archive = "main"
			}
		}
	}
	if _, ok := ds.Distros[ds.Default]; !ok {
		c.Addf(c.Find("default"), "default: %q is not one of the distros", ds.Default)
	}
}

// Archs lists the architectures that the distro's first suite offers, in its
// order.
func (d *Distro) Archs() []string { return d.Suites[0].Archs }

// SuitesFor returns the suites that an architecture needs.
func (d *Distro) SuitesFor(arch string) []Suite {
	var out []Suite
	for _, s := range d.Suites {
		for _, a := range s.Archs {
			if a == arch {
				out = append(out, s)
				break
			}
		}
	}
	return out
}
