package scripts

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// environ shows the walker's variables to package expand. Reading one whose
// value is not known taints the word that is being expanded.
type environ struct{ w *walker }

var _ expand.WriteEnviron = environ{}

// ambient are variables that the installing machine sets in ways of its own.
var ambient = map[string]bool{
	"PATH": true, "HOME": true, "TERM": true, "LANG": true, "LANGUAGE": true, "USER": true, "SHELL": true,
	"OLDPWD": true, "RET": true, "HOSTNAME": true, "PPID": true, "$": true, "!": true, "-": true,
	"RANDOM": true, "SECONDS": true, "LINENO": true, "UID": true, "EUID": true, "TMPDIR": true, "OPTARG": true, "OPTIND": true,
}

func (e environ) Get(name string) expand.Variable {
	w := e.w
	text := func(s string) expand.Variable { return expand.Variable{Set: true, Kind: expand.String, Str: s} }
	give := func(v value) expand.Variable {
		if !v.known {
			w.taints++
		}
		return text(v.s)
	}
	switch name {
	case "#":
		for _, p := range w.s.params {
			give(value{known: p.known || p.s == unknownParam})
		}
		return text(strconv.Itoa(len(w.s.params)))
	case "@", "*":
		list := []string{}
		for _, p := range w.s.params {
			give(p)
			list = append(list, p.s)
		}
		return expand.Variable{Set: true, Kind: expand.Indexed, List: list}
	case "?":
		switch {
		case w.last.known && w.last.ok:
			return text("0")
		case w.last.known:
			return text("1")
		}
		return give(value{})
	case "0":
		return text("/var/lib/dpkg/info/" + w.script.Package + "." + w.script.Name)
	case "IFS":
		return text(" \t\n")
	case "DPKG_MAINTSCRIPT_PACKAGE":
		return text(w.script.Package)
	case "DPKG_MAINTSCRIPT_NAME":
		return text(w.script.Name)
	case "DPKG_MAINTSCRIPT_ARCH":
		return give(value{known: w.script.Arch != "", s: w.script.Arch})
	case "DEBIAN_FRONTEND":
		return text("noninteractive")
	case "PWD":
		return text("/") // where dpkg runs scripts; package expand always asks
	case "DPKG_ROOT", "DEBCONF_RECONFIGURE":
		return text("")
	}
	if n, err := strconv.Atoi(name); err == nil {
		if n >= 1 && n <= len(w.s.params) {
			return give(w.s.params[n-1])
		}
		return expand.Variable{}
	}
	if v, ok := w.s.vars[name]; ok {
		return give(v)
	}
	if w.s.anything || ambient[name] || strings.HasPrefix(name, "LC_") {
		return give(value{})
	}
	return expand.Variable{}
}

func (e environ) Each(func(string, expand.Variable) bool) {}

// Set is ${x:=y}.
func (e environ) Set(name string, v expand.Variable) error {
	e.w.s.vars[name] = known(v.Str)
	return nil
}

func (w *walker) config() *expand.Config {
	return &expand.Config{
		Env: environ{w},
		CmdSubst: func(out io.Writer, c *syntax.CmdSubst) error {
			text, ok := w.substitute(c)
			if !ok {
				w.taints++
			}
			_, err := io.WriteString(out, text)
			return err
		},
		ProcSubst: func(*syntax.ProcSubst) (string, error) { return "", errors.New("process substitution") },
		ReadDir2: func(string) ([]fs.DirEntry, error) { // a pattern: what it matches is not known
			w.globs++
			return nil, fs.ErrNotExist
		},
	}
}

// fields expands a word as an argument. A word of which something is not
// known is one unknown value.
func (w *walker) fields(word *syntax.Word) []value {
	before, globs := w.taints, w.globs
	list, err := expand.Fields(w.config(), word)
	if err != nil || w.taints != before {
		return []value{{}}
	}
	if w.globs != globs {
		cfg := w.config()
		cfg.ReadDir2 = nil // leaves patterns as they are
		if list, err = expand.Fields(cfg, word); err != nil || len(list) != 1 || w.taints != before {
			return []value{{}}
		}
		return []value{{s: list[0], glob: true}}
	}
	values := make([]value, len(list))
	for i, s := range list {
		values[i] = known(s)
	}
	return values
}

// one expands a word where the shell does not split it.
func (w *walker) one(word *syntax.Word) value {
	if word == nil {
		return known("")
	}
	before := w.taints
	s, err := expand.Literal(w.config(), word)
	return value{known: err == nil && w.taints == before, s: s}
}

// pattern expands a case pattern; ok is whether it is known.
func (w *walker) pattern(word *syntax.Word) (string, bool) {
	before := w.taints
	s, err := expand.Pattern(w.config(), word)
	return s, err == nil && w.taints == before
}

func (w *walker) assign(a *syntax.Assign) {
	if a.Name == nil { // "-g", or a name in an expansion
		if a.Value != nil {
			w.fields(a.Value)
		}
		return
	}
	if a.Naked && a.Value == nil {
		return
	}
	if a.Array != nil || a.Index != nil || a.Append {
		if a.Value != nil {
			w.one(a.Value)
		}
		w.s.vars[a.Name.Value] = value{}
		return
	}
	w.s.vars[a.Name.Value] = w.one(a.Value)
}

// substitute evaluates $(...) for its effects, and its output in the few
// cases where it is known.
func (w *walker) substitute(c *syntax.CmdSubst) (string, bool) {
	if w.depth++; w.depth > maxDepth {
		w.problem(c, "substitutions more than %d deep", maxDepth)
		return "", false
	}
	defer func() { w.depth-- }()
	before := w.taints
	o, _ := w.subshell(c.Stmts)
	w.last = o
	w.taints = before
	if len(c.Stmts) != 1 || c.Stmts[0].Negated {
		return "", false
	}
	call, ok := c.Stmts[0].Cmd.(*syntax.CallExpr)
	if !ok || len(call.Args) == 0 {
		return "", false
	}
	var args []string
	for _, word := range call.Args {
		for _, v := range w.fields(word) {
			if !v.known {
				w.taints = before
				return "", false
			}
			args = append(args, v.s)
		}
	}
	if len(args) == 0 || w.funcs[args[0]] != nil {
		return "", false
	}
	if name := tool(args[0]); (name == "getent" || name == "id") && o.known && !o.ok {
		return "", true // no such account
	}
	if tool(args[0]) == "dpkg-divert" && len(args) == 3 && !w.touched(args[2]) {
		switch args[1] { // a fresh system has no diversions
		case "--list":
			return "", true
		case "--truename":
			return args[2], true
		}
	}
	return w.output(args)
}

// output is what a command prints, where that is certain.
func (w *walker) output(args []string) (string, bool) {
	line := strings.Join(args, " ")
	switch {
	case line == "dpkg --print-architecture" && w.script.Arch != "":
		return w.script.Arch, true
	case strings.HasPrefix(line, "dpkg-architecture ") && strings.HasSuffix(line, "DEB_HOST_MULTIARCH") && triplets[w.script.Arch] != "":
		return triplets[w.script.Arch], true
	case args[0] == "mktemp" || args[0] == "tempfile":
		return "/tmp/of-mktemp", true
	case args[0] == "dirname" && len(args) == 2:
		return path.Dir(args[1]), true
	case args[0] == "basename" && len(args) == 2:
		return path.Base(args[1]), true
	case args[0] == "basename" && len(args) == 3:
		return strings.TrimSuffix(path.Base(args[1]), args[2]), true
	case args[0] == "echo" && len(args) > 1 && args[1] != "-n" && args[1] != "-e" && !strings.Contains(line, `\`):
		return strings.Join(args[1:], " "), true
	case line == "id -u":
		return "0", true
	case len(args) == 3 && args[0] == "command" && args[1] == "-v" && understood(args[2]):
		return "/usr/bin/" + path.Base(args[2]), true
	case len(args) == 2 && args[0] == "which" && understood(args[1]):
		return "/usr/bin/" + path.Base(args[1]), true
	}
	return "", false
}
