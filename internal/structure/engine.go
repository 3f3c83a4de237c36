package structure

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// engine is podman or docker: the image is imported into its storage as one
// layer, and removed in the end. What the image's configuration says is said
// again for each command, so that all runtimes are told the same.
type engine struct{ program string }

var _ Runtime = (*engine)(nil)

func (e *engine) Name() string { return filepath.Base(e.program) }

func (e *engine) open(ctx context.Context, flatten func(context.Context, io.Writer) error) (session, error) {
	// Without a name it would be removed with the first image made from it.
	name := "localhost/structure-test:" + strings.ToLower(rand.Text())
	cmd := exec.CommandContext(ctx, e.program, "import", "-", name)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	failed := errors.Join(flatten(ctx, in), in.Close())
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("%s import: %w: %s", e.Name(), err, lastLine(stderr.Bytes()))
	}
	if failed != nil {
		return nil, errors.Join(failed, e.quiet("rmi", "--force", name))
	}
	return &imported{e, name}, nil
}

type imported struct {
	*engine
	image string // its name
}

func (i *imported) begin(context.Context) (box, error) {
	return &engineBox{imported: i, at: i.image}, nil
}

func (i *imported) close() error { return i.quiet("rmi", "--force", i.image) }

// quiet runs a command of the engine, also after an interrupt, when there is
// something to tidy up.
func (e *engine) quiet(args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, e.program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", e.Name(), args[0], err, lastLine(out))
	}
	return nil
}

// engineBox keeps what a command changed: the next one runs in an image that is
// made of its container.
type engineBox struct {
	*imported
	at   string // image that the next command runs in
	last string // container of the last command
	made []string
}

func (b *engineBox) run(ctx context.Context, p process) (output, error) {
	if err := b.commit(ctx); err != nil {
		return output{}, err
	}
	b.last = "structure-test-" + strings.ToLower(rand.Text())
	out, err := execute(ctx, p.timeout, b.remove, b.program, b.args(p)...)
	if err == nil && out.code == 125 { // the engine's own failures
		err = fmt.Errorf("%s run: %s", b.Name(), lastLine([]byte(out.stderr)))
	}
	return out, err
}

func (b *engineBox) commit(ctx context.Context) error {
	if b.last == "" {
		return nil
	}
	out, err := exec.CommandContext(ctx, b.program, "commit", b.last).Output()
	if err != nil {
		return fmt.Errorf("%s commit: %w", b.Name(), err)
	}
	b.at = lastLine(out)
	b.made = append(b.made, b.at)
	return b.remove()
}

// remove ends and removes the last container, if there is one: --force makes
// light of one that is gone.
func (b *engineBox) remove() error {
	if b.last == "" {
		return nil
	}
	name := b.last
	b.last = ""
	return b.quiet("rm", "--force", name)
}

func (b *engineBox) args(p process) []string {
	args := []string{"run", "--name", b.last, "--network", "none", "--workdir", p.dir, "--user", fmt.Sprintf("%d:%d", p.user.uid, p.user.gid), "--entrypoint", p.args[0]}
	for _, g := range p.user.groups {
		args = append(args, "--group-add", strconv.Itoa(g))
	}
	for _, e := range p.env {
		args = append(args, "--env", e)
	}
	for _, c := range p.capability {
		args = append(args, "--cap-add", c)
	}
	if p.privileged {
		args = append(args, "--privileged")
	}
	for _, m := range p.mounts {
		args = append(args, "--volume", m[0]+":"+m[1])
	}
	return append(append(args, b.at), p.args[1:]...)
}

func (b *engineBox) close() error {
	errs := []error{b.remove()}
	for i := len(b.made) - 1; i >= 0; i-- {
		errs = append(errs, b.quiet("rmi", "--force", b.made[i]))
	}
	return errors.Join(errs...)
}
