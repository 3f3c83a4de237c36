package e2e

import (
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"distroless/internal/testenv"
)

// cosign builds the pinned cosign.
func cosign(t *testing.T) string {
	t.Helper()
	testenv.E2E(t)
	return goTool(t, "", "github.com/sigstore/cosign/v3/cmd/cosign", "cosign")
}

// goTool builds a program that a module below tools pins; the second time Go's
// build cache has it.
func goTool(t *testing.T, module, path, name string) string {
	t.Helper()
	program := filepath.Join(all.dir, name)
	cmd := exec.Command("go", "build", "-o", program, path)
	cmd.Dir = filepath.Join("..", "tools", module)
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	t.Logf("built %s in %.1f s", name, time.Since(began).Seconds())
	return program
}

// signing is a folder with a signed layout, keys of both programs, and a
// registry.
type signing struct {
	t        *testing.T
	dir      string
	cosign   string
	registry string
}

func newSigning(t *testing.T, program string, referrers bool) *signing {
	t.Helper()
	rep := must(t, all.images)
	s := &signing{t: t, dir: t.TempDir(), cosign: program}
	server := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithReferrersSupport(referrers)))
	t.Cleanup(server.Close)
	s.registry = strings.TrimPrefix(server.URL, "http://") + "/team"
	tool(t, s.dir, "cp", "-r", filepath.Join(rep.dir, "dist", "base-debian13"), "base-debian13")
	tool(t, s.dir, "cp", rep.lock, "distroless.lock")
	s.ours(0, "keys", "generate", "--output", "ours")
	s.theirs(0, "generate-key-pair", "--output-key-prefix", "theirs")
	return s
}

var password = []string{"DISTROLESS_PASSWORD=secret", "COSIGN_PASSWORD=secret"}

// ours runs the program, which must end with that exit code.
func (s *signing) ours(code int, args ...string) outcome {
	s.t.Helper()
	o := (&run{dir: s.dir, args: args, env: password}).start().wait()
	if o.code != code {
		s.t.Errorf("distroless %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), o.code, code, o.stdout, o.stderr)
	}
	return o
}

// theirs runs cosign.
func (s *signing) theirs(code int, args ...string) string {
	s.t.Helper()
	cmd := exec.Command(s.cosign, args...)
	cmd.Dir, cmd.Env = s.dir, append(os.Environ(), password...)
	out, err := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != code && (code == 0 || got == 0) {
		s.t.Errorf("cosign %s: exit code %d, want %d: %v\n%s", strings.Join(args, " "), got, code, err, out)
	}
	return string(out)
}

// TestCosign holds our signatures against cosign, and us against cosign's, in
// both forms, in registries that list referrers and in those that do not. If it
// fails, nobody else can verify our images.
func TestCosign(t *testing.T) {
	program := cosign(t)
	for _, referrers := range []bool{true, false} {
		name := map[bool]string{true: "referrers", false: "tags"}[referrers]
		t.Run(name, func(t *testing.T) {
			s := newSigning(t, program, referrers)
			image := s.registry + "/base-debian13:latest"
			const offline = "--insecure-ignore-tlog=true"
			unsigned := s.registry + "/unsigned/base-debian13:latest"
			s.ours(0, "push", "base-debian13", "--to", s.registry+"/unsigned")
			s.ours(4, "verify", unsigned, "--key", "ours.pub")

			s.ours(0, "sign", "base-debian13", "--key", "ours.key")
			s.ours(0, "push", "base-debian13", "--to", s.registry)
			for _, form := range []string{"true", "false"} {
				bundle := "--new-bundle-format=" + form
				s.theirs(0, "verify", "--key", "ours.pub", offline, bundle, image)
				s.theirs(0, "verify", "--key", "ours.pub", offline, bundle, image+"-arm64")
				s.theirs(1, "verify", "--key", "theirs.pub", offline, bundle, image)
				for _, kind := range []string{"slsaprovenance1", "spdxjson"} {
					s.theirs(0, "verify-attestation", "--type", kind, "--key", "ours.pub", offline, bundle, image)
					s.theirs(1, "verify-attestation", "--type", kind, "--key", "theirs.pub", offline, bundle, image)
				}
			}
			s.ours(0, "verify", image, "--key", "ours.pub")
			s.ours(5, "verify", image, "--key", "theirs.pub")
			if o := s.ours(0, append([]string{"verify", image + "-amd64", "--key", "ours.pub", "--rebuild"}, must(t, all.mirror).args()...)...); !strings.Contains(o.stdout, "the same digest") {
				t.Errorf("rebuild: %s", o.stdout)
			}

			sign := []string{"sign", "--key", "theirs.key", "--use-signing-config=false", "--tlog-upload=false", "-y"}
			s.theirs(0, append(sign, unsigned)...)
			s.ours(0, "verify", unsigned, "--key", "theirs.pub", "--signature-only")
			s.ours(5, "verify", unsigned, "--key", "ours.pub", "--signature-only")
			s.ours(4, "verify", unsigned, "--key", "theirs.pub") // no provenance
			older := s.registry + "/unsigned/base-debian13:debug"
			s.theirs(0, append(sign, "--new-bundle-format=false", older)...)
			s.ours(0, "verify", older, "--key", "theirs.pub", "--signature-only")
			s.ours(5, "verify", older, "--key", "ours.pub", "--signature-only")
			// Either program signs with the other's keys.
			s.theirs(0, "sign", "--key", "ours.key", "--use-signing-config=false", "--tlog-upload=false", "-y", s.registry+"/unsigned/base-debian13:nonroot")
			s.ours(0, "verify", s.registry+"/unsigned/base-debian13:nonroot", "--key", "ours.pub", "--signature-only")
			s.ours(0, "sign", "base-debian13", "--key", "theirs.key")
			s.ours(0, "verify", "base-debian13:debug", "--key", "theirs.pub")
		})
	}
}
