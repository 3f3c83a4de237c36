package spec

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"sync"

	"distroless/internal/debian/relation"
)

// validate checks what the shape alone cannot say.
func (d *Definition) validate(c *checker) {
	if !nameRE().MatchString(d.Name) {
		c.Addf(c.Find("name"), "name: %q, expected lower case letters, digits, '.' and '-', as in python3", d.Name)
	}
	if d.From == d.Name && d.Name != "" {
		c.Addf(c.Find("from"), "from: %q stands on itself", d.From)
	}
	for name, s := range d.Distros {
		if s == nil {
			d.Distros[name] = &Section{}
			continue
		}
		s.validate(c, "distros", name)
	}
	if len(d.Distros) == 0 {
		c.Addf(c.Find("name"), "no `distros`: expected those that the image is for, such as `distros: {debian13: {}}`")
	}
	d.Section.validate(c)
}

func (s *Section) validate(c *checker, at ...string) {
	where := func(keys ...string) []string { return append(append([]string(nil), at...), keys...) }
	validateParts(c, where, s.Omit, s.Slices, s.Scripts, s.Allow)
	validatePackages(c, where, s.Packages)
	for i, a := range s.Archs {
		if _, err := ParseArch(a); err != nil {
			c.Addf(c.Find(where("archs", fmt.Sprint(i))...), "archs: %v", err)
		}
	}
	for i, f := range s.Contents {
		f.validate(c, where("contents", fmt.Sprint(i)))
	}
	for i := range s.Archives {
		s.Archives[i].validate(c, where("archives", fmt.Sprint(i)))
	}
	for i := range s.Upstream {
		s.Upstream[i].validate(c, where("upstream", fmt.Sprint(i)))
	}
	for i, u := range s.Accounts.Users {
		if u.Name == "" || strings.ContainsAny(u.Name, ":\n") || strings.ContainsAny(u.Home+u.Shell, ":\n") {
			c.Addf(c.Find(where("accounts", "users", fmt.Sprint(i))...), "user %q: name, home and shell must not be empty or hold ':'", u.Name)
		}
		if u.UID < 0 || u.GID < 0 {
			c.Addf(c.Find(where("accounts", "users", fmt.Sprint(i))...), "user %s: uid and gid must not be negative", u.Name)
		}
	}
	for i, g := range s.Accounts.Groups {
		if g.Name == "" || strings.ContainsAny(g.Name, ":\n") {
			c.Addf(c.Find(where("accounts", "groups", fmt.Sprint(i))...), "group %q: the name must not be empty or hold ':'", g.Name)
		}
		if g.GID < 0 {
			c.Addf(c.Find(where("accounts", "groups", fmt.Sprint(i))...), "group %s: gid must not be negative", g.Name)
		}
	}
	for k := range s.Env {
		if k == "" || strings.ContainsAny(k, "=\x00") {
			c.Addf(c.Find(where("env")...), "env: %q is not a variable's name", k)
		}
	}
	if s.Workdir != "" && !absolute(s.Workdir) {
		c.Addf(c.Find(where("workdir")...), "workdir: %q, expected an absolute path", s.Workdir)
	}
	if s.User != "" && !userRE().MatchString(s.User) {
		c.Addf(c.Find(where("user")...), "user: %q, expected a number or number:number, as in \"1000\" or \"1000:1000\"", s.User)
	}
	if _, err := s.BudgetBytes(); err != nil {
		c.Addf(c.Find(where("budget")...), "%v", err)
	}
	if d := s.Debug; d != nil {
		in := func(keys ...string) []string { return where(append([]string{"debug"}, keys...)...) }
		validateParts(c, in, d.Omit, d.Slices, d.Scripts, d.Allow)
		validatePackages(c, in, d.Packages)
		if d.Applets != "" && !absolute(d.Applets) {
			c.Addf(c.Find(in("applets")...), "applets: %q, expected an absolute path", d.Applets)
		}
	}
}

var (
	userRE   = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9]+(:[0-9]+)?$`) })
	digestRE = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^sha256:[0-9a-f]{64}$`) })
)

func validatePackages(c *checker, where func(...string) []string, packages []string) {
	for i, p := range packages {
		groups, err := relation.Parse(p)
		if err == nil && len(groups) == 0 {
			err = errors.New("empty")
		}
		if err != nil {
			c.Addf(c.Find(where("packages", fmt.Sprint(i))...), "packages[%d]: %v: expected a name, or a relation as in Depends: libc6 (>= 2.41)", i, err)
		}
	}
}

func validateParts(c *checker, where func(...string) []string, omit []Omission, slices []Slice, scripts []Script, allow []Allowance) {
	need := func(ok bool, key string, i int, text string) {
		if !ok {
			c.Addf(c.Find(where(key, fmt.Sprint(i))...), "%s[%d]: %s", key, i, text)
		}
	}
	for i, o := range omit {
		need(o.Package != "", "omit", i, "no `package`")
		need(o.Reason != "", "omit", i, "no `reason`: say why the image works without "+o.Package)
	}
	for i, s := range slices {
		need(s.Reason != "", "slices", i, "no `reason`: say why the files are not needed, or are")
		need(len(s.Drop)+len(s.Keep)+len(s.KeepReferenced)+len(s.Move) > 0, "slices", i, "no `drop`, `keep`, `keep-referenced` or `move`")
		for _, p := range append(append(append([]string(nil), s.Drop...), s.Keep...), s.KeepReferenced...) {
			_, err := path.Match(p, "")
			need(err == nil && strings.HasPrefix(p, "/"), "slices", i, fmt.Sprintf("pattern %q: expected an absolute path with *, ? or **", p))
		}
		for from, to := range s.Move {
			need(absolute(from) && absolute(to), "slices", i, fmt.Sprintf("move %q to %q: expected absolute paths", from, to))
			need(s.Package != "", "slices", i, "`move` needs a `package`")
		}
	}
	for i, s := range scripts {
		need(s.Package != "" && s.Script != "", "scripts", i, "no `package` or no `script`")
		need(digestRE().MatchString(s.Digest), "scripts", i, "no `digest: sha256:...`: take the lines that the failing build prints")
		need(s.Effect != "", "scripts", i, "no `effect`: expected none, or what the build does in its place")
		need(s.Reason != "", "scripts", i, "no `reason`")
	}
	for i, a := range allow {
		need(a.Check != "" && a.Path != "", "allow", i, "no `check` or no `path`")
		need(a.Reason != "", "allow", i, "no `reason`: say why the finding does no harm")
	}
}

func (f *Content) validate(c *checker, at []string) {
	n := c.Find(at...)
	if !absolute(f.Path) {
		c.Addf(n, "contents: path %q, expected a clean absolute path", f.Path)
	}
	kinds := 0
	for _, is := range []bool{f.Text != nil, f.Source != "", f.Link != "", f.Directory} {
		if is {
			kinds++
		}
	}
	if kinds != 1 {
		c.Addf(n, "contents: %s: expected exactly one of `text`, `source`, `link` and `directory`, found %d", f.Path, kinds)
	}
	if f.Mode != "" && !modeRE().MatchString(f.Mode) {
		c.Addf(n, "contents: %s: mode %q, expected octal such as \"0644\"", f.Path, f.Mode)
	}
	if f.Source != "" && !fs.ValidPath(path.Clean(f.Source)) {
		c.Addf(n, "contents: %s: source %q, expected a path below the definition's folder", f.Path, f.Source)
	}
	if f.UID < 0 || f.GID < 0 {
		c.Addf(n, "contents: %s: uid and gid must not be negative", f.Path)
	}
}

func (u *Upstream) validate(c *checker, at []string) {
	n := c.Find(at...)
	if u.Name == "" {
		c.Addf(n, "upstream: no `name`")
	}
	if (u.Npm == "") == (u.URL == "") {
		c.Addf(n, "upstream %s: expected exactly one of `npm` and `url`", u.Name)
	}
	if u.URL != "" && u.Version == "" {
		c.Addf(n, "upstream %s: a `url` needs a `version`", u.Name)
	}
	if u.SHA256 != "" && !hexRE().MatchString(u.SHA256) {
		c.Addf(n, "upstream %s: sha256 %q: expected 64 hex digits", u.Name, u.SHA256)
	}
	if len(u.Paths) == 0 {
		c.Addf(n, "upstream %s: no `paths`: say which files of the archive are taken, and where to", u.Name)
	}
	for from, to := range u.Paths {
		if !absolute(to) || strings.HasPrefix(from, "/") {
			c.Addf(n, "upstream %s: paths: %q to %q: expected a name in the archive and a clean absolute path", u.Name, from, to)
		}
	}
}

func (a *Archive) validate(c *checker, at []string) {
	n := c.Find(at...)
	if !nameRE().MatchString(a.Name) {
		c.Addf(n, "archive %q: name: expected lower case letters, digits, '.' and '-'", a.Name)
	}
	if len(a.URLs) == 0 || a.Suite == "" {
		c.Addf(n, "archive %s: no `urls` or no `suite`", a.Name)
	}
	for _, u := range a.URLs {
		if !strings.HasPrefix(u, "https://") && !strings.HasPrefix(u, "http://") && !strings.HasPrefix(u, "file:///") {
			c.Addf(n, "archive %s: url %q: expected https://, http:// or file:///", a.Name, u)
		}
	}
	if a.Key == "" {
		c.Addf(n, "archive %s: no `key`: name a file with the keys that sign it", a.Name)
	}
}
