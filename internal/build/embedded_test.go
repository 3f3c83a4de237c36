package build

import (
	"strings"
	"testing"

	"distroless/catalog"
)

// Every definition inside the program must be readable for every distro that it
// names: they are read one by one, when somebody asks for them.
func TestEmbeddedCatalog(t *testing.T) {
	c, err := LoadCatalog(catalog.Files)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range c.Names() {
		d, err := c.Image(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if d.Description == "" {
			t.Errorf("image %s has no description for `distroless list`", name)
		}
		for _, distro := range d.DistroNames() {
			if _, err := c.chain(name, distro); err != nil {
				t.Error(err)
			}
		}
	}
}

// A name without a version must lead somebody whose architecture upstream does
// not build for to the images that are.
func TestRelatives(t *testing.T) {
	c, err := LoadCatalog(catalog.Files)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, distro, arch string
		debianOnly         bool
		want               string
	}{
		{"nodejs", "debian13", "riscv64", false, "nodejs20"},
		{"nodejs", "debian13", "arm64", true, "nodejs20"},
		{"nodejs24", "debian12", "amd64", false, "nodejs18 nodejs22 nodejs26"},
		{"java", "debian11", "amd64", false, "java11 java17"},
		{"static", "debian13", "amd64", false, ""},
	} {
		if got := strings.Join(c.Relatives(tt.name, tt.distro, tt.arch, tt.debianOnly), " "); got != tt.want {
			t.Errorf("relatives of %s for %s on %s: %q, want %q", tt.name, tt.distro, tt.arch, got, tt.want)
		}
	}
}
