package build

import (
	"strings"
	"testing"

	"distroless/internal/oci/image"
	"distroless/internal/plan/lock"
	"distroless/internal/plan/spec"
)

// A wrong version here is in JAVA_VERSION, in the annotations that scanners
// read, and in the names of tags.
func TestUpstreamVersion(t *testing.T) {
	for text, want := range map[string]string{
		"21.0.13+9-1~deb13u2":        "21.0.13",
		"17.0.20.1+1-1~deb11u1":      "17.0.20.1",
		"3.13.5-2+deb13u5":           "3.13.5",
		"2.7.18-8+deb11u1":           "2.7.18",
		"20.19.2+dfsg-1+deb13u3":     "20.19.2",
		"12.22.12~dfsg-1~deb11u8":    "12.22.12",
		"1:1.3.dfsg+really1.3.1-1+b": "1.3.dfsg",
		"4.2~rc1-1":                  "4.2~rc1",
		"7":                          "7",
	} {
		if got, err := upstreamVersion(text); err != nil || got != want {
			t.Errorf("upstreamVersion(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestNameVersion(t *testing.T) {
	key := lock.Key{Image: "app", Distro: "debian13", Arch: "arm64"}
	r := &run{lock: &lock.Lock{Cells: map[lock.Key]*lock.Cell{
		{Image: "jre", Distro: "debian13", Arch: "arm64"}: {Packages: []lock.Package{{Name: "openjdk", Version: "21.0.1+2-1"}}, Upstream: []lock.Upstream{{Name: "engine", Version: "21.0.1"}}},
		key: {},
	}}}
	chain := func(version string) []*step {
		return []*step{
			{Effective: spec.Effective{Name: "jre", Sect: spec.Section{Version: version}}},
			{Effective: spec.Effective{Name: "app"}},
		}
	}
	for _, c := range []struct{ version, value, want, fault string }{
		{"openjdk", "/java-${version}-${arch}", "/java-21.0.1-arm64", ""},
		{"engine", "${version}", "21.0.1", ""},
		{"", "${arch}", "arm64", ""},
		{"", "${version}", "", "no `version`"},
		{"node", "x", "", "package node is not in the image"},
	} {
		s := image.Settings{Env: map[string]string{"X": c.value}, Labels: map[string]string{"x": c.value}, Annotations: map[string]string{}}
		err := r.nameVersion(&s, chain(c.version), key)
		if c.fault != "" {
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("version %q, value %q: %v, want an error about %q", c.version, c.value, err, c.fault)
			}
			continue
		}
		if err != nil || s.Env["X"] != c.want || s.Labels["x"] != c.want {
			t.Errorf("version %q, value %q: env %q, label %q, %v, want %q", c.version, c.value, s.Env["X"], s.Labels["x"], err, c.want)
		}
		if v := s.Annotations["org.opencontainers.image.version"]; c.version != "" && v != "21.0.1" {
			t.Errorf("annotation %q, want 21.0.1", v)
		}
	}
}
