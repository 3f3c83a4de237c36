package rootfs

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Slice is one set of path rules: see the definition's `slices`.
type Slice struct {
	Package        string // "" for every package
	Drop, Keep     []string
	KeepReferenced []string
	Move           map[string]string
}

// slicer answers, for one package, what happens to its paths.
type slicer struct {
	rules []compiledSlice
	moves map[string]string
}

type compiledSlice struct {
	drop, keep, referenced []pattern
}

// slicerFor gathers the rules that speak of a package.
func slicerFor(rules []Slice, pkg string) *slicer {
	s := &slicer{moves: map[string]string{}}
	for _, r := range rules {
		if r.Package != "" && r.Package != pkg {
			continue
		}
		s.rules = append(s.rules, compiledSlice{
			drop: compileAll(r.Drop), keep: compileAll(r.Keep), referenced: compileAll(r.KeepReferenced),
		})
		for from, to := range r.Move {
			s.moves[from] = to
		}
	}
	return s
}

// verdict is what the rules say of a path.
type verdict uint8

const (
	kept verdict = iota
	dropped
	keptWhenReferenced
)

// judge returns the verdict of the last rule that speaks of p. Within a rule,
// keep beats drop.
func (s *slicer) judge(p string) verdict {
	for i := len(s.rules) - 1; i >= 0; i-- {
		r := &s.rules[i]
		switch {
		case matchAny(r.keep, p):
			return kept
		case matchAny(r.referenced, p):
			return keptWhenReferenced
		case matchAny(r.drop, p):
			return dropped
		}
	}
	return kept
}

// pattern is a glob over whole paths, split at the slashes.
type pattern []string

func compileAll(globs []string) []pattern {
	out := make([]pattern, len(globs))
	for i, g := range globs {
		out[i] = strings.Split(strings.TrimPrefix(g, "/"), "/")
	}
	return out
}

func matchAny(ps []pattern, p string) bool {
	return slices.ContainsFunc(ps, func(g pattern) bool { return g.match(p) })
}

// match reports whether the pattern matches a clean absolute path. "**" stands
// for any number of names, at the end for at least one.
func (g pattern) match(p string) bool {
	return matchNames(g, strings.TrimPrefix(p, "/"))
}

func matchNames(g []string, rest string) bool {
	for i, want := range g {
		if want == "**" {
			if i == len(g)-1 {
				return rest != ""
			}
			for {
				if matchNames(g[i+1:], rest) {
					return true
				}
				_, next, ok := strings.Cut(rest, "/")
				if !ok {
					return false
				}
				rest = next
			}
		}
		name, next, more := strings.Cut(rest, "/")
		if name == "" {
			return false
		}
		if want != "*" && want != name {
			if ok, err := path.Match(want, name); err != nil || !ok {
				return false
			}
		}
		if i == len(g)-1 {
			return !more
		}
		if !more {
			return false
		}
		rest = next
	}
	return false
}

// Match reports whether a pattern of a definition matches a path.
func Match(glob, p string) bool { return compileAll([]string{glob})[0].match(p) }

// sliced is a package after slicing: its entries under the paths they have in
// the image.
type sliced struct {
	*Listing
	entries    []Entry
	referenced []Entry           // dropped unless a copyright file names them
	moved      map[string]string // package path to image path, where they differ
	links      map[string]string // hard links to the package's file that each names
}

// slicePackage applies rules and the merged-usr mapping to one package.
func slicePackage(l *Listing, rules []Slice, merged bool) (*sliced, error) {
	s := slicerFor(rules, l.Package)
	out := &sliced{Listing: l, moved: map[string]string{}}
	dirs := map[string]bool{}    // directories that go unless something in them stays
	targets := map[string]bool{} // files not kept, which hard links may need
	at := map[string]string{}    // where a rule moved files to
	for i := range l.Entries {
		e := l.Entries[i]
		e.Owner = l.Package
		if merged {
			if usrLink(&e) {
				continue
			}
			mapUsr(&e)
		}
		v := s.judge(e.Path)
		if e.Kind == Dir && v != kept {
			dirs[e.Path] = true
			out.entries = append(out.entries, e) // with its mode, should it be needed
			continue
		}
		if v == dropped {
			parents(e.Path, func(d string) { dirs[d] = true })
			targets[e.Path] = true
			continue
		}
		if to, ok := s.moves[e.Path]; ok {
			out.moved[l.Entries[i].Path] = to
			at[e.Path] = to
			parents(e.Path, func(d string) { dirs[d] = true })
			e.Path = to
		} else if e.Path != l.Entries[i].Path {
			out.moved[l.Entries[i].Path] = e.Path
		}
		if v == keptWhenReferenced {
			parents(e.Path, func(d string) { dirs[d] = true })
			targets[e.Path] = true
			if e.Kind == Hardlink && !e.become(findFile(l, e.Target, merged)) {
				return nil, linkError(l, &e)
			}
			out.referenced = append(out.referenced, e)
			continue
		}
		out.entries = append(out.entries, e)
	}
	if err := out.promoteLinks(l, targets, at, merged); err != nil {
		return nil, err
	}
	out.entries = pruneDirs(out.entries, dirs)
	return out, nil
}

// promoteLinks turns the first hard link to a dropped file into the file, and
// points the others at it.
func (s *sliced) promoteLinks(l *Listing, gone map[string]bool, moved map[string]string, merged bool) error {
	at := map[string]string{} // dropped target to the path that now holds the file
	s.links = map[string]string{}
	for i := range s.entries {
		e := &s.entries[i]
		if e.Kind != Hardlink {
			continue
		}
		s.links[e.Path] = e.Target
		if to, ok := moved[e.Target]; ok {
			e.Target = to
			continue
		}
		if !gone[e.Target] {
			continue
		}
		if first, ok := at[e.Target]; ok {
			e.Target = first
			continue
		}
		target := e.Target
		if !e.become(findFile(l, target, merged)) {
			return linkError(l, e)
		}
		at[target] = e.Path
	}
	return nil
}

// become turns a hard link into the file that it names.
func (e *Entry) become(file *Entry) bool {
	if file == nil {
		return false
	}
	c := *file
	c.Path, c.Owner, c.Group = e.Path, e.Owner, e.Group
	*e = c
	return true
}

func linkError(l *Listing, e *Entry) error {
	return fmt.Errorf("package %s: hard link %s: no file %s in the package", l.Package, e.Path, e.Target)
}

func findFile(l *Listing, p string, merged bool) *Entry {
	for i := range l.Entries {
		e := l.Entries[i]
		if merged {
			mapUsr(&e)
		}
		if e.Kind == File && e.Path == p {
			return &e
		}
	}
	return nil
}

// pruneDirs removes the directories that a slice has emptied.
func pruneDirs(entries []Entry, emptied map[string]bool) []Entry {
	needed := map[string]bool{}
	for i := range entries {
		e := &entries[i]
		if e.Kind != Dir || !emptied[e.Path] {
			parents(e.Path, func(d string) { needed[d] = true })
		}
	}
	return slices.DeleteFunc(entries, func(e Entry) bool {
		return e.Kind == Dir && e.Path != "/" && emptied[e.Path] && !needed[e.Path]
	})
}

// topLinks are the directories at the root that merged-usr makes links into
// /usr. See hier(7) and Debian's UsrMerge.
var topLinks = [...]string{"/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32", "/libo32"}

// usrLink reports whether e is a package's own directory at the place of a
// merged-usr link: it must not replace the link.
func usrLink(e *Entry) bool {
	return e.Kind == Dir && slices.Contains(topLinks[:], e.Path)
}

// underUsr maps a path through the merged-usr links.
func underUsr(p string) string {
	for _, d := range topLinks {
		if len(p) > len(d) && p[len(d)] == '/' && strings.HasPrefix(p, d) {
			return "/usr" + p
		}
	}
	return p
}

// mapUsr moves an entry below /usr where merged-usr has it. The target of a
// relative symbolic link that moved is written anew, since it is one folder
// deeper now; so is that of a hard link.
func mapUsr(e *Entry) {
	to := underUsr(e.Path)
	if e.Kind == Hardlink {
		e.Target = underUsr(e.Target)
	}
	if to == e.Path {
		return
	}
	if e.Kind == Symlink && !strings.HasPrefix(e.Target, "/") {
		e.Target = relative(path.Dir(to), underUsr(resolveLink(e.Path, e.Target)))
	}
	e.Path = to
}

// relative is the target of a symbolic link in dir that names p; both are
// clean and absolute.
func relative(dir, p string) string {
	a, b := strings.Split(strings.Trim(dir, "/"), "/"), strings.Split(strings.Trim(p, "/"), "/")
	if dir == "/" {
		a = nil
	}
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	up := strings.Repeat("../", len(a)-n) + strings.Join(b[n:], "/")
	if up = strings.TrimSuffix(up, "/"); up == "" {
		return "."
	}
	return up
}

// Wanted returns a function that says, of a path in a package, whether the
// image may need the file's bytes: because the rules keep it, or because a
// generator reads it. See [Unpack].
func Wanted(rules []Slice, pkg string, merged bool) func(p string) bool {
	s := slicerFor(rules, pkg)
	return func(p string) bool {
		if merged {
			p = underUsr(p)
		}
		return s.judge(p) != dropped || strings.HasPrefix(p, certsDir)
	}
}
