package deb

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"

	"distroless/internal/debian/deb822"
)

// Control is what a package says about itself, from control.tar. Files that
// nothing here uses (shlibs, symbols, templates) are dropped.
type Control struct {
	// Name, Version and Arch are the fields that every package must have,
	// checked to be what deb-version(7) and Debian policy 5.6 allow.
	Name, Version, Arch string

	Paragraph []byte           // the control file as it stands
	Fields    deb822.Paragraph // the control file parsed
	MD5Sums   []byte           // the md5sums file as it stands; nil where there is none
	Conffiles []string         // absolute paths, in the file's order
	// Scripts holds preinst, postinst, prerm, postrm and config, as they
	// stand, those that there are.
	Scripts  map[string][]byte
	Triggers []byte // the triggers file as it stands; nil where there is none
}

// Field returns the value of a field of the control file, its name in any
// case, or "".
func (c *Control) Field(name string) string { return c.Fields.Get(name) }

// readControl reads control.tar: a flat directory of regular files. path is
// the entry at fault, if there is an error.
func readControl(m *member) (c *Control, path string, err error) {
	c = &Control{Scripts: map[string][]byte{}}
	seen := map[string]bool{}
	for tr := tar.NewReader(m); ; {
		m.zeros = 0
		th, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return nil, "", unexpected(err)
		}
		h, err := convert(th, 1024)
		if err != nil {
			return nil, th.Name, err
		}
		if h.Path == "/" && h.Kind == Dir {
			continue
		}
		name := h.Path[1:]
		switch {
		case h.Kind != File:
			return nil, th.Name, fmt.Errorf("a %s: the control member holds regular files only", h.Kind)
		case strings.Contains(name, "/"):
			return nil, th.Name, errors.New("in a folder: the control member is flat")
		case seen[name]:
			return nil, th.Name, errors.New("listed twice")
		case len(seen) == maxControlFiles:
			return nil, th.Name, fmt.Errorf("more than %d control files", maxControlFiles)
		}
		seen[name] = true
		if err := c.take(name, tr); err != nil {
			return nil, th.Name, err
		}
	}
	if !seen["control"] {
		return nil, "", errors.New("no file control")
	}
	return c, "", nil
}

const maxControlFiles = 100 // dpkg knows about fifteen names

// take keeps the content of one control file if anything here uses it. The
// member's own limit bounds what is read.
func (c *Control) take(name string, r io.Reader) error {
	switch name {
	case "control", "md5sums", "conffiles", "triggers", "preinst", "postinst", "prerm", "postrm", "config":
	default:
		return nil
	}
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	switch name {
	case "control":
		c.Paragraph = content
		c.Fields, err = parseParagraph(content)
	case "md5sums":
		c.MD5Sums = content
	case "conffiles":
		c.Conffiles, err = parseConffiles(string(content))
	case "triggers":
		c.Triggers = content
	default:
		c.Scripts[name] = content
	}
	return err
}

// parseConffiles reads deb-conffiles(5). Lines with a flag tell dpkg to
// remove a file on upgrade, so they are about files that are not there.
func parseConffiles(text string) ([]string, error) {
	var paths []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		if line == "" || strings.HasPrefix(line, "remove-on-upgrade ") {
			continue
		}
		if !isClean(line) || checkText(line) != nil {
			return nil, fmt.Errorf("line %s: want a canonical absolute path", printable(line))
		}
		paths = append(paths, line)
	}
	return paths, nil
}

// parseParagraph reads a control file, which is one paragraph.
func parseParagraph(text []byte) (deb822.Paragraph, error) {
	all, err := deb822.Parse(text)
	if err != nil {
		return nil, err
	}
	if len(all) != 1 {
		return nil, fmt.Errorf("%d paragraphs: want one", len(all))
	}
	return all[0], nil
}

// check takes the identifying fields, and compares them with what the caller
// expects. Their form matters: they become file names under status.d.
func (c *Control) check(o Options) error {
	for _, f := range []struct {
		name, want string
		form       *regexp.Regexp
		to         *string
	}{
		{"Package", o.Name, nameForm(), &c.Name},
		{"Version", o.Version, versionForm(), &c.Version},
		{"Architecture", o.Arch, archForm(), &c.Arch},
	} {
		got := c.Field(f.name)
		switch {
		case got == "":
			return fmt.Errorf("no field %s", f.name)
		case !f.form.MatchString(got) || len(got) > maxComponent-len(".md5sums"):
			return fmt.Errorf("field %s is %s: want the form %s", f.name, printable(got), f.form)
		case f.want != "" && got != f.want:
			return fmt.Errorf("field %s is %s: expected %s: the file is not the package that was asked for", f.name, got, f.want)
		}
		*f.to = got
	}
	return nil
}

var (
	nameForm    = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`) })
	versionForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^([0-9]+:)?[0-9A-Za-z][0-9A-Za-z.+~:-]*$`) })
	archForm    = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`) })
)
