package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"distroless/internal/build/buildtest"
	"distroless/internal/debian/archive"
	"distroless/internal/debian/archivetest"
)

// Ctrl-C in the middle of a download must end the command soon, with its own
// exit code, leave no half-made output, and not spoil the next run.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	r := buildtest.Archive(t)
	r.Fault("/pool/", 0, archivetest.Slow(time.Hour))
	dir := t.TempDir()
	command := func(ctx context.Context) (int, string) {
		var stdout, stderr bytes.Buffer
		code := run(ctx, []string{
			"build", "static", "--arch", "amd64", "--archive", r.URL(), "--output", filepath.Join(dir, "dist"),
			"--lock", filepath.Join(dir, "distroless.lock"), "--cache", filepath.Join(dir, "cache"),
		}, surroundings{
			environ: func(string) (string, bool) { return "", false }, stdout: &stdout, stderr: &stderr, machine: fstest.MapFS{},
			keyring: func(string) (*archive.Keyring, error) { return archive.ParseKeyring(r.Keyring()) },
		})
		return code, stderr.String()
	}

	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for r.Requests("/pool/") == 0 && ctx.Err() == nil {
			time.Sleep(5 * time.Millisecond)
		}
		cancel()
	}()
	code, stderr := command(ctx)
	if code != exitInterrupted || stderr != "distroless: interrupted; nothing half done is left behind\n" {
		t.Errorf("exit code %d, %q on standard error", code, stderr)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "cache" && e.Name() != "distroless.lock" {
			t.Errorf("%s is left behind", e.Name())
		}
	}

	r.Heal()
	if code, stderr := command(t.Context()); code != exitOK {
		t.Errorf("after the interrupt: exit code %d, %s", code, stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "dist", "static-debian13", "index.json")); err != nil {
		t.Error(err)
	}
}

// Several cells that fail for one reason are told once; reasons that differ all.
func TestErrorsAreToldOnce(t *testing.T) {
	t.Parallel()
	r := buildtest.Archive(t)
	r.Unsign("trixie-security")
	dir := t.TempDir()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{
		"build", "static", "base", "--arch", "amd64", "--archive", r.URL(), "--keep-going", "--output", filepath.Join(dir, "dist"),
		"--lock", filepath.Join(dir, "distroless.lock"), "--cache", filepath.Join(dir, "cache"),
	}, surroundings{
		environ: func(string) (string, bool) { return "", false }, stdout: &stdout, stderr: &stderr, machine: fstest.MapFS{},
		keyring: func(string) (*archive.Keyring, error) { return archive.ParseKeyring(r.Keyring()) },
	})
	if got := strings.Count(stderr.String(), "trixie-security"); code != exitFailed || strings.Count(stderr.String(), "\n") != 1 || got == 0 {
		t.Errorf("exit code %d, standard error:\n%s", code, stderr.String())
	}
	if !strings.HasPrefix(stderr.String(), "distroless: static/debian13/amd64, base/debian13/amd64: ") {
		t.Errorf("the cells are not named: %s", stderr.String())
	}
}
