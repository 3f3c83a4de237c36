package closure

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The names of the checks, as findings and waivers hold them.
const (
	Library      = "library"      // a needed library is not found
	Version      = "version"      // a needed symbol version is not defined
	Loader       = "loader"       // a program's ELF interpreter is not there
	Architecture = "architecture" // a program is made for another machine
	Damaged      = "damaged"      // an ELF file cannot be read
	Interpreter  = "interpreter"  // a script's interpreter is not there
	Link         = "link"         // a link leads to nothing
	SetID        = "set-id"       // a file runs with its owner's rights
	MergedUsr    = "merged-usr"   // a top directory is not a link into /usr
	Owner        = "owner"        // nobody says where a file came from
	Parent       = "parent"       // a path lies in no directory
)

// Options say what the tree is meant to be. The zero value checks everything
// and allows nothing.
type Options struct {
	// Arch is Debian's name of the image's architecture. Libraries for
	// machines that cannot run there are not looked at. "" looks at all.
	Arch string
	// MergedUsr says that /bin, /sbin and /lib* must be links into /usr.
	MergedUsr bool
	// AllowSetID lists patterns of the files that may have set-id bits.
	AllowSetID []string
	// Cache is what the tree's /etc/ld.so.cache holds: the paths for each
	// name, in its order. Without it ld.so finds nothing outside its default
	// directories, whatever /etc/ld.so.conf says. See package ldcache.
	Cache map[string][]string
	// LibraryPath is the image's LD_LIBRARY_PATH, divided at the colons.
	LibraryPath []string
	// Path is the image's PATH, divided at the colons, where /usr/bin/env
	// looks for interpreters; nil for the usual one.
	Path []string
	// Exempt lists places, beyond /proc, /sys, /dev and /run, that links may
	// lead to though nothing is there yet.
	Exempt []Exemption
	// Waivers are the findings that the definition accepts.
	Waivers []Waiver
}

// Exemption is a place that is filled when the image runs: a volume, say.
type Exemption struct {
	Path   string // the place itself; everything below counts too
	Reason string
}

// Waiver accepts findings. A pattern is a path in which "*" stands for any
// part of a name, "?" for one character and "**" for any number of names.
type Waiver struct {
	Check  string // one of the names above, or "" for each
	Path   string // pattern of the finding's path, or "" for each
	Wants  string // pattern of what is missing, or "" for anything
	Reason string
}

// Finding is one thing that is wrong.
type Finding struct {
	Check string // one of the names above
	Path  string // of the file that is at fault
	Owner string // its package or generator
	Wants string // what it asks for in vain: a library, a version, a path; else ""
	// Message is the fact and what to do about it.
	Message string
}

func (f Finding) String() string {
	if f.Owner == "" {
		return fmt.Sprintf("%s: %s", f.Path, f.Message)
	}
	return fmt.Sprintf("%s (%s): %s", f.Path, f.Owner, f.Message)
}

// Waived is a finding with the waiver that accepts it.
type Waived struct {
	Finding
	Waiver Waiver
}

// Result is what [Check] found.
type Result struct {
	Findings []Finding // by path, check and want
	Waived   []Waived  // in the same order
	// Unused are the waivers that matched nothing. That is no fault where a
	// definition serves several architectures.
	Unused []Waiver
}

// maxListed bounds the findings that an error spells out.
const maxListed = 20

// Err is an error that lists the findings, nil if there are none.
func (r *Result) Err() error {
	if len(r.Findings) == 0 {
		return nil
	}
	var b strings.Builder
	b.WriteString("check the tree: 1 finding")
	if n := len(r.Findings); n > 1 {
		b.Reset()
		fmt.Fprintf(&b, "check the tree: %d findings", n)
	}
	for i, f := range r.Findings {
		if i == maxListed {
			fmt.Fprintf(&b, "\n  and %d more", len(r.Findings)-i)
			break
		}
		fmt.Fprintf(&b, "\n  [%s] %s", f.Check, f)
	}
	return errors.New(b.String())
}

// Check looks at every node of a tree. An error means that the tree could not
// be read or that an option is wrong; what is wrong with the tree is in the
// result.
func Check(t Tree, o Options) (*Result, error) {
	for _, w := range o.Waivers {
		if w.Reason == "" {
			return nil, fmt.Errorf("check the tree: the waiver of %q for %q has no reason: say why the finding may stand", w.Check, w.Path)
		}
	}
	for _, e := range o.Exempt {
		if e.Reason == "" {
			return nil, fmt.Errorf("check the tree: the exemption of %q has no reason: say who fills that place", e.Path)
		}
	}
	c := &checker{tree: t, opts: o, seen: map[Finding]bool{}, known: map[string]resolved{}}
	if err := t.Walk(func(n Node) error { c.nodes = append(c.nodes, n); return nil }); err != nil {
		return nil, fmt.Errorf("check the tree: %w", err)
	}
	for i := range c.nodes {
		n := &c.nodes[i]
		c.checkPlace(n)
		c.checkLink(n)
		c.checkScript(n)
		c.checkProgram(n)
	}
	c.checkLibraries()
	return c.result(), nil
}

// checker gathers findings.
type checker struct {
	tree     Tree
	opts     Options
	nodes    []Node
	findings []Finding
	seen     map[Finding]bool // without their messages
	known    map[string]resolved
	byName   map[string][]*Node // see libraries
}

// report notes a finding once, whoever meets it first.
func (c *checker) report(check string, n *Node, wants, format string, args ...any) {
	f := Finding{Check: check, Path: n.Path, Owner: n.Owner, Wants: wants}
	if c.seen[f] {
		return
	}
	c.seen[f] = true
	f.Message = fmt.Sprintf(format, args...)
	c.findings = append(c.findings, f)
}

func (c *checker) result() *Result {
	slices.SortFunc(c.findings, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.Check, b.Check), strings.Compare(a.Wants, b.Wants))
	})
	r := &Result{}
	used := make([]bool, len(c.opts.Waivers))
	for _, f := range c.findings {
		i := slices.IndexFunc(c.opts.Waivers, func(w Waiver) bool { return w.covers(f) })
		if i < 0 {
			r.Findings = append(r.Findings, f)
			continue
		}
		used[i] = true
		r.Waived = append(r.Waived, Waived{f, c.opts.Waivers[i]})
	}
	for i, w := range c.opts.Waivers {
		if !used[i] {
			r.Unused = append(r.Unused, w)
		}
	}
	return r
}

func (w Waiver) covers(f Finding) bool {
	return (w.Check == "" || w.Check == f.Check) &&
		(w.Path == "" || match(w.Path, f.Path)) && (w.Wants == "" || match(w.Wants, f.Wants))
}

// match reports whether a pattern matches a whole path.
func match(pattern, p string) bool {
	return matchNames(strings.Split(pattern, "/"), strings.Split(p, "/"))
}

func matchNames(pattern, names []string) bool {
	if len(pattern) == 0 {
		return len(names) == 0
	}
	if pattern[0] == "**" {
		for i := range len(names) + 1 {
			if matchNames(pattern[1:], names[i:]) {
				return true
			}
		}
		return false
	}
	return len(names) > 0 && matchName(pattern[0], names[0]) && matchNames(pattern[1:], names[1:])
}

func matchName(pattern, name string) bool {
	for i := range len(pattern) {
		switch {
		case pattern[i] == '*':
			for j := i; j <= len(name); j++ {
				if matchName(pattern[i+1:], name[j:]) {
					return true
				}
			}
			return false
		case i >= len(name) || pattern[i] != '?' && pattern[i] != name[i]:
			return false
		}
	}
	return len(pattern) == len(name)
}
