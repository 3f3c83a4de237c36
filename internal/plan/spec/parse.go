package spec

import (
	"path"
	"regexp"
	"strings"
	"sync"

	"distroless/internal/yamlstrict"
)

// Error is what is wrong at one place of a definition.
type Error = yamlstrict.Error

// checker collects what is wrong with a definition.
type checker = yamlstrict.Checker

// Parse reads one definition. All errors that can be told at once are joined;
// each is an [*Error] with file, line and column. Unknown keys, keys given
// twice and values of the wrong shape are errors.
func Parse(file string, data []byte) (*Definition, error) {
	d := new(Definition)
	if err := yamlstrict.Decode(file, data, definition(), d, d.validate); err != nil {
		return nil, err
	}
	return d, nil
}

// definition is what messages call these files.
func definition() yamlstrict.Kind {
	return yamlstrict.Kind{Name: "definition", Empty: "a mapping with at least `name`"}
}

var (
	nameRE = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9]+([.-][a-z0-9]+)*$`) })
	hexRE  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9a-f]{64}$`) })
	modeRE = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^0?[0-7]{3,4}$`) })
)

// absolute reports whether p is a clean absolute path.
func absolute(p string) bool { return strings.HasPrefix(p, "/") && path.Clean(p) == p }
