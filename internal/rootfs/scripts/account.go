package scripts

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Script is one maintainer script, or the triggers file, of one package.
type Script struct {
	Package, Version, Arch string // as in the control paragraph; Arch decides what dpkg --print-architecture says, so it is the image's, never "all"
	Name                   string // preinst, config, postinst; triggers; prerm and postrm are ignored
	Text                   []byte
}

// Effect is something that a script would have done and that an image keeps.
//
// Kind is the name of the command, or of a generator; the kinds are:
//
//   - update-alternatives: Args from --install on; see [ParseAlternative]
//   - ldconfig, ca-certificates, java-certificates, py3compile: a generated
//     file is due; Args as given
//   - mkdir, ln, cp, mv, install, chmod, chown, chgrp, rm, rmdir, touch: the
//     command on absolute paths, Args without the name; rm, chmod, chown and
//     chgrp may have patterns of paths; ucf is a cp onto what is not there
//   - write, append: Args are a path and the text
//   - adduser, addgroup, useradd, groupadd, usermod: an account, Args as given
//   - sysusers, tmpfiles: the files of sysusers.d(5), tmpfiles.d(5) in Args
//   - divert: dpkg-divert, Args as given
//   - statoverride: owner, group, mode, path
//   - setcap, pam-auth-update, add-shell, php_invoke, apache2_invoke,
//     configure_version, configure_client_version (of postgresql-common): as given
//   - cache: Args is a command that derives a cache from files of packages
//     (glib-compile-schemas, update-mime-database, ...), which programs can
//     do without or which a definition waives or provides
//   - whatever a Pin says.
//
// The conditions of a package's effects hold, or not, on the merged tree as it
// is before the first effect of that script; the effects then follow in order.
type Effect struct {
	Package, Script string
	Kind            string
	Args            []string
	If              []Test // all of which must hold on the merged tree; nil: always
	Reason          string // of the pin; empty where the effect was recognised
}

// Test is a condition on the tree as test(1) has it: -e, -f, -d, -x, -L, -s...
type Test struct {
	Op   string // "-e"
	Path string // absolute
	Want bool   // whether it must be true or false
}

// String is the test as a shell would have it.
func (t Test) String() string {
	if t.Want {
		return "[ " + t.Op + " " + t.Path + " ]"
	}
	return "[ ! " + t.Op + " " + t.Path + " ]"
}

// Pin accounts for a script that is not understood, by its exact text. The
// same package and script may be pinned several times, for other versions,
// releases or architectures.
type Pin struct {
	Package, Script string
	Digest          string // "sha256:<hex>", see Digest
	Effect          string // "none", or an effect's kind
	Args            []string
	Reason          string // why that is right; for people
	// Text is the normalised text that was pinned, where the caller has it,
	// for showing what changed; see Normalise.
	Text []byte
}

// Unknown is a script that nothing accounts for.
type Unknown struct {
	Script Script
	Digest string
	Why    []Problem // what was not understood, in the order of the script
	Pinned *Pin      // a pin of this package and script for another text; nil if there is none
}

// Problem is one place in a script that the analysis does not understand.
type Problem struct {
	Line int
	Text string
}

// Found says how one script was accounted for.
type Found struct {
	Script  Script // without Text
	Digest  string
	How     How
	Effects []Effect
}

// How a script was accounted for.
type How string

// The ways in which a script can be accounted for.
const (
	Recognised How = "recognised"
	Pinned     How = "pinned"
	NotKnown   How = "unknown"
)

// Result is what Account finds, all in the order of the scripts given.
type Result struct {
	Found   []Found
	Effects []Effect
	Unknown []Unknown
	Unused  []Pin // pins that no script needed, in their order: drop them, or see why
}

// Account finds what the scripts of an image's packages would have done. A pin
// whose digest matches is believed before any analysis. The result depends on
// the arguments alone and keeps their order.
func Account(list []Script, pins []Pin) Result {
	var res Result
	used := make([]bool, len(pins))
	interested := interests(list)
	for _, s := range list {
		if s.Name == "prerm" || s.Name == "postrm" {
			continue
		}
		found := Found{Script: s, Digest: Digest(s)}
		found.Script.Text = nil
		i := slices.IndexFunc(pins, func(p Pin) bool {
			return p.Package == s.Package && p.Script == s.Name && p.Digest == found.Digest
		})
		if i >= 0 {
			used[i] = true
			found.How, found.Effects = Pinned, pinned(pins[i])
		} else if effects, why := analyse(s, interested[s.Package]); len(why) == 0 {
			found.How, found.Effects = Recognised, effects
		} else {
			found.How = NotKnown
			res.Unknown = append(res.Unknown, Unknown{s, found.Digest, why, otherPin(pins, s)})
		}
		res.Found = append(res.Found, found)
		res.Effects = append(res.Effects, found.Effects...)
	}
	for i, p := range pins {
		if !used[i] {
			res.Unused = append(res.Unused, p)
		}
	}
	return res
}

func pinned(p Pin) []Effect {
	if p.Effect == "none" || p.Effect == "" {
		return nil
	}
	return []Effect{{Package: p.Package, Script: p.Script, Kind: p.Effect, Args: p.Args, Reason: p.Reason}}
}

// otherPin finds the last pin of the same script, whose text was another.
func otherPin(pins []Pin, s Script) *Pin {
	for i := range slices.Backward(pins) {
		if pins[i].Package == s.Package && pins[i].Script == s.Name {
			return &pins[i]
		}
	}
	return nil
}

// analyse evaluates one script: postinst a second time as dpkg calls it for a
// trigger, if its package is interested in any.
func analyse(s Script, triggered bool) ([]Effect, []Problem) {
	switch s.Name {
	case "triggers":
		return activations(s)
	case "preinst":
		return evaluate(s, "install")
	case "config":
		return evaluate(s, "configure", "")
	case "postinst":
		effects, why := evaluate(s, "configure", "")
		if triggered {
			more, alas := evaluate(s, "triggered", unknownParam)
			effects = append(effects, more...)
			why = append(why, alas...)
		}
		return unique(effects), uniqueProblems(why)
	}
	return nil, []Problem{{1, fmt.Sprintf("a script named %q: want preinst, config, postinst or triggers", s.Name)}}
}

// interests lists the packages whose postinst dpkg runs for triggers.
// See deb-triggers(5).
func interests(list []Script) map[string]bool {
	m := map[string]bool{}
	for _, s := range list {
		if s.Name != "triggers" {
			continue
		}
		for line := range bytes.Lines(s.Text) {
			if bytes.HasPrefix(bytes.TrimSpace(line), []byte("interest")) {
				m[s.Package] = true
			}
		}
	}
	return m
}

// activations reads a triggers file. Whoever is interested in an activated
// trigger is analysed as triggered anyway, so only ldconfig, which an image
// does without libc-bin, is an effect of its own.
func activations(s Script) (effects []Effect, why []Problem) {
	n := 0
	for line := range bytes.Lines(s.Text) {
		n++
		f := strings.Fields(string(line))
		if len(f) == 0 || f[0][0] == '#' {
			continue
		}
		word, rest, _ := strings.Cut(f[0], "-")
		if len(f) != 2 || word != "interest" && word != "activate" || rest != "" && rest != "await" && rest != "noawait" {
			why = append(why, Problem{n, fmt.Sprintf("line %q: want interest or activate and a trigger", bytes.TrimSpace(line))})
			continue
		}
		if word == "activate" {
			effects = append(effects, trigger(s, f[1])...)
		}
	}
	return unique(effects), why
}

// trigger is the effect of activating one trigger for packages that are not
// in the image as a whole.
func trigger(s Script, name string) []Effect {
	switch name {
	case "ldconfig":
		return []Effect{{Package: s.Package, Script: s.Name, Kind: "ldconfig"}}
	case "update-ca-certificates":
		return []Effect{{Package: s.Package, Script: s.Name, Kind: "ca-certificates"}}
	case "update-ca-certificates-java", "update-ca-certificates-java-fresh":
		return []Effect{{Package: s.Package, Script: s.Name, Kind: "java-certificates"}}
	}
	return nil
}

// unique drops repetitions and keeps the order.
func unique(effects []Effect) []Effect {
	var out []Effect
	for _, e := range effects {
		if !slices.ContainsFunc(out, func(o Effect) bool { return sameEffect(o, e) }) {
			out = append(out, e)
		}
	}
	return out
}

func sameEffect(a, b Effect) bool {
	return a.Package == b.Package && a.Script == b.Script && a.Kind == b.Kind && slices.Equal(a.Args, b.Args) && slices.Equal(a.If, b.If)
}

func uniqueProblems(why []Problem) []Problem {
	slices.SortStableFunc(why, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return slices.Compact(why)
}

// Alternative is what update-alternatives --install registers.
type Alternative struct {
	Link, Name, Path string // "/usr/bin/awk", "awk", "/usr/bin/mawk"
	Priority         string
	Slaves           []Alternative // without Priority
}

// ParseAlternative takes the arguments of an update-alternatives effect apart.
func ParseAlternative(args []string) (Alternative, error) {
	if len(args) < 5 || args[0] != "--install" {
		return Alternative{}, fmt.Errorf("update-alternatives %s: want --install link name path priority", strings.Join(args, " "))
	}
	a := Alternative{Link: args[1], Name: args[2], Path: args[3], Priority: args[4]}
	for rest := args[5:]; len(rest) > 0; rest = rest[4:] {
		if len(rest) < 4 || rest[0] != "--slave" {
			return Alternative{}, fmt.Errorf("update-alternatives: after %s: %q: want --slave link name path", a.Name, rest)
		}
		a.Slaves = append(a.Slaves, Alternative{Link: rest[1], Name: rest[2], Path: rest[3]})
	}
	return a, nil
}
