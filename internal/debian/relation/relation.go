// Package relation reads the fields in which Debian packages name each other:
// Depends, Pre-Depends, Conflicts, Breaks, Provides and their like. See
// deb-control(5) and Debian Policy, section 7.1.
//
// [Parse] turns a field into groups of alternatives; [Relation.Matches] holds
// a version against one of them, [Relation.AppliesTo] an architecture. Which
// package satisfies a relation is decided in package resolve.
package relation

import (
	"strings"

	"distroless/internal/debian/version"
)

// Relation names a package and maybe which of its versions.
type Relation struct {
	Name      string   // a package, real or virtual
	Qualifier string   // after the colon: "any", "native", an architecture, or ""
	Op        string   // "<<", "<=", "=", ">=", ">>", or "" for any version
	Version   string   // "" exactly if Op is
	Archs     []string // from [...]: architectures or wildcards, either all of them with "!" before it or none
}

// Group is alternatives, one of which is enough, the preferred ones first.
type Group []Relation

// Matches reports whether a package of that version is meant. It looks at
// neither name nor architecture.
func (r Relation) Matches(v string) bool {
	if r.Op == "" {
		return true
	}
	c := version.Compare(v, r.Version)
	switch r.Op {
	case "<<":
		return c < 0
	case "<=":
		return c <= 0
	case "=":
		return c == 0
	case ">=":
		return c >= 0
	case ">>":
		return c > 0
	}
	return false
}

// String writes the relation as control files do: "name:any (>= 1.0) [amd64]".
func (r Relation) String() string {
	if r.Qualifier == "" && r.Op == "" && len(r.Archs) == 0 {
		return r.Name
	}
	var b strings.Builder
	b.WriteString(r.Name)
	if r.Qualifier != "" {
		b.WriteString(":" + r.Qualifier)
	}
	if r.Op != "" {
		b.WriteString(" (" + r.Op + " " + r.Version + ")")
	}
	if len(r.Archs) > 0 {
		b.WriteString(" [" + strings.Join(r.Archs, " ") + "]")
	}
	return b.String()
}

// String writes the alternatives with " | " between them.
func (g Group) String() string {
	if len(g) == 1 {
		return g[0].String()
	}
	texts := make([]string, len(g))
	for i, r := range g {
		texts[i] = r.String()
	}
	return strings.Join(texts, " | ")
}

// AppliesTo reports whether the restriction in brackets admits arch, a Debian
// architecture such as "amd64". A relation without one applies to all.
func (r Relation) AppliesTo(arch string) bool {
	if len(r.Archs) == 0 {
		return true
	}
	for _, a := range r.Archs {
		pattern, negated := strings.CutPrefix(a, "!")
		if archMatches(pattern, arch) {
			return !negated
		}
	}
	return r.Archs[0][0] == '!'
}

// ForArch returns the alternatives that apply to arch, without brackets; none
// if the whole group is for others.
func (g Group) ForArch(arch string) Group {
	restricted := false
	for i := range g {
		restricted = restricted || len(g[i].Archs) > 0
	}
	if !restricted {
		return g
	}
	var out Group
	for _, r := range g {
		if r.AppliesTo(arch) {
			r.Archs = nil
			out = append(out, r)
		}
	}
	return out
}

// archMatches holds an architecture against a name or a wildcard: "any",
// "linux-any", "any-arm". See dpkg-architecture(1).
func archMatches(pattern, arch string) bool {
	if pattern == arch || pattern == "any" {
		return true
	}
	patternOS, patternCPU, ok := strings.Cut(pattern, "-")
	if !ok {
		return false
	}
	os, cpu, ok := strings.Cut(arch, "-")
	if !ok {
		os, cpu = "linux", arch
	}
	if cpu == "armhf" || cpu == "armel" {
		if patternCPU == "arm" {
			cpu = "arm"
		}
	}
	return (patternOS == "any" || patternOS == os) && (patternCPU == "any" || patternCPU == cpu)
}
