// Package upstream finds and reads archives that are not Debian's: packages of
// an npm registry and plain tarballs. It brings bytes that a lock has fixed and
// says what there is to fix; it knows nothing of images.
//
//   - [Registry] finds a version of an npm package, with the digest that the
//     registry states; start reading there.
//   - [NpmConfig] says where the machine's registry is, as the npm client would.
//   - [Extract] reads the files of a tarball that a path map names.
//
// No address is written here: it comes from the definition or from the
// machine's own npm configuration.
package upstream

import (
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"

	"distroless/internal/fetch"
)

// maxDocument bounds a registry's answer about one package, in bytes.
const maxDocument = 64 << 20

// Registry is an npm registry.
type Registry struct {
	Address string // "https://registry.example.org/"; the npm package name is put behind it
	Fetch   *fetch.Client
}

// Release is one version of a package as a registry offers it.
type Release struct {
	Package   string
	Version   string
	Path      string // of the tarball, below the registry's address
	Integrity string // Subresource Integrity: "sha512-<base64>"
}

// Find returns the newest version that a constraint admits: "" for the newest
// release of all, "22" or "22.23" for the newest of that line, a whole version
// for that one. Pre-releases count only where they are named whole.
func (r *Registry) Find(ctx context.Context, name, constraint string) (*Release, error) {
	base, err := r.base()
	if err != nil {
		return nil, fmt.Errorf("find npm package %s: %w", name, err)
	}
	if err := validName(name); err != nil {
		return nil, err
	}
	resp, err := r.Fetch.GetUnpinned(ctx, base+strings.ReplaceAll(url.PathEscape(name), "%40", "@"), maxDocument)
	if err != nil {
		return nil, fmt.Errorf("find npm package %s: %w", name, err)
	}
	var doc struct {
		Versions map[string]struct {
			Dist struct {
				Tarball   string `json:"tarball"`
				Integrity string `json:"integrity"`
			} `json:"dist"`
		} `json:"versions"`
	}
	if err := json.Unmarshal(resp.Data, &doc); err != nil {
		return nil, fmt.Errorf("find npm package %s: the registry's answer: %w", name, err)
	}
	best := ""
	for v := range doc.Versions {
		if admits(constraint, v) && (best == "" || newer(v, best)) {
			best = v
		}
	}
	if best == "" {
		return nil, fmt.Errorf("find npm package %s: no version fits %q among %d", name, constraint, len(doc.Versions))
	}
	dist := doc.Versions[best].Dist
	at, err := url.Parse(dist.Tarball)
	if err != nil || at.Path == "" {
		return nil, fmt.Errorf("find npm package %s %s: the registry gives no tarball", name, best)
	}
	if _, err := checksum(dist.Integrity); err != nil {
		return nil, fmt.Errorf("find npm package %s %s: %w", name, best, err)
	}
	// Only the path counts: a mirror's documents often name the host of the
	// registry that it mirrors.
	p := strings.TrimPrefix(path.Clean(at.Path), "/")
	if root, err := url.Parse(base); err == nil {
		p = strings.TrimPrefix(p, strings.TrimPrefix(root.Path, "/"))
	}
	return &Release{Package: name, Version: best, Path: p, Integrity: dist.Integrity}, nil
}

// Get returns a release's tarball, checked against its integrity.
func (r *Registry) Get(ctx context.Context, rel *Release, most int64) ([]byte, error) {
	base, err := r.base()
	if err != nil {
		return nil, err
	}
	resp, err := r.Fetch.GetUnpinned(ctx, base+rel.Path, most)
	if err != nil {
		return nil, fmt.Errorf("fetch npm package %s %s: %w", rel.Package, rel.Version, err)
	}
	want, err := checksum(rel.Integrity)
	if err != nil {
		return nil, err
	}
	if got := sha512.Sum512(resp.Data); got != want {
		return nil, fmt.Errorf("fetch npm package %s %s: sha512 %x…, the registry says %x…: try again, or another registry", rel.Package, rel.Version, got[:8], want[:8])
	}
	return resp.Data, nil
}

// URL is where a release's path lies in the registry.
func (r *Registry) URL(p string) (string, error) {
	base, err := r.base()
	return base + p, err
}

// ErrNoRegistry is in errors where neither the definition nor the machine names
// an npm registry.
var ErrNoRegistry = errors.New("no npm registry is known: set one with NPM_CONFIG_REGISTRY, npm config set registry, or `registry` in the definition")

func (r *Registry) base() (string, error) {
	if r.Address == "" {
		return "", ErrNoRegistry
	}
	u, err := url.Parse(r.Address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", errors.New("the npm registry's address does not parse: expected https://host/")
	}
	return strings.TrimSuffix(r.Address, "/") + "/", nil
}

// checksum reads an integrity string; sha512 is what npm has written since 2017.
func checksum(integrity string) (sum [sha512.Size]byte, err error) {
	for _, f := range strings.Fields(integrity) {
		text, ok := strings.CutPrefix(f, "sha512-")
		if !ok {
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(raw) != sha512.Size {
			return sum, fmt.Errorf("integrity %q: not a sha512", integrity)
		}
		return [sha512.Size]byte(raw), nil
	}
	return sum, fmt.Errorf("integrity %q: no sha512 in it", integrity)
}

func validName(name string) error {
	scope, rest, scoped := strings.Cut(name, "/")
	if !scoped {
		rest, scope = scope, "@"
	}
	ok := rest != "" && rest[0] != '.' && strings.HasPrefix(scope, "@")
	for _, c := range rest + scope[1:] {
		ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.ContainsRune("-_.", c))
	}
	if !ok {
		return fmt.Errorf("npm package %q: not a package's name", name)
	}
	return nil
}

// admits reports whether a version is the constraint or of its line.
func admits(constraint, v string) bool {
	if v == constraint {
		return true
	}
	if strings.ContainsAny(v, "-+") {
		return false
	}
	return constraint == "" || strings.HasPrefix(v, constraint+".")
}

// newer compares versions of three numbers: semver.org, 11.
func newer(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		m, errM := strconv.Atoi(x[i])
		n, errN := strconv.Atoi(y[i])
		if errM != nil || errN != nil {
			return a > b
		}
		if m != n {
			return m > n
		}
	}
	return len(x) > len(y)
}
