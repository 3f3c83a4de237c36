package scripts

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"mvdan.cc/sh/v3/syntax"
)

// umask is where the mask is kept, a name that no variable has.
const umask = "the umask"

// command is one simple command with its arguments expanded.
type command struct {
	name string // without the folder of a standard place
	args []value
	node *syntax.CallExpr
}

// text is the arguments, if all of them are known.
func (c command) text() ([]string, bool) {
	list := make([]string, 0, len(c.args))
	for _, a := range c.args {
		if !a.known {
			return nil, false
		}
		list = append(list, a.s)
	}
	return list, true
}

// arg is the i-th argument if it is known, else "".
func (c command) arg(i int) string {
	if i < len(c.args) && c.args[i].known {
		return c.args[i].s
	}
	return ""
}

func (w *walker) call(c *syntax.CallExpr) (outcome, flow) {
	if len(c.Args) == 0 {
		w.last = success
		for _, a := range c.Assigns {
			w.assign(a)
		}
		return w.last, next
	}
	for _, a := range c.Assigns { // for this command alone
		if a.Value != nil {
			w.one(a.Value)
		}
	}
	var all []value
	for _, word := range c.Args {
		all = append(all, w.fields(word)...)
	}
	if len(all) == 0 {
		return w.last, next // an empty expansion
	}
	if !all[0].known {
		w.problem(c, "a command whose name is not known: %s", source(c))
		return maybe(), next
	}
	return w.run(command{tool(all[0].s), all[1:], c})
}

// tool is the name of a command without the folder of a standard place.
func tool(name string) string {
	switch dir, base := path.Split(name); dir {
	case "/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/":
		return base
	default:
		// Multiarch and private folders hold tools that derive caches.
		if strings.HasPrefix(dir, "/usr/lib/") && cache[base] {
			return base
		}
	}
	return name
}

// run evaluates one command.
func (w *walker) run(c command) (outcome, flow) {
	if body := w.funcs[c.name]; body != nil {
		return w.function(body, c.args)
	}
	if o, f, ok := w.builtin(c); ok {
		return o, f
	}
	if f := special(c.name); f != nil {
		return f(w, c), next
	}
	switch {
	case quiet[c.name]:
		return success, next
	case query[c.name], service[c.name]:
		return maybe(), next
	case cache[c.name]:
		args, _ := c.text()
		w.emit(c, "cache", append([]string{c.name}, args...)...)
		return success, next
	case debconf[c.name]:
		return w.debconf(c), next
	case python().MatchString(c.name) && slices.ContainsFunc(c.args, func(v value) bool { return v.known && path.Base(v.s) == "py_compile.py" }):
		return effect("py3compile")(w, c), next
	case java().MatchString(c.name) && slices.ContainsFunc(c.args, func(v value) bool { return is(v, "-Xshare:dump") }):
		w.emit(c, "cache", "java", "-Xshare:dump") // what classes.jsa holds: java(1) runs without
		return success, next
	case c.name == "perl" && len(c.args) == 2 && is(c.args[0], "-e") && is(c.args[1], ""):
		return maybe(), next // is perl there?
	}
	w.problem(c.node, "%s", source(c.node))
	return maybe(), next
}

// java is the program of one of Debian's Java packages.
var java = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^/usr/lib/jvm/[^/]+/bin/java$`) })

var python = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^python3(?:\.[0-9]+)?$`) })

// source is a command as the script has it.
func source(n syntax.Node) string {
	var b strings.Builder
	if err := syntax.NewPrinter(syntax.SingleLine(true)).Print(&b, n); err != nil {
		return "a command"
	}
	return b.String()
}

// builtin evaluates what changes the shell itself.
func (w *walker) builtin(c command) (outcome, flow, bool) {
	switch c.name {
	case "true", ":":
		return success, next, true
	case "false":
		return failure, next, true
	case "[":
		if len(c.args) == 0 {
			return maybe(), next, true
		}
		return w.test(c.args[:len(c.args)-1]), next, true
	case "test":
		return w.test(c.args), next, true
	case "exit":
		if code := c.arg(0); code != "" && code != "0" && code != "$?" {
			return failure, dead, true
		}
		return success, exit, true
	case "return":
		w.returns = append(w.returns, returned{w.returnStatus(c), w.ownConds()})
		return w.last, ret, true
	case "break":
		return success, broken, true
	case "continue":
		return success, skipped, true
	case "set":
		w.set(c)
		return success, next, true
	case "shift":
		if len(c.args) > 0 || len(w.s.params) == 0 {
			w.s.params, w.s.anything = []value{{}}, true
		} else {
			w.s.params = w.s.params[1:]
		}
		return success, next, true
	case "unset":
		for i := range c.args {
			w.s.vars[c.arg(i)] = known("")
		}
		return success, next, true
	case "read":
		return w.read(c), next, true
	case ".", "source":
		return w.sourceFile(c), next, true
	case "command", "type", "which", "hash":
		return w.which(c)
	case "env":
		return w.env(c)
	case "exec":
		if len(c.args) == 0 {
			return success, next, true // redirections
		}
	case "trap":
		return w.trap(c), next, true
	case "umask":
		if len(c.args) > 0 {
			w.s.vars[umask] = c.args[0]
		}
		return success, next, true
	case "export", "readonly", "local":
		return success, next, true
	}
	return outcome{}, next, false
}

func (w *walker) returnStatus(c command) outcome {
	switch {
	case len(c.args) == 0:
		return w.last
	case !c.args[0].known:
		return maybe()
	}
	return status(c.arg(0) == "0")
}

// ownConds are the conditions that hold here and did not at the call of the
// function.
func (w *walker) ownConds() []cond {
	return append([]cond{}, w.s.conds[min(w.called, len(w.s.conds)):]...)
}

func (w *walker) set(c command) {
	for i, a := range c.args {
		switch {
		case is(a, "--"):
			w.s.params = append([]value{}, c.args[i+1:]...)
			return
		case !a.known:
			w.s.params, w.s.anything = []value{{}}, true
			return
		case !strings.HasPrefix(a.s, "-") && !strings.HasPrefix(a.s, "+") && (i == 0 || c.arg(i-1) != "-o" && c.arg(i-1) != "+o"):
			w.s.params = append([]value{}, c.args[i:]...)
			return
		}
	}
}

// read takes a line of a here-document if that is what standard input is.
func (w *walker) read(c command) outcome {
	var names []string
	for i := range c.args {
		if n := c.arg(i); n != "-r" {
			names = append(names, n)
		}
	}
	if !w.fed {
		for _, n := range names {
			w.s.vars[n] = value{}
		}
		return maybe()
	}
	if len(w.stdin) == 0 {
		for _, n := range names {
			w.s.vars[n] = known("")
		}
		return failure
	}
	words := strings.Fields(w.stdin[0])
	w.stdin = w.stdin[1:]
	for i, n := range names {
		switch {
		case i >= len(words):
			w.s.vars[n] = known("")
		case i == len(names)-1:
			w.s.vars[n] = known(strings.Join(words[i:], " "))
		default:
			w.s.vars[n] = known(words[i])
		}
	}
	return success
}

// sourceFile knows the files that define what is understood anyway, and
// settings, which may change any variable.
func (w *walker) sourceFile(c command) outcome {
	switch p := c.arg(0); {
	case libraries[p]:
		return success
	case strings.HasPrefix(p, "/etc/default/"), p == "/etc/os-release", p == "/usr/lib/os-release":
		w.s.anything = true
		return success
	}
	w.problem(c.node, "%s", source(c.node))
	return maybe()
}

// libraries define functions, all of which are known by name here.
var libraries = set(`/usr/share/debconf/confmodule /lib/lsb/init-functions /usr/lib/lsb/init-functions
	/usr/lib/php/php-maintscript-helper /usr/share/apache2/apache2-maintscript-helper
	/usr/share/postgresql-common/maintscripts-functions`)

// which evaluates the ways to look for a command. The tools that this package
// understands count as present: on a machine where scripts run they are, or
// their absence changes nothing that an image keeps.
func (w *walker) which(c command) (outcome, flow, bool) {
	args := c.args
	if c.name == "command" {
		if len(args) == 0 || !is(args[0], "-v") && !is(args[0], "-V") {
			if len(args) == 0 || !args[0].known {
				return maybe(), next, true
			}
			o, f := w.run(command{tool(args[0].s), args[1:], c.node})
			return o, f, true
		}
		args = args[1:]
	}
	if len(args) == 1 && args[0].known && understood(args[0].s) {
		return success, next, true
	}
	return maybe(), next, true
}

func (w *walker) env(c command) (outcome, flow, bool) {
	for i, a := range c.args {
		switch {
		case !a.known:
			return outcome{}, next, false
		case strings.Contains(a.s, "=") || a.s == "-i":
		case strings.HasPrefix(a.s, "-"):
			return outcome{}, next, false
		default:
			o, f := w.run(command{tool(a.s), c.args[i+1:], c.node})
			return o, f, true
		}
	}
	return success, next, true
}

// trap evaluates the action where it stands, under an unknown condition.
func (w *walker) trap(c command) outcome {
	if len(c.args) == 0 || is(c.args[0], "-") || is(c.args[0], "") {
		return success
	}
	action := c.arg(0)
	file, err := syntax.NewParser().Parse(strings.NewReader(action), "")
	if err != nil || action == "" {
		w.problem(c.node, "%s", source(c.node))
		return success
	}
	w.branch(maybe(),
		func() (outcome, flow) {
			o, _ := w.subshell(file.Stmts)
			return o, next
		},
		func() (outcome, flow) { return success, next })
	return success
}

// debconf are the functions of confmodule. See debconf-devel(7).
var debconf = set(`db_version db_capb db_title db_settitle db_stop db_input db_go db_get db_set db_reset db_subst
	db_fget db_fset db_metaget db_register db_unregister db_purge db_info db_progress db_beginblock db_endblock
	db_x_loadtemplatefile db_clear db_exist db_data db_text`)

// debconf evaluates a call of confmodule's functions. Answers are never known:
// an image has no debconf database.
func (w *walker) debconf(c command) outcome {
	w.s.vars["RET"] = value{}
	switch c.name {
	case "db_get", "db_metaget", "db_fget", "db_input", "db_go", "db_capb", "db_exist":
		return maybe()
	}
	return success
}
