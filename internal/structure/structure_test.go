package structure

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// entry is one of a layer: "d" directories, "-" files, "l" symbolic links, "h"
// hard links.
type entry struct {
	name string
	kind byte
	mode int64
	text string // of a file, or what a link names
	uid  int
	gid  int
}

// image makes an image of layers in memory.
func image(t testing.TB, config v1.Config, layers ...[]entry) Image {
	t.Helper()
	img := Image{Config: v1.ConfigFile{Config: config}}
	blobs := map[v1.Hash][]byte{}
	for i, l := range layers {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, e := range l {
			h := &tar.Header{Name: e.name, Mode: e.mode, Uid: e.uid, Gid: e.gid}
			switch e.kind {
			case 'd':
				h.Typeflag = tar.TypeDir
			case 'l':
				h.Typeflag, h.Linkname = tar.TypeSymlink, e.text
			case 'h':
				h.Typeflag, h.Linkname = tar.TypeLink, e.text
			default:
				h.Typeflag, h.Size = tar.TypeReg, int64(len(e.text))
			}
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			if h.Typeflag == tar.TypeReg {
				io.WriteString(w, e.text)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		d := v1.Descriptor{Digest: v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%064d", i)}}
		blobs[d.Digest] = b.Bytes()
		img.Layers = append(img.Layers, d)
	}
	img.Walk = func(d v1.Descriptor, f func(*tar.Header, io.Reader) error) error {
		r := tar.NewReader(bytes.NewReader(blobs[d.Digest]))
		for {
			h, err := r.Next()
			if err == io.EOF {
				return nil
			}
			if err == nil {
				err = f(h, r)
			}
			if err != nil {
				return err
			}
		}
	}
	return img
}

// sample is an image with something of everything.
func sample(t testing.TB) Image {
	return image(t, v1.Config{
		Env: []string{"PATH=/usr/bin", "LANG=C.UTF-8", "EMPTY="}, User: "nonroot", WorkingDir: "/srv", Entrypoint: []string{"/usr/bin/app", "-x"},
		ExposedPorts: map[string]struct{}{"8080/tcp": {}, "53/udp": {}}, Volumes: map[string]struct{}{"/data": {}}, Labels: map[string]string{"version": "1.2.3"},
	}, []entry{
		{"tmp", 'd', 0o1777, "", 0, 0}, {"usr/bin", 'd', 0o755, "", 0, 0}, {"usr/bin/app", '-', 0o750, "app", 7, 8}, {"usr/bin/su", '-', 0o4755, "su", 0, 0},
		{"bin", 'l', 0o777, "usr/bin", 0, 0}, {"etc/passwd", '-', 0o644, "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n", 0, 0},
		{"etc/group", '-', 0o644, "root:x:0:\nstaff:x:50:nonroot\n", 0, 0}, {"etc/dangling", 'l', 0o777, "/nowhere", 0, 0}, {"etc/loop", 'l', 0o777, "loop", 0, 0},
		{"opt/old/a", '-', 0o644, "a", 0, 0}, {"opt/gone", '-', 0o644, "gone", 0, 0}, {"opt/shut/x", '-', 0o644, "x", 0, 0},
		{"usr/share/doc/aa/copyright", '-', 0o644, "MIT", 0, 0}, {"usr/share/doc/bb", 'l', 0o777, "aa", 0, 0},
	}, []entry{
		{"opt/.wh.gone", '-', 0, "", 0, 0}, {"opt/shut/.wh..wh..opq", '-', 0, "", 0, 0}, {"opt/shut/y", '-', 0o644, "y", 0, 0},
		{"opt/old", '-', 0o644, "a file now", 0, 0}, {"usr/bin/app2", 'h', 0, "usr/bin/app", 0, 0}, {"bin/late", '-', 0o755, "through the link", 0, 0},
	})
}

// outcomes runs the tests of a file and returns the errors of each by name.
func outcomes(t *testing.T, img Image, file string) map[string][]string {
	t.Helper()
	s, err := Parse("t.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	results, err := Run(t.Context(), img, []*Suite{s}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, r := range results {
		if r.Pass != (len(r.Errors) == 0) {
			t.Errorf("%s: pass is %v with %d errors", r.Name, r.Pass, len(r.Errors))
		}
		out[r.Name] = r.Errors
	}
	return out
}

// Files: what a test says is what a container would see, through layers,
// whiteouts and links.
func TestFiles(t *testing.T) {
	img := sample(t)
	for _, tt := range []struct{ test, want string }{
		{"path: /tmp, permissions: dtrwxrwxrwx", ""},
		{"path: /tmp, permissions: drwxrwxrwt", ""},
		{"path: /tmp, permissions: drwxrwxrwx", "/tmp has the permissions dtrwxrwxrwx, expected drwxrwxrwx"},
		{"path: /usr/bin/su, permissions: -rwsr-xr-x", ""},
		{"path: /usr/bin/su, permissions: urwxr-xr-x", ""},
		{"path: /bin/app, uid: 7, gid: 8", ""},
		{"path: /bin/app, uid: 0, gid: 0", "/bin/app belongs to user 7, expected 0; /bin/app belongs to group 8, expected 0"},
		{"path: /bin/app2, permissions: -rwxr-x---, uid: 7", ""},
		{"path: /usr/bin/late, shouldExist: true", ""},
		{"path: /bin, permissions: lrwxrwxrwx", ""},
		{"path: /bin/, isExecutableBy: any", ""},
		{"path: /bin/app, isExecutableBy: owner", ""},
		{"path: /bin/app, isExecutableBy: group", ""},
		{"path: /bin/app, isExecutableBy: other", "/bin/app is not executable by other: -rwxr-x---"},
		{"path: /etc/passwd, isExecutableBy: any", "/etc/passwd is not executable by any: -rw-r--r--"},
		{"path: /etc/dangling", ""},
		{"path: /etc/dangling, isExecutableBy: any", "/etc/dangling leads nowhere, expected it to be executable by any"},
		{"path: /etc/loop/x", "/etc/loop/x is not there, expected it"},
		{"path: /opt/gone, shouldExist: false, permissions: -rw-r--r--", ""},
		{"path: /opt/shut/x, shouldExist: false", ""},
		{"path: /opt/shut/y", ""},
		{"path: /opt/old/a, shouldExist: false", ""},
		{"path: /opt/old/a", "/opt/old/a is not there, expected it"},
		{"path: /etc/passwd, shouldExist: false", "/etc/passwd is there (-rw-r--r--), expected nothing"},
		{"path: $PATH/app", ""},
		{"path: /", ""},
	} {
		got := strings.Join(outcomes(t, img, "schemaVersion: 2.0.0\nfileExistenceTests: [{name: x, "+tt.test+"}]\n")["x"], "; ")
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.test, got, tt.want)
		}
	}
}

func TestContents(t *testing.T) {
	img := sample(t)
	for _, tt := range []struct{ test, want string }{
		{"path: /bin/app2, expectedContents: [^app$], excludedContents: [x]", ""},
		{"path: /opt/old, expectedContents: ['now$', '^an']", `/opt/old does not match "^an": "a file now"`},
		{"path: /etc/passwd, excludedContents: ['no.root:x']", `/etc/passwd matches "no.root:x", which is excluded, with "nonroot:x"`},
		{"path: /etc/dangling", "read /nowhere: file does not exist"},
		{"path: /tmp", "read /tmp is no file: dtrwxrwxrwx"},
		{"path: /etc/loop", "read /etc/loop: too many links"},
	} {
		got := strings.Join(outcomes(t, img, "schemaVersion: 2.0.0\nfileContentTests: [{name: x, "+tt.test+"}]\n")["x"], "; ")
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.test, got, tt.want)
		}
	}
}

func TestMetadata(t *testing.T) {
	img := sample(t)
	for _, tt := range []struct{ test, want string }{
		{"envVars: [{key: LANG, value: C.UTF-8}, {key: EMPTY, value: ''}]", ""},
		{"env: [{key: LANG, value: 'UTF-?8$', isRegex: true}]", ""},
		{"env: [{key: LANG, value: UTF-8}, {key: NO, value: x}]", `variable LANG is "C.UTF-8", expected "UTF-8"; variable NO is not set`},
		{"env: [{key: LANG, value: '^UTF', isRegex: true}]", `variable LANG is "C.UTF-8", which does not match "^UTF"`},
		{"unboundEnvVars: [{key: NO}, {key: EMPTY}]", `variable EMPTY is "", expected it not to be set`},
		{"labels: [{key: version, value: '^1\\.', isRegex: true}]", ""},
		{"labels: [{key: vendor, value: x}]", "label vendor is not set"},
		{"exposedPorts: ['8080', 8080/tcp, '53', 53/udp]", ""},
		{"exposedPorts: ['80', 53/tcp]", "port 80 is not exposed: there are 53/udp, 8080/tcp; port 53/tcp is not exposed: there are 53/udp, 8080/tcp"},
		{"unexposedPorts: ['80', '53']", "port 53 is exposed, expected it not to be"},
		{"unboundPorts: ['8080']", "port 8080 is exposed, expected it not to be"},
		{"volumes: [/data, /x]", "/x is no volume: there are /data"},
		{"unmountedVolumes: [/data]", "/data is a volume, expected it not to be"},
		{"entrypoint: [/usr/bin/app, -x], cmd: []", ""},
		{"entrypoint: [/usr/bin/app -x], cmd: [x]", `the entrypoint is ["/usr/bin/app" "-x"], expected ["/usr/bin/app -x"]; the command is [], expected ["x"]`},
		{"entrypoint: []", `the entrypoint is ["/usr/bin/app" "-x"], expected []`},
		{"workdir: /srv, user: nonroot", ""},
		{"workdir: /, user: root", `the working directory is "/srv", expected "/"; the user is "nonroot", expected "root"`},
	} {
		got := strings.Join(outcomes(t, img, "schemaVersion: 2.0.0\nmetadataTest: {"+tt.test+"}\n")["metadata"], "; ")
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.test, got, tt.want)
		}
	}
}

func TestLicences(t *testing.T) {
	const file = "schemaVersion: 2.0.0\nlicenseTests: [{debian: true, files: [/etc/passwd]}]\n"
	if got := outcomes(t, sample(t), file)["licences"]; got != nil {
		t.Errorf("%q", got)
	}
	bad := image(t, v1.Config{}, []entry{
		{"usr/share/doc/aa/copyright", '-', 0o644, "the agpl-3", 0, 0}, {"usr/share/doc/bb/README", '-', 0o644, "", 0, 0}, {"etc/passwd", '-', 0o644, "", 0, 0},
		{"usr/share/doc/libgnutls30t64/copyright", '-', 0o644, "not AGPL", 0, 0}, {"usr/share/doc/base-files/copyright", '-', 0o644, "licenses/AGPL-3", 0, 0},
	})
	want := "/usr/share/doc/aa/copyright names the licence AGPL; read /usr/share/doc/bb/copyright: file does not exist"
	if got := strings.Join(outcomes(t, bad, file)["licences"], "; "); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Mistakes in a file are told with their place, all at once: a test that is
// never run proves nothing.
func TestParseErrors(t *testing.T) {
	const v2 = "schemaVersion: 2.0.0\n"
	for _, tt := range []struct{ file, want string }{
		{"", "t.yaml: the file is empty"},
		{"commandTests: []\n", `t.yaml:1:1: schemaVersion: "", expected 2.0.0 or 1.0.0`},
		{"schemaVersion: 3.0.0\n", `t.yaml:1:16: schemaVersion: "3.0.0"`},
		{v2 + "comandTests: []\n", `t.yaml:2:1: unknown key "comandTests"`},
		{v2 + "commandTests: [{name: x}]\n", "t.yaml:2:16: commandTests[0]: no `command`"},
		{v2 + "commandTests: [{command: x}]\n", "t.yaml:2:16: commandTests[0]: no `name`"},
		{v2 + "commandTests: [{name: x, command: [a, b]}]\n", "t.yaml:2:35: commandTests[0].command: a list, expected text"},
		{"schemaVersion: 1.0.0\ncommandTests: [{name: x, command: a}]\n", `t.yaml:2:35: commandTests[0].command: the value "a", expected a list`},
		{"schemaVersion: 1.0.0\ncommandTests: [{name: x}]\n", "t.yaml:2:16: commandTests[0]: no `command`: expected a list"},
		{v2 + "commandTests: [{name: x, command: a, setup: [[]]}]\n", "t.yaml:2:46: commandTests[0].setup[0]: an empty command"},
		{v2 + "commandTests: [{name: x, command: a, exitCode: no}]\n", `t.yaml:2:48: commandTests[0].exitCode: "no", expected a whole number`},
		{v2 + "commandTests: [{name: x, command: a, expectedOutput: [ok, '(']}]\n", "t.yaml:2:59: commandTests[0].expectedOutput[1]: error parsing regexp: missing closing )"},
		{v2 + "fileExistenceTests: [{name: x, path: a}]\n", `t.yaml:2:38: fileExistenceTests[0].path: "a", expected an absolute path`},
		{v2 + "fileExistenceTests: [{name: x, path: /a, isExecutableBy: me}]\n", `t.yaml:2:58: fileExistenceTests[0].isExecutableBy: "me", expected owner, group, other or any`},
		{v2 + "fileExistenceTests: [{name: x, path: /a, permissions: '0644'}]\n", `t.yaml:2:55: fileExistenceTests[0].permissions: "0644"`},
		{v2 + "fileExistenceTests: [{name: x, path: /a, shouldExist: maybe}]\n", "expected true or false"},
		{v2 + "metadataTest: {env: [{key: A, value: '[', isRegex: true}]}\n", "t.yaml:2:38: metadataTest.env[0].value: error parsing regexp"},
		{v2 + "metadataTest: {exposedPorts: [http]}\n", `t.yaml:2:31: metadataTest.exposedPorts[0]: "http", expected as in 8080`},
		{v2 + "containerRunOptions: {allocateTty: true}\n", "t.yaml:2:36: containerRunOptions.allocateTty"},
		{v2 + "containerRunOptions: {bindMounts: [/x]}\n", `t.yaml:2:36: containerRunOptions.bindMounts[0]: "/x"`},
		{v2 + "fileContentTests: [{name: a, path: b}, {name: '', path: /c}]\n", "t.yaml:2:36: fileContentTests[0].path: \"b\", expected an absolute path\nt.yaml:2:40: fileContentTests[1]: no `name`"},
		{v2 + "a: [\n", "not YAML"},
	} {
		_, err := Parse("t.yaml", []byte(tt.file))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q:\n%v\nwant %s", tt.file, err, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"schemaVersion: 2.0.0\ncommandTests: [{name: x, command: a, args: [b], setup: [[c]], exitCode: 1, envVars: [{key: a, value: b}]}]\n",
		"schemaVersion: 1.0.0\ncommandTests: [{name: x, command: [a]}]\nlicenseTests: [{debian: true}]\n",
		"schemaVersion: 2.0.0\nfileExistenceTests: [{name: x, path: /a, uid: 1}]\nmetadataTest: {cmd: [], exposedPorts: ['1']}\n",
		`{"schemaVersion": "2.0.0", "fileContentTests": [{"name": "x", "path": "/a", "expectedContents": ["a"]}]}`,
	} {
		f.Add([]byte(s))
	}
	img := sample(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse("t.yaml", data)
		if err == nil {
			s.Options = RunOptions{}
			if _, err := Run(t.Context(), img, []*Suite{s}, Options{}); err != nil {
				t.Error(err)
			}
		}
	})
}

// fake records what it is asked to run.
type fake struct {
	ran  [][]string
	envs [][]string
	who  []user
}

func (f *fake) Name() string { return "fake" }
func (f *fake) open(ctx context.Context, flatten func(context.Context, io.Writer) error) (session, error) {
	return f, flatten(ctx, io.Discard)
}
func (f *fake) begin(context.Context) (box, error) { return f, nil }
func (f *fake) close() error                       { return nil }
func (f *fake) run(_ context.Context, p process) (output, error) {
	f.ran, f.envs, f.who = append(f.ran, p.args), append(f.envs, p.env), append(f.who, p.user)
	if slices.Contains(p.args, "fail") {
		return output{code: 4, stderr: "no"}, nil
	}
	return output{stdout: strings.Join(p.args, " ") + "\n", stderr: "careful\n"}, nil
}

// Commands: what is run with which variables, as whom, and what is made of it.
func TestCommands(t *testing.T) {
	s, err := Parse("t.yaml", []byte(`schemaVersion: 2.0.0
globalEnvVars: [{key: PATH, value: "/more:$PATH"}, {key: A, value: "${LANG}!"}]
commandTests:
  - {name: good, command: app, args: ["$LANG", "{print $1}", "$NO"], setup: [[one]], teardown: [[two]], expectedOutput: ["^app C.UTF-8 .print .1. .NO\n$"], excludedError: [worse]}
  - {name: bad, command: /bin/app, args: [fail], expectedOutput: [x], expectedError: [yes]}
  - {name: "setup fails", setup: [[fail]], command: app}
  - {name: missing, command: sh, exitCode: 127, expectedError: ["^sh: not found"]}
`))
	if err != nil {
		t.Fatal(err)
	}
	f := new(fake)
	results, err := Run(t.Context(), sample(t), []*Suite{s}, Options{Runtime: func(context.Context) (Runtime, error) { return f, nil }})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"good":        "",
		"bad":         `standard error does not match "yes": "no"; standard output does not match "x": ""; the exit code is 4, expected 0: "no"`,
		"setup fails": `setup: fail: exit code 4: "no"`,
		"missing":     "",
	}
	for _, r := range results {
		if got := strings.Join(r.Errors, "; "); got != want[r.Name] {
			t.Errorf("%s: %q, want %q", r.Name, got, want[r.Name])
		}
	}
	if got := fmt.Sprint(f.ran); got != "[[one] [app C.UTF-8 {print $1} $NO] [two] [/bin/app fail] [fail]]" {
		t.Errorf("ran %s", got)
	}
	if got := strings.Join(f.envs[0], " "); got != "A=C.UTF-8! EMPTY= HOME=/home/nonroot LANG=C.UTF-8 PATH=/more:/usr/bin" {
		t.Errorf("with %s", got)
	}
	if got := fmt.Sprint(f.who[0]); got != "{65532 65532 [50] /home/nonroot}" {
		t.Errorf("as %s", got)
	}
	none, err := Run(t.Context(), sample(t), []*Suite{s}, Options{Runtime: func(context.Context) (Runtime, error) { return nil, fmt.Errorf("none here") }})
	if err != nil || none[0].Pass || none[0].Errors[0] != "none here" {
		t.Errorf("without a runtime: %v, %v", none, err)
	}
}

func TestUser(t *testing.T) {
	r := &run{img: sample(t)}
	var err error
	if r.tree, err = readTree(t.Context(), r.img); err != nil {
		t.Fatal(err)
	}
	if err := r.readTexts(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"": "{0 0 [] /root}", "0": "{0 0 [] /root}", "root": "{0 0 [] /root}", "65532": "{65532 65532 [50] /home/nonroot}", "1000": "{1000 0 [] /}",
		"1000:5": "{1000 5 [] /}", "nonroot:staff": "{65532 50 [] /home/nonroot}", "who": "user who: not in", "0:who": "group who: not in",
	} {
		u, err := r.user(text)
		got := fmt.Sprint(u)
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
}

// A root that is unpacked is the image, and nothing leaves it.
func TestUnpack(t *testing.T) {
	r := &run{img: sample(t)}
	var err error
	if r.tree, err = readTree(t.Context(), r.img); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := r.flatten(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "root")
	if err := unpack(t.Context(), &b, dir, false); err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]string{"tmp": "dtrwxrwxrwx", "usr/bin/su": "urwxr-xr-x", "bin": "Lrwxrwxrwx", "usr/bin/late": "-rwxr-xr-x", "opt/old": "-rw-r--r--"} {
		info, err := os.Lstat(filepath.Join(dir, p))
		if err != nil || info.Mode().String() != want {
			t.Errorf("%s is %v, want %s (%v)", p, info, want, err)
		}
	}
	one, _ := os.Stat(filepath.Join(dir, "usr/bin/app"))
	two, _ := os.Stat(filepath.Join(dir, "usr/bin/app2"))
	if one == nil || !os.SameFile(one, two) {
		t.Error("a hard link is a file of its own")
	}

	for _, bad := range [][]entry{
		{{"x", 'l', 0o777, "/etc", 0, 0}, {"x/evil", '-', 0o644, "", 0, 0}},
		{{"../evil", '-', 0o644, "", 0, 0}},
		{{"x", 'h', 0, "../../etc/passwd", 0, 0}},
	} {
		img := image(t, v1.Config{}, bad)
		var raw bytes.Buffer
		w := tar.NewWriter(&raw)
		if err := img.Walk(img.Layers[0], func(h *tar.Header, _ io.Reader) error { return w.WriteHeader(h) }); err != nil {
			t.Fatal(err)
		}
		if err := unpack(t.Context(), &raw, filepath.Join(t.TempDir(), "root"), false); err == nil {
			t.Errorf("%v was unpacked", bad)
		}
	}
}

func TestJUnit(t *testing.T) {
	r := NewReport("dist/x", "sha256:1", "linux/amd64", []Result{
		{File: "a.yaml", Kind: KindExists, Name: "one <&>", Pass: true, Seconds: 0.5},
		{File: "a.yaml", Kind: KindCommand, Name: "two", Errors: []string{"first", "second"}, Stdout: "out\x00", Seconds: 1},
		{File: "b.yaml", Kind: KindMetadata, Name: "metadata", Pass: true},
	})
	if r.Passed != 2 || r.Failed != 1 {
		t.Errorf("%d passed, %d failed", r.Passed, r.Failed)
	}
	var b bytes.Buffer
	if err := JUnit(&b, []Report{r}); err != nil {
		t.Fatal(err)
	}
	var got junitFile
	if err := xml.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	if got.Tests != 3 || got.Failures != 1 || len(got.Suites) != 2 || got.Suites[0].Time != "1.500" || got.Suites[0].Cases[1].Failure.Text != "first\nsecond" {
		t.Errorf("%s", b.String())
	}
}

// What a runtime says of itself is told apart from what a command says.
func TestFailure(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	if got := failure(log); got != "" {
		t.Errorf("without a log: %q", got)
	}
	text := `{"level":"warning","msg":"an error, some say"}
no JSON: error
{"level":"error","msg":"unable to start","time":"2026-01-01T00:00:00Z"}
`
	if err := os.WriteFile(log, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := failure(log); got != "unable to start" {
		t.Errorf("%q", got)
	}
}
