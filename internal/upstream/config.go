package upstream

import (
	"bufio"
	"bytes"
	"io/fs"
	"strings"
)

// NpmConfig is what the npm client's own configuration says of registries.
type NpmConfig struct {
	registry string
	scopes   map[string]string // "@scope" to its registry
}

// ReadNpmConfig reads the environment, then .npmrc files, the first that says
// something counting: npmrc(5). files are read in the order given: the
// project's, the user's, the machine's. client is asked last, for the address
// that npm itself has built in; nil asks nobody.
func ReadNpmConfig(environ func(string) (string, bool), files []NpmFile, client func() (string, error)) (*NpmConfig, error) {
	c := &NpmConfig{scopes: map[string]string{}}
	for _, name := range []string{"npm_config_registry", "NPM_CONFIG_REGISTRY"} {
		if v, ok := environ(name); ok && v != "" && c.registry == "" {
			c.registry = v
		}
	}
	for _, f := range files {
		data, err := fs.ReadFile(f.FS, f.Path)
		if err != nil {
			continue // a file that is not there says nothing
		}
		c.read(data, environ)
	}
	if c.registry == "" && client != nil {
		address, err := client()
		if err != nil {
			return nil, err
		}
		c.registry = strings.TrimSpace(address)
	}
	return c, nil
}

// NpmFile is a place where an .npmrc may be.
type NpmFile struct {
	FS   fs.FS
	Path string
}

func (c *NpmConfig) read(data []byte, environ func(string) (string, bool)) {
	sc := bufio.NewScanner(bytes.NewReader(data))
	for sc.Scan() {
		line := strings.TrimSpace(sc.Text())
		key, value, ok := strings.Cut(line, "=")
		if !ok || line[0] == '#' || line[0] == ';' {
			continue
		}
		key, value = strings.TrimSpace(key), expand(strings.Trim(strings.TrimSpace(value), `"'`), environ)
		scope, isScope := strings.CutSuffix(key, ":registry")
		switch {
		case key == "registry" && c.registry == "":
			c.registry = value
		case isScope && c.scopes[scope] == "":
			c.scopes[scope] = value
		}
	}
}

// expand replaces ${NAME} by the environment's variable, as npm does.
func expand(s string, environ func(string) (string, bool)) string {
	for {
		before, rest, ok := strings.Cut(s, "${")
		name, after, closed := strings.Cut(rest, "}")
		if !ok || !closed {
			return s
		}
		value, _ := environ(name)
		s = before + value + after
	}
}

// RegistryFor is the address that serves a package, "" where none is known.
func (c *NpmConfig) RegistryFor(name string) string {
	if scope, _, ok := strings.Cut(name, "/"); ok && c.scopes[scope] != "" {
		return c.scopes[scope]
	}
	return c.registry
}
