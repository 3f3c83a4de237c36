package index

import (
	"bytes"
	"context"
	"fmt"
	"io"
)

const (
	blockSize = 256 << 10 // what is read at once, and how often the context is asked
	maxStanza = 4 << 20   // bytes; the largest real ones are about 40 kB
)

// Parse reads a Packages file and calls yield for every package in the order
// of the file. The packages are yield's to keep. suite is stored in each.
//
// A text that breaks the format, lacks a field or holds a value that
// [Package] rules out is an error that names the line and, where it is known,
// the package. An error of yield ends the reading and is returned as it is.
// Fields that are not needed are not looked into.
func Parse(ctx context.Context, r io.Reader, suite string, yield func(*Package) error) error {
	l := lines{ctx: ctx, in: r, buf: make([]byte, blockSize)}
	s := stanza{suite: suite, words: map[string]string{}}
	for {
		pkg, err := s.next(&l)
		if err != nil {
			return fmt.Errorf("read index of %s: %w", suite, err)
		}
		if pkg == nil {
			return nil
		}
		if err := yield(pkg); err != nil {
			return err
		}
	}
}

// lines cuts a stream into lines and keeps all those of one stanza in one
// piece: offsets count from the byte where the stanza began.
type lines struct {
	ctx        context.Context
	in         io.Reader
	buf        []byte
	start, end int // of the bytes read, of which the first belongs to the stanza
	pos        int // how many of them were handed out
	eof        bool
	number     int // of the line handed out last, from 1
}

// begin lets a new stanza begin after the line handed out last.
func (l *lines) begin() { l.start, l.pos = l.start+l.pos, 0 }

// text is the stanza so far.
func (l *lines) text() []byte { return l.buf[l.start : l.start+l.pos] }

// next hands out a line: where it begins and ends in the stanza, LF or CRLF
// not counted. It returns io.EOF when there is none left.
func (l *lines) next() (from, to int, err error) {
	for {
		rest := l.buf[l.start+l.pos : l.end]
		n := bytes.IndexByte(rest, '\n')
		switch {
		case n >= 0:
			from, to = l.pos, l.pos+n
			l.pos += n + 1
		case !l.eof:
			if err := l.fill(); err != nil {
				return 0, 0, err
			}
			continue
		case len(rest) == 0:
			return 0, 0, io.EOF
		default: // the last line, without an end
			from, to = l.pos, l.pos+len(rest)
			l.pos = to
		}
		l.number++
		if to > from && l.buf[l.start+to-1] == '\r' {
			to--
		}
		return from, to, nil
	}
}

// fill reads once, after making room.
func (l *lines) fill() error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	if l.end-l.start >= maxStanza {
		return fmt.Errorf("line %d: the paragraph is longer than %d bytes", l.number+1, maxStanza)
	}
	l.end = copy(l.buf, l.buf[l.start:l.end])
	l.start = 0
	if l.end > len(l.buf)/2 {
		l.buf = append(l.buf, make([]byte, len(l.buf))...)
	}
	for range 100 { // as many empty reads as bufio allows
		n, err := l.in.Read(l.buf[l.end:])
		l.end += n
		if err == io.EOF {
			l.eof = true
			return nil
		}
		if err != nil {
			return err
		}
		if n > 0 {
			return nil
		}
	}
	return io.ErrNoProgress
}
