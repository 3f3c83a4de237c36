package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"distroless/catalog"
	"distroless/internal/build"
	"distroless/internal/testenv"
)

// buildCatalogue builds every image of the catalogue for every distro and all
// variants, for the architectures that the archive has and proves: of debian11's
// security fixes for arm64 it lists some that it has no more. Layers that other
// tests have made come from the cache, and they find these there.
func (s *shared) buildCatalogue() (*report, error) {
	dir := filepath.Join(s.dir, "catalogue")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	rep := &report{dir: dir, lock: filepath.Join(dir, "lock.json")}
	for _, part := range []struct {
		distros, archs []string
	}{{distros, proven}, {[]string{"debian11"}, []string{"amd64"}}} {
		r := &run{dir: dir, args: []string{"build", "--json", "--cache", filepath.Join(s.cache, "cache"), "--lock", "lock.json", "--output", "dist",
			"--distro", strings.Join(part.distros, ","), "--arch", strings.Join(part.archs, ",")}}
		out := r.start().wait()
		if out.code != 0 {
			return nil, fmt.Errorf("build the catalogue for %v: exit code %d\n%s", part.distros, out.code, out.stderr)
		}
		one, err := out.report()
		if err != nil {
			return nil, err
		}
		fmt.Printf("catalogue of %v for %v: %d images in %.0f s\n", part.distros, part.archs, len(one.Images), out.took.Seconds())
		rep.Images = append(rep.Images, one.Images...)
	}
	return rep, nil
}

// TestCatalogue holds every image of the catalogue, on every distro, for the
// architectures that the archive proves, to its budget and to its file of tests,
// whose commands are run for this machine's architecture. If it fails, an image
// that people build by name cannot be built, has outgrown what they pull, or does
// not do what it promises.
func TestCatalogue(t *testing.T) {
	testenv.E2E(t)
	rep := must(t, all.catalogue)
	// What the archive has of the rest; it says what it lacks.
	o := (&run{dir: rep.dir, args: []string{"build", "--json", "--cache", filepath.Join(all.cache, "cache"), "--lock", "rest.json", "--output", "rest",
		"--distro", "debian11", "--arch", "arm64", "--variant", "latest", "--keep-going"}}).start().wait()
	rest, err := o.report()
	if err != nil {
		t.Fatalf("exit code %d: %v\n%s", o.code, err, o.stderr)
	}
	made := map[string]string{} // cells to their layouts
	for _, r := range []*report{rep, rest} {
		checkBudgets(t, r)
		for _, i := range r.Images {
			for _, p := range i.Variants[0].Platforms {
				made[i.Image+"/"+i.Distro+"/"+p.Arch] = i.Reference
			}
		}
	}
	cat, err := build.LoadCatalog(catalog.Files)
	if err != nil {
		t.Fatal(err)
	}
	b := build.NewReader(cat)
	for _, image := range cat.Names() {
		d, err := cat.Image(image)
		if err != nil {
			t.Fatal(err)
		}
		for _, distro := range d.DistroNames() {
			archs, err := b.Archs(image, distro)
			if err != nil {
				t.Fatal(err)
			}
			for _, arch := range proven {
				if !slices.Contains(archs, arch) {
					continue
				}
				cell := image + "/" + distro + "/" + arch
				if at, ok := made[cell]; ok {
					t.Run(cell, func(t *testing.T) {
						checkPromises(t, rep.dir, at, "latest-"+platforms()[arch].goarch, image)
					})
				} else if !archiveLacks(o.stderr, cell) {
					t.Errorf("%s was not built\n%s", cell, o.stderr)
				}
			}
		}
	}
}

// archiveLacks reports whether a cell was not built because the archive serves
// something else than it has signed: an index that is not its Release's, or no
// package where its index names one. Nothing must be built then.
func archiveLacks(stderr, cell string) bool {
	for part := range strings.SplitSeq(stderr, "\n") {
		if strings.Contains(part, cell) && (strings.Contains(part, "the Release lists") || strings.Contains(part, "the archive lists what it does not have")) {
			return true
		}
	}
	return false
}
