package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
		distros []string
		archs   []string
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
