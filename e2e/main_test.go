package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"distroless/internal/testenv"
)

// shared is what the tests of one run share: a folder, the program in it, and
// the images that most tests look at.
type shared struct {
	dir   string // removed in the end; its name has no upper-case letter, which podman's references do not allow
	cache string // of downloads, kept where DISTROLESS_E2E_CACHE says so

	program func() (string, error)
	images  func() (*report, error)
	mirror  func() (*mirror, error)
	storage func() (*storage, error)

	catalogue                 func() (*report, error)
	syft, crane, distribution func() (string, error) // tools that are built
}

// all is set by TestMain and not changed after it.
var all *shared

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	if !testenv.Required() {
		return m.Run()
	}
	if dir := os.Getenv(insideVariable); dir != "" {
		all = inside(dir)
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "distroless-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s := &shared{dir: dir, cache: os.Getenv("DISTROLESS_E2E_CACHE")}
	if s.cache == "" {
		s.cache = filepath.Join(dir, "downloads")
	}
	s.program = sync.OnceValues(s.buildProgram)
	s.images = sync.OnceValues(s.buildImages)
	s.mirror = sync.OnceValues(s.newMirror)
	s.storage = sync.OnceValues(s.newStorage)
	s.catalogue = sync.OnceValues(s.buildCatalogue)
	s.syft, s.crane, s.distribution = sync.OnceValues(s.buildSyft), sync.OnceValues(s.buildCrane), sync.OnceValues(s.buildDistribution)
	all = s
	code := m.Run()
	if err := s.close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	return code
}

// close removes all that the tests wrote, podman's mounts first.
func (s *shared) close() error {
	if err := s.dropStorage(); err != nil {
		return err
	}
	return os.RemoveAll(s.dir)
}

func (s *shared) buildProgram() (string, error) {
	program := filepath.Join(s.dir, "distroless")
	cmd := exec.Command("go", "build", "-o", program, "distroless/cmd/distroless")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return program, nil
}

// report is what `distroless build --json` prints, with where it was run.
type report struct {
	dir    string
	lock   string
	Images []struct {
		Image     string `json:"image"`
		Distro    string `json:"distro"`
		Reference string `json:"reference"`
		Variants  []struct {
			Variant   string `json:"variant"`
			Digest    string `json:"digest"`
			Platforms []struct {
				Arch   string `json:"arch"`
				Digest string `json:"digest"`
				Size   int64  `json:"size"`
			} `json:"platforms"`
		} `json:"variants"`
	} `json:"images"`
}

// digests maps "static-debian13:latest" to its index.
func (r *report) digests() map[string]string {
	m := map[string]string{}
	for _, i := range r.Images {
		for _, v := range i.Variants {
			m[i.Image+"-"+i.Distro+":"+v.Variant] = v.Digest
		}
	}
	return m
}

var (
	names   = []string{"static", "base", "cc"}
	distros = []string{"debian13", "debian12"}
	// proven are the architectures whose indices the archive proves in both.
	proven = []string{"amd64", "arm64"}
)

// cells are the arguments that name all images of this package.
func cells() []string {
	args := append([]string{}, names...)
	for _, d := range distros {
		args = append(args, "--distro", d)
	}
	for _, a := range proven {
		args = append(args, "--arch", a)
	}
	return args
}

// buildImages builds what most tests look at, straight from the archive that
// the machine or DISTROLESS_ARCHIVE names.
func (s *shared) buildImages() (*report, error) {
	r := &run{dir: s.dir, args: append([]string{"build", "--json", "--cache", filepath.Join(s.cache, "cache"), "--lock", "lock.json", "--output", "dist"}, cells()...)}
	out := r.start().wait()
	if out.code != 0 {
		return nil, fmt.Errorf("build all images: exit code %d\n%s", out.code, out.stderr)
	}
	rep, err := out.report()
	if err != nil {
		return nil, err
	}
	rep.dir, rep.lock = s.dir, filepath.Join(s.dir, "lock.json")
	return rep, nil
}

// must returns a shared value, or ends the test.
func must[T any](t testing.TB, f func() (T, error)) T {
	t.Helper()
	v, err := f()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// run is one run of the program.
type run struct {
	dir   string // working folder
	args  []string
	env   []string // over the usual ones
	umask string   // "" for this process's

	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
	err            error
	began          time.Time
}

// outcome is what a run came to.
type outcome struct {
	stdout, stderr string
	code           int // -1 where a signal ended it
	took           time.Duration
}

// start begins the run, in an environment without DISTROLESS_ variables but
// those that name the archive.
func (r *run) start() *run {
	program, err := all.program()
	if err != nil {
		r.err = err
		return r
	}
	if r.umask != "" {
		r.cmd = exec.Command("sh", append([]string{"-c", `umask "$1"; shift; exec "$@"`, "sh", r.umask, program}, r.args...)...)
	} else {
		r.cmd = exec.Command(program, r.args...)
	}
	r.cmd.Dir, r.cmd.Stdout, r.cmd.Stderr = r.dir, &r.stdout, &r.stderr
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if name == "SOURCE_DATE_EPOCH" || strings.HasPrefix(name, "DISTROLESS_") && !strings.HasSuffix(name, "ARCHIVE") {
			continue
		}
		r.cmd.Env = append(r.cmd.Env, v)
	}
	r.cmd.Env = append(r.cmd.Env, r.env...)
	r.began = time.Now()
	r.err = r.cmd.Start()
	return r
}

func (r *run) wait() outcome {
	o := outcome{code: -1}
	if r.err != nil {
		o.stderr = r.err.Error()
		return o
	}
	err := r.cmd.Wait()
	o.stdout, o.stderr, o.took = r.stdout.String(), r.stderr.String(), time.Since(r.began)
	o.code = r.cmd.ProcessState.ExitCode()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		o.stderr += err.Error()
	}
	return o
}

// ok ends the test unless the run went well, and returns its report.
func (o outcome) ok(t testing.TB) *report {
	t.Helper()
	if o.code != 0 {
		t.Fatalf("exit code %d, want 0\n%s", o.code, o.stderr)
	}
	rep, err := o.report()
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

func (o outcome) report() (*report, error) {
	rep := new(report)
	if err := json.Unmarshal([]byte(o.stdout), rep); err != nil {
		return nil, fmt.Errorf("read the report: %w\n%s", err, o.stdout)
	}
	return rep, nil
}

// tool runs a program of the machine and returns what it wrote to standard
// output.
func tool(t testing.TB, dir, name string, args ...string) string {
	t.Helper()
	out, err := command(t, dir, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// command is tool for programs that may fail; the error tells what was written
// to standard error.
func command(t testing.TB, dir, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(testenv.Tool(t, name), args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), all.containers())
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out), err
}
