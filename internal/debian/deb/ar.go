package deb

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
)

const (
	arMagic     = "!<arch>\n"
	arHeaderLen = 60
	arMaxParts  = 32 // a .deb has three; signatures add one or two
)

// arReader walks the members of an ar archive, ar(5), in one pass. Only what
// deb(5) uses of it is understood: names of up to 16 bytes, with or without a
// trailing slash.
type arReader struct {
	r       *bufio.Reader
	seen    int
	left    atomic.Int64 // bytes of the current member not read yet; decoders read from goroutines of their own
	odd     bool         // whether a padding byte follows the current member
	started bool
}

func newArReader(r io.Reader) *arReader {
	return &arReader{r: bufio.NewReaderSize(r, 64<<10)}
}

// next skips to the next member and returns its name without trailing blanks
// and slash. It returns io.EOF at the end of the file.
func (a *arReader) next() (string, error) {
	if !a.started {
		var magic [len(arMagic)]byte
		if _, err := io.ReadFull(a.r, magic[:]); err != nil {
			return "", fmt.Errorf("too short for a .deb: %w", unexpected(err))
		}
		if string(magic[:]) != arMagic {
			return "", fmt.Errorf("starts with %q, a .deb with %q: not a Debian package", magic[:], arMagic)
		}
		a.started = true
	}
	if err := a.skip(); err != nil {
		return "", err
	}
	var head [arHeaderLen]byte
	n, err := io.ReadFull(a.r, head[:])
	if err == io.EOF {
		return "", io.EOF
	}
	if err != nil {
		return "", fmt.Errorf("ar header cut short after %d of %d bytes, or trailing garbage: %w", n, arHeaderLen, unexpected(err))
	}
	if string(head[58:]) != "`\n" {
		return "", fmt.Errorf("ar header %q does not end in %q: damaged, or trailing garbage", head[:], "`\n")
	}
	if a.seen++; a.seen > arMaxParts {
		return "", fmt.Errorf("more than %d ar members", arMaxParts)
	}
	size, err := arNumber(head[48:58])
	if err != nil {
		return "", err
	}
	a.left.Store(size)
	a.odd = size%2 == 1
	name := strings.TrimRight(string(head[:16]), " ")
	name = strings.TrimSuffix(name, "/")
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("ar member name %q: want printable ASCII", head[:16])
	}
	return name, nil
}

// skip reads over what is left of the current member and its padding. A
// padding byte missing at the very end of the file is nobody's loss.
func (a *arReader) skip() error {
	for left := a.left.Load(); left > 0; left = a.left.Load() {
		n, err := a.r.Discard(int(min(left, 1<<20)))
		left = a.left.Add(int64(-n))
		if err != nil {
			return fmt.Errorf("ar member cut short, %d bytes missing: %w", left, unexpected(err))
		}
	}
	if a.odd {
		a.odd = false
		if _, err := a.r.ReadByte(); err != nil && err != io.EOF {
			return err
		}
	}
	return nil
}

// Read reads from the current member.
func (a *arReader) Read(p []byte) (int, error) {
	left := a.left.Load()
	if left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > left {
		p = p[:left]
	}
	n, err := a.r.Read(p)
	left = a.left.Add(int64(-n))
	if err == io.EOF && left > 0 {
		err = fmt.Errorf("ar member cut short, %d bytes missing: %w", left, io.ErrUnexpectedEOF)
	}
	return n, err
}

// arNumber parses a decimal field padded with blanks. A sign, which
// strconv would take, is refused.
func arNumber(field []byte) (int64, error) {
	text := strings.TrimRight(string(field), " ")
	if text == "" {
		return 0, errors.New("ar header has no size")
	}
	var n int64
	for _, c := range []byte(text) {
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("ar header has size %q: want a decimal number", text)
		}
		n = n*10 + int64(c-'0')
	}
	return n, nil
}

// unexpected turns the end of a file where more was due into
// io.ErrUnexpectedEOF, so that no caller takes it for a good end.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
