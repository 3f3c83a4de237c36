package deb822

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// A field that is read wrongly makes a wrong package, or an image without one.
func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []Paragraph
	}{
		{"nothing", "", nil},
		{"empty lines alone", "\n\r\n\n", nil},
		{"one", "A: b\n", []Paragraph{{{"A", "b"}}}},
		{"no final newline", "A: b\nC: d", []Paragraph{{{"A", "b"}, {"C", "d"}}}},
		{"crlf", "A: b\r\n c\r\n\r\nD: e\r\n", []Paragraph{{{"A", "b\n c"}}, {{"D", "e"}}}},
		{"lower case, no space, many spaces", "package:x\nVERSION:   1  \n", []Paragraph{{{"package", "x"}, {"VERSION", "1"}}}},
		{"folded", "D: a\n  b \n\tc\n .\nE: f\n", []Paragraph{{{"D", "a\n  b\n\tc\n ."}, {"E", "f"}}}},
		{"folded with an empty first line", "H:\n 1 a\n 2 b\n", []Paragraph{{{"H", "\n 1 a\n 2 b"}}}},
		{"empty field at the end of the text", "A:", []Paragraph{{{"A", ""}}}},
		{"many empty lines between", "\n\nA: 1\n\n\n\nB: 2\n\n", []Paragraph{{{"A", "1"}}, {{"B", "2"}}}},
		{"colon and hash in values", "A: b:c # d\n # e\n", []Paragraph{{{"A", "b:c # d\n # e"}}}},
		{"not UTF-8", "A: \xe4\n", []Paragraph{{{"A", "\xe4"}}}},
	} {
		got, err := Parse([]byte(c.text))
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %q, %v; want %q", c.name, got, err, c.want)
		}
	}
}

// Each of these is refused by dpkg or read differently by different tools.
func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"twice", "Package: a\nVersion: 1\nPackage: b\n", "line 3: field Package is there twice, first in line 1"},
		{"twice in another case", "Size: 1\nsize: 2\n", "line 2: field size is there twice, first in line 1"},
		{"no colon", "A: b\nfoo\n", `line 2: "foo" is no field: a colon is missing`},
		{"no name", ": b\n", `line 1: "" is no name for a field`},
		{"space in the name", "A b: c\n", `line 1: "A b" is no name for a field`},
		{"dash", "-A: c\n", `line 1: "-A" is no name for a field`},
		{"signed text", "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n", "line 1: \"-----BEGIN PGP SIGNED MESSAGE-----\" is no field: a colon is missing"},
		{"byte order mark", "\ufeffA: b\n", `is no name for a field`},
		{"continuation first", "\n a\n", "line 2: a continuation line without a field before it"},
		{"blank line of spaces", "A: b\n \nC: d\n", "line 2: a line of spaces alone"},
		{"comment", "A: b\n# c\n", `line 2: "# c" is no field`},
		{"zero byte", "A: b\x00c\n", "line 1: it holds a zero byte"},
		{"carriage return inside a name", "A\r: c\n", `is no name for a field`},
		{"long garbage", strings.Repeat("x", 100), `line 1: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"… is no field`},
	} {
		got, err := Parse([]byte(c.text))
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %q, %v; want an error with %q", c.name, got, err, c.want)
		}
	}
}

func TestComments(t *testing.T) {
	r := NewReader(strings.NewReader("# one\nA: b\n# two\n c\n#\n\n# three\n\nD: e\n#"))
	r.Comments = true
	var got []Paragraph
	for {
		p, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p)
	}
	if want := []Paragraph{{{"A", "b\n c"}}, {{"D", "e"}}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestGet(t *testing.T) {
	p := Paragraph{{"Multi-Arch", "same"}, {"Empty", ""}}
	if p.Get("multi-arch") != "same" || p.Get("x") != "" {
		t.Error("Get does not find a field by its name in another case")
	}
	if _, ok := p.Lookup("EMPTY"); !ok {
		t.Error("Lookup says that an empty field is not there")
	}
	if _, ok := p.Lookup("x"); ok {
		t.Error("Lookup finds a field that is not there")
	}
}

// A hostile archive must not fill the memory.
func TestBounds(t *testing.T) {
	endless := func(begin, repeat string) io.Reader {
		return io.MultiReader(strings.NewReader(begin), &repeater{text: repeat})
	}
	for name, r := range map[string]io.Reader{
		"line":   endless("A: ", "xxxxxxxxxxxxxxxx"),
		"folds":  endless("A: b\n", " some text\n"),
		"fields": &counter{},
	} {
		_, err := NewReader(r).Next()
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: got %v, want an error", name, err)
		}
	}
	if p, err := NewReader(strings.NewReader("A: " + strings.Repeat("x", 100<<10) + "\nB: c\n")).Next(); err != nil || len(p.Get("A")) != 100<<10 || p.Get("B") != "c" {
		t.Errorf("a line of 100 kB is not read whole: %v", err)
	}
}

type repeater struct {
	text string
	at   int
}

func (r *repeater) Read(b []byte) (int, error) {
	n := copy(b, r.text[r.at:])
	r.at = (r.at + n) % len(r.text)
	return n, nil
}

type counter struct{ n int }

func (c *counter) Read(b []byte) (int, error) {
	c.n++
	return copy(b, fmt.Sprintf("F%d: x\n", c.n)), nil
}

// A cut download must not look like the end of the file.
func TestErrorOfTheReader(t *testing.T) {
	broken := errors.New("broken")
	r := NewReader(io.MultiReader(strings.NewReader("A: b\n\nC: d\n"), iotest.ErrReader(broken)))
	if p, err := r.Next(); err != nil || p.Get("A") != "b" {
		t.Fatalf("got %q, %v", p, err)
	}
	for range 2 {
		if p, err := r.Next(); !errors.Is(err, broken) || p != nil {
			t.Errorf("got %q, %v; want the error of the reader", p, err)
		}
	}
}

func FuzzDeb822(f *testing.F) {
	for _, s := range []string{"", "A: b\n", "A:\r \n \r.\r\r\n", "A: b\n c\n\nB:\r\n d\r\n", "#\n", "A:b\n\t\n", " \n", "A: b\nA: c\n", "Package: x\nDescription: y\n z\n .\n é\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := Parse(text)
		if err != nil {
			return
		}
		var b strings.Builder
		for _, p := range all {
			if len(p) == 0 {
				t.Fatal("a paragraph has no field")
			}
			for _, f := range p {
				fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Value)
			}
			b.WriteByte('\n')
		}
		again, err := Parse([]byte(b.String()))
		if err != nil || !reflect.DeepEqual(all, again) {
			t.Fatalf("written and read again it is %q, %v; want %q", again, err, all)
		}
	})
}
