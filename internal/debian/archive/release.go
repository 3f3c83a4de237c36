package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Release is what a suite's verified InRelease says.
type Release struct {
	Suite          Suite // what was asked for
	Origin, Label  string
	SuiteField     string // its Suite field, such as stable-security
	Codename       string // such as trixie-security
	Version        string // such as 13.8; "" where there is none
	Date           time.Time
	ValidUntil     time.Time // zero when it has no end
	Architectures  []string  // Debian's names, as listed
	Components     []string  // as listed: security suites say updates/main
	AcquireByHash  bool
	NoArchAllIndex bool            // binary-<arch> indices hold the packages of all: there is no other
	Files          map[string]File // by path below the suite's folder
	Signers        []string        // fingerprints of the primary keys that signed it well
	State          State
}

// File is a file that a Release lists.
type File struct {
	SHA256 string // hexadecimal
	Size   int64  // bytes
}

// State is what a lock records of a suite: which Release its versions were
// chosen from, and on whose word.
type State struct {
	Suite    string    // the path below dists/ that was asked for, such as trixie-security
	Codename string    // the Release's Codename, or its Suite where it has none
	Date     time.Time // the Release's Date, UTC
	SHA256   string    // of the InRelease file (else Release), hexadecimal
	Keyring  string    // [Keyring.Digest] of the keys it was checked against
}

// ErrWeak: a Release lists no SHA-256, only digests that can be forged.
var ErrWeak = errors.New("no SHA256 list")

// release reads a verified text and checks it against what was asked for.
// raw are the bytes as they came, for the digest.
func release(text, raw []byte, signers []string, o VerifyOptions) (*Release, error) {
	r, err := parseRelease(text)
	if err != nil {
		return nil, fmt.Errorf("read Release of %s: %w", o.Suite, err)
	}
	if err := r.matches(o.Suite); err != nil {
		return nil, err
	}
	if r.Date.After(o.Now.Add(skew)) {
		return nil, fmt.Errorf("check Release of %s: dated %s, now is %s: %w",
			o.Suite, stamp(r.Date), stamp(o.Now), ErrFuture)
	}
	if !o.Snapshot && !r.ValidUntil.IsZero() && o.Now.After(r.ValidUntil.Add(skew)) {
		return nil, fmt.Errorf("check Release of %s: valid until %s, now is %s: %w",
			o.Suite, stamp(r.ValidUntil), stamp(o.Now), ErrExpired)
	}
	r.Signers = signers
	sum := sha256.Sum256(raw)
	r.State = State{Suite: o.Suite, Codename: r.Codename, Date: r.Date, SHA256: hex.EncodeToString(sum[:]), Keyring: o.Keyring.Digest()}
	if r.State.Codename == "" {
		r.State.Codename = r.SuiteField
	}
	return r, nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// matches refuses a Release of another suite: it would have a good signature,
// and a mirror could serve it to hold back updates.
func (r *Release) matches(asked string) error {
	if isFlat(asked) {
		return nil
	}
	// Up to Debian 10 the security suites were called buster/updates, and
	// their Codename was buster.
	name := strings.TrimSuffix(asked, "/updates")
	for _, field := range []string{r.SuiteField, r.Codename} {
		if field != "" && (field == asked || field == name) {
			return nil
		}
	}
	if r.SuiteField == "" && r.Codename == "" {
		return fmt.Errorf("check Release of %s: it has neither Suite nor Codename, so it may be any suite's: %w", asked, ErrSuite)
	}
	return fmt.Errorf("check Release of %s: it says Suite %q, Codename %q: %w", asked, r.SuiteField, r.Codename, ErrSuite)
}

// parseRelease reads the fields of a Release file.
func parseRelease(text []byte) (*Release, error) {
	fields, err := parseStanza(string(text))
	if err != nil {
		return nil, err
	}
	r := &Release{
		Origin: fields["origin"], Label: fields["label"], Version: fields["version"],
		SuiteField: fields["suite"], Codename: fields["codename"],
		Architectures: strings.Fields(fields["architectures"]),
		Components:    strings.Fields(fields["components"]),
		AcquireByHash: fields["acquire-by-hash"] == "yes",
	}
	r.NoArchAllIndex = slices.Contains(strings.Fields(fields["no-support-for-architecture-all"]), "Packages")
	if r.Date, err = parseDate(fields["date"]); err != nil {
		return nil, fmt.Errorf("field Date: %w", err)
	}
	if until, ok := fields["valid-until"]; ok {
		if r.ValidUntil, err = parseDate(until); err != nil {
			return nil, fmt.Errorf("field Valid-Until: %w", err)
		}
	}
	list, ok := fields["sha256"]
	if !ok {
		return nil, fmt.Errorf("%w, and weaker digests do not count", ErrWeak)
	}
	if r.Files, err = parseFiles(list); err != nil {
		return nil, fmt.Errorf("field SHA256: %w", err)
	}
	return r, nil
}

// parseStanza reads one paragraph: fields by lower-case name, their values
// without the first line's leading space and with the continuation lines. A
// field twice, or a second paragraph, is an error: two readers could take
// different ones.
func parseStanza(text string) (map[string]string, error) {
	fields := make(map[string]string)
	last, ended := "", false
	var value strings.Builder
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, " \t\r")
		switch {
		case line == "":
			ended = true
			continue
		case ended && len(fields)+len(last) > 0:
			return nil, fmt.Errorf("line %d: a second paragraph", n+1)
		case line[0] == ' ' || line[0] == '\t':
			if last == "" {
				return nil, fmt.Errorf("line %d: begins with a space but continues no field", n+1)
			}
			value.WriteString("\n" + line)
			continue
		}
		ended = false
		if last != "" {
			fields[last] = value.String()
		}
		name, first, found := strings.Cut(line, ":")
		last = strings.ToLower(name)
		if !found || name == "" || strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("line %d: want \"Field: value\"", n+1)
		}
		if _, twice := fields[last]; twice {
			return nil, fmt.Errorf("line %d: field %s is there twice", n+1, name)
		}
		value.Reset()
		value.WriteString(strings.TrimLeft(first, " \t"))
	}
	if last != "" {
		fields[last] = value.String()
	}
	return fields, nil
}

// parseDate reads the date of a Release: RFC 2822's form, in UTC.
func parseDate(s string) (time.Time, error) {
	for _, layout := range []string{"Mon, _2 Jan 2006 15:04:05 MST", "Mon, _2 Jan 2006 15:04:05 -0700"} {
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		// An abbreviation that is not known parses with the offset 0.
		if zone, offset := t.Zone(); zone == "UTC" || zone == "GMT" || strings.HasSuffix(layout, "-0700") && offset == 0 {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no date, want one like \"Sat, 09 Aug 2025 09:16:30 UTC\"", s)
}

// parseFiles reads lines of "digest size path".
func parseFiles(list string) (map[string]File, error) {
	lines := strings.Split(strings.TrimSpace(list), "\n")
	files := make(map[string]File, len(lines))
	for _, line := range lines {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) != 3 {
			return nil, fmt.Errorf("%q: want digest, size and path", strings.TrimSpace(line))
		}
		sum, err := hex.DecodeString(words[0])
		if err != nil || len(sum) != sha256.Size || strings.ToLower(words[0]) != words[0] {
			return nil, fmt.Errorf("%s: %q is no lower-case SHA-256", words[2], words[0])
		}
		size, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil || size < 0 {
			return nil, fmt.Errorf("%s: %q is no size in bytes", words[2], words[1])
		}
		if err := validPath(words[2]); err != nil {
			return nil, err
		}
		f := File{words[0], size}
		if other, twice := files[words[2]]; twice && other != f {
			return nil, fmt.Errorf("%s is listed twice, with different digests", words[2])
		}
		files[words[2]] = f
	}
	return files, nil
}

// validPath refuses a path that would lead out of the archive when joined to
// an address, or to another one.
func validPath(p string) error {
	clean := path.Clean(strings.TrimPrefix(p, "./"))
	if p == "" || clean != strings.TrimPrefix(p, "./") || clean == "." || strings.HasPrefix(clean, "/") ||
		clean == ".." || strings.HasPrefix(clean, "../") || strings.ContainsAny(p, "\\\x00\n\r") {
		return fmt.Errorf("path %q is not a plain relative one", p)
	}
	return nil
}
