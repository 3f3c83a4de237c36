package build

import (
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
