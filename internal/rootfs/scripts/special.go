package scripts

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"distroless/internal/debian/version"
)

// special gives the evaluation of a command that is an effect or whose
// outcome is known; nil for any other.
func special(name string) func(*walker, command) outcome {
	switch name {
	case "dpkg":
		return (*walker).dpkg
	case "dpkg-trigger":
		return (*walker).dpkgTrigger
	case "dpkg-divert":
		return (*walker).divert
	case "dpkg-statoverride":
		return (*walker).statoverride
	case "update-alternatives":
		return (*walker).alternatives
	case "ldconfig":
		return effect("ldconfig")
	case "update-ca-certificates":
		return effect("ca-certificates")
	case "py3compile", "pycompile", "pypy3compile":
		return effect("py3compile")
	case "systemd-sysusers", "minsysusers":
		return effect("sysusers", "--create", "--boot", "--remove")
	case "systemd-tmpfiles":
		return effect("tmpfiles", "--create", "--boot", "--remove")
	case "adduser", "addgroup", "useradd", "groupadd", "usermod", "gpasswd":
		return func(w *walker, c command) outcome { return w.emitKnown(c, name, "--quiet", "-q") }
	case "getent", "id":
		return (*walker).account
	case "mkdir", "ln", "chmod", "chown", "chgrp", "rm", "rmdir", "touch", "install", "cp", "mv":
		return (*walker).files
	case "ucf":
		return (*walker).ucf
	case "setcap", "pam-auth-update", "add-shell", "apache2_invoke",
		"configure_version", "configure_client_version":
		return func(w *walker, c command) outcome { return w.emitKnown(c, name) }
	case "php_invoke": // for every module of a kind, where the argument is not known
		return effect("php_invoke")
	case "xargs":
		return (*walker).xargs
	case "sed", "awk", "gawk", "mawk", "find", "sort", "uniq":
		return (*walker).filter
	}
	return nil
}

// effect is a command that stands for a generated file. Its options other
// than file names do not matter; unknown arguments are left out.
func effect(kind string, drop ...string) func(*walker, command) outcome {
	return func(w *walker, c command) outcome {
		var args []string
		for i := range c.args {
			if a := c.arg(i); a != "" && !slices.Contains(drop, a) {
				args = append(args, a)
			}
		}
		if kind == "ldconfig" || kind == "ca-certificates" {
			args = nil
		}
		w.emit(c, kind, args...)
		return success
	}
}

// dpkg compares versions, or asks; anything else is not understood.
func (w *walker) dpkg(c command) outcome {
	args := c.args
	if len(args) > 1 && is(args[0], "--compare-versions") {
		args = args[1:]
		if is(args[0], "--") {
			args = args[1:]
		}
		if len(args) != 3 || !args[0].known || !args[1].known || !args[2].known {
			return maybe()
		}
		return compareVersions(args[0].s, args[1].s, args[2].s)
	}
	for _, a := range args {
		switch {
		case !a.known:
		case slices.Contains(dpkgQueries, a.s), strings.HasPrefix(a.s, "--assert-"), strings.HasPrefix(a.s, "--validate-"):
			return maybe()
		}
	}
	w.problem(c.node, "%s", source(c.node))
	return maybe()
}

var dpkgQueries = []string{
	"-l", "--list", "-s", "--status", "-S", "--search", "-L", "--listfiles", "-p", "--print-avail", "-V", "--verify",
	"--get-selections", "--print-architecture", "--print-foreign-architectures", "--version",
}

// compareVersions is dpkg --compare-versions. No version is older than any,
// and with -nl newer than any.
func compareVersions(a, op, b string) outcome {
	op, later := strings.CutSuffix(op, "-nl")
	var order int
	switch {
	case a == "" || b == "":
		order = boolInt(a != "") - boolInt(b != "")
		if later {
			order = -order
		}
	default:
		order = version.Compare(a, b)
	}
	switch op {
	case "lt", "<<":
		return status(order < 0)
	case "le", "<=", "<":
		return status(order <= 0)
	case "eq", "=":
		return status(order == 0)
	case "ne":
		return status(order != 0)
	case "ge", ">=", ">":
		return status(order >= 0)
	case "gt", ">>":
		return status(order > 0)
	}
	return maybe()
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (w *walker) dpkgTrigger(c command) outcome {
	args, ok := c.text()
	if last := len(c.node.Args) - 1; !ok && last > 0 && strings.HasPrefix(source(c.node.Args[last]), "/") {
		return success // a file trigger
	}
	if !ok || len(args) == 0 {
		w.problem(c.node, "%s", source(c.node))
		return success
	}
	for _, e := range trigger(w.script, args[len(args)-1]) {
		w.emit(c, e.Kind, e.Args...)
	}
	return success
}

// divert: a file of a package in the image may be meant, so the caller has to
// know, save for the diversions that kept files from being lost while packages
// moved from /lib to /usr/lib: they guard against packages of the release before.
func (w *walker) divert(c command) outcome {
	if strings.Contains(source(c.node), ".usr-is-merged") {
		return success
	}
	for i := range c.args {
		switch c.arg(i) {
		case "--list", "--listpackage", "--truename":
			return maybe()
		}
	}
	return w.emitKnown(c, "divert", "--quiet")
}

// statoverride: a fresh system has no overrides to list.
func (w *walker) statoverride(c command) outcome {
	for i := range c.args {
		if c.arg(i) == "--list" {
			return failure
		}
	}
	for i := range c.args {
		if c.arg(i) == "--add" {
			return w.emitKnown(c, "statoverride", "--quiet", "--update", "--force", "--force-all", "--add")
		}
	}
	if c.arg(0) == "--remove" || c.arg(1) == "--remove" {
		return success
	}
	w.problem(c.node, "%s", source(c.node))
	return maybe()
}

// alternatives: what is removed, or set back to automatic, was not there.
func (w *walker) alternatives(c command) outcome {
	install := -1
	for i := range c.args {
		switch c.arg(i) {
		case "--install":
			install = i
		case "--remove", "--remove-all", "--auto":
			return success
		case "--display", "--list", "--query", "--get-selections":
			return maybe()
		}
	}
	args, ok := c.text()
	if install < 0 || !ok {
		w.problem(c.node, "%s: %s", source(c.node), "want --install with known arguments")
		return success
	}
	args = args[install:]
	if _, err := ParseAlternative(args); err != nil {
		w.problem(c.node, "%v", err)
		return success
	}
	w.emit(c, "update-alternatives", args...)
	return success
}

// account evaluates questions about accounts: those of base-passwd exist, and
// those that the script has asked for; no others do on a fresh system.
func (w *walker) account(c command) outcome {
	name := ""
	for i := range c.args {
		a := c.arg(i)
		if !c.args[i].known {
			return maybe()
		}
		if !strings.HasPrefix(a, "-") {
			name = a
		}
	}
	if name == "" || c.name == "getent" && c.arg(0) != "passwd" && c.arg(0) != "group" && c.arg(0) != "shadow" {
		return maybe()
	}
	if basePasswd[name] {
		return success
	}
	for _, e := range w.s.effects {
		if slices.Contains(e.Args, name) {
			return success
		}
		if e.Kind == "sysusers" {
			// To make an account that is there already is no harm.
			return outcome{when: opaque()}
		}
	}
	return failure
}

// basePasswd are the users and groups of Debian's base-passwd.
var basePasswd = set(`root daemon bin sys sync games man lp mail news uucp proxy www-data backup list irc _apt
	nobody nogroup adm tty disk kmem dialout fax voice cdrom floppy tape sudo audio dip operator src shadow
	utmp video sasl plugdev staff users`)

// files are changes of the tree. A path that no image keeps is left out; all
// others must be absolute.
func (w *walker) files(c command) outcome {
	if w.script.Name == "preinst" && (c.name == "rm" || c.name == "rmdir") {
		return success // before its first unpacking there is nothing of a package to remove
	}
	if slices.Contains([]string{"mkdir", "touch", "chmod", "chown", "chgrp", "rm", "rmdir"}, c.name) && w.onlyVolatile(c) {
		return success
	}
	if slices.Contains([]string{"rm", "chmod", "chown", "chgrp"}, c.name) {
		for i, a := range c.args {
			c.args[i].known = a.known && !strings.ContainsAny(a.s, "*?[") || a.glob
		}
	}
	args, ok := c.text()
	if !ok {
		w.problem(c.node, "%s: an argument is not known", source(c.node))
		return success
	}
	parsed, err := ParseFileCommand(c.name, args)
	if err != nil {
		w.problem(c.node, "%s: %v", source(c.node), err)
		return success
	}
	paths, operands := 0, parsed.Paths()
	for i, a := range operands {
		if a == "/dev/null" && c.name == "install" {
			continue
		}
		if volatile(a) {
			if i < len(operands)-1 && !volatile(operands[len(operands)-1]) && (c.name == "cp" || c.name == "mv" || c.name == "install") {
				w.problem(c.node, "%s: from a file that the script has written", source(c.node))
				return success
			}
			continue
		}
		paths++
		if !path.IsAbs(a) {
			w.problem(c.node, "%s: want absolute paths", source(c.node))
			return success
		}
	}
	if paths == 0 || c.name == "cp" && volatile(operands[len(operands)-1]) {
		return success
	}
	w.emit(c, c.name, args...)
	if c.name == "touch" || c.name == "mkdir" {
		w.mask(c, operands)
	}
	return success
}

// mask adds the mode that a new file or directory has under a umask other
// than the usual one.
func (w *walker) mask(c command, paths []string) {
	v := w.s.vars[umask]
	m, err := strconv.ParseUint(v.s, 8, 12)
	switch {
	case v.known && m == 0o022:
	case !v.known || err != nil || len(paths) != len(c.args):
		w.problem(c.node, "%s: with a umask that is not followed", source(c.node))
	case c.name == "touch":
		w.emit(c, "chmod", append([]string{strconv.FormatUint(0o666&^m, 8)}, paths...)...)
	default:
		w.emit(c, "chmod", append([]string{strconv.FormatUint(0o777&^m, 8)}, paths...)...)
	}
}

// onlyVolatile reports whether all paths of a command lie where nothing is
// kept, be they known to the end or not.
func (w *walker) onlyVolatile(c command) bool {
	n := 0
	for i, a := range c.args {
		switch {
		case a.known && strings.HasPrefix(a.s, "-"):
		case (a.known || a.glob) && volatile(a.s):
			n++
		case i == 0 && strings.HasPrefix(c.name, "ch"):
		default:
			return false
		}
	}
	return n > 0
}

// ucf installs a configuration file that is not there yet.
func (w *walker) ucf(c command) outcome {
	args, ok := c.text()
	if !ok {
		w.problem(c.node, "%s: an argument is not known", source(c.node))
		return success
	}
	var paths []string
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "--purge" || a == "-p":
			return success
		case slices.Contains([]string{"--debconf-template", "--src-dir", "--sum-file", "-S", "--state-dir"}, a):
			i++
		case !strings.HasPrefix(a, "-"):
			paths = append(paths, a)
		}
	}
	if len(paths) != 2 || !path.IsAbs(paths[0]) || !path.IsAbs(paths[1]) {
		w.problem(c.node, "%s", source(c.node))
		return success
	}
	w.emit(c, "cp", append([]string{"--no-clobber"}, paths...)...)
	return success
}

var sedInPlace = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(?:-[nErsuz]*i|--in-place)`) })

// sedWrites finds sed's commands that write and run: w file, W file, e command.
var sedWrites = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?:^|[;{}/0-9$]) *[wWe] +\S`) })

// filter commands read, unless their own language writes or runs something.
func (w *walker) filter(c command) outcome {
	for i, a := range c.args {
		bad := !a.known && i == 0
		switch c.name {
		case "sed":
			bad = bad || sedInPlace().MatchString(a.s) || sedWrites().MatchString(a.s)
		case "sort":
			bad = strings.HasPrefix(a.s, "-o") || strings.HasPrefix(a.s, "--output")
		case "uniq":
			bad = !a.known || !strings.HasPrefix(a.s, "-")
		case "find":
			bad = bad || slices.Contains([]string{"-exec", "-execdir", "-ok", "-okdir", "-delete", "-fprint", "-fprintf", "-fls"}, a.s)
		case "awk", "gawk", "mawk":
			bad = bad || strings.Contains(a.s, "system") || strings.Contains(a.s, "|") && strings.Contains(a.s, "getline") ||
				strings.Contains(a.s, `> "`) || strings.Contains(a.s, `>"`) || a.s == "-f" || a.s == "-i"
		}
		if bad {
			w.problem(c.node, "%s", source(c.node))
			return maybe()
		}
	}
	return maybe()
}

// xargs is as harmless as the command that it runs.
func (w *walker) xargs(c command) outcome {
	for i, a := range c.args {
		if a.known && (strings.HasPrefix(a.s, "-") || a.s == "1") {
			continue
		}
		if name := tool(a.s); a.known && (quiet[name] || query[name]) {
			return w.filter(command{name, c.args[i+1:], c.node})
		}
		break
	}
	if len(c.args) == 0 {
		return maybe() // as echo
	}
	w.problem(c.node, "%s", source(c.node))
	return maybe()
}
