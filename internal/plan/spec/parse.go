package spec

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxSize bounds a definition file in bytes.
const maxSize = 1 << 20

// Error is what is wrong at one place of a definition.
type Error struct {
	File         string
	Line, Column int // from 1; 0 when the whole file is meant
	Text         string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Text
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Text)
}

// Parse reads one definition. All errors that can be told at once are joined;
// each is an [*Error] with file, line and column. Unknown keys, keys given
// twice and values of the wrong shape are errors.
func Parse(file string, data []byte) (*Definition, error) {
	d := new(Definition)
	if err := parseInto(file, data, d); err != nil {
		return nil, err
	}
	return d, nil
}

// parseInto reads strict YAML into out, a pointer to a struct.
func parseInto(file string, data []byte, out any) error {
	if len(data) > maxSize {
		return &Error{File: file, Text: fmt.Sprintf("%d bytes, more than the %d that a definition may have", len(data), maxSize)}
	}
	var root yaml.Node
	if err := yaml.Load(data, &root); err != nil {
		if strings.Contains(err.Error(), "no documents in stream") { // the module has no value for it
			return &Error{File: file, Text: "the file is empty: expected a mapping with at least `name`"}
		}
		return yamlErrors(file, err)
	}
	doc := &root
	if doc.Kind == yaml.DocumentNode && len(doc.Content) == 1 {
		doc = doc.Content[0]
	}
	c := checker{file: file}
	c.check(doc, reflect.TypeOf(out).Elem(), "")
	if len(c.errs) == 0 {
		if err := doc.Load(out, yaml.WithKnownFields()); err != nil {
			return yamlErrors(file, err)
		}
		if v, ok := out.(interface{ validate(*checker) }); ok {
			c.root = doc
			v.validate(&c)
		}
	}
	return errors.Join(c.inOrder()...)
}

func yamlErrors(file string, err error) error {
	var many *yaml.LoadErrors
	if errors.As(err, &many) {
		var errs []error
		for _, e := range many.Errors {
			errs = append(errs, &Error{File: file, Line: e.Mark.Line, Column: e.Mark.Column, Text: e.Message})
		}
		return errors.Join(errs...)
	}
	var one *yaml.LoadError
	if errors.As(err, &one) {
		text := one.Message
		if one.ContextMsg != "" {
			text = one.ContextMsg + ": " + text
		}
		return &Error{File: file, Line: one.Mark.Line, Column: one.Mark.Column, Text: "not YAML: " + text}
	}
	return &Error{File: file, Text: err.Error()}
}

// checker holds a document against a Go type and collects what does not fit.
type checker struct {
	file string
	root *yaml.Node
	errs []error
}

func (c *checker) addf(n *yaml.Node, format string, args ...any) {
	e := &Error{File: c.file, Text: fmt.Sprintf(format, args...)}
	if n != nil {
		e.Line, e.Column = n.Line, n.Column
	}
	c.errs = append(c.errs, e)
}

// inOrder lists what was found from the top of the file down, whatever order
// maps were looked at in.
func (c *checker) inOrder() []error {
	slices.SortStableFunc(c.errs, func(a, b error) int {
		x, y := a.(*Error), b.(*Error)
		return cmp.Or(x.Line-y.Line, x.Column-y.Column, strings.Compare(x.Text, y.Text))
	})
	return c.errs
}

// check holds node n, found at the key path at, against type t.
func (c *checker) check(n *yaml.Node, t reflect.Type, at string) {
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		c.addf(n, "%s: an alias: write the value out, so that a reader sees it where it counts", at)
		return
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // an empty value is the zero value
	}
	switch t.Kind() {
	case reflect.Struct:
		c.checkStruct(n, t, at)
	case reflect.Map:
		if n.Kind != yaml.MappingNode {
			c.addf(n, "%s: %s, expected a mapping", at, kindName(n))
			return
		}
		c.uniqueKeys(n, at)
		for i := 0; i+1 < len(n.Content); i += 2 {
			c.check(n.Content[i+1], t.Elem(), join(at, n.Content[i].Value))
		}
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			c.addf(n, "%s: %s, expected a list (\"- ...\" lines, or [a, b])", at, kindName(n))
			return
		}
		for i, item := range n.Content {
			if item.Kind == yaml.ScalarNode && item.Tag == "!!null" {
				c.addf(item, "%s[%d]: empty: write the item, or take its dash away", at, i)
				continue
			}
			c.check(item, t.Elem(), fmt.Sprintf("%s[%d]", at, i))
		}
	default:
		c.checkScalar(n, t, at)
	}
}

func (c *checker) checkScalar(n *yaml.Node, t reflect.Type, at string) {
	if n.Kind != yaml.ScalarNode {
		c.addf(n, "%s: %s, expected %s", at, kindName(n), typeName(t))
		return
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int64:
		if _, err := strconv.Atoi(n.Value); err != nil {
			c.addf(n, "%s: %q, expected a whole number", at, n.Value)
		}
	case reflect.Bool:
		if n.Value != "true" && n.Value != "false" {
			c.addf(n, "%s: %q, expected true or false", at, n.Value)
		}
	}
}

func (c *checker) checkStruct(n *yaml.Node, t reflect.Type, at string) {
	if n.Kind != yaml.MappingNode {
		c.addf(n, "%s: %s, expected a mapping", orTop(at), kindName(n))
		return
	}
	c.uniqueKeys(n, at)
	fields := structFields(t)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		ft, ok := fields[key.Value]
		if !ok {
			c.addf(key, "unknown key %q%s: expected one of %s", key.Value, in(at), keyList(fields, key.Value))
			continue
		}
		c.check(n.Content[i+1], ft, join(at, key.Value))
	}
}

func (c *checker) uniqueKeys(n *yaml.Node, at string) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode {
			c.addf(key, "%s: a key must be plain text", orTop(at))
			continue
		}
		if line, dup := seen[key.Value]; dup {
			c.addf(key, "key %q%s is given twice, first on line %d", key.Value, in(at), line)
		}
		seen[key.Value] = key.Line
	}
}

// structFields maps the YAML keys of a struct, inlined ones included, to the
// types of their values.
func structFields(t reflect.Type) map[string]reflect.Type {
	m := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		tag, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if opts == "inline" {
			for k, v := range structFields(f.Type) {
				m[k] = v
			}
			continue
		}
		if tag != "" && tag != "-" {
			m[tag] = f.Type
		}
	}
	return m
}

// keyList names the keys allowed, the nearest to what was written first.
func keyList(fields map[string]reflect.Type, wrote string) string {
	keys := make([]string, 0, len(fields))
	for k := range fields {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool {
		a, b := shared(keys[i], wrote), shared(keys[j], wrote)
		if a != b {
			return a > b
		}
		return keys[i] < keys[j]
	})
	return strings.Join(keys, ", ")
}

// shared is the length of the prefix that two keys share.
func shared(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		return fmt.Sprintf("the value %q", n.Value)
	}
	return "something else"
}

func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Bool:
		return "true or false"
	}
	return "text"
}

func join(at, key string) string {
	if at == "" {
		return key
	}
	return at + "." + key
}

func in(at string) string {
	if at == "" {
		return ""
	}
	return " in " + at
}

func orTop(at string) string {
	if at == "" {
		return "the definition"
	}
	return at
}

// find returns the node at a key path such as ("distros", "debian13",
// "slices", "2"), or the deepest one on the way.
func (c *checker) find(keys ...string) *yaml.Node {
	n := c.root
	for _, k := range keys {
		next := child(n, k)
		if next == nil {
			return n
		}
		n = next
	}
	return n
}

func child(n *yaml.Node, key string) *yaml.Node {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				return n.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(key); err == nil && i < len(n.Content) {
			return n.Content[i]
		}
	}
	return nil
}

var (
	nameRE = regexp.MustCompile(`^[a-z0-9]+([.-][a-z0-9]+)*$`)
	hexRE  = regexp.MustCompile(`^[0-9a-f]{64}$`)
	modeRE = regexp.MustCompile(`^0?[0-7]{3,4}$`)
)

// absolute reports whether p is a clean absolute path.
func absolute(p string) bool { return strings.HasPrefix(p, "/") && path.Clean(p) == p }
