package e2e

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/errgroup"

	"distroless/internal/plan/spec"
	"distroless/internal/testenv"
)

// TestCatalogueRegistry pushes every image of the catalogue, with all variants
// and architectures, to CNCF's registry with TLS and a password and to Debian's
// over plain http, and has the clients of the field take them from there. If it
// fails, a release cannot be published whole, or not be used by one of them.
func TestCatalogueRegistry(t *testing.T) {
	testenv.E2E(t)
	rep := must(t, all.catalogue)
	t.Run("distribution, tls", func(t *testing.T) {
		c := publish(t, rep, must(t, all.distribution), true)
		c.timed("crane validate", c.validate)
		c.timed("docker pull", c.pullDocker)
	})
	t.Run("docker-registry, plain", func(t *testing.T) {
		c := publish(t, rep, testenv.Tool(t, "docker-registry"), false)
		c.timed("skopeo copy", c.copySkopeo)
		c.timed("podman pull", c.pullPodman)
	})
}

// published is a registry that has had the catalogue pushed to it.
type published struct {
	*testing.T
	served
	env    []string          // that lets clients reach it
	images []string          // "python3-debian13", sorted
	tags   map[string]string // digests by reference below the prefix
}

func (p *published) ref(name string) string { return p.host + "/team/" + name }

// timed says how long a part of the test takes.
func (p *published) timed(what string, f func()) {
	began := time.Now()
	f()
	p.Logf("%s: %.0f s", what, time.Since(began).Seconds())
}

// publish pushes the catalogue twice: all tags must name what was built, and
// the second push must send nothing, by its own account and by the registry's.
func publish(t *testing.T, rep *report, program string, secure bool) *published {
	t.Helper()
	p := &published{T: t, served: runRegistry(t, program, secure), tags: map[string]string{}}
	if secure {
		p.env = credentials(t, p.served)
	}
	args := []string{"--to", p.host + "/team", "--release", "r1"}
	first := push(t, rep, p.env, args...)
	for _, tag := range first.Tags {
		p.tags[strings.TrimPrefix(tag.Reference, p.host+"/team/")] = tag.Digest
	}
	variants, n := len(rep.Images[0].Variants), 0
	for ref, digest := range rep.digests() {
		if p.tags[ref] != digest {
			t.Errorf("%s is %s, the build made %s", ref, p.tags[ref], digest)
		}
		n++
	}
	for _, i := range rep.Images {
		p.images = append(p.images, i.Image+"-"+i.Distro)
	}
	slices.Sort(p.images)
	if n != len(p.images)*variants || first.Blobs.Uploaded == 0 {
		t.Errorf("%d indices of %d images, %+v", n, len(p.images), first.Blobs)
	}
	_, end := p.logged(t, 0)
	again := push(t, rep, p.env, args...)
	if again.Uploaded != 0 || again.Manifests != 0 || again.Blobs.Uploaded+again.Blobs.Mounted != 0 {
		t.Errorf("the second push was not for nothing: %+v", again)
	}
	by, _ := p.logged(t, end)
	if int64(by["HEAD"]+by["GET"]) == 0 || by["PUT"]+by["POST"]+by["PATCH"]+by["DELETE"] != 0 {
		t.Errorf("the registry's log of the second push: %v", by)
	}
	t.Logf("%d images, %d tags; the second push in the log: %v", len(p.images), len(p.tags), by)
	return p
}

// each runs f for every tag, two at a time.
func (p *published) each(list []string, f func(tag string) error) {
	p.Helper()
	var g errgroup.Group
	g.SetLimit(2)
	for _, tag := range list {
		g.Go(func() error { return f(tag) })
	}
	if err := g.Wait(); err != nil {
		p.Error(err)
	}
}

// command runs a client in the environment that reaches the registry.
func (p *published) command(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(append(os.Environ(), all.containers()), p.env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return string(out), err
}

// validate has crane read every index with the documents of all that it names,
// and of one variant of each image, the one that holds the most, all layers
// too. Then each tag is asked for by itself.
func (p *published) validate() {
	crane := must(p, all.crane)
	var indices []string
	for tag := range p.tags {
		if i, variant, _ := strings.Cut(tag, ":"); slices.Contains(p.images, i) && slices.Contains(spec.Variants(), variant) {
			indices = append(indices, tag)
		}
	}
	slices.Sort(indices)
	p.each(indices, func(tag string) error {
		args := []string{"validate", "--remote", p.ref(tag)}
		if !strings.HasSuffix(tag, ":debug") {
			args = append(args, "--fast")
		}
		_, err := p.command(crane, args...)
		return err
	})
	auth := remote.WithAuth(&authn.Basic{Username: registryUser, Password: registryPassword})
	puller, err := remote.NewPuller(auth, remote.WithTransport(p.client(p)))
	if err != nil {
		p.Fatal(err)
	}
	p.each(slices.Sorted(maps.Keys(p.tags)), func(tag string) error {
		ref, err := name.ParseReference(p.ref(tag))
		if err != nil {
			return err
		}
		if d, err := puller.Head(p.Context(), ref); err != nil || d.Digest.String() != p.tags[tag] {
			return fmt.Errorf("%s is %v, want %s: %v", tag, d, p.tags[tag], err)
		}
		return nil
	})
}

// copySkopeo copies an index of each image with all that it names, verified,
// into layouts that share their blobs.
func (p *published) copySkopeo() {
	dir := p.TempDir()
	skopeo := testenv.Tool(p, "skopeo")
	for _, i := range p.images { // not side by side: they share a folder
		to := filepath.Join(dir, i)
		if _, err := p.command(skopeo, "copy", "-q", "--all", "--preserve-digests", "--src-tls-verify=false",
			"--dest-shared-blob-dir", filepath.Join(dir, "blobs"), "docker://"+p.ref(i+":debug"), "oci:"+to+":debug"); err != nil {
			p.Error(err)
			continue
		}
		if data, err := os.ReadFile(filepath.Join(to, "index.json")); err != nil || !strings.Contains(string(data), p.tags[i+":debug"]) {
			p.Errorf("skopeo has %s of %s, want %s, %v", data, i, p.tags[i+":debug"], err)
		}
	}
}

// pullPodman has podman take an image of each.
func (p *published) pullPodman() {
	st := must(p, all.storage)
	program := testenv.Tool(p, "podman")
	var refs []string
	for _, i := range p.images {
		ref := p.ref(i + ":latest")
		refs = append(refs, ref)
		_, err := p.command(program, st.args("pull", "-q", "--tls-verify=false", ref)...)
		if err != nil {
			p.Error(err)
			continue
		}
		out, err := p.command(program, st.args("image", "inspect", "--format", "{{.RepoDigests}}", ref)...)
		if err != nil || !strings.Contains(out, p.tags[i+":latest"]) {
			p.Errorf("podman has %s, want %s, %v", out, p.tags[i+":latest"], err)
		}
	}
	podman(p, all.dir, append([]string{"rmi", "-f"}, refs...)...)
}

// pullDocker has a docker daemon of the test's own do the same.
func (p *published) pullDocker() {
	for _, v := range serveDocker(p.T) {
		if !strings.HasPrefix(v, "DOCKER_CONFIG=") { // the credentials are in the registry's
			p.env = append(p.env, v)
		}
	}
	for _, i := range p.images {
		ref := p.ref(i + ":latest")
		_, err := p.command("docker", "pull", "-q", ref)
		if err != nil {
			p.Error(err)
			continue
		}
		out, err := p.command("docker", "image", "inspect", "--format", "{{.RepoDigests}}", ref)
		if err != nil || !strings.Contains(out, p.tags[i+":latest"]) {
			p.Errorf("docker has %s, want %s, %v", out, p.tags[i+":latest"], err)
		}
	}
}
