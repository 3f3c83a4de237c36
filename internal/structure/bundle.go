package structure

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// bundler is runc or crun, which take a folder with a root and a config.json
// (the OCI runtime specification 1.0) and need neither daemon nor storage.
type bundler struct {
	program string
	root    bool // this process is root's
}

var _ Runtime = (*bundler)(nil)

func (b *bundler) Name() string { return filepath.Base(b.program) }

func (b *bundler) open(ctx context.Context, flatten func(context.Context, io.Writer) error) (_ session, err error) {
	dir, err := os.MkdirTemp("", "structure-test-")
	if err != nil {
		return nil, err
	}
	u := &unpacked{b, dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, u.close())
		}
	}()
	f, err := os.Create(u.archive())
	if err != nil {
		return nil, err
	}
	if err := errors.Join(flatten(ctx, f), f.Close()); err != nil {
		return nil, err
	}
	return u, nil
}

// unpacked is an image as one archive, from which every test has its own root:
// a test may write where it likes.
type unpacked struct {
	*bundler
	dir string
}

func (u *unpacked) archive() string { return filepath.Join(u.dir, "image.tar") }

func (u *unpacked) close() error { return os.RemoveAll(u.dir) }

func (u *unpacked) begin(ctx context.Context) (box, error) {
	dir, err := os.MkdirTemp(u.dir, "test-")
	if err != nil {
		return nil, err
	}
	b := &bundleBox{u, dir}
	f, err := os.Open(u.archive())
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := unpack(ctx, f, filepath.Join(dir, "rootfs"), u.root); err != nil {
		return nil, errors.Join(fmt.Errorf("unpack the image: %w", err), b.close())
	}
	return b, nil
}

type bundleBox struct {
	*unpacked
	dir string
}

func (b *bundleBox) close() error {
	// Directories that their owner may not write to are in the way of others.
	if !b.root {
		filepath.WalkDir(b.dir, func(p string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				return os.Chmod(p, 0o700)
			}
			return nil
		})
	}
	return os.RemoveAll(b.dir)
}

func (b *bundleBox) run(ctx context.Context, p process) (output, error) {
	if !b.root && p.user.uid != 0 {
		return output{}, fmt.Errorf("%s as user %d: needs root: name podman or docker with --runtime", b.Name(), p.user.uid)
	}
	data, err := json.MarshalIndent(b.config(p), "", "  ")
	if err != nil {
		return output{}, err
	}
	if err := os.WriteFile(filepath.Join(b.dir, "config.json"), data, 0o600); err != nil {
		return output{}, err
	}
	id := "structure-test-" + strings.ToLower(rand.Text())
	log := filepath.Join(b.dir, "log")
	global := []string{"--root", filepath.Join(b.unpacked.dir, "state"), "--log", log, "--log-format", "json"}
	remove := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		return exec.CommandContext(ctx, b.program, append(global, "delete", "--force", id)...).Run()
	}
	defer os.Remove(log)
	out, err := execute(ctx, p.timeout, remove, b.program, append(global, "run", "--bundle", b.dir, id)...)
	if err != nil {
		return out, errors.Join(err, remove())
	}
	if out.code != 0 {
		// The runtime's own failures have exit codes that commands have too;
		// only they are in the log.
		if text := failure(log); text != "" {
			remove()
			return out, fmt.Errorf("%s: %s", b.Name(), text)
		}
	}
	return out, nil
}

// failure is the last error in a runtime's log, "" where there is none.
func failure(log string) string {
	text, err := os.ReadFile(log)
	if err != nil {
		return ""
	}
	found := ""
	for line := range strings.Lines(string(text)) {
		var entry struct{ Level, Msg string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Level == "error" {
			found = entry.Msg
		}
	}
	return found
}
