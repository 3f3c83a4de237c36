package scripts

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// test evaluates test(1) on its arguments, the closing bracket removed.
func (w *walker) test(args []value) outcome {
	switch {
	case len(args) == 0:
		return failure
	case is(args[0], "!") && len(args) > 1:
		return w.test(args[1:]).negate()
	case len(args) == 1:
		if !args[0].known {
			return maybe()
		}
		return status(args[0].s != "")
	case len(args) == 2:
		return w.unary(args[0], args[1])
	case len(args) == 3 && !logical(args[1]):
		return binaryTest(args[0], args[1], args[2])
	}
	// -o binds less than -a; parentheses and other forms are not followed.
	for _, op := range []string{"-o", "-a"} {
		for i := 1; i < len(args)-1; i++ {
			if !is(args[i], op) {
				continue
			}
			l, r := w.test(args[:i]), w.test(args[i+1:])
			if op == "-o" {
				return or(l, r)
			}
			return or(l.negate(), r.negate()).negate()
		}
	}
	return maybe()
}

func is(v value, s string) bool { return v.known && v.s == s }

func logical(v value) bool { return is(v, "-a") || is(v, "-o") }

func or(l, r outcome) outcome {
	switch {
	case l.known && l.ok, r.known && !r.ok:
		return l
	case r.known && r.ok, l.known && !l.ok:
		return r
	}
	return outcome{when: opaque(), whenFail: append(append([]cond{}, l.whenFail...), r.whenFail...)}
}

func (w *walker) unary(op, arg value) outcome {
	if !op.known {
		return maybe()
	}
	switch op.s {
	case "-n", "-z":
		if !arg.known {
			return maybe()
		}
		return status((arg.s == "") == (op.s == "-z"))
	case "-e", "-f", "-d", "-x", "-L", "-h", "-s", "-r", "-w", "-p", "-S", "-b", "-c":
		if !arg.known {
			return maybe()
		}
		return w.fileTest(op.s, arg.s)
	}
	return maybe()
}

// fileTest decides what is certain of a fresh root, and leaves the rest to
// whoever has the tree.
func (w *walker) fileTest(op, p string) outcome {
	if p == "" {
		return failure
	}
	if !path.IsAbs(p) {
		return maybe()
	}
	p = path.Clean(p)
	switch {
	case op == "-x" && understood(p):
		return success // a tool whose work this program does, or leaves
	case strings.HasPrefix(p, "/run/systemd") || strings.HasPrefix(p, "/run/udev") || p == "/run/openrc" || p == "/run/runit":
		return failure // nothing runs in an image that is being built
	case p == "/etc/staff-group-for-usr-local":
		return failure // base-files makes it on upgrades only
	case manual().MatchString(p):
		return failure // an image keeps no manual pages
	case leftover().MatchString(p):
		return failure // only an upgrade leaves such files behind
	case w.made(op, p):
		return success
	case volatile(p) || w.touched(p):
		return maybe()
	case w.script.Name != "postinst" && !topLevel().MatchString(p):
		return maybe() // before the package is unpacked the tree is not the merged one
	}
	switch op {
	case "-h":
		op = "-L"
	case "-r", "-w":
		op = "-e" // for root
	}
	return outcome{
		when:     []cond{{Test: Test{op, p, true}}},
		whenFail: []cond{{Test: Test{op, p, false}}},
	}
}

func binaryTest(l, op, r value) outcome {
	if !op.known || !l.known || !r.known {
		return maybe()
	}
	switch op.s {
	case "=", "==":
		return status(l.s == r.s)
	case "!=":
		return status(l.s != r.s)
	}
	a, errA := strconv.Atoi(strings.TrimSpace(l.s))
	b, errB := strconv.Atoi(strings.TrimSpace(r.s))
	if errA != nil || errB != nil {
		return maybe()
	}
	switch op.s {
	case "-eq":
		return status(a == b)
	case "-ne":
		return status(a != b)
	case "-lt":
		return status(a < b)
	case "-le":
		return status(a <= b)
	case "-gt":
		return status(a > b)
	case "-ge":
		return status(a >= b)
	}
	return maybe()
}

var manual = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`/man/(?:[^/]+/)?man[0-9]/[^/]+$`) })

// topLevel are the folders and links that an image has from the start.
var topLevel = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^/(?:bin|sbin|lib(?:o?32|x32|64)?)$`) })

var leftover = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\.(?:dpkg|ucf)-[a-z]+$`) })

// made reports whether the last thing that the script did to p, for certain,
// was to make what op asks for.
func (w *walker) made(op, p string) bool {
	for _, e := range slices.Backward(w.s.effects) {
		if !slices.Contains(e.Args, p) {
			continue
		}
		switch e.Kind {
		case "chmod", "chown", "chgrp":
			continue
		case "mkdir":
			return len(e.If) == 0 && (op == "-e" || op == "-d")
		case "touch", "write":
			return len(e.If) == 0 && (op == "-e" || op == "-f")
		case "cp":
			return len(e.If) == 0 && (op == "-e" || op == "-f") && e.Args[len(e.Args)-1] == p
		}
		return false
	}
	return false
}

// touched reports whether the script may have changed before what a test of p
// would find: a test of the tree as it was would then say something else.
func (w *walker) touched(p string) bool {
	for _, e := range w.s.effects {
		args := e.Args
		if e.Kind == "write" || e.Kind == "append" {
			args = args[:1]
		}
		for _, a := range args {
			if !path.IsAbs(a) {
				continue
			}
			same, below, above := a == p, strings.HasPrefix(p, strings.TrimSuffix(a, "/")+"/"), strings.HasPrefix(a, p+"/")
			switch e.Kind {
			case "mkdir":
				if above || same && len(e.If) > 0 {
					return true
				}
			case "chown", "chgrp", "statoverride":
			case "chmod":
				if same {
					return true
				}
			case "rm", "touch", "write", "append":
				if same || below {
					return true // what lies above is there before and after
				}
			default:
				if same || below || above {
					return true
				}
			}
		}
	}
	return false
}
