package build

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"distroless/internal/debian/version"
	"distroless/internal/oci/image"
	"distroless/internal/plan/lock"
)

// nameVersion puts the version of the chain's package into the annotations,
// and it and the architecture into the values of variables and labels.
func (r *run) nameVersion(s *image.Settings, chain []*step, key lock.Key) error {
	v, err := r.imageVersion(chain, key)
	if err != nil {
		return err
	}
	if v != "" {
		s.Annotations["org.opencontainers.image.version"] = v
	}
	expand := strings.NewReplacer("${version}", v, "${arch}", key.Arch)
	for _, m := range []map[string]string{s.Env, s.Labels} {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if v == "" && strings.Contains(m[k], "${version}") {
				return fmt.Errorf("image %s: %s: %q: no `version` says which package it is the version of", key.Image, k, m[k])
			}
			m[k] = expand.Replace(m[k])
		}
	}
	return nil
}

// imageVersion is the upstream version of the package, or of the archive that is
// not Debian's, that the nearest definition of a chain names for it, "" where
// none does.
func (r *run) imageVersion(chain []*step, key lock.Key) (string, error) {
	name := ""
	for _, st := range chain {
		if st.Sect.Version != "" {
			name = st.Sect.Version
		}
	}
	if name == "" {
		return "", nil
	}
	for _, st := range chain {
		cell := r.lock.Cells[lock.Key{Image: st.Name, Distro: key.Distro, Arch: key.Arch}]
		for i := range cell.Packages {
			if cell.Packages[i].Name == name {
				return upstreamVersion(cell.Packages[i].Version)
			}
		}
		for i := range cell.Upstream {
			if cell.Upstream[i].Name == name {
				return cell.Upstream[i].Version, nil
			}
		}
	}
	return "", fmt.Errorf("image %s: version: package %s is not in the image: name one that is", key.Image, name)
}

// repacked is what Debian puts behind a version for sources that it has made
// anew, or upstream for a build of the same release: "+dfsg1", "~ds", "+9".
var repacked = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\+.*$|~(dfsg|ds).*$`) })

// upstreamVersion is a package's version as upstream calls its release:
// 21.0.13 for 21.0.13+9-1~deb13u2.
func upstreamVersion(text string) (string, error) {
	v, err := version.Parse(text)
	if err != nil {
		return "", err
	}
	return repacked().ReplaceAllString(v.Upstream, ""), nil
}
