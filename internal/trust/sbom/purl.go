package sbom

import (
	"fmt"
	"strings"

	"distroless/internal/trust/inventory"
)

// purl is the package URL of a Debian package, as the deb type of the purl
// specification has it: pkg:deb/debian/libc6@2.41-12?arch=amd64&distro=debian-13&upstream=glibc
func purl(p *inventory.Package, distro string) string {
	return PURL(p.Name, p.Version, p.Arch, p.Source, p.SourceVersion, distro)
}

// PURL is that of a package by its parts; distro is "debian-13".
func PURL(name, version, arch, source, sourceVersion, distro string) string {
	vendor, _, _ := strings.Cut(distro, "-")
	if vendor == "" {
		vendor = "debian"
	}
	s := "pkg:deb/" + escape(vendor) + "/" + escape(name) + "@" + escape(version) + "?arch=" + escape(arch)
	if distro != "" {
		s += "&distro=" + escape(distro)
	}
	switch {
	case sourceVersion != version:
		s += "&upstream=" + escape(source+"@"+sourceVersion)
	case source != name:
		s += "&upstream=" + escape(source)
	}
	return s
}

// imagePURL is that of an image: pkg:oci/base-debian13@sha256%3A...?arch=amd64.
func imagePURL(name, digest, arch string) string {
	s := "pkg:oci/" + escape(name) + "@" + strings.ReplaceAll(escape(digest), ":", "%3A")
	if arch != "" {
		s += "?arch=" + escape(arch)
	}
	return s
}

// escape percent-encodes all but letters, digits, ".-_~" and the colon, which
// the specification says is not to be encoded.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(".-_~:", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}
