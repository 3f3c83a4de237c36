package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
)

// Address says where Debian's own archive lies: roots without a slash at the
// end, mirrors in order.
type Address struct {
	Main     []string // holds dists/trixie, dists/trixie-updates, pool/...
	Security []string // holds dists/trixie-security
	// Source says where the address was found, for messages.
	Source string
}

// DiscoverOptions are the places where an address may stand, first to last.
type DiscoverOptions struct {
	// Main and Security were given by the user: DISTROLESS_ARCHIVE and its
	// like. Without Security it is Main's sibling debian-security.
	Main, Security string
	// Definition is what the definition's archives say, if they name Debian's
	// own; without Security it is the sibling too.
	Definition Address
	// Machine is the file system whose etc/apt holds this machine's sources;
	// nil when there is none to ask.
	Machine fs.FS
}

// ErrNoAddress is what errors of [Discover] wrap when it found none.
var ErrNoAddress = errors.New("no address is known")

const howToSet = "set DISTROLESS_ARCHIVE (or --archive) to the root of a Debian mirror, the folder that holds dists/ and pool/"

// Discover finds the address of Debian's own archive. An address is only a
// place to look: what it serves is checked against Debian's keys.
func Discover(o DiscoverOptions) (Address, error) {
	if o.Main != "" {
		a, err := explicit(o.Main, o.Security)
		if err != nil {
			return Address{}, fmt.Errorf("find Debian's archive: %w", err)
		}
		a.Source = "the address given"
		return a, nil
	}
	a, err := Address{}, error(nil)
	switch {
	case len(o.Definition.Main) > 0:
		a, err = defined(o.Definition)
	case o.Machine != nil:
		a, err = fromMachine(o.Machine, o.Security != "")
	default:
		err = fmt.Errorf("%w: %s", ErrNoAddress, howToSet)
	}
	if err != nil {
		return Address{}, fmt.Errorf("find Debian's archive: %w", err)
	}
	if o.Security != "" {
		root, err := cleanRoot(o.Security)
		if err != nil {
			return Address{}, fmt.Errorf("find Debian's security archive: %w", err)
		}
		a.Security = []string{root}
	}
	return a, nil
}

func explicit(main, security string) (Address, error) {
	root, err := cleanRoot(main)
	if err != nil {
		return Address{}, err
	}
	a := Address{Main: []string{root}}
	if security == "" {
		security, err = sibling(root)
	}
	if err == nil {
		security, err = cleanRoot(security)
	}
	a.Security = []string{security}
	return a, err
}

func defined(d Address) (Address, error) {
	a := Address{Source: "the definition"}
	for _, raw := range d.Main {
		root, err := cleanRoot(raw)
		if err != nil {
			return Address{}, err
		}
		a.Main = append(a.Main, root)
	}
	for _, raw := range d.Security {
		root, err := cleanRoot(raw)
		if err != nil {
			return Address{}, err
		}
		a.Security = append(a.Security, root)
	}
	if len(d.Security) == 0 {
		for _, root := range a.Main {
			security, err := sibling(root)
			if err != nil {
				return Address{}, err
			}
			a.Security = append(a.Security, security)
		}
	}
	return a, nil
}

// cleanRoot reads an archive's root as a person writes it: an address, or the
// absolute path of a folder.
func cleanRoot(raw string) (string, error) {
	if strings.HasPrefix(raw, "/") {
		raw = (&url.URL{Scheme: "file", Path: path.Clean(raw)}).String()
	}
	u, err := url.Parse(raw)
	if err != nil {
		return "", errors.New("the archive's address does not parse: want http://, https:// or file://")
	}
	u.OmitHost = false // apt takes file:/path too
	switch {
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
	case u.Scheme == "file" && strings.HasPrefix(u.Path, "/"):
	default:
		return "", fmt.Errorf("address %q of an archive: want http://, https:// or file://", u.Redacted())
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("address %q of an archive: want no query in it", u.Redacted())
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// sibling returns the security archive beside a main one: debian-security for
// debian, and for a snapshot of it at the same time.
func sibling(root string) (string, error) {
	u, err := url.Parse(root)
	if err != nil {
		return "", errors.New("the archive's address does not parse")
	}
	folder, tail := strings.TrimRight(u.Path, "/"), ""
	if _, err := time.Parse("20060102T150405Z", path.Base(folder)); err == nil {
		folder, tail = path.Dir(folder), "/"+path.Base(folder)
	}
	if folder == "" || folder == "/" || folder == "." {
		return "", fmt.Errorf("address %q has no folder beside it for the security archive: give --security-archive too", u.Redacted())
	}
	u.Path, u.RawPath = path.Join(path.Dir(folder), "debian-security")+tail, ""
	return u.String(), nil
}

// fromMachine takes the addresses of Debian's own suites from apt's sources.
func fromMachine(machine fs.FS, haveSecurity bool) (Address, error) {
	sources, err := MachineSources(machine)
	if err != nil {
		return Address{}, err
	}
	a := Address{Source: "this machine's apt sources"}
	var skipped []string
	for _, s := range byLikelihood(sources) {
		for _, suite := range s.Suites {
			main, security := debianSuite(suite)
			if !main && !security || !s.hasDebianComponent() {
				continue
			}
			for _, uri := range mirrored(machine, s.URIs) {
				root, err := cleanRoot(uri)
				if err != nil || strings.Contains(uri, "$(") {
					skipped = append(skipped, fmt.Sprintf("%s: %q is of a kind not read here", s.Position, uri))
					continue
				}
				if security {
					a.Security = appendNew(a.Security, root)
				} else {
					a.Main = appendNew(a.Main, root)
				}
			}
		}
	}
	slices.Sort(skipped)
	notes := strings.Join(slices.Compact(skipped), "; ")
	if notes != "" {
		notes = " (" + notes + ")"
	}
	switch {
	case len(a.Main) == 0:
		return Address{}, fmt.Errorf("%w: etc/apt has no entry of a Debian suite%s: %s", ErrNoAddress, notes, howToSet)
	case len(a.Security) == 0 && !haveSecurity:
		return Address{}, fmt.Errorf("%w for its security suites: etc/apt has entries of the main archive, but no entry of a security suite%s: add one there, or set DISTROLESS_SECURITY_ARCHIVE (or --security-archive)", ErrNoAddress, notes)
	}
	return a, nil
}

// mirrored puts the addresses of a mirror list in the place of the list's own:
// Debian's cloud images have mirror+file:/etc/apt/mirrors/debian.list. A list
// that cannot be read stays as it is, and is then of a kind not read here. See
// apt-transport-mirror(1).
func mirrored(machine fs.FS, uris []string) []string {
	var all []string
	for _, uri := range uris {
		list, is := strings.CutPrefix(uri, "mirror+file:")
		name := strings.TrimPrefix(path.Clean("/"+strings.TrimPrefix(list, "//")), "/")
		text, err := fs.ReadFile(machine, name)
		if !is || err != nil {
			all = append(all, uri)
			continue
		}
		for line := range strings.Lines(string(text)) {
			// What follows the address says for what and how gladly to use it.
			if words := strings.Fields(line); len(words) > 0 && !strings.HasPrefix(words[0], "#") {
				all = append(all, words[0])
			}
		}
	}
	return all
}

// byLikelihood puts entries first that are not signed by keys which their
// names say are somebody else's: other archives use Debian's suite names too.
// Taking one for a mirror costs time, not trust, so none is left out.
func byLikelihood(sources []Source) []Source {
	sorted := slices.Clone(sources)
	rank := func(s Source) int {
		if s.SignedBy == "" || strings.Contains(s.SignedBy, "debian-archive") {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(sorted, func(a, b Source) int { return rank(a) - rank(b) })
	return sorted
}

// debianSuite reports whether a suite's name is one of Debian's, and whether
// in its main or its security archive.
func debianSuite(name string) (main, security bool) {
	base, part, found := strings.Cut(name, "-")
	if b, is := strings.CutSuffix(name, "/updates"); is && slices.Contains(debianNames(), b) {
		return false, true
	}
	if !slices.Contains(debianNames(), base) {
		return false, false
	}
	switch {
	case !found:
		return true, false
	case part == "security":
		return false, true
	}
	return slices.Contains([]string{"updates", "proposed-updates", "backports", "backports-sloppy"}, part), false
}

// debianNames are the releases of Debian by codename and by alias. See
// https://wiki.debian.org/DebianReleases.
func debianNames() []string {
	return []string{
		"jessie", "stretch", "buster", "bullseye", "bookworm", "trixie", "forky", "duke", "sid",
		"stable", "testing", "unstable", "experimental", "oldstable", "oldoldstable",
	}
}

// hasDebianComponent tells Debian's entries from those of archives that call a
// suite bookworm and its component stable.
func (s Source) hasDebianComponent() bool {
	return slices.Contains(s.Components, "main") || slices.Contains(s.Components, "updates/main")
}

func appendNew(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}
