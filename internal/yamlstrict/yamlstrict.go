// Package yamlstrict reads YAML that people write into Go structs, and says with
// file, line and column what does not fit: unknown keys and those given twice,
// values of the wrong shape, aliases. It knows nothing of what a document
// means; whoever asks for one checks that with the [Checker] in hand.
//
// Start with [Decode].
package yamlstrict

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxSize bounds a document in bytes.
const maxSize = 1 << 20

// Error is what is wrong at one place of a file.
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

// Kind is what messages say of a document.
type Kind struct {
	Name  string // "definition"
	Empty string // what an empty file should hold: "a mapping with at least `name`"
}

// Decode reads one document into out, a pointer to a struct with yaml tags, and
// calls validate where its shape is right. All errors that can be told at once
// are joined; each is an [*Error].
func Decode(file string, data []byte, kind Kind, out any, validate func(*Checker)) error {
	if len(data) > maxSize {
		return &Error{File: file, Text: fmt.Sprintf("%d bytes, more than the %d that a %s may have", len(data), maxSize, kind.Name)}
	}
	doc, err := load(file, data, kind)
	if err != nil {
		return err
	}
	c := &Checker{file: file, kind: kind, root: doc}
	c.check(doc, reflect.TypeOf(out).Elem(), "")
	if len(c.errs) == 0 {
		if err := doc.Load(out, yaml.WithKnownFields()); err != nil {
			return yamlErrors(file, err)
		}
		validate(c)
	}
	return errors.Join(c.inOrder()...)
}

// Value returns the text of a key at the top of a document, "" where there is
// none or it is no plain value: for documents whose shape depends on it.
func Value(file string, data []byte, kind Kind, key string) (string, error) {
	doc, err := load(file, data, kind)
	if err != nil {
		return "", err
	}
	n := child(doc, key)
	if n == nil || n.Kind != yaml.ScalarNode {
		return "", nil
	}
	return n.Value, nil
}

func load(file string, data []byte, kind Kind) (*yaml.Node, error) {
	var root yaml.Node
	if err := yaml.Load(data, &root); err != nil {
		if strings.Contains(err.Error(), "no documents in stream") { // the module has no value for it
			return nil, &Error{File: file, Text: "the file is empty: expected " + kind.Empty}
		}
		return nil, yamlErrors(file, err)
	}
	if root.Kind == yaml.DocumentNode && len(root.Content) == 1 {
		return root.Content[0], nil
	}
	return &root, nil
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

// Checker holds a document against a Go type and collects what does not fit.
type Checker struct {
	file string
	kind Kind
	root *yaml.Node
	errs []error
}

// Addf notes what is wrong at a node, or with the whole file where it is nil.
func (c *Checker) Addf(n *yaml.Node, format string, args ...any) {
	e := &Error{File: c.file, Text: fmt.Sprintf(format, args...)}
	if n != nil {
		e.Line, e.Column = n.Line, n.Column
	}
	c.errs = append(c.errs, e)
}

// inOrder lists what was found from the top of the file down, whatever order
// maps were looked at in.
func (c *Checker) inOrder() []error {
	slices.SortStableFunc(c.errs, func(a, b error) int {
		x, y := a.(*Error), b.(*Error)
		return cmp.Or(x.Line-y.Line, x.Column-y.Column, strings.Compare(x.Text, y.Text))
	})
	return c.errs
}

// check holds node n, found at the key path at, against type t.
func (c *Checker) check(n *yaml.Node, t reflect.Type, at string) {
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		c.Addf(n, "%s: an alias: write the value out, so that a reader sees it where it counts", at)
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
			c.Addf(n, "%s: %s, expected a mapping", at, kindName(n))
			return
		}
		c.uniqueKeys(n, at)
		for i := 0; i+1 < len(n.Content); i += 2 {
			c.check(n.Content[i+1], t.Elem(), join(at, n.Content[i].Value))
		}
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			c.Addf(n, "%s: %s, expected a list (\"- ...\" lines, or [a, b])", at, kindName(n))
			return
		}
		for i, item := range n.Content {
			if item.Kind == yaml.ScalarNode && item.Tag == "!!null" {
				c.Addf(item, "%s[%d]: empty: write the item, or take its dash away", at, i)
				continue
			}
			c.check(item, t.Elem(), fmt.Sprintf("%s[%d]", at, i))
		}
	default:
		c.checkScalar(n, t, at)
	}
}

func (c *Checker) checkScalar(n *yaml.Node, t reflect.Type, at string) {
	if n.Kind != yaml.ScalarNode {
		c.Addf(n, "%s: %s, expected %s", at, kindName(n), typeName(t))
		return
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int64:
		if _, err := strconv.Atoi(n.Value); err != nil {
			c.Addf(n, "%s: %q, expected a whole number", at, n.Value)
		}
	case reflect.Bool:
		if n.Value != "true" && n.Value != "false" {
			c.Addf(n, "%s: %q, expected true or false", at, n.Value)
		}
	}
}

func (c *Checker) checkStruct(n *yaml.Node, t reflect.Type, at string) {
	if n.Kind != yaml.MappingNode {
		c.Addf(n, "%s: %s, expected a mapping", c.orTop(at), kindName(n))
		return
	}
	c.uniqueKeys(n, at)
	fields := structFields(t)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		ft, ok := fields[key.Value]
		if !ok {
			c.Addf(key, "unknown key %q%s: expected one of %s", key.Value, in(at), keyList(fields, key.Value))
			continue
		}
		c.check(n.Content[i+1], ft, join(at, key.Value))
	}
}

func (c *Checker) uniqueKeys(n *yaml.Node, at string) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode {
			c.Addf(key, "%s: a key must be plain text", c.orTop(at))
			continue
		}
		if line, dup := seen[key.Value]; dup {
			c.Addf(key, "key %q%s is given twice, first on line %d", key.Value, in(at), line)
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

func (c *Checker) orTop(at string) string {
	if at == "" {
		return "the " + c.kind.Name
	}
	return at
}

// Find returns the node at a key path such as ("distros", "debian13",
// "slices", "2"), or the deepest one on the way.
func (c *Checker) Find(keys ...string) *yaml.Node {
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
