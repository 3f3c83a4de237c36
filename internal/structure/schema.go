package structure

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"sync"

	"distroless/internal/yamlstrict"
)

// Suite is a file of tests.
type Suite struct {
	File     string
	Env      []EnvVar // of every command
	Commands []CommandTest
	Exists   []ExistenceTest
	Contents []ContentTest
	Metadata *MetadataTest
	Licenses []LicenseTest
	Options  RunOptions
}

// EnvVar is an environment variable or a label.
type EnvVar struct {
	Key     string `yaml:"key"`
	Value   string `yaml:"value"`
	IsRegex bool   `yaml:"isRegex"` // Value is a regular expression, where something is compared with it
}

// checks are a command's, shared by both versions of the schema.
type checks struct {
	Name           string     `yaml:"name"`
	Setup          [][]string `yaml:"setup"`    // commands before it, on whose files it works
	Teardown       [][]string `yaml:"teardown"` // commands after it
	EnvVars        []EnvVar   `yaml:"envVars"`
	ExitCode       int        `yaml:"exitCode"`
	ExpectedOutput []string   `yaml:"expectedOutput"` // regular expressions, as all below
	ExcludedOutput []string   `yaml:"excludedOutput"`
	ExpectedError  []string   `yaml:"expectedError"`
	ExcludedError  []string   `yaml:"excludedError"`
}

// CommandTest runs a command in the image; the image's entrypoint is not run.
type CommandTest struct {
	checks  `yaml:",inline"`
	Command string   `yaml:"command"`
	Args    []string `yaml:"args"`
}

// commandV1 has program and arguments in one list.
type commandV1 struct {
	checks  `yaml:",inline"`
	Command []string `yaml:"command"`
}

// ExistenceTest looks at a path, without following a link at its end.
type ExistenceTest struct {
	Name           string `yaml:"name"`
	Path           string `yaml:"path"`
	ShouldExist    *bool  `yaml:"shouldExist"`    // nil is true
	Permissions    string `yaml:"permissions"`    // "-rw-r--r--", as Go or ls(1) writes it
	UID            *int   `yaml:"uid"`            // nil for any
	GID            *int   `yaml:"gid"`            // nil for any
	IsExecutableBy string `yaml:"isExecutableBy"` // owner, group, other or any; "" for no matter
}

// ContentTest looks at the text of a file, following links.
type ContentTest struct {
	Name             string   `yaml:"name"`
	Path             string   `yaml:"path"`
	ExpectedContents []string `yaml:"expectedContents"` // regular expressions
	ExcludedContents []string `yaml:"excludedContents"`
}

// MetadataTest looks at the image's configuration. What is left out is not
// looked at.
type MetadataTest struct {
	EnvVars          []EnvVar  `yaml:"envVars"`
	Env              []EnvVar  `yaml:"env"` // the older name of envVars
	UnboundEnvVars   []EnvVar  `yaml:"unboundEnvVars"`
	UnboundEnv       []EnvVar  `yaml:"unboundEnv"` // the older name of unboundEnvVars
	Labels           []EnvVar  `yaml:"labels"`
	ExposedPorts     []string  `yaml:"exposedPorts"` // "8080" or "8080/tcp"
	UnexposedPorts   []string  `yaml:"unexposedPorts"`
	UnboundPorts     []string  `yaml:"unboundPorts"` // another name of unexposedPorts
	Volumes          []string  `yaml:"volumes"`
	UnmountedVolumes []string  `yaml:"unmountedVolumes"`
	Entrypoint       *[]string `yaml:"entrypoint"` // [] for none
	Cmd              *[]string `yaml:"cmd"`        // [] for none
	Workdir          string    `yaml:"workdir"`
	User             string    `yaml:"user"`
}

// LicenseTest reads copyright files.
type LicenseTest struct {
	Debian bool     `yaml:"debian"` // those of every package, /usr/share/doc/*/copyright
	Files  []string `yaml:"files"`
}

// RunOptions say how commands are run.
type RunOptions struct {
	User         string   `yaml:"user"` // instead of the image's
	Privileged   bool     `yaml:"privileged"`
	AllocateTTY  bool     `yaml:"allocateTty"`
	EnvVars      []string `yaml:"envVars"` // names of variables to pass on
	EnvFile      string   `yaml:"envFile"`
	Capabilities []string `yaml:"capabilities"` // to add: "NET_BIND_SERVICE"
	BindMounts   []string `yaml:"bindMounts"`   // "/outside:/inside"
}

// document is a file of either version.
type document struct {
	SchemaVersion string          `yaml:"schemaVersion"`
	GlobalEnvVars []EnvVar        `yaml:"globalEnvVars"`
	Exists        []ExistenceTest `yaml:"fileExistenceTests"`
	Contents      []ContentTest   `yaml:"fileContentTests"`
	Metadata      *MetadataTest   `yaml:"metadataTest"`
	Licenses      []LicenseTest   `yaml:"licenseTests"`
	Options       RunOptions      `yaml:"containerRunOptions"`
}

type documentV1 struct {
	document `yaml:",inline"`
	Commands []commandV1 `yaml:"commandTests"`
}

type documentV2 struct {
	document `yaml:",inline"`
	Commands []CommandTest `yaml:"commandTests"`
}

func kind() yamlstrict.Kind {
	return yamlstrict.Kind{Name: "test file", Empty: "a mapping with at least `schemaVersion: 2.0.0`"}
}

// Parse reads a file of tests, in YAML or JSON. All errors that can be told at
// once are joined; each is a [*yamlstrict.Error] with file, line and column.
func Parse(file string, data []byte) (*Suite, error) {
	version, err := yamlstrict.Value(file, data, kind(), "schemaVersion")
	if err != nil {
		return nil, err
	}
	if version == "1.0.0" {
		d := new(documentV1)
		s := &Suite{File: file}
		err := yamlstrict.Decode(file, data, kind(), d, func(c *yamlstrict.Checker) {
			for i, t := range d.Commands {
				if len(t.Command) == 0 {
					c.Addf(c.Find("commandTests", fmt.Sprint(i)), "commandTests[%d]: no `command`: expected a list, the program first", i)
					continue
				}
				s.Commands = append(s.Commands, CommandTest{t.checks, t.Command[0], t.Command[1:]})
			}
			s.fill(&d.document)
			s.validate(c)
		})
		return s, err
	}
	d := new(documentV2)
	s := &Suite{File: file}
	err = yamlstrict.Decode(file, data, kind(), d, func(c *yamlstrict.Checker) {
		if version != "2.0.0" {
			c.Addf(c.Find("schemaVersion"), "schemaVersion: %q, expected 2.0.0 or 1.0.0", version)
			return
		}
		s.Commands = d.Commands
		s.fill(&d.document)
		s.validate(c)
	})
	return s, err
}

func (s *Suite) fill(d *document) {
	s.Env, s.Exists, s.Contents, s.Metadata, s.Licenses, s.Options = d.GlobalEnvVars, d.Exists, d.Contents, d.Metadata, d.Licenses, d.Options
}

// validate says what the shape alone does not.
func (s *Suite) validate(c *yamlstrict.Checker) {
	v := validator{c}
	v.env(s.Env, "globalEnvVars")
	for i, t := range s.Commands {
		at := []string{"commandTests", fmt.Sprint(i)}
		v.named(t.Name, at...)
		if t.Command == "" {
			v.c.Addf(c.Find(at...), "%s: no `command`", label(at))
		}
		for _, list := range []struct {
			key      string
			commands [][]string
		}{{"setup", t.Setup}, {"teardown", t.Teardown}} {
			for j, command := range list.commands {
				if len(command) == 0 {
					in := append(at, list.key, fmt.Sprint(j))
					c.Addf(c.Find(in...), "%s: an empty command", label(in))
				}
			}
		}
		v.env(t.EnvVars, append(at, "envVars")...)
		v.regexps(t.ExpectedOutput, append(at, "expectedOutput")...)
		v.regexps(t.ExcludedOutput, append(at, "excludedOutput")...)
		v.regexps(t.ExpectedError, append(at, "expectedError")...)
		v.regexps(t.ExcludedError, append(at, "excludedError")...)
	}
	for i, t := range s.Exists {
		v.existence(t, "fileExistenceTests", fmt.Sprint(i))
	}
	for i, t := range s.Contents {
		at := []string{"fileContentTests", fmt.Sprint(i)}
		v.named(t.Name, at...)
		v.path(t.Path, append(at, "path")...)
		v.regexps(t.ExpectedContents, append(at, "expectedContents")...)
		v.regexps(t.ExcludedContents, append(at, "excludedContents")...)
	}
	for i, t := range s.Licenses {
		for j, f := range t.Files {
			v.path(f, "licenseTests", fmt.Sprint(i), "files", fmt.Sprint(j))
		}
	}
	if m := s.Metadata; m != nil {
		v.metadata(m)
	}
	if s.Options.AllocateTTY {
		c.Addf(c.Find("containerRunOptions", "allocateTty"), "containerRunOptions.allocateTty: commands are run without a terminal, so that their two outputs can be told apart: take the line out")
	}
	for i, m := range s.Options.BindMounts {
		if from, to, ok := strings.Cut(m, ":"); !ok || from == "" || !path.IsAbs(to) {
			c.Addf(c.Find("containerRunOptions", "bindMounts", fmt.Sprint(i)), "containerRunOptions.bindMounts[%d]: %q, expected /outside:/inside", i, m)
		}
	}
}

// validator notes what is wrong with parts of a file.
type validator struct{ c *yamlstrict.Checker }

// label writes a key path as messages do: commandTests[0].setup[1].
func label(at []string) string {
	var b strings.Builder
	for i, k := range at {
		switch {
		case k != "" && k[0] >= '0' && k[0] <= '9':
			b.WriteString("[" + k + "]")
		case i > 0:
			b.WriteString("." + k)
		default:
			b.WriteString(k)
		}
	}
	return b.String()
}

func (v validator) named(name string, at ...string) {
	if name == "" {
		v.c.Addf(v.c.Find(at...), "%s: no `name`", label(at))
	}
}

func (v validator) path(p string, at ...string) {
	if !strings.HasPrefix(p, "/") && !strings.HasPrefix(p, "$") {
		v.c.Addf(v.c.Find(at...), "%s: %q, expected an absolute path", label(at), p)
	}
}

func (v validator) env(list []EnvVar, at ...string) {
	for i, e := range list {
		in := append(at, fmt.Sprint(i))
		if e.Key == "" || strings.Contains(e.Key, "=") {
			v.c.Addf(v.c.Find(in...), "%s: key %q, expected a name", label(in), e.Key)
		}
	}
}

// values are variables or labels to be compared with.
func (v validator) values(list []EnvVar, at string) {
	v.env(list, "metadataTest", at)
	for i, e := range list {
		if e.IsRegex {
			v.regexp(e.Value, "metadataTest", at, fmt.Sprint(i), "value")
		}
	}
}

func (v validator) regexps(list []string, at ...string) {
	for i, text := range list {
		v.regexp(text, append(at, fmt.Sprint(i))...)
	}
}

func (v validator) regexp(text string, at ...string) {
	if _, err := regexp.Compile(text); err != nil {
		v.c.Addf(v.c.Find(at...), "%s: %v: expected a regular expression in RE2's syntax", label(at), err)
	}
}

func (v validator) existence(t ExistenceTest, at ...string) {
	v.named(t.Name, at...)
	v.path(t.Path, append(at, "path")...)
	switch t.IsExecutableBy {
	case "", "owner", "group", "other", "any":
	default:
		in := append(at, "isExecutableBy")
		v.c.Addf(v.c.Find(in...), "%s: %q, expected owner, group, other or any", label(in), t.IsExecutableBy)
	}
	if t.Permissions != "" && !permissionsRE().MatchString(t.Permissions) {
		in := append(at, "permissions")
		v.c.Addf(v.c.Find(in...), "%s: %q, expected as in -rw-r--r-- or drwxr-xr-x", label(in), t.Permissions)
	}
}

func (v validator) metadata(m *MetadataTest) {
	v.values(m.EnvVars, "envVars")
	v.values(m.Env, "env")
	v.values(m.Labels, "labels")
	v.env(m.UnboundEnvVars, "metadataTest", "unboundEnvVars")
	v.env(m.UnboundEnv, "metadataTest", "unboundEnv")
	for _, list := range []struct {
		key   string
		ports []string
	}{{"exposedPorts", m.ExposedPorts}, {"unexposedPorts", m.UnexposedPorts}, {"unboundPorts", m.UnboundPorts}} {
		for i, p := range list.ports {
			if !portRE().MatchString(p) {
				v.c.Addf(v.c.Find("metadataTest", list.key, fmt.Sprint(i)), "metadataTest.%s[%d]: %q, expected as in 8080 or 8080/tcp", list.key, i, p)
			}
		}
	}
}

var (
	permissionsRE = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[-a-zA-Z]{0,6}[-rwxsStT]{9}$`) })
	portRE        = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9]+(/(tcp|udp|sctp))?$`) })
)
