package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// buildTool builds a program that is pinned in a module of ../tools, and
// returns its path. The second time Go's build cache has it.
func (s *shared) buildTool(module, program string) (string, error) {
	out := filepath.Join(s.dir, "tool-"+filepath.Base(program))
	cmd := exec.Command("go", "build", "-o", out, program)
	cmd.Dir = filepath.Join("..", "tools", module)
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s in %s: %w\n%s", cmd, cmd.Dir, err, text)
	}
	return out, nil
}

// buildCrane builds crane, the client of registries that the field knows.
func (s *shared) buildCrane() (string, error) {
	return s.buildTool("registry", "github.com/google/go-containerregistry/cmd/crane")
}

// buildDistribution builds CNCF's registry, version 3.
func (s *shared) buildDistribution() (string, error) {
	return s.buildTool("registry", "github.com/distribution/distribution/v3/cmd/registry")
}

// buildSyft builds syft, which reads packages from images.
func (s *shared) buildSyft() (string, error) {
	return s.buildTool("syft", "github.com/anchore/syft/cmd/syft")
}

// moduleDir is where the source of a module lies that a module of ../tools
// requires.
func moduleDir(in, path string) (string, error) {
	cmd := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", path)
	cmd.Dir = filepath.Join("..", "tools", in)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s in %s: %w", cmd, cmd.Dir, err)
	}
	return strings.TrimSpace(string(out)), nil
}
