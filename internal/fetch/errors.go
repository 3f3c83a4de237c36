package fetch

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// ErrChecksum is what every error about bytes that are not the wanted ones
// wraps: from a mirror or from the cache.
var ErrChecksum = errors.New("checksum mismatch")

// ChecksumError says that the bytes found are not those of the wanted digest
// or length. It is an [ErrChecksum].
type ChecksumError struct {
	Name     string // the object's name
	From     string // the address or file that the bytes came from
	Want     string // SHA-256 wanted, hexadecimal
	Got      string // SHA-256 found, or "" when too much came to read it all
	WantSize int64  // bytes wanted, negative when unknown
	GotSize  int64  // bytes found, or read when there were too many
}

func (e *ChecksumError) Error() string {
	var b strings.Builder
	if e.Got == "" {
		fmt.Fprintf(&b, "more than %d bytes, want %d with sha256 %s", e.GotSize, e.WantSize, e.Want)
		return b.String()
	}
	fmt.Fprintf(&b, "sha256 %s, want %s", e.Got, e.Want)
	if e.WantSize >= 0 && e.GotSize != e.WantSize {
		fmt.Fprintf(&b, " (%d bytes, want %d)", e.GotSize, e.WantSize)
	}
	return b.String()
}

// Is reports whether target is [ErrChecksum].
func (e *ChecksumError) Is(target error) bool { return target == ErrChecksum }

// StatusError is an HTTP answer other than the wanted one. One of 404 or 410
// is an [fs.ErrNotExist].
type StatusError struct {
	Code int // the HTTP status, such as 404
	// RetryAfter is how long the server asked to wait, 0 when it did not.
	RetryAfter time.Duration
}

func (e *StatusError) Error() string {
	text := fmt.Sprintf("http status %d %s", e.Code, http.StatusText(e.Code))
	switch e.Code {
	case http.StatusUnauthorized, http.StatusProxyAuthRequired:
		text += ": give credentials for this address"
	}
	return strings.TrimSpace(text)
}

// Is reports whether target is [fs.ErrNotExist] and the file is not there.
func (e *StatusError) Is(target error) bool {
	return target == fs.ErrNotExist && (e.Code == http.StatusNotFound || e.Code == http.StatusGone)
}

// Attempt is one address that was tried and what came of it.
type Attempt struct {
	URL   string // without a password
	Tries int    // how often it was asked
	Err   error  // the last answer
}

// Error says that no address gave an object, and lists what was tried.
type Error struct {
	Name     string // the object's name
	Attempts []Attempt
}

func (e *Error) Error() string { return "fetch " + e.Name + ": " + e.Tried() }

// Tried lists the addresses that were tried, and what each said.
func (e *Error) Tried() string {
	all := make([]string, len(e.Attempts))
	for i, a := range e.Attempts {
		all[i] = fmt.Sprintf("%s: %v", a.URL, a.Err)
		if a.Tries > 1 {
			all[i] += fmt.Sprintf(" (%d tries)", a.Tries)
		}
	}
	return strings.Join(all, "; ")
}

// Unwrap returns the errors of all attempts.
func (e *Error) Unwrap() []error {
	errs := make([]error, len(e.Attempts))
	for i, a := range e.Attempts {
		errs[i] = a.Err
	}
	return errs
}

// redact returns an address as it may be shown: without its password.
func redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "address that does not parse"
	}
	return u.Redacted()
}
