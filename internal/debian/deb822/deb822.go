// Package deb822 reads the paragraphs that Debian writes its metadata in:
// control files of packages, Release files, sources of apt, status files. See
// deb822(5).
//
// Begin at [NewReader], or at [Parse] for a text that is in memory already.
// Values are handed over as they stand; what they mean (relations, lists of
// hashes, descriptions) is for the caller. The big Packages indices have a
// faster reader of their own, in package index. A signature around the text
// must be taken off before.
package deb822

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Bounds of what is read. The largest real paragraph known, the Release file
// of Debian's main archive, is about 200 kB.
const (
	MaxParagraph = 16 << 20 // bytes of one paragraph, names and line ends included
	MaxFields    = 4096     // fields of one paragraph
)

// Field is one field of a paragraph.
type Field struct {
	Name string // as written: compare names without regard to case
	// Value is the text after the colon without the spaces around it. The
	// lines of a folded field follow after "\n", their leading space kept and
	// trailing spaces cut; the first line may be empty.
	Value string
}

// Paragraph is the fields of a paragraph in the order of the file. No name is
// in it twice, whatever its case.
type Paragraph []Field

// Get returns the value of the field of that name, in any case, or "".
func (p Paragraph) Get(name string) string {
	v, _ := p.Lookup(name)
	return v
}

// Lookup is like [Paragraph.Get] and tells an empty field from none.
func (p Paragraph) Lookup(name string) (value string, ok bool) {
	for i := range p {
		if strings.EqualFold(p[i].Name, name) {
			return p[i].Value, true
		}
	}
	return "", false
}

// Error is a text that breaks the format.
type Error struct {
	Line int // from 1
	Text string
}

func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Text) }

// Reader reads paragraph by paragraph.
type Reader struct {
	// Comments skips lines that begin with "#", as files that people write may
	// have them: the sources of apt, debian/control. Elsewhere such a line is
	// an error.
	Comments bool

	in   *bufio.Reader
	line int
	long []byte // a line that is longer than the buffer of in
	err  error
}

// NewReader returns a reader of r. It reads ahead.
func NewReader(r io.Reader) *Reader {
	return &Reader{in: bufio.NewReaderSize(r, 32<<10)}
}

// Line is the number of the line read last, from 1.
func (r *Reader) Line() int { return r.line }

// Next returns the next paragraph, or io.EOF after the last. Empty lines
// around paragraphs are skipped; lines end in LF or CRLF, the last one may
// have no end. A broken text is an [*Error]; after it, or after an error of
// the underlying reader, every call returns the same.
func (r *Reader) Next() (Paragraph, error) {
	if r.err != nil {
		return nil, r.err
	}
	p, err := r.paragraph()
	if err != nil {
		r.err = err
		return nil, err
	}
	return p, nil
}

// Parse reads all paragraphs of a text. See [Reader.Next].
func Parse(text []byte) ([]Paragraph, error) {
	r := NewReader(bytes.NewReader(text))
	var all []Paragraph
	for {
		p, err := r.Next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
}

// paragraph collects the lines of one paragraph into fields.
func (r *Reader) paragraph() (Paragraph, error) {
	var (
		b    = builder{lines: map[string]int{}}
		size int
	)
	for {
		line, err := r.readLine(MaxParagraph - size)
		if err == io.EOF {
			if p := b.finish(); p != nil {
				return p, nil
			}
			return nil, io.EOF
		}
		if err != nil {
			return nil, err
		}
		size += len(line) + 1
		switch {
		case len(line) == 0:
			if p := b.finish(); p != nil {
				return p, nil
			}
			size = 0
		case line[0] == '#' && r.Comments:
		case line[0] == ' ' || line[0] == '\t':
			err = b.fold(line)
		default:
			err = b.field(line, r.line)
		}
		if err != nil {
			return nil, &Error{r.line, err.Error()}
		}
	}
}

// readLine returns a line without its end, valid until the next call.
func (r *Reader) readLine(limit int) ([]byte, error) {
	line, err := r.in.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		r.long = r.long[:0]
		for err == bufio.ErrBufferFull && len(r.long) <= limit {
			r.long = append(r.long, line...)
			line, err = r.in.ReadSlice('\n')
		}
		r.long = append(r.long, line...)
		line = r.long
	}
	if len(line) > 0 || err == nil {
		r.line++
	}
	if len(line) > limit {
		return nil, &Error{r.line, fmt.Sprintf("the paragraph is longer than %d bytes", MaxParagraph)}
	}
	if err != nil && (err != io.EOF || len(line) == 0) {
		return nil, err
	}
	line = bytes.TrimSuffix(line, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if bytes.IndexByte(line, 0) >= 0 {
		return nil, &Error{r.line, "it holds a zero byte"}
	}
	return line, nil
}

// builder is a paragraph that is being read.
type builder struct {
	p     Paragraph
	value []byte         // of the last field of p, so far
	lines map[string]int // lower-case name to the line it was on
}

var (
	errNoField = errors.New("a continuation line without a field before it")
	errBlank   = errors.New("a line of spaces alone: make it empty to end the paragraph, or write \" .\" to go on")
)

func (b *builder) fold(line []byte) error {
	text := bytes.TrimRight(line, " \t\r")
	if len(b.p) == 0 {
		return errNoField
	}
	if len(text) == 0 {
		return errBlank
	}
	b.value = append(append(b.value, '\n'), text...)
	return nil
}

func (b *builder) field(line []byte, number int) error {
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok {
		return fmt.Errorf("%s is no field: a colon is missing", excerpt(line))
	}
	if !validName(name) {
		return fmt.Errorf("%s is no name for a field", excerpt(name))
	}
	if len(b.p) == MaxFields {
		return fmt.Errorf("the paragraph has more than %d fields", MaxFields)
	}
	key := strings.ToLower(string(name))
	if first := b.lines[key]; first != 0 {
		return fmt.Errorf("field %s is there twice, first in line %d", name, first)
	}
	b.lines[key] = number
	b.end()
	b.p = append(b.p, Field{Name: string(name)})
	b.value = append(b.value[:0], bytes.Trim(value, " \t\r")...)
	return nil
}

// end stores the value that was collected for the last field.
func (b *builder) end() {
	if n := len(b.p); n > 0 {
		b.p[n-1].Value = string(b.value)
	}
}

// finish returns the paragraph, or nil if it has no field.
func (b *builder) finish() Paragraph {
	b.end()
	return b.p
}

// validName holds a name against deb822(5): printable ASCII without a space
// and a colon, and neither '#' nor '-' at the beginning.
func validName(name []byte) bool {
	if len(name) == 0 || name[0] == '#' || name[0] == '-' {
		return false
	}
	for _, c := range name {
		if c <= ' ' || c > '~' || c == ':' {
			return false
		}
	}
	return true
}

func excerpt(b []byte) string {
	const most = 40
	if len(b) > most {
		return fmt.Sprintf("%q…", b[:most])
	}
	return fmt.Sprintf("%q", b)
}
