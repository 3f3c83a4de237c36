// Package provenance says where an image came from: an in-toto statement with
// a SLSA predicate that names the definitions, the lock, the state of the
// archive and every .deb; and the [Recipe], which is all that it takes to build
// the image again. Both are the same bytes for the same input.
//
// It signs nothing. Start with [Build] and [Statement].
package provenance

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"distroless/internal/plan/lock"
	"distroless/internal/trust/sbom"
)

const (
	// StatementType is the type of an in-toto statement, version 1.
	StatementType = "https://in-toto.io/Statement/v1"
	// PredicateType is that of SLSA's provenance, version 1.
	PredicateType = "https://slsa.dev/provenance/v1"
	// PayloadType is the media type of an in-toto statement.
	PayloadType = "application/vnd.in-toto+json"
	// BuildType names how external and internal parameters are to be read.
	BuildType = "urn:distroless:build:v1"
	// DefaultBuilder is the builder's identity where the caller names none: a
	// build on somebody's machine.
	DefaultBuilder = "urn:distroless:builder:local"
)

// Statement is an in-toto statement: see its specification, version 1.
type Statement struct {
	Type          string          `json:"_type"`
	Subject       []Resource      `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

// Resource is a resource descriptor of in-toto.
type Resource struct {
	Name        string            `json:"name,omitempty"`
	URI         string            `json:"uri,omitempty"`
	Digest      map[string]string `json:"digest,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// SHA256 is the resource's digest as "sha256:<hex>", or "".
func (r *Resource) SHA256() string {
	if h := r.Digest["sha256"]; h != "" {
		return "sha256:" + h
	}
	return ""
}

// Predicate is SLSA's provenance, version 1.
type Predicate struct {
	BuildDefinition Definition `json:"buildDefinition"`
	RunDetails      Details    `json:"runDetails"`
}

// Definition is what was asked for and what it was made of.
type Definition struct {
	BuildType            string     `json:"buildType"`
	ExternalParameters   External   `json:"externalParameters"`
	InternalParameters   Internal   `json:"internalParameters"`
	ResolvedDependencies []Resource `json:"resolvedDependencies"`
}

// External are the parameters that the user gave.
type External struct {
	Image       string   `json:"image"`
	Distro      string   `json:"distro"`
	Variant     string   `json:"variant"`
	Archs       []string `json:"archs"`
	Compression string   `json:"compression"`
}

// Internal are the parameters that the build found.
type Internal struct {
	// Cells are the lock's cells by name, each with the digest of its content
	// and of the effective definition that it was locked for.
	Cells map[string]Cell `json:"cells"`
}

// Cell identifies a cell of the lock.
type Cell struct {
	Digest     string `json:"digest"`
	Definition string `json:"definition"`
}

// Details say who built, and what came of it besides the image.
type Details struct {
	Builder    Builder    `json:"builder"`
	Byproducts []Resource `json:"byproducts,omitempty"`
}

// Builder is who built.
type Builder struct {
	ID      string            `json:"id"`
	Version map[string]string `json:"version,omitempty"`
}

// Input is what a build knows of an image.
type Input struct {
	Name    string // of the image: "base-debian13"
	Digest  string // of the manifest or index, "sha256:<hex>"
	Recipe  *Recipe
	Lock    *lock.Lock // the recipe's
	Distro  string     // as purls have it: "debian-13"
	Version string     // of the program
	Builder string     // who built, a URI; "" is [DefaultBuilder]
	// Byproducts are the documents attached to the image: the SHA-256 digests,
	// hex, of SBOMs by their media type. They stand in the provenance, so that its
	// signature covers the documents.
	Byproducts map[string]string
}

// Build makes the provenance of an image or an index.
func Build(in Input) (*Statement, error) {
	internal := Internal{Cells: map[string]Cell{}}
	for _, k := range in.Lock.Keys() {
		c := in.Lock.Cells[k]
		internal.Cells[k.String()] = Cell{Digest: c.Digest(), Definition: c.Definition}
	}
	deps, err := materials(&in)
	if err != nil {
		return nil, err
	}
	p := Predicate{
		BuildDefinition: Definition{
			BuildType:            BuildType,
			ExternalParameters:   External{in.Recipe.Image, in.Recipe.Distro, in.Recipe.Variant, in.Recipe.Archs, in.Recipe.Compression},
			InternalParameters:   internal,
			ResolvedDependencies: deps,
		},
		RunDetails: Details{Builder: Builder{ID: DefaultBuilder}},
	}
	if in.Builder != "" {
		p.RunDetails.Builder.ID = in.Builder
	}
	if in.Version != "" {
		p.RunDetails.Builder.Version = map[string]string{"distroless": in.Version}
	}
	for _, t := range slices.Sorted(maps.Keys(in.Byproducts)) {
		p.RunDetails.Byproducts = append(p.RunDetails.Byproducts, Resource{Name: t, Digest: map[string]string{"sha256": in.Byproducts[t]}})
	}
	return NewStatement(in.Name, in.Digest, PredicateType, p)
}

// NewStatement makes a statement about an image.
func NewStatement(name, imageDigest, predicateType string, predicate any) (*Statement, error) {
	algorithm, hex, ok := strings.Cut(imageDigest, ":")
	if !ok {
		return nil, fmt.Errorf("state %s: digest %q", predicateType, imageDigest)
	}
	raw, ok := predicate.(json.RawMessage)
	if !ok {
		var err error
		if raw, err = marshal(predicate); err != nil {
			return nil, fmt.Errorf("state %s: %w", predicateType, err)
		}
	}
	return &Statement{
		Type: StatementType, PredicateType: predicateType, Predicate: raw,
		Subject: []Resource{{Name: name, Digest: map[string]string{algorithm: hex}}},
	}, nil
}

// Bytes is the statement as it is signed.
func (s *Statement) Bytes() ([]byte, error) { return marshal(s) }

// ParseStatement reads a statement.
func ParseStatement(data []byte) (*Statement, error) {
	s := new(Statement)
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("read statement: %w", err)
	}
	if !strings.HasPrefix(s.Type, "https://in-toto.io/Statement/") {
		return nil, fmt.Errorf("read statement: type %q, expected %s", s.Type, StatementType)
	}
	return s, nil
}

// About reports whether an image is among the statement's subjects.
func (s *Statement) About(imageDigest string) bool {
	return slices.ContainsFunc(s.Subject, func(r Resource) bool { return r.SHA256() == imageDigest })
}

// Provenance reads the predicate of a SLSA statement.
func (s *Statement) Provenance() (*Predicate, error) {
	if s.PredicateType != PredicateType {
		return nil, fmt.Errorf("read provenance: predicate type %q, expected %s", s.PredicateType, PredicateType)
	}
	p := new(Predicate)
	if err := json.Unmarshal(s.Predicate, p); err != nil {
		return nil, fmt.Errorf("read provenance: %w", err)
	}
	return p, nil
}

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

func digest(data []byte) map[string]string {
	sum := sha256.Sum256(data)
	return map[string]string{"sha256": hex.EncodeToString(sum[:])}
}

// materials are everything that the image was made of: the definitions and the
// lock, the archive's state, the packages.
func materials(in *Input) ([]Resource, error) {
	out := []Resource{{Name: "lock", Digest: digest(in.Recipe.Bytes()), Annotations: map[string]string{"mediaType": RecipeType}}}
	for _, name := range slices.Sorted(maps.Keys(in.Recipe.Definitions)) {
		out = append(out, Resource{Name: "definition " + name, Digest: digest([]byte(in.Recipe.Definitions[name]))})
	}
	for _, name := range slices.Sorted(maps.Keys(in.Recipe.Files)) {
		out = append(out, Resource{Name: "file " + name, Digest: digest(in.Recipe.Files[name].Data)})
	}
	out = append(out, suites(in.Lock)...)
	debs := map[string]Resource{}
	for _, a := range in.Recipe.Archs {
		k := lock.Key{Image: in.Recipe.Image, Distro: in.Recipe.Distro, Arch: a}
		packages, err := Packages(in.Lock, k, strings.HasPrefix(in.Recipe.Variant, "debug"))
		if err != nil {
			return nil, err
		}
		for _, p := range packages {
			debs[p.File()+p.SHA256] = Resource{
				Name: p.File(), URI: sbom.PURL(p.Name, p.Version, p.Arch, p.SourceName(), p.SourceVer(), in.Distro),
				Digest:      map[string]string{"sha256": p.SHA256},
				Annotations: map[string]string{"package": p.Name, "version": p.Version, "suite": p.Suite},
			}
		}
		upstream(in.Lock, k, debs)
	}
	for _, k := range slices.Sorted(maps.Keys(debs)) {
		out = append(out, debs[k])
	}
	return out, nil
}

// upstream adds the archives of a chain that are not Debian's.
func upstream(l *lock.Lock, k lock.Key, out map[string]Resource) {
	chain, err := Chain(l, k)
	if err != nil {
		return // [Packages] has said so
	}
	for _, k := range chain {
		for _, u := range l.Cells[k].Upstream {
			out[u.Name+u.SHA256] = Resource{
				Name: u.Name, URI: u.Purl, Digest: map[string]string{"sha256": u.SHA256},
				Annotations: map[string]string{"version": u.Version},
			}
		}
	}
}

// suites are the states of the archive that the packages were chosen from: the
// signed Release files.
func suites(l *lock.Lock) []Resource {
	by := map[string]Resource{}
	for _, c := range l.Cells {
		for _, s := range c.Archive {
			by[s.Suite+s.Release] = Resource{
				Name: "Release of " + s.Suite, URI: "urn:debian:suite:" + s.Suite, Digest: map[string]string{"sha256": s.Release},
				Annotations: map[string]string{"date": s.Date.UTC().Format(time.RFC3339), "keyring": s.Keyring},
			}
		}
	}
	var out []Resource
	for _, k := range slices.Sorted(maps.Keys(by)) {
		out = append(out, by[k])
	}
	return out
}
