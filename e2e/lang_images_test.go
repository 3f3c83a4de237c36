package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"distroless/catalog"
	"distroless/internal/plan/spec"
)

// langImages builds images of the run-times of languages, each test's in a
// folder of its own, and returns the folder of the layouts.
func langImages(t *testing.T, name string, args ...string) string {
	t.Helper()
	dir := filepath.Join(all.dir, "lang-"+name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	full := append([]string{"build", "--json", "--cache", filepath.Join(all.cache, "cache"), "--lock", "lock.json", "--output", "dist"}, args...)
	(&run{dir: dir, args: full}).start().wait().ok(t)
	return filepath.Join(dir, "dist")
}

// checkPromises holds an image of a layout against the catalogue's file of tests
// for it, commands too where this machine's architecture is among its own.
// Those of others under emulation have tests of their own.
func checkPromises(t *testing.T, dir, layout, tag, image string) {
	t.Helper()
	if _, err := catalog.Files.ReadFile(image + ".yaml"); err != nil {
		return // a definition of the test's own
	}
	file, err := filepath.Abs("../catalog/tests/" + image + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"test", layout + ":" + tag, "-f", file, "--runtime", "runc"}
	if arch := strings.TrimPrefix(tag, "latest-"); arch != tag && arch != runtime.GOARCH {
		args = []string{"test", layout + ":" + tag, "-f", withoutCommands(t, file), "--arch", arch}
	}
	o := (&run{dir: dir, args: args}).start().wait()
	if o.code != 0 {
		t.Errorf("%s:%s: exit code %d\n%s%s", layout, tag, o.code, o.stdout, o.stderr)
	}
}

// withoutCommands is a file of tests without those that run something.
func withoutCommands(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	commands := false
	for line := range strings.Lines(string(data)) {
		if line[0] != ' ' && line[0] != '-' {
			commands = strings.HasPrefix(line, "commandTests:")
		}
		if !commands {
			b.WriteString(line)
		}
	}
	out := filepath.Join(t.TempDir(), filepath.Base(file))
	if err := os.WriteFile(out, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return out
}

// checkBudgets fails for images that have outgrown the budget in their
// definition by more than 2%.
func checkBudgets(t *testing.T, rep *report) {
	t.Helper()
	for _, i := range rep.Images {
		data, err := catalog.Files.ReadFile(i.Image + ".yaml")
		if err != nil {
			continue // a definition of the test's own
		}
		d, err := spec.Parse(i.Image+".yaml", data)
		if err != nil {
			t.Fatal(err)
		}
		s, err := d.For(i.Distro)
		if err != nil {
			t.Fatal(err)
		}
		budget, err := s.BudgetBytes()
		if err != nil || budget == 0 {
			t.Errorf("%s-%s: no budget: %v", i.Image, i.Distro, err)
			continue
		}
		for _, v := range i.Variants {
			if v.Variant != "latest" {
				continue
			}
			for _, p := range v.Platforms {
				t.Logf("%s-%s %s: %.2f MB, budget %s", i.Image, i.Distro, p.Arch, float64(p.Size)/1e6, s.Budget)
				if p.Size > budget*102/100 {
					t.Errorf("%s-%s %s: %d bytes, the budget is %s: find what has grown with distroless inspect, and cut it or raise the budget",
						i.Image, i.Distro, p.Arch, p.Size, s.Budget)
				}
			}
		}
	}
}

// langRun runs an image of a layout with the arguments of `podman run` up to
// "--", and those of the image after it. It returns what the image printed.
func langRun(t *testing.T, layout, tag string, args ...string) string {
	t.Helper()
	name := fmt.Sprintf("localhost/%s/%s:%s", filepath.Base(filepath.Dir(filepath.Dir(layout))), filepath.Base(layout), tag)
	if _, err := command(t, all.dir, "podman", must(t, all.storage).args("image", "exists", name)...); err != nil {
		load(t, layout, tag, name)
	}
	full := []string{"run", "--rm"}
	i := slices.Index(args, "--")
	full = append(append(append(full, args[:i]...), name), args[i+1:]...)
	out, err := command(t, all.dir, "podman", must(t, all.storage).args(full...)...)
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	return out
}

// allWell fails unless a probe says that all is well.
func allWell(t *testing.T, out string) {
	t.Helper()
	if !strings.HasSuffix(out, "all well\n") {
		t.Errorf("the probe says:\n%s", out)
	}
}

// testdata is the absolute path of a file below testdata.
func testdata(t *testing.T, name string) string {
	t.Helper()
	p, err := filepath.Abs(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// langDir is a folder that every user of a container may write in.
func langDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// mount is the option of podman that shows a path in the container.
func mount(from, to string) string { return "--volume=" + from + ":" + to }
