package registry

import (
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Architectures whose versions differ must not be published together under the
// version of one of them.
func TestVersionOfArchitectures(t *testing.T) {
	manifests := func(versions ...string) (all []*Manifest) {
		for _, v := range versions {
			m := &Manifest{referrer: v1.Descriptor{Annotations: map[string]string{}}}
			if v != "" {
				m.referrer.Annotations[version] = v
			}
			all = append(all, m)
		}
		return all
	}
	for _, c := range []struct {
		all  []*Manifest
		want string
	}{
		{manifests("24.21.0", "24.21.0", ""), "24.21.0"},
		{manifests("24.21.0", "24.22.0", ""), ""},
		{manifests("24.22.0"), "24.22.0"},
		{manifests("", ""), ""},
	} {
		if got, _ := annotations(c.all); got != c.want {
			t.Errorf("%d manifests: version %q, want %q", len(c.all), got, c.want)
		}
	}
}
