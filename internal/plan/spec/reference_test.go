package spec

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/definition.md")

const referenceFile = "../../../docs/definition.md"

// The reference that users read says what the code says: a key that is added
// without its line there fails here.
func TestReference(t *testing.T) {
	got := reference(t)
	if *update {
		if err := os.WriteFile(referenceFile, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Error("docs/definition.md is not what the types say: run go test ./internal/plan/spec -run Reference -update")
	}
}

const referenceHead = `# The definition of an image

Generated from the types in internal/plan/spec. A definition is a YAML file; unknown
keys, keys given twice and values of the wrong shape are errors that say
` + "`file:line:col`" + `. A key at the top level holds for every distro; the same key under
` + "`distros.<name>`" + ` adds to it (lists and maps) or replaces it (single values).

`

// reference makes the text: a section per type, the top level first, a row per
// key.
func reference(t *testing.T) string {
	comments := fieldComments(t, "spec.go")
	var b strings.Builder
	b.WriteString(referenceHead)
	types := []struct {
		title string
		of    reflect.Type
	}{
		{"Top level", reflect.TypeFor[Definition]()},
		{"Top level, and under `distros.<name>`", reflect.TypeFor[Section]()},
		{"`debug`", reflect.TypeFor[Debug]()},
		{"`omit[]`", reflect.TypeFor[Omission]()},
		{"`archives[]`", reflect.TypeFor[Archive]()},
		{"`upstream[]`", reflect.TypeFor[Upstream]()},
		{"`slices[]`", reflect.TypeFor[Slice]()},
		{"`scripts[]`", reflect.TypeFor[Script]()},
		{"`contents[]`", reflect.TypeFor[Content]()},
		{"`accounts`", reflect.TypeFor[Accounts]()},
		{"`accounts.users[]`", reflect.TypeFor[User]()},
		{"`accounts.groups[]`", reflect.TypeFor[Group]()},
		{"`allow[]`", reflect.TypeFor[Allowance]()},
	}
	described := map[reflect.Type]bool{}
	for _, ty := range types {
		described[ty.of] = true
	}
	for _, ty := range types {
		fmt.Fprintf(&b, "## %s\n\n| key | value | meaning |\n|---|---|---|\n", ty.title)
		for i := range ty.of.NumField() {
			f := ty.of.Field(i)
			key, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if opts == "inline" || key == "-" {
				continue
			}
			text := comments[ty.of.Name()+"."+f.Name]
			if text == "" {
				t.Errorf("%s.%s has no doc comment", ty.of.Name(), f.Name)
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", key, valueName(t, f.Type, described), strings.ReplaceAll(text, "|", "\\|"))
		}
		b.WriteByte('\n')
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func valueName(t *testing.T, ty reflect.Type, described map[reflect.Type]bool) string {
	switch ty.Kind() {
	case reflect.Pointer:
		return valueName(t, ty.Elem(), described)
	case reflect.Slice:
		return "list of " + valueName(t, ty.Elem(), described)
	case reflect.Map:
		return "map to " + valueName(t, ty.Elem(), described)
	case reflect.Struct:
		if !described[ty] {
			t.Errorf("type %s is not in the reference", ty.Name())
		}
		return "mapping"
	case reflect.Int:
		return "number"
	case reflect.Bool:
		return "true or false"
	}
	return "text"
}

// fieldComments reads the doc comments of the struct fields in a file.
func fieldComments(t *testing.T, file string) map[string]string {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		ts, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		st, ok := ts.Type.(*ast.StructType)
		if !ok {
			return true
		}
		for _, field := range st.Fields.List {
			for _, name := range field.Names {
				out[ts.Name.Name+"."+name.Name] = strings.Join(strings.Fields(field.Doc.Text()), " ")
			}
		}
		return true
	})
	return out
}
