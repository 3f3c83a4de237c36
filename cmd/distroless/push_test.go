package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/rogpeppe/go-internal/testscript"

	"distroless/internal/oci/image"
	"distroless/internal/oci/layer"
	"distroless/internal/oci/layout"
	"distroless/internal/rootfs"
)

// serve begins a registry on loopback, which ends with the script, and puts its
// address into a variable: registry NAME [read-only].
func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 || len(args) == 2 && args[1] != "read-only" {
		ts.Fatalf("usage: registry variable [read-only]")
	}
	inner := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if len(args) == 2 && req.Method != http.MethodGet && req.Method != http.MethodHead {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		inner.ServeHTTP(w, req)
	}))
	ts.Defer(srv.Close)
	ts.Setenv(args[0], strings.TrimPrefix(srv.URL, "http://"))
}

// writeLayout writes a layout of one file for two architectures.
func writeLayout(t *testing.T, dir, title, text string) {
	t.Helper()
	var blob bytes.Buffer
	entries := []rootfs.Entry{{Path: "/file", Kind: rootfs.File, Mode: 0o644, Size: int64(len(text))}}
	b, err := layer.Write(t.Context(), &blob, entries, func(*rootfs.Entry) ([]byte, error) { return []byte(text), nil }, layer.Compression{})
	if err != nil {
		t.Fatal(err)
	}
	c := &layout.Contents{Blobs: func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(blob.Bytes())), nil }}
	for _, arch := range []string{"amd64", "arm64"} {
		m, err := image.Build(image.Settings{Platform: image.Platform{OS: "linux", Architecture: arch}, Created: 1,
			Annotations: map[string]string{"org.opencontainers.image.title": title}}, []image.Layer{{Blob: b, Created: 1}})
		if err != nil {
			t.Fatal(err)
		}
		c.Images = append(c.Images, m)
	}
	idx, err := image.Index(c.Images, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Tags = []layout.Tag{{Name: "latest", Index: &idx}}
	if err := layout.Write(t.Context(), dir, c); err != nil {
		t.Fatal(err)
	}
}

// try runs a command line as a person would, in a folder.
func try(t *testing.T, dir string, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Chdir(dir)
	t.Setenv("HOME", dir)
	var out, errs bytes.Buffer
	code = run(t.Context(), args, surroundings{stdout: &out, stderr: &errs, machine: os.DirFS(dir), environ: func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}})
	return code, out.String(), errs.String()
}

// TestPushCommand pushes by name, by path and under a name of one's own. If it
// fails, `distroless push` does not do what its help says.
func TestPushCommand(t *testing.T) {
	srv := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	dir := t.TempDir()
	for _, title := range []string{"base-debian12", "base-debian13"} {
		writeLayout(t, filepath.Join(dir, "dist", title), title, title)
	}
	to := map[string]string{"DISTROLESS_TO": host + "/team"}
	for _, c := range []struct {
		args       []string
		env        map[string]string
		code       int
		out, words string // what standard output and standard error hold
	}{
		{args: []string{"push"}, code: exitUsage, words: "name one with --to"},
		{args: []string{"push", "cc"}, env: to, code: exitUsage, words: `run "distroless build cc" first`},
		{args: []string{"push", "--to", "team"}, code: exitFailed, words: "no registry in it"},
		{args: []string{"push", "--to", host + "/team:v1"}, code: exitFailed, words: "a tag or digest is in it"},
		{args: []string{"push", "--image", "x"}, env: to, code: exitUsage, words: "these are 2"},
		{args: []string{"push", "--dry-run"}, env: to, out: "new        " + host + "/team/base-debian12:latest"},
		{args: []string{"push", "base", "--release", "v1"}, env: to, out: host + "/team/base:v1  sha256:"},
		{args: []string{"push", "dist/base-debian13"}, env: to, out: "unchanged  " + host + "/team/base-debian13:latest"},
		{args: []string{"push", "dist/base-debian12", "--image", "base-debian13"}, env: to, out: "moved      " + host + "/team/base:latest"},
		{args: []string{"push", "dist/base-debian12", "--image", "base-debian13", "--release", "v1"}, env: to, code: exitFailed, words: "a release is never moved: choose another --release"},
	} {
		code, out, words := try(t, dir, c.env, c.args...)
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(words, c.words) {
			t.Errorf("%v: exit code %d, want %d\n%s\n%s", c.args, code, c.code, out, words)
		}
	}
	code, out, words := try(t, dir, to, "push", "base", "--json")
	var rep pushReport
	if err := json.Unmarshal([]byte(out), &rep); code != 0 || err != nil || len(rep.Tags) != 3 || rep.Uploaded != 0 {
		t.Errorf("exit code %d, %v\n%s\n%s", code, err, out, words)
	}
}

// TestLoadCommand loads into programs that only note what they are given. If
// it fails, images reach the wrong store, or none without a word.
func TestLoadCommand(t *testing.T) {
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	program := func(name, text string) {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program("docker", "echo cannot connect >&2; exit 1\n")
	program("podman", `case $1 in version) ;; load) /bin/cat >loaded; echo "$@" >arguments ;; esac`)
	program("ctr", `case $1 in version) ;; images) exec <&-; echo no space left >&2; exit 1 ;; esac`)
	t.Setenv("PATH", bin)
	writeLayout(t, filepath.Join(dir, "x"), "x-debian13", "text")
	for _, c := range []struct {
		args       []string
		code       int
		out, words string
	}{
		{args: []string{"load", "x", "--arch", "amd64"}, out: "in podman  sha256:"},
		{args: []string{"load", "x", "--arch", "arm64", "--output", "a/x.tar"}, out: "in a/x.tar"},
		{args: []string{"load", "x", "--arch", "s390x"}, code: exitUsage, words: "only for amd64, arm64"},
		{args: []string{"load", "x:debug"}, code: exitFailed, words: `no tag "debug"`},
		{args: []string{"load", "x", "--arch", "amd64", "--into", "docker"}, code: exitFailed, words: "docker does not answer (cannot connect)"},
		{args: []string{"load", "x", "--arch", "amd64", "--into", "containerd"}, code: exitFailed, words: "no space left"},
		{args: []string{"load", "x", "--arch", "amd64", "--into", "floppy"}, code: exitUsage, words: "expected one of docker, podman, containerd"},
		{args: []string{"load", "x", "--output", "y", "--into", "docker"}, code: exitUsage, words: "give one"},
	} {
		code, out, words := try(t, dir, nil, c.args...)
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(words, c.words) {
			t.Errorf("%v: exit code %d, want %d\n%s\n%s", c.args, code, c.code, out, words)
		}
	}
	loaded, err := os.ReadFile(filepath.Join(dir, "loaded"))
	if err != nil || !bytes.Contains(loaded, []byte("manifest.json")) {
		t.Errorf("podman was given %d bytes: %v", len(loaded), err)
	}
}
