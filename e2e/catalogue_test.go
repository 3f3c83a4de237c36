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
// variants, for the architectures that the archive proves. What the archive has
// signed and does not have is left out; the report's stderr says it. Layers that
// other tests have made come from the cache, and they find these there.
func (s *shared) buildCatalogue() (*report, error) {
	dir := filepath.Join(s.dir, "catalogue")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	args := []string{"build", "--json", "--cache", filepath.Join(s.cache, "cache"), "--lock", "lock.json", "--output", "dist",
		"--distro", "all", "--keep-going", "--arch", strings.Join(proven, ",")}
	out := (&run{dir: dir, args: args}).start().wait()
	rep, err := out.report()
	if err != nil {
		return nil, fmt.Errorf("build the catalogue: exit code %d: %w\n%s", out.code, err, out.stderr)
	}
	fmt.Printf("catalogue for %v: %d images in %.0f s\n", proven, len(rep.Images), out.took.Seconds())
	rep.dir, rep.lock, rep.stderr = dir, filepath.Join(dir, "lock.json"), out.stderr
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
	checkBudgets(t, rep)
	made := map[string][]string{}
	for _, i := range rep.Images {
		for _, v := range i.Variants {
			if v.Variant != "latest" {
				continue
			}
			for _, p := range v.Platforms {
				made[i.Image+"/"+i.Distro] = append(made[i.Image+"/"+i.Distro], p.Arch)
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
				if slices.Contains(made[image+"/"+distro], arch) {
					t.Run(image+"/"+distro+"/"+arch, func(t *testing.T) {
						checkPromises(t, rep.dir, filepath.Join("dist", image+"-"+distro), "latest-"+platforms()[arch].goarch, image)
					})
				} else if !archiveLacks(rep.stderr, image+"/"+distro+"/"+arch) {
					t.Errorf("%s/%s/%s was not built\n%s", image, distro, arch, rep.stderr)
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
