package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"distroless/internal/build/buildtest"
	"distroless/internal/debian/archive"
	"distroless/internal/debian/archivetest"
)

var update = flag.Bool("update", false, "write what commands print into the scripts")

// TestMain lets scripts run this test binary as distroless. It differs from the
// program in two things: it trusts the keys of the test's archive, and takes
// another folder for the machine's root.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"distroless": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
			defer stop()
			os.Exit(run(ctx, os.Args[1:], surroundings{
				environ: os.LookupEnv, stdout: os.Stdout, stderr: os.Stderr,
				machine: os.DirFS(os.Getenv("TEST_MACHINE")),
				keyring: func(string) (*archive.Keyring, error) {
					data, err := os.ReadFile(os.Getenv("TEST_KEYRING"))
					if err != nil {
						return nil, err
					}
					return archive.ParseKeyring(data)
				},
			}))
		},
	})
}

type repoKey struct{}

// TestScripts runs testdata/script: what a person types and what comes of it,
// a script per command or story. Each has an archive of its own on loopback,
// whose address is in DISTROLESS_ARCHIVE.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			r := buildtest.Archive(t)
			env.Values[repoKey{}] = r
			keys := filepath.Join(env.WorkDir, ".keys")
			if err := os.MkdirAll(filepath.Join(keys, "machine"), 0o755); err != nil {
				return err
			}
			env.Setenv("TEST_KEYRING", filepath.Join(keys, "archive.asc"))
			env.Setenv("TEST_MACHINE", filepath.Join(keys, "machine"))
			env.Setenv("HOME", filepath.Join(keys, "home"))
			env.Setenv("XDG_CACHE_HOME", filepath.Join(env.WorkDir, "cache"))
			env.Setenv("DISTROLESS_ARCHIVE", r.URL())
			env.Setenv("GOARCH", runtime.GOARCH)
			env.Setenv("GOVERSION", runtime.Version())
			return os.WriteFile(filepath.Join(keys, "archive.asc"), r.Keyring(), 0o644)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "publish": publish, "stale": stale, "same": same, "json": jsonCmd, "requests": requests, "lines": lines, "put": put, "damage": damage, "keyenv": keyenv, "alter": alter, "registry": serve, "sigstore": sigstore(t),
		},
	})
}

func repo(ts *testscript.TestScript) *archivetest.Repo {
	return ts.Value(repoKey{}).(*archivetest.Repo)
}

// exits CODE COMMAND... runs a command that must end with that exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code command [arg...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// publish SUITE NAME VERSION [ARCH [DEPENDS]] puts a new package into the
// archive.
func publish(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: publish suite name version [arch [depends]]")
	}
	p := archivetest.Package{Name: args[1], Version: args[2], Arch: "all", Files: []archivetest.File{
		archivetest.Text("usr/share/doc/"+args[1]+"/copyright", args[1]+" "+args[2]+"\n"),
		archivetest.Text("usr/share/"+args[1]+"/version", args[2]+"\n"),
	}}
	if len(args) > 3 {
		p.Arch = args[3]
	}
	if len(args) > 4 {
		p.Depends = args[4]
	}
	repo(ts).Add(args[0], p)
}

// stale SUITE ARCH... makes indices that do not match their Release.
func stale(ts *testscript.TestScript, _ bool, args []string) {
	repo(ts).StaleIndex(args[0], args[1:]...)
}

// requests TEXT N checks how many requests the archive has had whose path holds
// a text.
func requests(ts *testscript.TestScript, _ bool, args []string) {
	if got := fmt.Sprint(repo(ts).Requests(args[0])); got != args[1] {
		ts.Fatalf("%s requests with %q, want %s", got, args[0], args[1])
	}
}

// same A B compares two folders or files, names and bytes.
func same(ts *testscript.TestScript, neg bool, args []string) {
	a, b := tree(ts, args[0]), tree(ts, args[1])
	if (a == b) == neg {
		ts.Fatalf("%s and %s: the same is %v", args[0], args[1], a == b)
	}
}

func tree(ts *testscript.TestScript, root string) string {
	var b strings.Builder
	at := ts.MkAbs(root)
	ts.Check(filepath.WalkDir(at, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		fmt.Fprintf(&b, "%s %x\n", strings.TrimPrefix(p, at), sha256.Sum256(data))
		return err
	}))
	return b.String()
}

// json FILE PATH WANT follows a path such as images.0.variants.1.variant through
// a JSON document and compares what is there, as text or JSON, with a regular
// expression. FILE may be stdout. A path that ends in len is the length.
func jsonCmd(ts *testscript.TestScript, neg bool, args []string) {
	var v any
	dec := json.NewDecoder(strings.NewReader(ts.ReadFile(args[0])))
	ts.Check(dec.Decode(&v))
	if _, err := dec.Token(); err != io.EOF {
		ts.Fatalf("%s: text after the JSON document", args[0])
	}
	for _, key := range strings.Split(args[1], ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[key]
			if key == "len" {
				v = len(at)
			}
		case []any:
			i, err := strconv.Atoi(key)
			switch {
			case key == "len":
				v = len(at)
			case err != nil || i >= len(at):
				ts.Fatalf("%s: no %s in %d items", args[1], key, len(at))
			default:
				v = at[i]
			}
		}
	}
	text, ok := v.(string)
	if !ok {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		ts.Check(enc.Encode(v))
		text = strings.TrimSpace(b.String())
	}
	if regexp.MustCompile("^(?:"+args[2]+")$").MatchString(text) == neg {
		ts.Fatalf("%s is %s, want %s", args[1], text, args[2])
	}
}

// lines FILE REGEXP N counts the lines that match.
func lines(ts *testscript.TestScript, _ bool, args []string) {
	re := regexp.MustCompile(args[1])
	n := 0
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		if re.MatchString(strings.TrimSuffix(line, "\n")) {
			n++
		}
	}
	if fmt.Sprint(n) != args[2] {
		ts.Fatalf("%s: %d lines match %s, want %s", args[0], n, args[1], args[2])
	}
}

// put FILE certificate|key writes what cannot stand in a script.
func put(ts *testscript.TestScript, _ bool, args []string) {
	text := map[string][]byte{"certificate": buildtest.Certificate("Company"), "key": buildtest.PrivateKey("Company")}[args[1]]
	if slices.Equal(text, nil) {
		ts.Fatalf("put: %q is neither certificate nor key", args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), text, 0o644))
}

// damage FOLDER changes a byte in the middle of every file of a folder.
func damage(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	entries, err := os.ReadDir(dir)
	ts.Check(err)
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		ts.Check(err)
		data[len(data)/2] ^= 0x20
		ts.Check(os.WriteFile(filepath.Join(dir, e.Name()), data, 0o644))
	}
}

// keyenv NAME FILE sets a variable to what is in a file.
func keyenv(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], ts.ReadFile(args[1]))
}
