package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"distroless/catalog"
	"distroless/internal/build"
	"distroless/internal/testenv"
)

// TestCatalogue builds every image of the catalogue on every distro for the
// architectures that the archive proves, and holds it to its budget and to its
// file of tests, whose commands are run for this machine's architecture. If it
// fails, an image that people build by name cannot be built, has outgrown what
// they pull, or does not do what it promises.
func TestCatalogue(t *testing.T) {
	testenv.E2E(t)
	dir := filepath.Join(all.dir, "catalogue")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{"build", "--json", "--cache", filepath.Join(all.cache, "cache"), "--lock", "lock.json", "--output", "dist",
		"--distro", "all", "--variant", "latest", "--keep-going"}
	for _, a := range proven {
		args = append(args, "--arch", a)
	}
	o := (&run{dir: dir, args: args}).start().wait()
	rep, err := o.report()
	if err != nil {
		t.Fatalf("exit code %d: %v\n%s", o.code, err, o.stderr)
	}
	checkBudgets(t, rep)
	made := map[string][]string{}
	for _, i := range rep.Images {
		for _, v := range i.Variants {
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
						checkPromises(t, dir, filepath.Join("dist", image+"-"+distro), "latest-"+platforms()[arch].goarch, image)
					})
				} else if !archiveLacks(o.stderr, image+"/"+distro+"/"+arch) {
					t.Errorf("%s/%s/%s was not built\n%s", image, distro, arch, o.stderr)
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
