package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"distroless/internal/build"
	"distroless/internal/debian/archive"
)

// Exit codes, as `distroless --help` documents them.
const (
	exitOK          = 0
	exitFailed      = 1   // something could not be done
	exitUsage       = 2   // the command line is wrong
	exitIncomplete  = 3   // --keep-going: some architectures failed, the others were made
	exitInterrupted = 130 // Ctrl-C

	// Of verify: why an image does not pass.
	exitNotSigned       = 4
	exitWrongSigner     = 5
	exitAltered         = 6
	exitNotReproducible = 7
)

// surroundings are all that a command may know of the process it runs in.
type surroundings struct {
	environ        func(string) (string, bool)
	stdout, stderr io.Writer
	terminal       bool  // stderr is a terminal
	machine        fs.FS // the machine's root, for its apt sources
	// keyring returns the keys of a distro's archive; nil takes Debian's own.
	// Only tests, which sign archives themselves, set it.
	keyring func(name string) (*archive.Keyring, error)
}

// usageError is a command line that cannot be carried out.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// incompleteError says that --keep-going left something out.
type incompleteError struct{ error }

func (e incompleteError) Unwrap() error { return e.error }

// run carries out a command line and returns the exit code.
func run(ctx context.Context, args []string, s surroundings) int {
	root := newRoot(&s)
	root.SetArgs(args)
	root.SetOut(s.stdout)
	root.SetErr(s.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var usage usageError
	switch {
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(s.stderr, "distroless: interrupted; nothing half done is left behind")
		return exitInterrupted
	case errors.As(err, &usage):
		fmt.Fprintf(s.stderr, "distroless: %v\n", err)
		return exitUsage
	}
	printError(s.stderr, err)
	var fault faultError
	if errors.As(err, &fault) {
		return fault.code
	}
	if incompleteOnly(err) {
		return exitIncomplete
	}
	return exitFailed
}

// incompleteOnly reports whether nothing is wrong but that architectures are
// missing: what failed beside that is worse.
func incompleteOnly(err error) bool {
	if many, ok := err.(interface{ Unwrap() []error }); ok && isJoin(err) {
		return !slices.ContainsFunc(many.Unwrap(), func(e error) bool { return !incompleteOnly(e) })
	}
	var incomplete incompleteError
	return errors.As(err, &incomplete)
}

// printError prints joined errors a line each, every one once.
func printError(w io.Writer, err error) {
	seen := map[string]bool{}
	var walk func(error)
	walk = func(err error) {
		if incomplete, ok := err.(incompleteError); ok {
			err = incomplete.error // the cells' errors, a line each
		}
		if many, ok := err.(interface{ Unwrap() []error }); ok && isJoin(err) {
			for _, e := range many.Unwrap() {
				walk(e)
			}
			return
		}
		if text := err.Error(); !seen[text] {
			seen[text] = true
			fmt.Fprintf(w, "distroless: %s\n", text)
		}
	}
	walk(err)
}

// isJoin reports whether err is the work of errors.Join rather than a message
// of its own that wraps several causes.
func isJoin(err error) bool { return fmt.Sprintf("%T", err) == "*errors.joinError" }

const rootLong = `distroless turns Debian packages into minimal, reproducible OCI images, without
a Docker daemon, root or emulation.

  distroless build static            build an image of the catalogue
  distroless build ./distroless.yaml build your own
  distroless lock                    take the newest packages
  distroless why libssl3t64 base     say why a package is in an image

Every flag can be set by an environment variable of the same name:
DISTROLESS_ARCHIVE for --archive, DISTROLESS_KEEP_GOING for --keep-going.

Exit codes: 0 done; 1 something could not be done; 2 the command line is wrong;
3 with --keep-going, some architectures failed and the others were made;
4 to 7 an image does not pass "distroless verify", which says why; 130 interrupted.`

func newRoot(s *surroundings) *cobra.Command {
	root := &cobra.Command{
		Use:           "distroless",
		Short:         "Minimal, reproducible container images from Debian packages",
		Long:          rootLong,
		SilenceUsage:  true,
		SilenceErrors: true,
		// Of the letters that may differ in a command before it is no longer
		// taken for a slip: "biuld" is two.
		SuggestionsMinimumDistance: 2,
		Args:                       cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w: see \"%s --help\"", err, cmd.CommandPath())
	})
	root.AddCommand(newBuild(s), newLock(s), newList(s), newWhy(s), newInspect(s), newLoad(s), newPush(s), newSBOM(s), newTest(s), newDiff(s), newKeys(s), newSign(s), newVerify(s), newVersion(s))
	root.InitDefaultCompletionCmd()
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return fromEnvironment(cmd, s.environ) }
	for _, c := range root.Commands() {
		if c.Args != nil {
			c.Args = usageArgs(c.Args)
		}
		if !c.Runnable() { // completion: without a shell cobra would print help and be content
			c.RunE = func(cmd *cobra.Command, _ []string) error {
				return usagef("name a shell: see \"%s --help\"", cmd.CommandPath())
			}
		}
	}
	root.Args = usageArgs(func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return fmt.Errorf("unknown command %q%s", args[0], suggestions(cmd, args[0]))
	})
	return root
}

func suggestions(cmd *cobra.Command, arg string) string {
	if s := cmd.SuggestionsFor(arg); len(s) > 0 {
		return ": did you mean " + strings.Join(s, " or ") + "?"
	}
	return ": see \"distroless --help\""
}

// usageArgs makes the errors of an argument check usage errors.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}

// cellErrors joins the errors of cells: those that are the same for several
// cells once, with the cells that they are for.
func cellErrors(failed []*build.CellError) error {
	cells := map[string][]string{}
	causes := map[string]error{}
	var order []string
	for _, e := range failed {
		text := e.Err.Error()
		if causes[text] == nil {
			causes[text] = e.Err
			order = append(order, text)
		}
		cells[text] = append(cells[text], e.Key.String())
	}
	var errs []error
	for _, text := range order {
		errs = append(errs, fmt.Errorf("%s: %w", strings.Join(cells[text], ", "), causes[text]))
	}
	return errors.Join(errs...)
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
