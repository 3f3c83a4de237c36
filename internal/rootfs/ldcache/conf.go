package ldcache

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"distroless/internal/rootfs/closure"
)

// confPath is ldconfig's configuration.
const confPath = "/etc/ld.so.conf"

// Bounds on configurations that include one another: how deep they go, and how
// many there are. ldconfig itself runs out of memory on a circle.
const (
	maxDepth = 20
	maxConfs = 1000
)

// hwcapsDir holds a directory of libraries for each kind of processor.
const hwcapsDir = "glibc-hwcaps"

// directory is one that is searched for libraries.
type directory struct {
	path  string // as it was given; the cache's paths begin with it
	real  string // without links
	hwcap string // of one below glibc-hwcaps
	extra bool   // none that ld.so searches by itself
}

// scanner gathers directories and libraries.
type scanner struct {
	target
	tree     Tree
	children map[string][]string // names in each directory, sorted
	confs    int                 // read so far
	dirs     []directory
	cache    *Cache
}

func newScanner(t Tree, g target) (*scanner, error) {
	s := &scanner{target: g, tree: t, children: map[string][]string{}, cache: &Cache{target: g}}
	err := t.Walk(func(n closure.Node) error {
		if n.Path != "/" {
			dir, name := path.Split(n.Path)
			dir = path.Clean(dir)
			s.children[dir] = append(s.children[dir], name)
		}
		return nil
	})
	for _, names := range s.children {
		slices.Sort(names)
	}
	return s, err
}

// configure reads the configuration, then adds the built-in directories.
func (s *scanner) configure() error {
	if err := s.readConf(confPath, 0); err != nil {
		return err
	}
	for _, d := range s.builtin() {
		s.addDir(d)
	}
	return nil
}

// readConf is parse_conf. A file that is not there is no fault.
func (s *scanner) readConf(p string, depth int) error {
	if s.confs++; depth > maxDepth || s.confs > maxConfs {
		return fmt.Errorf("%s: file %d of the configuration, %d levels deep: take the circle of includes out", p, s.confs, depth)
	}
	n, err := closure.Resolve(s.tree, p)
	if err != nil || n.Kind != closure.File {
		return nil
	}
	text, err := s.tree.Read(n.Path)
	if err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		line, _, _ = strings.Cut(line, "\x00") // the end, for C
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimLeft(line, space)
		switch word, rest, blank := cutBlank(line); {
		case line == "":
		case word == "include" && blank:
			for _, pattern := range strings.FieldsFunc(rest, func(r rune) bool { return r == ' ' || r == '\t' }) {
				if err := s.include(p, pattern, depth); err != nil {
					return err
				}
			}
		case strings.EqualFold(word, "hwcap") && blank: // ignored since 2.33
		default:
			s.addDir(line)
		}
	}
	return nil
}

// space is what C's isspace takes in the C locale.
const space = " \t\n\v\f\r"

// cutBlank divides a line at its first space or tab.
func cutBlank(line string) (word, rest string, found bool) {
	i := strings.IndexAny(line, " \t")
	if i < 0 {
		return line, "", false
	}
	return line[:i], line[i+1:], true
}

// include is parse_conf_include: every file that the pattern names, in the C
// locale's order.
func (s *scanner) include(conf, pattern string, depth int) error {
	if !strings.HasPrefix(pattern, "/") {
		pattern = path.Dir(conf) + "/" + pattern
	}
	names, err := s.glob(pattern)
	if err != nil {
		return fmt.Errorf("%s: include %s: %w: mend the pattern", conf, pattern, err)
	}
	for _, name := range names {
		if err := s.readConf(name, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// glob is glob(3) in the tree. A name that begins with a dot wants a pattern
// that does.
func (s *scanner) glob(pattern string) ([]string, error) {
	found := []string{"/"}
	for part := range strings.SplitSeq(strings.Trim(pattern, "/"), "/") {
		part = strings.ReplaceAll(part, "[!", "[^")
		var next []string
		for _, dir := range found {
			if !strings.ContainsAny(part, `*?[\`) {
				if _, err := closure.Resolve(s.tree, path.Join(dir, part)); err == nil {
					next = append(next, path.Join(dir, part))
				}
				continue
			}
			at, err := closure.Resolve(s.tree, dir)
			if err != nil {
				continue
			}
			for _, name := range s.children[at.Path] {
				ok, err := path.Match(part, name)
				if err != nil {
					return nil, err
				}
				if ok && (name[0] != '.' || part[0] == '.') {
					next = append(next, path.Join(dir, name))
				}
			}
		}
		if found = next; len(found) > maxConfs {
			return nil, fmt.Errorf("it names more than %d files", maxConfs)
		}
	}
	slices.Sort(found)
	return found, nil
}

// addDir is add_dir_1: a directory counts once, under the path that names it
// first, with the directories for better processors right behind it.
func (s *scanner) addDir(line string) {
	if s.minor < 37 {
		line, _, _ = strings.Cut(line, "=") // a library type could follow
	}
	line = strings.TrimRight(strings.TrimRight(line, space), "/")
	if line == "" {
		return
	}
	n, err := closure.Resolve(s.tree, "/"+line)
	if err != nil || !s.addOnce(directory{path: line, real: n.Path}) || n.Kind != closure.Dir {
		return
	}
	if s.minor < 33 {
		return
	}
	sub, err := closure.Resolve(s.tree, n.Path+"/"+hwcapsDir)
	if err != nil {
		return
	}
	for _, name := range s.children[sub.Path] {
		d, err := closure.Resolve(s.tree, sub.Path+"/"+name)
		if err != nil || d.Kind != closure.Dir || name[0] == '.' || strings.Contains(name, ":") {
			continue
		}
		// The name goes into the string table even if nothing is there.
		if !slices.Contains(s.cache.hwcapNames, name) {
			s.cache.hwcapNames = append(s.cache.hwcapNames, name)
		}
		s.addOnce(directory{path: line + "/" + hwcapsDir + "/" + name, real: d.Path, hwcap: name})
	}
}

func (s *scanner) addOnce(d directory) bool {
	d.extra = !slices.ContainsFunc(s.builtin(), func(b string) bool {
		n, err := closure.Resolve(s.tree, b)
		return err == nil && (d.real == n.Path || d.hwcap != "" && d.real == n.Path+"/"+hwcapsDir+"/"+d.hwcap)
	})
	if slices.ContainsFunc(s.dirs, func(have directory) bool { return have.real == d.real }) {
		return false
	}
	s.dirs = append(s.dirs, d)
	return true
}

// errLegacy says that a tree holds what only old releases of glibc look at.
var errLegacy = errors.New("directories for processors other than glibc-hwcaps are not supported: drop it with a slice")
