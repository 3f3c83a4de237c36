package catalog_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// An image without a file of tests promises nothing that anybody checks; a file
// without its image is never run.
func TestEveryImageHasTests(t *testing.T) {
	list := func(pattern string) []string {
		var names []string
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			names = append(names, strings.TrimSuffix(filepath.Base(f), ".yaml"))
		}
		return names
	}
	images := slices.DeleteFunc(list("*.yaml"), func(n string) bool { return n == "distros" })
	if tests := list("tests/*.yaml"); !slices.Equal(images, tests) {
		t.Errorf("images %v\n tests %v", images, tests)
	}
	for _, n := range images {
		data, err := os.ReadFile("tests/" + n + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(data), "# What the image "+n+" promises") {
			t.Errorf("tests/%s.yaml is of another image: %.60s", n, data)
		}
	}
}
