// Package testenv says what a test may use: real tools, the network, root.
//
// A plain `go test ./...` needs none of these; tests that want them are
// skipped there. With DISTROLESS_E2E=1, as the project's own check sets it,
// they must run: a tool that is missing is then a failure, so that a machine
// without it cannot make the check pass by skipping.
//
// It is imported by tests only.
package testenv

import (
	"os"
	"os/exec"
	"testing"
)

// Required reports whether DISTROLESS_E2E=1 is set: whether tests against
// real tools and the real archive must run.
func Required() bool { return os.Getenv("DISTROLESS_E2E") == "1" }

// E2E skips the test unless DISTROLESS_E2E=1. Tests that need root or the
// archive, or that take long, begin with it.
func E2E(t testing.TB) {
	t.Helper()
	if !Required() {
		t.Skip("set DISTROLESS_E2E=1 to run tests against the real archive and real tools")
	}
}

// Tool returns the path of an oracle program such as dpkg-deb. Where it is
// missing the test is skipped, or fails with DISTROLESS_E2E=1.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin/", "/sbin/"} {
		if p, err := exec.LookPath(dir + name); err == nil {
			return p
		}
	}
	if Required() {
		t.Fatalf("look for %s: not installed, but DISTROLESS_E2E=1 requires it", name)
	}
	t.Skipf("%s is not installed", name)
	return ""
}
