package rootfs

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"distroless/internal/rootfs/scripts"
)

// ScriptsError lists the maintainer scripts that nothing accounts for.
type ScriptsError struct {
	Unknown []scripts.Unknown
}

// Error prints, for each script, what was not understood, the lines that pin
// it once somebody has read it, and the script itself.
func (e *ScriptsError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "account for maintainer scripts: %d not understood; read each, then paste its lines under `scripts:` with the effect and the reason", len(e.Unknown))
	for _, u := range e.Unknown {
		fmt.Fprintf(&b, "\n\n%s", describeUnknown(u))
	}
	return b.String()
}

// accountScripts finds what the packages' scripts would have done, in the
// order in which dpkg would have configured them: by name.
func (a *assembler) accountScripts() (scripts.Result, error) {
	var list []scripts.Script
	for _, s := range a.pkgs {
		for _, name := range []string{"preinst", "config", "postinst", "triggers"} {
			if text := s.Scripts[name]; text != nil {
				list = append(list, scripts.Script{Package: s.Package, Version: s.Version, Arch: a.in.Arch, Name: name, Text: text})
			}
		}
	}
	res := scripts.Account(list, a.in.Pins)
	if len(res.Unknown) > 0 {
		return res, &ScriptsError{res.Unknown}
	}
	return res, nil
}

// addEffects does what maintainer scripts would have done to the tree.
func (a *assembler) addEffects() error {
	res, err := a.accountScripts()
	if err != nil {
		return err
	}
	for _, found := range res.Found {
		for _, e := range found.Effects {
			if !a.holds(e.If) {
				continue
			}
			if err := a.apply(e); err != nil {
				return fmt.Errorf("%s of package %s: %s %s: %w: or pin the script with another effect:\n%s",
					e.Script, e.Package, e.Kind, strings.Join(e.Args, " "), err, pinLines(e.Package, e.Script, found.Digest))
			}
		}
	}
	return a.linkAlternatives()
}

// holds evaluates the conditions of an effect on the tree, as test(1) does.
func (a *assembler) holds(tests []scripts.Test) bool {
	return !slices.ContainsFunc(tests, func(t scripts.Test) bool {
		var is bool
		link := a.tree.entries[t.Path]
		e := a.tree.Resolve(t.Path)
		switch t.Op {
		case "-e":
			is = e != nil
		case "-f":
			is = e != nil && e.Kind == File
		case "-s":
			is = e != nil && e.Kind == File && e.Size > 0
		case "-d":
			is = e != nil && e.Kind == Dir
		case "-L", "-h":
			is = link != nil && link.Kind == Symlink
		case "-x":
			is = e != nil && (e.Kind == Dir || e.Mode&0o111 != 0)
		case "-r", "-w":
			is = e != nil
		}
		return is != t.Want
	})
}

// apply carries out one effect. Those that a generator of the level brings
// about anyway, and caches that programs do without, need nothing here.
func (a *assembler) apply(e scripts.Effect) error {
	by := e.Package + " " + e.Script
	switch e.Kind {
	case "ldconfig", "ca-certificates", "java-certificates", "py3compile", "pycompile", "cache", "tmpfiles":
		return nil
	case "update-alternatives":
		alt, err := scripts.ParseAlternative(e.Args)
		if err != nil {
			return err
		}
		return a.offerAlternative(alt)
	case "mkdir":
		return a.effectMkdir(by, e.Args)
	case "ln":
		return a.effectLink(by, e.Args)
	case "touch":
		return a.effectTouch(by, e.Args)
	case "rm", "rmdir":
		return a.effectRemove(e.Args)
	case "chmod", "chown", "chgrp", "statoverride":
		return a.effectOwner(e.Kind, e.Args)
	case "cp":
		return a.effectCopy(by, e.Args)
	case "install":
		return a.effectInstall(by, e.Args)
	case "adduser", "addgroup", "useradd", "groupadd", "usermod", "sysusers":
		return a.needsAccount(e)
	}
	return fmt.Errorf("an effect that this program does not bring about")
}

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
	for _, p := range paths {
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
		mode, err := octal(ops[0], 0)
		if err != nil {
			return err
		}
		set = func(e *Entry) { e.Mode = mode }
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
	for _, p := range ops[1:] {
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

// needsAccount checks that the definition has the accounts that a script would
// have made: their numbers are the definition's to choose, since a script takes
// the next free one.
func (a *assembler) needsAccount(e scripts.Effect) error {
	if e.Kind == "sysusers" {
		return nil // read by systemd when it starts; an image that runs without has the definition's accounts
	}
	_, ops := split(e.Args, "--home", "--shell", "--gecos", "--comment", "--ingroup", "--gid", "--uid", "-d", "-s", "-c", "-g", "-u", "-G", "--home-dir", "--groups", "-r")
	if len(ops) == 0 {
		return fmt.Errorf("no name in it")
	}
	if e.Kind == "groupadd" || e.Kind == "addgroup" {
		_, err := a.gid(ops[0])
		return err
	}
	_, err := a.uid(ops[0])
	return err
}

// offerAlternative notes an alternative; the one with the highest priority is
// linked when all are known. See update-alternatives(1).
func (a *assembler) offerAlternative(alt scripts.Alternative) error {
	if a.tree.Resolve(alt.Path) == nil {
		return nil // a slice dropped it
	}
	n, err := strconv.Atoi(alt.Priority)
	if err != nil {
		return fmt.Errorf("priority %q: expected a number", alt.Priority)
	}
	if old, ok := a.tree.alternatives[alt.Name]; ok && old.priority >= n && old.Path != alt.Path {
		return nil
	}
	a.tree.alternatives[alt.Name] = chosen{alt, n}
	a.picked = append(a.picked, alt.Name)
	return nil
}

// chosen is the best alternative so far.
type chosen struct {
	scripts.Alternative
	priority int
}

const alternativesDir = "/etc/alternatives/"

// linkAlternatives makes the links of the alternatives that this level has
// chosen: the generic name, to /etc/alternatives, to the file.
func (a *assembler) linkAlternatives() error {
	slices.Sort(a.picked)
	for _, name := range slices.Compact(a.picked) {
		alt := a.tree.alternatives[name].Alternative
		for _, l := range append([]scripts.Alternative{alt}, alt.Slaves...) {
			if a.tree.Resolve(l.Path) == nil {
				continue // a slave whose file is not there has no link: update-alternatives(1)
			}
			for _, link := range []Entry{
				{Path: alternativesDir + l.Name, Target: l.Path},
				{Path: a.real(l.Link), Target: alternativesDir + l.Name},
			} {
				link.Kind, link.Mode, link.Owner = Symlink, 0o777, "update-alternatives"
				if old := a.tree.entries[link.Path]; old != nil && !old.Generated {
					continue // as update-alternatives does: a real file is not replaced by a link
				}
				a.remove(link.Path)
				if err := a.putGenerated(&link); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// describeUnknown prints what somebody needs who accounts for a script.
func describeUnknown(u scripts.Unknown) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s %s", u.Script.Name, u.Script.Package, u.Script.Version)
	if u.Pinned != nil {
		fmt.Fprintf(&b, " (pinned with another text, %s, as: %s)", u.Pinned.Digest, u.Pinned.Reason)
	}
	b.WriteString("\n  not understood:\n")
	for _, p := range u.Why {
		fmt.Fprintf(&b, "    line %d: %s\n", p.Line, p.Text)
	}
	b.WriteString("  to pin it:\n" + pinLines(u.Script.Package, u.Script.Name, u.Digest))
	b.WriteString("  the script:\n")
	for line := range strings.SplitSeq(strings.TrimRight(string(u.Script.Text), "\n"), "\n") {
		b.WriteString("    | " + line + "\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

// pinLines are the lines of a definition that account for a script.
func pinLines(pkg, script, digest string) string {
	return fmt.Sprintf("    scripts:\n      - package: %s\n        script: %s\n        digest: %s\n        effect: none\n        reason: ...\n", pkg, script, digest)
}
