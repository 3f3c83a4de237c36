package rootfs

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// split divides arguments into options and operands; value names the options
// that take the next argument.
func split(args []string, value ...string) (options map[string]string, operands []string) {
	options = map[string]string{}
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			return options, append(operands, args[i+1:]...)
		case slices.Contains(value, arg) && i+1 < len(args):
			i++
			options[arg] = args[i]
		case strings.HasPrefix(arg, "--"):
			name, v, _ := strings.Cut(arg, "=")
			options[name] = v
		case len(arg) > 1 && arg[0] == '-':
			for _, c := range arg[1:] {
				options["-"+string(c)] = ""
			}
		default:
			operands = append(operands, arg)
		}
	}
	return options, operands
}

// real is the path that p leads to once the links in its directory are
// followed, so that an effect lands where the script's would have.
func (a *assembler) real(p string) string {
	p = path.Clean(p)
	if a.in.MergedUsr {
		p = underUsr(p)
	}
	if dir := a.tree.Resolve(path.Dir(p)); dir != nil && dir.Kind == Dir {
		return path.Join(dir.Path, path.Base(p))
	}
	return p
}

func octal(s string, standard uint32) (uint32, error) {
	if s == "" {
		return standard, nil
	}
	n, err := strconv.ParseUint(s, 8, 12)
	if err != nil {
		return 0, fmt.Errorf("mode %q: expected octal", s)
	}
	return uint32(n), nil
}

func (a *assembler) effectMkdir(by string, args []string) error {
	options, dirs := split(args, "-m", "--mode")
	mode, err := octal(options["-m"]+options["--mode"], 0o755)
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if e := a.tree.Resolve(d); e != nil {
			continue
		}
		if err := a.putGenerated(&Entry{Path: a.real(d), Kind: Dir, Mode: mode, Owner: by}); err != nil {
			return err
		}
	}
	return nil
}

func (a *assembler) effectLink(by string, args []string) error {
	options, ops := split(args)
	_, symbolic := options["-s"]
	_, force := options["-f"]
	if _, long := options["--symbolic"]; !symbolic && !long {
		return fmt.Errorf("a hard link")
	}
	if _, long := options["--force"]; long {
		force = true
	}
	if len(ops) != 2 {
		return fmt.Errorf("expected a target and a link")
	}
	at := a.real(ops[1])
	_, noDir := options["-n"]
	if _, t := options["-T"]; !noDir && !t {
		if e := a.tree.Resolve(at); e != nil && e.Kind == Dir {
			at = path.Join(e.Path, path.Base(ops[0]))
		}
	}
	if old := a.tree.entries[at]; old != nil {
		if !force || old.Kind == Dir {
			return nil // ln would have ended in an error, which scripts guard against
		}
		a.remove(at)
	}
	return a.putGenerated(&Entry{Path: at, Kind: Symlink, Mode: 0o777, Target: ops[0], Owner: by})
}

func (a *assembler) effectTouch(by string, args []string) error {
	_, files := split(args, "-r", "-d", "-t")
	for _, f := range files {
		if a.tree.Resolve(f) == nil {
			if err := a.generate(by, a.real(f), 0o644, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// effectRemove removes what the level itself has. A file of a level below
// cannot be taken out of its layer; that is an error.
func (a *assembler) effectRemove(args []string) error {
	_, paths := split(args)
	for _, p := range a.glob(paths) {
		at := a.real(p)
		for _, have := range a.tree.Paths() {
			if !below(have, at) {
				continue
			}
			if a.level.entries[have] == nil {
				return fmt.Errorf("%s belongs to a level below", have)
			}
			a.remove(have)
		}
	}
	return nil
}

func (a *assembler) remove(p string) {
	delete(a.tree.entries, p)
	delete(a.level.entries, p)
}

// change replaces an entry by a changed copy; entries of packages are shared.
func (a *assembler) change(p string, f func(*Entry)) error {
	e := a.tree.Resolve(p)
	if e == nil {
		return nil // chmod and chown would have ended in an error, which scripts guard against
	}
	c := *e
	f(&c)
	if c.Mode == e.Mode && c.UID == e.UID && c.GID == e.GID {
		return nil
	}
	if a.level.entries[c.Path] == nil && c.Kind != Dir {
		return fmt.Errorf("%s belongs to a level below", c.Path)
	}
	return a.put(&c)
}

func (a *assembler) effectOwner(kind string, args []string) error {
	_, ops := split(args)
	if kind == "statoverride" {
		if len(ops) != 4 {
			return fmt.Errorf("expected user, group, mode and path")
		}
		if err := a.effectOwner("chown", []string{ops[0] + ":" + ops[1], ops[3]}); err != nil {
			return err
		}
		return a.effectOwner("chmod", []string{ops[2], ops[3]})
	}
	if len(ops) < 2 {
		return fmt.Errorf("expected a value and paths")
	}
	var set func(*Entry)
	if kind == "chmod" {
		mode, err := modeChange(ops[0])
		if err != nil {
			return err
		}
		set = func(e *Entry) { e.Mode = mode(e.Mode, e.Kind == Dir) }
	} else {
		user, group, both := strings.Cut(ops[0], ":")
		if kind == "chgrp" {
			user, group, both = "", ops[0], true
		}
		uid, gid := -1, -1
		var err error
		if user != "" {
			if uid, err = a.uid(user); err != nil {
				return err
			}
		}
		if both && group != "" {
			if gid, err = a.gid(group); err != nil {
				return err
			}
		}
		set = func(e *Entry) {
			if uid >= 0 {
				e.UID = uid
			}
			if gid >= 0 {
				e.GID = gid
			}
		}
	}
	for _, p := range a.glob(ops[1:]) {
		if err := a.change(p, set); err != nil {
			return err
		}
	}
	return nil
}

func (a *assembler) uid(name string) (int, error) {
	if n, err := strconv.Atoi(name); err == nil {
		return n, nil
	}
	for _, u := range append(slices.Clone(a.tree.users), a.in.Users...) {
		if u.Name == name {
			return u.UID, nil
		}
	}
	return 0, fmt.Errorf("no user %s in the image: add it under accounts", name)
}

func (a *assembler) gid(name string) (int, error) {
	if n, err := strconv.Atoi(name); err == nil {
		return n, nil
	}
	for _, g := range append(slices.Clone(a.tree.groups), a.in.Groups...) {
		if g.Name == name {
			return g.GID, nil
		}
	}
	return 0, fmt.Errorf("no group %s in the image: add it under accounts", name)
}

// glob expands patterns of paths on the tree; a pattern that matches nothing
// means nothing.
func (a *assembler) glob(paths []string) []string {
	var out []string
	for _, p := range paths {
		if !strings.ContainsAny(p, "*?[") {
			out = append(out, p)
			continue
		}
		for _, have := range a.tree.Paths() {
			if Match(p, have) {
				out = append(out, have)
			}
		}
	}
	return out
}

// modeChange reads a mode as chmod(1) takes it: octal, or clauses such as
// "u+s" and "go-w".
func modeChange(text string) (func(mode uint32, dir bool) uint32, error) {
	if n, err := strconv.ParseUint(text, 8, 12); err == nil {
		return func(uint32, bool) uint32 { return uint32(n) }, nil
	}
	var steps []func(uint32, bool) uint32
	for clause := range strings.SplitSeq(text, ",") {
		at := strings.IndexAny(clause, "+-=")
		if at < 0 {
			return nil, fmt.Errorf("mode %q: expected octal or clauses such as u+x", text)
		}
		who, op, what := clause[:at], clause[at], clause[at+1:]
		if strings.Trim(who, "ugoa") != "" || strings.Trim(what, "rwxXst") != "" {
			return nil, fmt.Errorf("mode %q: expected octal or clauses such as u+x", text)
		}
		steps = append(steps, func(mode uint32, dir bool) uint32 {
			bits, all := modeBits(who, what, mode, dir)
			switch op {
			case '+':
				return mode | bits
			case '-':
				return mode &^ bits
			}
			return mode&^all | bits
		})
	}
	return func(mode uint32, dir bool) uint32 {
		for _, s := range steps {
			mode = s(mode, dir)
		}
		return mode
	}, nil
}

// modeBits are the bits that a clause names, and all that its classes have.
func modeBits(who, what string, mode uint32, dir bool) (bits, all uint32) {
	if who == "" || strings.Contains(who, "a") {
		who = "ugo"
	}
	for _, class := range who {
		shift := map[rune]uint{'u': 6, 'g': 3, 'o': 0}[class]
		all |= 7 << shift
		for _, w := range what {
			switch w {
			case 'r':
				bits |= 4 << shift
			case 'w':
				bits |= 2 << shift
			case 'x':
				bits |= 1 << shift
			case 'X':
				if dir || mode&0o111 != 0 {
					bits |= 1 << shift
				}
			case 's':
				bits |= map[rune]uint32{'u': 0o4000, 'g': 0o2000}[class]
			case 't':
				bits |= 0o1000
			}
		}
	}
	return bits, all
}

// effectWrite puts text into a file, or at its end.
func (a *assembler) effectWrite(by, kind string, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("expected a path and a text")
	}
	text, mode := []byte(args[1]), uint32(0o644)
	if old := a.tree.Resolve(args[0]); old != nil {
		if old.Kind != File {
			return fmt.Errorf("%s is not a file", args[0])
		}
		mode = old.Mode
		if kind == "append" {
			was, err := a.text(old.Path)
			if err != nil {
				return err
			}
			text = append(slices.Clone(was), text...)
		}
		if a.level.entries[old.Path] == nil {
			return fmt.Errorf("%s belongs to a level below", old.Path)
		}
		a.remove(old.Path)
		return a.generate(by, old.Path, mode, text)
	}
	return a.generate(by, a.real(args[0]), mode, text)
}

// effectMove renames a file of the level.
func (a *assembler) effectMove(by string, args []string) error {
	_, ops := split(args)
	if len(ops) != 2 {
		return fmt.Errorf("expected a file and its new name")
	}
	from := a.tree.entries[a.real(ops[0])]
	if from == nil {
		return nil
	}
	if from.Kind != File || a.level.entries[from.Path] == nil {
		return fmt.Errorf("%s is not a file of this level", from.Path)
	}
	to := a.real(ops[1])
	if e := a.tree.Resolve(to); e != nil && e.Kind == Dir {
		to = path.Join(e.Path, path.Base(from.Path))
	}
	moved := *from
	moved.Path, moved.Owner = to, by
	a.remove(from.Path)
	a.remove(to)
	return a.putGenerated(&moved)
}

// effectCopy makes a copy of a file of the tree, as ucf(1) and cp(1) do for a
// configuration file that is not there yet.
func (a *assembler) effectCopy(by string, args []string) error {
	_, ops := split(args)
	if len(ops) != 2 {
		return fmt.Errorf("expected a file and its copy")
	}
	from := a.tree.Resolve(ops[0])
	if from == nil || a.tree.Resolve(ops[1]) != nil {
		return nil
	}
	if from.Kind != File {
		return fmt.Errorf("%s is not a file", ops[0])
	}
	text, err := a.text(from.Path)
	if err != nil {
		return err
	}
	return a.generate(by, a.real(ops[1]), from.Mode&0o777, text)
}

func (a *assembler) effectInstall(by string, args []string) error {
	options, ops := split(args, "-m", "-o", "-g", "--mode", "--owner", "--group")
	if _, dirs := options["-d"]; !dirs {
		if len(ops) == 2 && ops[0] == "/dev/null" {
			return a.effectTouch(by, ops[1:])
		}
		return a.effectCopy(by, ops)
	}
	mode, err := octal(options["-m"]+options["--mode"], 0o755)
	if err != nil {
		return err
	}
	if err := a.effectMkdir(by, append([]string{"-m", strconv.FormatUint(uint64(mode), 8)}, ops...)); err != nil {
		return err
	}
	for opt, kind := range map[string]string{"-o": "chown", "-g": "chgrp"} {
		if v := options[opt]; v != "" {
			if err := a.effectOwner(kind, append([]string{v}, ops...)); err != nil {
				return err
			}
		}
	}
	return nil
}
