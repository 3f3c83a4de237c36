package registry

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
)

// Naming says under which names images are published. See [Naming.names].
type Naming struct {
	To            string   // registry and path above the images: "registry.example.org/team"
	DefaultDistro string   // its images also have the name without a distro: "debian13"
	Variants      []string // tags that name a variant; nil is latest, nonroot, debug, debug-nonroot
	Release       string   // tag of this release, never moved; "" is none
	Images        []string // all that there are, pushed or not: see [Naming.major]
	Insecure      bool     // plain http is allowed for any registry
}

// families are the runtimes that an older naming of the field publishes as
// <family>-<distro>:<major>.
var families = []string{"java", "nodejs", "python3"}

// tagName is what the distribution specification allows as a tag.
var tagName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`) })

// signatureTag is what older tools look for an image's signatures and
// attestations under; such a tag must be there before the image's own.
var signatureTag = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^sha256-[0-9a-f]{64}\.(sig|att)$`) })

// named is one tag in one repository, below [Naming.To].
type named struct {
	repository string // "python3-debian13"
	tag        string
	immutable  bool
}

// names lists the tags of one entry of a layout. tag is its name there:
// "latest", "debug-arm64". version is the runtime's, or empty.
//
// Every entry has its own name in <image>-<distro>, and in <image> if the
// distro is the default one. A variant's entry has there the version and the
// release as well ("3.13.5", "3.13.5-debug"), and a runtime's also its major
// version in the repository of its family ("java-debian13:21-debug").
func (n *Naming) names(image, distro, version, tag string) []named {
	repositories := []string{image}
	if distro != "" {
		repositories = []string{image + "-" + distro}
		if distro == n.DefaultDistro {
			repositories = append(repositories, image)
		}
	}
	var out []named
	for _, r := range repositories {
		out = append(out, named{r, tag, false})
	}
	if !slices.Contains(n.variants(), tag) {
		return out
	}
	suffix := ""
	if tag != "latest" {
		suffix = "-" + tag
	}
	version = tagVersion(version)
	for _, r := range repositories {
		if version != "" {
			out = append(out, named{r, version + suffix, false})
		}
		if n.Release != "" {
			out = append(out, named{r, n.Release + suffix, true})
		}
	}
	if family, major := n.major(image, version); major != "" && distro != "" {
		out = append(out, named{family + "-" + distro, major + suffix, false})
	}
	return out
}

// major is the tag of a runtime's major version and its family, or nothing.
// Where nodejs20 is an image of its own, nodejs leaves 20 to it: it will be
// another version one day, and people who pulled 20 want to keep that.
func (n *Naming) major(image, version string) (family, major string) {
	family, major = familyOf(image, version)
	if own := family + major; image != own && slices.Contains(n.Images, own) {
		return "", ""
	}
	return family, major
}

func (n *Naming) variants() []string {
	if n.Variants != nil {
		return n.Variants
	}
	return []string{"latest", "nonroot", "debug", "debug-nonroot"}
}

// check refuses names that no registry would take, before any work.
func (n *Naming) check() (name.Registry, string, error) {
	at := strings.TrimSuffix(n.To, "/")
	host, path, _ := strings.Cut(at, "/")
	if !strings.ContainsAny(host, ".:") && host != "localhost" {
		return name.Registry{}, "", fmt.Errorf("push to %q: no registry in it: write the host too, as in registry.example.org/%s", n.To, at)
	}
	var options []name.Option
	if n.Insecure {
		options = append(options, name.Insecure)
	}
	reg, err := name.NewRegistry(host, append(options, name.StrictValidation)...)
	if err != nil {
		return name.Registry{}, "", fmt.Errorf("push to %q: %w", n.To, err)
	}
	if i := strings.LastIndexByte(path, ':'); i >= 0 || strings.Contains(path, "@") {
		return name.Registry{}, "", fmt.Errorf("push to %q: a tag or digest is in it: give the path above the images only, their names and tags follow from them", n.To)
	}
	if n.Release != "" && (!tagName().MatchString(n.Release) || slices.Contains(n.variants(), n.Release)) {
		return name.Registry{}, "", fmt.Errorf("release tag %q: expected up to 100 letters, digits and ._-, and not the name of a variant", n.Release)
	}
	return reg, path, nil
}

// tagVersion is what of a version a tag can hold: "21.0.8+9" is 21.0.8.
func tagVersion(v string) string {
	if _, after, ok := strings.Cut(v, ":"); ok {
		v = after
	}
	end := strings.IndexFunc(v, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '.' || r == '_' || r == '-')
	})
	if end >= 0 {
		v = v[:end]
	}
	v = strings.Trim(v, ".-")
	if len(v) > 64 || !tagName().MatchString(v) {
		return ""
	}
	return v
}

// familyOf splits "java21" into java and 21. Where the name has no major
// version it is that of the runtime's: nodejs with version 20.19.2 gives 20.
func familyOf(image, version string) (family, major string) {
	for _, f := range families {
		rest, ok := strings.CutPrefix(image, f)
		if !ok || strings.Trim(rest, "0123456789") != "" {
			continue
		}
		if rest == "" {
			rest, _, _ = strings.Cut(version, ".")
		}
		if rest != "" && strings.Trim(rest, "0123456789") == "" {
			return f, rest
		}
	}
	return "", ""
}
