package scripts

import (
	"fmt"
	"slices"
	"strings"
)

// FileCommand is a command that changes the tree, taken apart: mkdir, ln, cp,
// mv, install, touch, rm, rmdir, chmod, chown or chgrp.
type FileCommand struct {
	Name     string
	Options  map[string]string // by their long names, as GNU's coreutils have them; "" where an option has no value
	Operands []string          // in their order: a mode or an owner first, where the command takes one
}

// option is one option of a command.
type option struct {
	long   string
	takes  byte // how a value follows: 0 never, '=' always, '?' only behind "="
	ignore bool // it changes nothing that an image keeps
}

// fileOptions are the options that an image can follow, by command; those
// that only have a long name are under it. An option that is not here makes a
// script unknown: what it does must not be guessed. See the manual pages of
// coreutils.
var fileOptions = map[string]map[string]option{
	"mkdir": {"m": {"mode", '=', false}, "p": {long: "parents"}, "v": verbose},
	"ln": {
		"s": {long: "symbolic"}, "f": {long: "force"}, "n": {long: "no-dereference"},
		"T": {long: "no-target-directory"}, "t": {"target-directory", '=', false}, "v": verbose,
	},
	"touch": {
		"c": {long: "no-create"}, "a": ignored("a"), "m": ignored("m"), "f": ignored("f"), "h": ignored("no-dereference"),
		"r": {"reference", '=', true}, "d": {"date", '=', true}, "t": {"t", '=', true},
	},
	"rm":    {"r": {long: "recursive"}, "R": {long: "recursive"}, "f": ignored("force"), "d": {long: "dir"}, "one-file-system": ignored("one-file-system"), "v": verbose},
	"rmdir": {"p": {long: "parents"}, "ignore-fail-on-non-empty": ignored("ignore-fail-on-non-empty"), "v": verbose},
	"chmod": {"R": {long: "recursive"}, "f": quietly, "silent": quietly, "c": {"changes", 0, true}, "v": verbose},
	"chown": ownerOptions,
	"chgrp": ownerOptions,
	"cp": {
		"a": {long: "archive"}, "p": {long: "p"}, "preserve": {"preserve", '?', false}, "r": {long: "recursive"}, "R": {long: "recursive"},
		"d": {long: "d"}, "P": {long: "no-dereference"}, "L": {long: "dereference"}, "f": ignored("force"), "n": {long: "no-clobber"},
		"T": {long: "no-target-directory"}, "t": {"target-directory", '=', false}, "v": verbose,
	},
	"mv": {
		"f": ignored("force"), "n": {long: "no-clobber"}, "T": {long: "no-target-directory"}, "t": {"target-directory", '=', false}, "v": verbose,
	},
	"install": {
		"d": {long: "directory"}, "D": {long: "D"}, "m": {"mode", '=', false}, "o": {"owner", '=', false}, "g": {"group", '=', false},
		"c": ignored("c"), "p": ignored("preserve-timestamps"), "C": ignored("compare"),
		"T": {long: "no-target-directory"}, "t": {"target-directory", '=', false}, "v": verbose,
	},
}

var (
	verbose      = option{"verbose", 0, true}
	quietly      = option{"quiet", 0, true}
	ownerOptions = map[string]option{
		"R": {long: "recursive"}, "h": {long: "no-dereference"}, "dereference": ignored("dereference"),
		"f": quietly, "silent": quietly, "c": {"changes", 0, true}, "v": verbose,
	}
)

func ignored(long string) option { return option{long, 0, true} }

// ParseFileCommand takes the arguments of a command that changes the tree
// apart, as getopt_long(3) does: options may stand behind operands, short ones
// together, their values beside them or next. An option that an image cannot
// follow is an error that names it.
func ParseFileCommand(name string, args []string) (FileCommand, error) {
	known, ok := fileOptions[name]
	if !ok {
		return FileCommand{}, fmt.Errorf("command %s: not one that changes files", name)
	}
	c := FileCommand{Name: name, Options: map[string]string{}}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		var err error
		switch {
		case arg == "--":
			c.Operands = append(c.Operands, args...)
			return c, nil
		case strings.HasPrefix(arg, "--"):
			args, err = c.long(known, arg[2:], args)
		case len(arg) > 1 && arg[0] == '-':
			args, err = c.short(known, arg[1:], args)
		default:
			c.Operands = append(c.Operands, arg)
		}
		if err != nil {
			return FileCommand{}, fmt.Errorf("%s %s: %w", name, arg, err)
		}
	}
	return c, nil
}

// long reads one option with a long name, and returns what is left.
func (c *FileCommand) long(known map[string]option, text string, rest []string) ([]string, error) {
	name, value, has := strings.Cut(text, "=")
	o, ok := known[name]
	if !ok || len(name) == 1 {
		for _, k := range known {
			if k.long == name && len(name) > 1 {
				o, ok = k, true
			}
		}
	}
	switch {
	case !ok || len(name) == 1:
		return nil, fmt.Errorf("an option that is not followed")
	case o.takes == 0 && has:
		return nil, fmt.Errorf("an option that takes no value")
	case o.takes == '=' && !has:
		if len(rest) == 0 {
			return nil, fmt.Errorf("an option without its value")
		}
		value, rest = rest[0], rest[1:]
	}
	c.note(o, value)
	return rest, nil
}

// short reads the options of one letter that stand together, and returns what
// is left.
func (c *FileCommand) short(known map[string]option, letters string, rest []string) ([]string, error) {
	for letters != "" {
		o, ok := known[letters[:1]]
		letters = letters[1:]
		if !ok {
			return nil, fmt.Errorf("an option that is not followed")
		}
		value := ""
		if o.takes == '=' {
			switch {
			case letters != "":
				value, letters = letters, ""
			case len(rest) > 0:
				value, rest = rest[0], rest[1:]
			default:
				return nil, fmt.Errorf("an option without its value")
			}
		}
		c.note(o, value)
	}
	return rest, nil
}

func (c *FileCommand) note(o option, value string) {
	if !o.ignore {
		c.Options[o.long] = value
	}
}

// Has reports whether one of the options, by long names, was given.
func (c FileCommand) Has(options ...string) bool {
	return slices.ContainsFunc(options, func(o string) bool { _, ok := c.Options[o]; return ok })
}

// Paths are the operands, and the folder of --target-directory behind them,
// that name something in the tree: no mode, no owner, and not what a symbolic
// link is to hold.
func (c FileCommand) Paths() []string {
	list := c.Operands
	dir, into := c.Options["target-directory"]
	switch c.Name {
	case "chmod", "chown", "chgrp":
		list = list[min(1, len(list)):]
	case "ln":
		if into {
			list = nil
		} else if len(list) > 1 {
			list = list[len(list)-1:]
		}
	}
	if into {
		list = append(slices.Clone(list), dir)
	}
	return list
}
