package structure

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

const docDir = "/usr/share/doc"

// readTexts reads the files whose text the tests look at, layer by layer.
func (r *run) readTexts(ctx context.Context, suites []*Suite) error {
	wanted := map[source][]*node{}
	want := func(p string) {
		if n, err := r.tree.resolve(p, true); err == nil && n.header.Typeflag == tar.TypeReg {
			wanted[n.from] = append(wanted[n.from], n)
		}
	}
	for _, p := range []string{"/etc/passwd", "/etc/group"} {
		want(p)
	}
	for _, s := range suites {
		for _, t := range s.Contents {
			want(expand(t.Path, r.env))
		}
		for _, t := range s.Licenses {
			for _, f := range append(r.copyrights(t.Debian), t.Files...) {
				want(f)
			}
		}
	}
	r.texts = map[*node][]byte{}
	return r.walkFiles(ctx, wanted, func(nodes []*node, h *tar.Header, body io.Reader) error {
		if h.Size > maxText {
			return fmt.Errorf("read %s: %d bytes, more than the %d that a test may read", nodes[0].path, h.Size, maxText)
		}
		var b bytes.Buffer
		if _, err := io.Copy(&b, body); err != nil {
			return fmt.Errorf("read %s: %w", nodes[0].path, err)
		}
		for _, n := range nodes {
			r.texts[n] = b.Bytes()
		}
		return nil
	})
}

// walkFiles reads the layers that hold some of the wanted files, and calls f
// for each of these.
func (r *run) walkFiles(ctx context.Context, wanted map[source][]*node, f func([]*node, *tar.Header, io.Reader) error) error {
	layers := map[int]bool{}
	for s := range wanted {
		layers[s.layer] = true
	}
	for i, d := range r.img.Layers {
		if !layers[i] {
			continue
		}
		n := 0
		err := r.img.Walk(d, func(h *tar.Header, body io.Reader) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			n++
			if nodes := wanted[source{i, n}]; nodes != nil {
				return f(nodes, h, body)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// text returns a file's bytes; one that readTexts was not told of is missing.
func (r *run) text(p string) ([]byte, error) {
	n, err := r.tree.resolve(p, true)
	if err != nil {
		return nil, err
	}
	if n.header.Typeflag != tar.TypeReg {
		return nil, fmt.Errorf("%s is no file: %s", p, n.mode())
	}
	return r.texts[n], nil
}

func (r *run) exists(t *ExistenceTest, res *Result) {
	p := expand(t.Path, r.env)
	n, err := r.tree.resolve(p, false)
	if t.ShouldExist != nil && !*t.ShouldExist {
		if err == nil {
			res.failf("%s is there (%s), expected nothing", p, n.mode())
		}
		return
	}
	if err != nil {
		res.failf("%s is not there, expected it", p)
		return
	}
	if t.Permissions != "" && t.Permissions != n.mode().String() && t.Permissions != listed(n.mode()) {
		res.failf("%s has the permissions %s, expected %s", p, n.mode(), t.Permissions)
	}
	if t.UID != nil && *t.UID != n.header.Uid {
		res.failf("%s belongs to user %d, expected %d", p, n.header.Uid, *t.UID)
	}
	if t.GID != nil && *t.GID != n.header.Gid {
		res.failf("%s belongs to group %d, expected %d", p, n.header.Gid, *t.GID)
	}
	if t.IsExecutableBy != "" {
		r.executable(p, t.IsExecutableBy, res)
	}
}

// executable looks at what a link leads to: the link itself is everybody's.
func (r *run) executable(p, by string, res *Result) {
	n, err := r.tree.resolve(p, true)
	if err != nil {
		res.failf("%s leads nowhere, expected it to be executable by %s", p, by)
		return
	}
	bits := map[string]fs.FileMode{"owner": 0o100, "group": 0o010, "other": 0o001, "any": 0o111}
	if n.mode()&bits[by] == 0 {
		res.failf("%s is not executable by %s: %s", p, by, n.mode())
	}
}

// listed writes a mode as ls(1) does.
func listed(m fs.FileMode) string {
	kind := byte('-')
	switch {
	case m.IsDir():
		kind = 'd'
	case m&fs.ModeSymlink != 0:
		kind = 'l'
	}
	b := []byte(string(kind) + m.Perm().String()[1:])
	for _, s := range []struct {
		bit   fs.FileMode
		at    int
		with  byte
		alone byte
	}{{fs.ModeSetuid, 3, 's', 'S'}, {fs.ModeSetgid, 6, 's', 'S'}, {fs.ModeSticky, 9, 't', 'T'}} {
		switch {
		case m&s.bit == 0:
		case b[s.at] == 'x':
			b[s.at] = s.with
		default:
			b[s.at] = s.alone
		}
	}
	return string(b)
}

func (r *run) contents(t *ContentTest, res *Result) {
	p := expand(t.Path, r.env)
	text, err := r.text(p)
	if err != nil {
		res.failf("read %v", err)
		return
	}
	res.match(p, string(text), t.ExpectedContents, t.ExcludedContents)
}

// match holds a text against the regular expressions that must match and those
// that must not.
func (res *Result) match(what, text string, expected, excluded []string) {
	for _, e := range expected {
		if !matches(e, text) {
			res.failf("%s does not match %q: %s", what, e, excerpt(text))
		}
	}
	for _, e := range excluded {
		if re, err := regexp.Compile(e); err == nil {
			if at := re.FindStringIndex(text); at != nil {
				res.failf("%s matches %q, which is excluded, with %s", what, e, excerpt(text[at[0]:at[1]]))
			}
		}
	}
}

// matches compiles an expression that Parse has found to be one.
func matches(expression, text string) bool {
	re, err := regexp.Compile(expression)
	return err == nil && re.MatchString(text)
}

func excerpt(text string) string {
	const most = 400
	if len(text) > most {
		return fmt.Sprintf("%q... (%d bytes)", text[:most], len(text))
	}
	return fmt.Sprintf("%q", text)
}

// copyrights lists the copyright files that Debian's packages should have.
func (r *run) copyrights(debian bool) []string {
	if !debian {
		return nil
	}
	var out []string
	for _, name := range r.tree.below(docDir) {
		dir := path.Join(docDir, name)
		if n, err := r.tree.resolve(dir, false); err == nil && n.mode().IsDir() {
			out = append(out, path.Join(dir, "copyright"))
		}
	}
	return out
}

// licences are refused as container-structure-test does: by the names of two in
// a copyright file, whatever is said of them there; libgnutls30 is let through.
// So is base-files, which from debian13 on ships the text of such a licence and
// says so.
func (r *run) licences(t *LicenseTest, res *Result) {
	files := r.copyrights(t.Debian)
	if t.Debian && len(files) == 0 {
		res.failf("%s: no packages there", docDir)
	}
	for _, p := range append(files, t.Files...) {
		if p == docDir+"/base-files/copyright" || strings.HasPrefix(p, docDir+"/libgnutls30") {
			continue
		}
		text, err := r.text(p)
		if err != nil {
			res.failf("read %v", err)
			continue
		}
		for _, name := range []string{"AGPL", "WTFPL"} {
			if strings.Contains(strings.ToUpper(string(text)), name) {
				res.failf("%s names the licence %s", p, name)
			}
		}
	}
}
