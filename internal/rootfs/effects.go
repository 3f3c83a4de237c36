package rootfs

import (
	"fmt"
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
		// Conditions speak of the tree before the script's first effect.
		due := slices.DeleteFunc(slices.Clone(found.Effects), func(e scripts.Effect) bool { return !a.holds(e.If) })
		for _, e := range due {
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
	case "mkdir", "ln", "touch", "rm", "rmdir", "chmod", "chown", "chgrp", "cp", "mv", "install":
		return a.carryOut(by, e.Kind, e.Args)
	case "statoverride":
		return a.statoverride(by, e.Args)
	case "write", "append":
		return a.effectWrite(by, e.Kind, e.Args)
	case "adduser", "addgroup", "useradd", "groupadd", "usermod", "sysusers":
		return a.needsAccount(e)
	}
	return fmt.Errorf("an effect that this program does not bring about")
}

// needsAccount checks that the definition has the accounts that a script would
// have made: their numbers are the definition's to choose, since a script takes
// the next free one.
func (a *assembler) needsAccount(e scripts.Effect) error {
	if e.Kind == "sysusers" {
		return nil // read by systemd when it starts; an image that runs without has the definition's accounts
	}
	ops := operands(e.Args, "--home", "--shell", "--gecos", "--comment", "--ingroup", "--gid", "--uid", "-d", "-s", "-c", "-g", "-u", "-G", "--home-dir", "--groups")
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

// operands are the arguments of adduser(8) and its like that are no options;
// value names the options that take the next argument.
func operands(args []string, value ...string) []string {
	var out []string
	for i := 0; i < len(args); i++ {
		switch {
		case slices.Contains(value, args[i]):
			i++
		case !strings.HasPrefix(args[i], "-"):
			out = append(out, args[i])
		}
	}
	return out
}

// statoverride sets owner and mode, as dpkg-statoverride --update does.
func (a *assembler) statoverride(by string, args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("expected user, group, mode and path")
	}
	if err := a.carryOut(by, "chown", []string{args[0] + ":" + args[1], args[3]}); err != nil {
		return err
	}
	mode, err := strconv.ParseUint(args[2], 8, 12)
	if err != nil {
		return fmt.Errorf("mode %q: expected octal", args[2])
	}
	return a.change(args[3], false, false, func(e *Entry) { e.Mode = uint32(mode) })
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
