package xz

import (
	"errors"
	"fmt"
	"io"
)

var (
	// ErrFormat is wrapped where the input is not an .xz (or .lzma) file.
	ErrFormat = errors.New("not in the expected format")
	// ErrCorrupt is wrapped where the input breaks the format's rules or a
	// check does not match. Input that ends too early wraps
	// [io.ErrUnexpectedEOF] instead.
	ErrCorrupt = errors.New("corrupt")
	// ErrUnsupported is wrapped where the input uses what this package, or
	// the format as of version 1.1.0, does not have.
	ErrUnsupported = errors.New("not supported")
	// ErrMemLimit is wrapped where decoding needs more than Options.MemLimit.
	ErrMemLimit = errors.New("memory limit")
	// ErrClosed is returned by a Reader that was closed.
	ErrClosed = errors.New("xz: reader is closed")
)

// Error says where in the input decoding stopped, and why. It unwraps to one
// of this package's sentinels, to io.ErrUnexpectedEOF, or to what the
// underlying reader returned.
type Error struct {
	// Offset is the distance in bytes from the input's start to the part
	// that is at fault: a header, an LZMA2 chunk, a check.
	Offset int64
	// Part names it: "stream header", "block", "index", ...
	Part string
	// Err is the cause.
	Err error
}

func (e *Error) Error() string {
	return fmt.Sprintf("xz: read %s at byte %d: %v", e.Part, e.Offset, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// corrupt, unsupported and the like make the cause of an [Error].
func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrCorrupt}, args...)...)
}

func unsupported(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrUnsupported}, args...)...)
}

func memLimit(need, limit int64) error {
	return fmt.Errorf("%w: %d bytes are needed, at most %d are allowed: raise it to decode this file", ErrMemLimit, need, limit)
}

// errAt places a cause. A cause that has a place already keeps it, and an
// input that ends inside a part has ended too early.
func errAt(offset int64, part string, err error) error {
	if err == nil {
		return nil
	}
	if placed := (*Error)(nil); errors.As(err, &placed) {
		return err
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return &Error{Offset: offset, Part: part, Err: err}
}
