package structure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"time"
)

// Runtime runs commands in an image: runc, crun, podman or docker.
type Runtime interface {
	// Name is the program's.
	Name() string
	// open makes an image ready. flatten writes it as a tar archive.
	open(ctx context.Context, flatten func(context.Context, io.Writer) error) (session, error)
}

// session is an image that is ready.
type session interface {
	// begin returns the image's files as they are, for one test to change.
	begin(ctx context.Context) (box, error)
	close() error
}

// box is where the commands of one test run, one after the other.
type box interface {
	run(ctx context.Context, p process) (output, error)
	close() error
}

// process is a command as it is run.
type process struct {
	args       []string
	env        []string
	dir        string
	user       user
	capability []string // to add, without "CAP_"
	privileged bool
	mounts     [][2]string // outside, inside
	timeout    time.Duration
}

// user is who runs a command.
type user struct {
	uid, gid int
	groups   []int
	home     string
}

// output is what came of a command.
type output struct {
	stdout, stderr string
	code           int
}

// Runtimes are the programs that can be named, in the order in which root is
// served: those first that need no daemon and no settings.
func Runtimes() []string { return []string{"runc", "crun", "podman", "docker"} }

// FindRuntime returns the runtime of a name, or where that is empty the first
// of [Runtimes] that works here; a user that is not root has those first that
// were made for that.
func FindRuntime(ctx context.Context, name string, root bool) (Runtime, error) {
	order := Runtimes()
	switch {
	case name != "":
		if !slices.Contains(order, name) {
			return nil, fmt.Errorf("runtime %s: not known, expected one of %s", name, strings.Join(order, ", "))
		}
		order = []string{name}
	case !root:
		order = []string{"podman", "docker", "runc", "crun"}
	}
	var failures []error
	for _, n := range order {
		r, err := findRuntime(ctx, n, root)
		if err == nil {
			return r, nil
		}
		failures = append(failures, err)
	}
	return nil, fmt.Errorf("find an OCI runtime for command tests: %w: install one of %s", errors.Join(failures...), strings.Join(Runtimes(), ", "))
}

func findRuntime(ctx context.Context, name string, root bool) (Runtime, error) {
	program, err := exec.LookPath(name)
	if err != nil {
		return nil, fmt.Errorf("%s is not installed", name)
	}
	if name == "crun" || name == "runc" {
		return &bundler{program, root}, nil
	}
	// Whether docker's daemon answers, or podman has a storage it can use.
	if out, err := exec.CommandContext(ctx, program, "info").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s info: %w: %s", name, err, lastLine(out))
	}
	return &engine{program}, nil
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

// command carries out a command test.
func (r *run) command(ctx context.Context, s *Suite, t *CommandTest, res *Result) {
	if err := r.ready(ctx); err != nil {
		res.failf("%v", err)
		return
	}
	p, err := r.process(s, t)
	if err != nil {
		res.failf("%v", err)
		return
	}
	args := append([]string{t.Command}, t.Args...)
	if len(t.Setup) == 0 && !r.has(expand(t.Command, environment(p.env)), *p) {
		// As a shell has it, whatever a runtime would make of it.
		res.judge(t, output{stderr: t.Command + ": not found in the image\n", code: 127})
		return
	}
	b, err := r.session.begin(ctx)
	if err != nil {
		res.failf("%v", err)
		return
	}
	defer func() {
		if err := b.close(); err != nil {
			res.failf("%v", err)
		}
	}()
	if !each(ctx, b, *p, "setup", t.Setup, res) {
		return
	}
	out, err := start(ctx, b, *p, args)
	if err != nil {
		res.failf("run %s: %v", strings.Join(args, " "), err)
		return
	}
	res.judge(t, out)
	each(ctx, b, *p, "teardown", t.Teardown, res)
}

// judge holds what came of a command against what is expected of it.
func (res *Result) judge(t *CommandTest, out output) {
	res.Stdout, res.Stderr = out.stdout, out.stderr
	res.match("standard error", out.stderr, t.ExpectedError, t.ExcludedError)
	res.match("standard output", out.stdout, t.ExpectedOutput, t.ExcludedOutput)
	if out.code != t.ExitCode {
		res.failf("the exit code is %d, expected %d: %s", out.code, t.ExitCode, excerpt(out.stderr))
	}
}

// each runs the commands before or after a test's own; false when one failed.
func each(ctx context.Context, b box, p process, what string, commands [][]string, res *Result) bool {
	for _, args := range commands {
		out, err := start(ctx, b, p, args)
		if err == nil && out.code != 0 {
			err = fmt.Errorf("exit code %d: %s", out.code, excerpt(out.stderr))
		}
		if err != nil {
			res.failf("%s: %s: %v", what, strings.Join(args, " "), err)
			return false
		}
	}
	return true
}

// start runs one command, whose arguments may name the variables that it gets.
func start(ctx context.Context, b box, p process, args []string) (output, error) {
	env := environment(p.env)
	p.args = nil
	for _, a := range args {
		p.args = append(p.args, expand(a, env))
	}
	return b.run(ctx, p)
}

// has reports whether a command is in the image, or may be in what is mounted.
func (r *run) has(command string, p process) bool {
	if len(p.mounts) > 0 {
		return true
	}
	var candidates []string
	switch {
	case path.IsAbs(command):
		candidates = []string{command}
	case strings.Contains(command, "/"):
		candidates = []string{path.Join(p.dir, command)}
	default:
		for dir := range strings.SplitSeq(environment(p.env)["PATH"], ":") {
			candidates = append(candidates, path.Join("/", dir, command))
		}
	}
	return slices.ContainsFunc(candidates, func(c string) bool {
		n, err := r.tree.resolve(c, true)
		return err == nil && !n.mode().IsDir()
	})
}

// ready asks for the runtime once.
func (r *run) ready(ctx context.Context) error {
	if r.session != nil || r.noRun != nil {
		return r.noRun
	}
	if r.opts.Runtime == nil {
		r.noRun = errors.New("no runtime for commands")
		return r.noRun
	}
	rt, err := r.opts.Runtime(ctx)
	if err == nil {
		r.session, err = rt.open(ctx, r.flatten)
	}
	r.noRun = err
	return err
}

// maxOutput bounds what is kept of each output of a command, in bytes.
const maxOutput = 8 << 20

// capture keeps the beginning of an output.
type capture struct{ bytes.Buffer }

func (c *capture) Write(p []byte) (int, error) {
	if room := maxOutput - c.Len(); room > 0 {
		c.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// execute runs a program of the machine that runs a command of an image. stop
// ends that command: killing the program alone would leave it behind.
func execute(ctx context.Context, timeout time.Duration, stop func() error, name string, args ...string) (output, error) {
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cmd := exec.CommandContext(limited, name, args...)
	var stdout, stderr capture
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Cancel = func() error { return errors.Join(stop(), cmd.Process.Kill()) }
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	out := output{stdout.String(), stderr.String(), 0}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return out, ctx.Err()
	case limited.Err() != nil:
		return out, fmt.Errorf("not done after %s", timeout)
	case errors.As(err, &exit):
		out.code = exit.ExitCode()
		return out, nil
	}
	return out, err
}
