package spec

import (
	"fmt"
	"strings"
)

// Platform is an architecture under its two names.
type Platform struct {
	Debian  string // as in Packages: "armhf"
	OCI     string // as in an image's config: "arm"
	Variant string // OCI's variant: "v7", or empty
}

// platforms of the images, in the order they are listed. The variants are
// those of the OCI image specification and what Debian's baseline is.
var platforms = [...]Platform{
	{"amd64", "amd64", ""},
	{"arm64", "arm64", "v8"},
	{"armhf", "arm", "v7"},
	{"ppc64el", "ppc64le", ""},
	{"riscv64", "riscv64", ""},
	{"s390x", "s390x", ""},
	{"i386", "386", ""},
	{"armel", "arm", "v5"},
}

// ParseArch returns the platform of an architecture by Debian's or OCI's name;
// "arm" is armhf.
func ParseArch(name string) (Platform, error) {
	for _, p := range platforms {
		if p.Debian == name || p.OCI == name {
			return p, nil
		}
	}
	var known []string
	for _, p := range platforms {
		known = append(known, p.Debian)
	}
	return Platform{}, fmt.Errorf("architecture %q: not known, expected one of %s, or OCI's names for them (arm, ppc64le), or all", name, strings.Join(known, ", "))
}

// PlatformOrder is an architecture's place in listings and image indices, by
// Debian's name.
func PlatformOrder(debian string) int {
	for i, p := range platforms {
		if p.Debian == debian {
			return i
		}
	}
	return len(platforms)
}
