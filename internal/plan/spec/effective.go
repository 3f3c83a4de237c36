package spec

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Effective is a definition as it holds for one distro: the common section
// with the distro's own laid over it.
type Effective struct {
	Name   string  `json:"name"`
	From   string  `json:"from,omitempty"`
	Distro string  `json:"distro"`
	Base   string  `json:"base,omitempty"` // digest of the effective definition that it stands on
	Sums   Sums    `json:"sums,omitempty"` // digests of the files beside the definition
	Sect   Section `json:"section"`
}

// Sums maps the files beside a definition (certificates, contents' sources) to
// the sha256 of their bytes, so that a changed file is a changed definition.
type Sums map[string]string

// For returns the section that holds for a distro. An unknown distro is an
// error that lists those the image is defined for.
func (d *Definition) For(distro string) (Section, error) {
	over, ok := d.Distros[distro]
	if !ok {
		return Section{}, fmt.Errorf("image %s: not defined for %s, only for %s", d.Name, distro, strings.Join(d.DistroNames(), ", "))
	}
	return d.Section.with(over), nil
}

// DistroNames lists the distros that the image is defined for, sorted.
func (d *Definition) DistroNames() []string { return slices.Sorted(maps.Keys(d.Distros)) }

// with lays o over s: lists and maps add, single values replace.
func (s Section) with(o *Section) Section {
	r := s
	r.Packages = concat(s.Packages, o.Packages)
	r.Omit = concat(s.Omit, o.Omit)
	r.Archives = concat(s.Archives, o.Archives)
	r.Upstream = concat(s.Upstream, o.Upstream)
	r.Slices = concat(s.Slices, o.Slices)
	r.Scripts = concat(s.Scripts, o.Scripts)
	r.Contents = concat(s.Contents, o.Contents)
	r.Accounts = Accounts{Users: concat(s.Accounts.Users, o.Accounts.Users), Groups: concat(s.Accounts.Groups, o.Accounts.Groups)}
	r.Certificates = concat(s.Certificates, o.Certificates)
	r.Layers = concat(s.Layers, o.Layers)
	r.Allow = concat(s.Allow, o.Allow)
	r.Env = merged(s.Env, o.Env)
	r.Labels = merged(s.Labels, o.Labels)
	if len(o.Archs) > 0 {
		r.Archs = o.Archs
	}
	if o.Entrypoint != nil {
		r.Entrypoint = o.Entrypoint
	}
	if o.Cmd != nil {
		r.Cmd = o.Cmd
	}
	if o.Workdir != "" {
		r.Workdir = o.Workdir
	}
	if o.User != "" {
		r.User = o.User
	}
	if o.Version != "" {
		r.Version = o.Version
	}
	if o.Budget != "" {
		r.Budget = o.Budget
	}
	r.Debug = s.Debug.with(o.Debug)
	return r
}

func (d *Debug) with(o *Debug) *Debug {
	if d == nil || o == nil {
		if d == nil {
			return o
		}
		return d
	}
	r := &Debug{
		Packages: concat(d.Packages, o.Packages),
		Omit:     concat(d.Omit, o.Omit),
		Slices:   concat(d.Slices, o.Slices),
		Scripts:  concat(d.Scripts, o.Scripts),
		Allow:    concat(d.Allow, o.Allow),
		Env:      merged(d.Env, o.Env),
		Path:     concat(d.Path, o.Path),
		Applets:  d.Applets,
		Shell:    d.Shell,
	}
	if o.Applets != "" {
		r.Applets = o.Applets
	}
	if o.Shell != nil {
		r.Shell = o.Shell
	}
	return r
}

// BudgetBytes is the section's budget in bytes, 0 where it has none.
func (s *Section) BudgetBytes() (int64, error) {
	if s.Budget == "" {
		return 0, nil
	}
	number, unit, _ := strings.Cut(s.Budget, " ")
	n, err := strconv.ParseFloat(number, 64)
	factor := map[string]float64{"kB": 1e3, "MB": 1e6}[unit]
	if err != nil || !(n > 0 && n < 1e6) || factor == 0 {
		return 0, fmt.Errorf("budget: %q, expected a number of kB or MB, such as \"19 MB\"", s.Budget)
	}
	return int64(math.Round(n * factor)), nil
}

func concat[T any](a, b []T) []T {
	if len(a)+len(b) == 0 {
		return nil
	}
	return append(append(make([]T, 0, len(a)+len(b)), a...), b...)
}

func merged(a, b map[string]string) map[string]string {
	if len(a)+len(b) == 0 {
		return nil
	}
	m := maps.Clone(a)
	if m == nil {
		m = map[string]string{}
	}
	maps.Copy(m, b)
	return m
}

// Digest is "sha256:" and the hex digest of everything in the definition that
// can change what is locked, the image's files or how it runs. Two definitions
// with the same digest and the same lock give the same layers and configuration;
// the description, of which only annotations tell, is not in it, so that
// correcting its words outdates no lock.
func (e *Effective) Digest() string {
	b, err := json.Marshal(e) // map keys are sorted by encoding/json
	if err != nil {
		panic(fmt.Sprintf("marshal definition %s: %v", e.Name, err)) // strings, numbers and maps of them: cannot happen
	}
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}
