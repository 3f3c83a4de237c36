package e2e

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// wing is a folder of the design's table, with what its packages may import of
// this module besides each other.
type wing struct {
	folder string
	may    []string
}

// wings are the design's floors, the lowest first: a package imports strictly
// lower ones. Where a folder may see only a part of another, the part is named.
var wings = []wing{
	{"internal/hugepage", nil},
	{"internal/gunzip", nil},
	{"internal/fetch", []string{"internal/hugepage"}},
	{"internal/xz", []string{"internal/hugepage"}},
	{"internal/yamlstrict", nil},
	{"internal/debian", []string{"internal/fetch", "internal/xz", "internal/gunzip", "internal/hugepage"}},
	{"internal/upstream", []string{"internal/fetch", "internal/xz", "internal/gunzip", "internal/hugepage"}},
	{"internal/plan", []string{"internal/debian", "internal/fetch", "internal/yamlstrict"}},
	{"internal/rootfs", []string{"internal/debian/deb", "internal/debian/deb822", "internal/debian/relation", "internal/debian/version", "internal/hugepage"}},
	{"internal/oci", []string{"internal/rootfs", "internal/fetch", "internal/gunzip"}},
	{"internal/structure", []string{"internal/yamlstrict"}},
	{"internal/trust", []string{"internal/oci", "internal/rootfs", "internal/plan", "internal/debian", "internal/fetch", "internal/gunzip", "internal/hugepage"}},
	{"internal/build", []string{"internal/trust", "internal/oci", "internal/rootfs", "internal/plan", "internal/upstream", "internal/debian", "internal/fetch", "internal/xz"}},
	{"catalog", nil},
	{"cmd", []string{"internal", "catalog"}},
	{"bench", []string{"internal"}},
}

// testOnly are packages that only tests may import; they may import anything.
func testOnly(path string) bool {
	return path == "internal/testenv" || path == "e2e" || strings.HasSuffix(path, "test")
}

// networked are the packages that may speak to the network: of the program,
// these three, and a benchmark that waits for its registry on loopback.
var networked = []string{"internal/fetch", "internal/oci/registry", "internal/trust/keyless", "bench/push"}

// below reports whether a package lies in a folder.
func below(path, folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }

// goPackage is what `go list` says of a package.
type goPackage struct {
	ImportPath string
	Imports    []string
}

// TestImports holds the module's imports against the design's table. If it
// fails, a floor has come to lean on one above it, and the two can no longer
// be understood or replaced one by one.
func TestImports(t *testing.T) {
	for _, p := range modulePackages(t) {
		path := strings.TrimPrefix(p.ImportPath, "distroless/")
		if testOnly(path) {
			continue
		}
		i := slices.IndexFunc(wings, func(w wing) bool { return below(path, w.folder) })
		if i < 0 {
			t.Errorf("%s is in no wing of the design: give it a line in the table", path)
			continue
		}
		w := wings[i]
		for _, imported := range p.Imports {
			if isNetwork(imported) && !slices.Contains(networked, path) {
				t.Errorf("%s imports %s: the network is for %s", path, imported, strings.Join(networked, ", "))
			}
			to, ours := strings.CutPrefix(imported, "distroless/")
			if !ours {
				continue
			}
			allowed := below(to, w.folder) || slices.ContainsFunc(w.may, func(m string) bool { return below(to, m) })
			if testOnly(to) {
				allowed = false
			}
			if !allowed {
				t.Errorf("%s imports %s: %s may import %s", path, to, w.folder, strings.Join(w.may, ", "))
			}
		}
	}
}

// isNetwork reports whether a package of the library opens connections.
func isNetwork(path string) bool {
	return path == "net" || path == "crypto/tls" || below(path, "net/http") || below(path, "net/rpc") || below(path, "net/smtp")
}

func modulePackages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "distroless/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", cmd, err)
	}
	var list []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}
