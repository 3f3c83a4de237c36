package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"distroless/internal/testenv"
)

// pushed is what `distroless push --json` prints.
type pushed struct {
	Tags []struct {
		Reference string `json:"reference"`
		Digest    string `json:"digest"`
		Before    string `json:"before"`
	} `json:"tags"`
	Uploaded int64 `json:"uploaded"`
	Blobs    struct {
		Uploaded, Mounted, Skipped int
	} `json:"blobs"`
	Manifests int   `json:"manifests"`
	Requests  int64 `json:"requests"`
}

// push runs `distroless push` over the images that all tests share.
func push(t *testing.T, rep *report, env []string, args ...string) pushed {
	t.Helper()
	args = append([]string{"push", "--json", "--dist", "dist"}, args...)
	out := (&run{dir: rep.dir, args: args, env: append([]string{"HOME=" + t.TempDir()}, env...)}).start().wait()
	if out.code != 0 {
		t.Fatalf("%s: exit code %d\n%s", strings.Join(args, " "), out.code, out.stderr)
	}
	var p pushed
	if err := json.Unmarshal([]byte(out.stdout), &p); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %.2f s, %d bytes, %+v, %d manifests, %d requests", strings.Join(args[4:], " "), out.took.Seconds(), p.Uploaded, p.Blobs, p.Manifests, p.Requests)
	return p
}

// TestRegistry pushes images to both registries in the ways that
// [TestCatalogueRegistry] does not, and has other tools take them from there.
// If it fails, what is published cannot be pulled.
func TestRegistry(t *testing.T) {
	testenv.E2E(t)
	rep := must(t, all.images)
	for _, secure := range []bool{false, true} {
		kind, program := "distribution, plain", all.distribution
		if secure {
			kind, program = "docker-registry, tls", func() (string, error) { return testenv.Tool(t, "docker-registry"), nil }
		}
		t.Run(kind, func(t *testing.T) {
			s := runRegistry(t, must(t, program), secure)
			var env []string
			auth := authn.Anonymous
			if secure {
				env = credentials(t, s)
				auth = authn.FromConfig(authn.AuthConfig{Username: registryUser, Password: registryPassword})
			}
			p := push(t, rep, env, "--to", s.host+"/team", "--release", "r1")
			want := rep.digests()
			for i, tag := range p.Tags {
				ref, err := name.ParseReference(tag.Reference)
				if err != nil {
					t.Fatal(err)
				}
				short := strings.TrimPrefix(tag.Reference, s.host+"/team/")
				if d, ok := want[short]; ok && d != tag.Digest {
					t.Errorf("%s is %s, the build made %s", short, tag.Digest, d)
				}
				// The layers of all of them take long to unpack: some.
				checkRemote(t, ref, tag.Digest, i%9 == 0, remote.WithTransport(s.client(t)), remote.WithAuth(auth))
			}
			pull(t, s, p)
			again := push(t, rep, env, "--to", s.host+"/team", "--release", "r1")
			if again.Uploaded != 0 || again.Manifests != 0 || again.Blobs.Uploaded+again.Blobs.Mounted != 0 {
				t.Errorf("the second push was not for nothing: %+v", again)
			}
		})
	}
}

// credentials are where docker keeps them, with the registry's certificate.
func credentials(t *testing.T, s served) []string {
	t.Helper()
	dir := t.TempDir()
	auth := base64.StdEncoding.EncodeToString([]byte(registryUser + ":" + registryPassword))
	put(t, filepath.Join(dir, "config.json"), fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, s.host, auth))
	return []string{"DOCKER_CONFIG=" + dir, "SSL_CERT_FILE=" + s.ca}
}

// checkRemote is what `crane validate` does.
func checkRemote(t *testing.T, ref name.Reference, digest string, whole bool, options ...remote.Option) {
	t.Helper()
	d, err := remote.Get(ref, options...)
	if err != nil {
		t.Error(err)
		return
	}
	if d.Digest.String() != digest {
		t.Errorf("%s is %s, want %s", ref, d.Digest, digest)
	}
	how := []validate.Option{validate.Fast}
	if whole {
		how = nil
	}
	if d.MediaType.IsIndex() {
		idx, err := d.ImageIndex()
		if err == nil {
			err = validate.Index(idx, how...)
		}
		if err != nil {
			t.Errorf("%s: %v", ref, err)
		}
		return
	}
	img, err := d.Image()
	if err == nil {
		err = validate.Image(img, how...)
	}
	if err != nil {
		t.Errorf("%s: %v", ref, err)
	}
}

// pull has skopeo and podman take an index from a registry.
func pull(t *testing.T, s served, p pushed) {
	t.Helper()
	certs := t.TempDir()
	login := []string{"--tls-verify=false"}
	skopeo := []string{"--src-tls-verify=false"}
	if s.ca != "" {
		data, err := os.ReadFile(s.ca)
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(certs, "ca.crt"), string(data))
		login = []string{"--cert-dir", certs, "--creds", registryUser + ":" + registryPassword}
		skopeo = []string{"--src-cert-dir", certs, "--src-creds", registryUser + ":" + registryPassword}
	}
	for _, tag := range p.Tags {
		if !strings.HasSuffix(tag.Reference, "/cc-debian13:latest") {
			continue
		}
		dir := filepath.Join(t.TempDir(), "copy")
		tool(t, all.dir, "skopeo", append(append([]string{"copy", "-q", "--all", "--preserve-digests"}, skopeo...), "docker://"+tag.Reference, "oci:"+dir+":x")...)
		podman(t, all.dir, append(append([]string{"pull", "-q"}, login...), tag.Reference)...)
		if got := strings.TrimSpace(podman(t, all.dir, "image", "inspect", "--format", "{{.RepoDigests}}", tag.Reference)); !strings.Contains(got, tag.Digest) {
			t.Errorf("podman has %s, want %s", got, tag.Digest)
		}
		podman(t, all.dir, "rmi", "-f", tag.Reference)
	}
}

// TestRegistryRefuses pushes with wrong and with no credentials, and lets them
// come from the environment. If it fails, people cannot log in, or do not
// learn that they have to.
func TestRegistryRefuses(t *testing.T) {
	testenv.E2E(t)
	rep := must(t, all.images)
	s := serveRegistry(t, true)
	home := "HOME=" + t.TempDir()
	for _, c := range []struct {
		env  []string
		want string // of the error
	}{
		{[]string{home, "SSL_CERT_FILE=" + s.ca}, `401 unauthorized`},
		{[]string{home, "SSL_CERT_FILE=" + s.ca, "DISTROLESS_REGISTRY_USERNAME=release", "DISTROLESS_REGISTRY_PASSWORD=wrong"}, `"docker login"`},
		{[]string{home}, "certificate"},
		{[]string{home, "SSL_CERT_FILE=" + s.ca, "DISTROLESS_REGISTRY_USERNAME=" + registryUser, "DISTROLESS_REGISTRY_PASSWORD=" + registryPassword}, ""},
		{[]string{home, "DISTROLESS_INSECURE=true", "DISTROLESS_REGISTRY_USERNAME=" + registryUser, "DISTROLESS_REGISTRY_PASSWORD=" + registryPassword}, ""},
	} {
		out := (&run{dir: rep.dir, args: []string{"push", "--dist", "dist", "static", "--to", s.host}, env: c.env}).start().wait()
		if (out.code == 0) != (c.want == "") || !strings.Contains(out.stderr, c.want) {
			t.Errorf("with %v: exit code %d\n%s", c.env[1:], out.code, out.stderr)
		}
	}
}

// TestRegistryCounts counts what passes to a registry. If it fails, every
// release sends what the registry has already.
func TestRegistryCounts(t *testing.T) {
	testenv.E2E(t)
	rep := must(t, all.images)
	c := count(t, serveRegistry(t, false))
	args := []string{"--to", c.host() + "/team", "--release", "r1"}
	first := push(t, rep, nil, args...)
	by, bytes := c.reset()
	t.Logf("the first push: %v, %d bytes", by, bytes)
	if bytes < first.Uploaded || bytes > first.Uploaded+1<<20 {
		t.Errorf("%d bytes passed, the report says %d", bytes, first.Uploaded)
	}
	push(t, rep, nil, args...)
	if by, bytes = c.reset(); by["PUT"]+by["POST"]+by["PATCH"] != 0 || bytes != 0 {
		t.Errorf("pushing again: %v, %d bytes", by, bytes)
	}
	t.Logf("the second push: %v", by)
	// Another name for the same images: mounted, not sent.
	other := push(t, rep, nil, "dist/cc-debian13", "--image", "other", "--to", c.host()+"/team")
	by, bytes = c.reset()
	t.Logf("under another name: %v, %d bytes", by, bytes)
	if other.Tags[0].Digest == "" {
		t.Error("nothing was pushed under another name")
	}
}

// TestDocker loads an image into docker and containerd, and pulls it from a
// registry. If it fails, people cannot use the images with docker.
func TestDocker(t *testing.T) {
	testenv.E2E(t)
	rep := must(t, all.images)
	env := serveDocker(t)
	docker := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("docker", args...)
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
	program := func(args ...string) {
		t.Helper()
		if out := (&run{dir: rep.dir, args: args, env: env}).start().wait(); out.code != 0 {
			t.Fatalf("%v: exit code %d\n%s", args, out.code, out.stderr)
		}
	}
	program("load", "dist/cc-debian13:debug", "--arch", "amd64")
	shell := func(image string) {
		t.Helper()
		if got := docker("run", "--rm", "--network", "none", image, "-c", "id -u"); got != "0" {
			t.Errorf("the shell of %s prints %q", image, got)
		}
	}
	shell("cc-debian13:debug")
	archive := filepath.Join(t.TempDir(), "x.tar")
	program("load", "dist/base-debian12:debug", "--arch", "amd64", "--output", archive)
	docker("load", "-q", "-i", archive)
	shell("base-debian12:debug")
	podman(t, all.dir, "load", "-q", "-i", archive)
	podman(t, all.dir, "rmi", "-f", "localhost/base-debian12:debug")
	program("load", "dist/cc-debian13:debug", "--arch", "arm64", "--into", "containerd")

	s := serveRegistry(t, false)
	p := push(t, rep, nil, "--to", s.host+"/team")
	for _, tag := range p.Tags {
		if strings.HasSuffix(tag.Reference, "/cc-debian12:debug") {
			docker("pull", "-q", tag.Reference)
			if got := docker("image", "inspect", "--format", "{{.RepoDigests}}", tag.Reference); !strings.Contains(got, tag.Digest) {
				t.Errorf("docker has %s, want %s", got, tag.Digest)
			}
			shell(tag.Reference)
		}
	}
}
