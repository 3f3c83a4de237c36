package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"distroless/internal/testenv"
)

// TestTools hands the layouts to the tools that people use. If it fails, what
// the program writes is of no use to one of them.
func TestTools(t *testing.T) {
	testenv.E2E(t)
	rep := must(t, all.images)
	const image = "oci:dist/static-debian13"
	latest := rep.digests()["static-debian13:latest"]

	t.Run("skopeo inspect", func(t *testing.T) {
		var got struct {
			Digest, Architecture string
			Layers, Env          []string
		}
		out := tool(t, rep.dir, "skopeo", "--override-arch", "arm64", "inspect", image+":latest")
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Fatal(err)
		}
		if got.Digest != latest || got.Architecture != "arm64" || len(got.Layers) != 1 || len(got.Env) != 2 {
			t.Errorf("%+v, want digest %s, arm64, one layer, two variables", got, latest)
		}
	})
	t.Run("skopeo copy --all", func(t *testing.T) {
		to := filepath.Join(t.TempDir(), "copy")
		tool(t, rep.dir, "skopeo", "copy", "-q", "--all", image+":latest", "oci:"+to+":latest")
		same(t, rep.dir, image+":latest", "oci:"+to+":latest")
		archive := filepath.Join(t.TempDir(), "copy.tar")
		tool(t, rep.dir, "skopeo", "copy", "-q", "--all", image+":debug-nonroot", "oci-archive:"+archive)
	})
	t.Run("skopeo copy to a docker archive", func(t *testing.T) {
		tool(t, rep.dir, "skopeo", "copy", "-q", image+":latest-amd64", "docker-archive:"+filepath.Join(t.TempDir(), "x.tar")+":static:latest")
	})
	for _, tag := range []string{"latest-amd64", "nonroot-arm64", "debug-amd64"} {
		t.Run("umoci unpack "+tag, func(t *testing.T) {
			to := filepath.Join(t.TempDir(), "bundle")
			tool(t, rep.dir, "umoci", "unpack", "--rootless=false", "--image", "dist/static-debian13:"+tag, to)
			info, err := os.Stat(filepath.Join(to, "rootfs", "tmp"))
			if err != nil || info.Mode().String() != "dtrwxrwxrwx" {
				t.Errorf("/tmp is %v, %v", info.Mode(), err)
			}
		})
	}
	t.Run("one architecture by umoci's rules", func(t *testing.T) {
		// A layout of one architecture has no tag that umoci finds ambiguous.
		dir := t.TempDir()
		o := (&run{dir: dir, args: append([]string{"build", "static", "--json", "--arch", "amd64", "--lock", "lock.json", "--cache", filepath.Join(all.cache, "cache")}, must(t, all.mirror).args()...)}).start().wait()
		o.ok(t)
		tool(t, dir, "umoci", "unpack", "--rootless=false", "--image", "dist/static-debian13:latest", filepath.Join(dir, "bundle"))
	})
}

// same fails unless two references name documents of the same bytes.
func same(t *testing.T, dir, a, b string) {
	t.Helper()
	if x, y := tool(t, dir, "skopeo", "inspect", "--raw", a), tool(t, dir, "skopeo", "inspect", "--raw", b); x != y {
		t.Errorf("%s is %s\n%s is %s", a, x, b, y)
	}
}

// TestNextSteps does what a build says can be done next. If it fails, the
// first thing that a new user tries does not work.
func TestNextSteps(t *testing.T) {
	testenv.E2E(t)
	rep := must(t, all.images)
	t.Run("podman run of the debug variant", func(t *testing.T) {
		if out := podman(t, rep.dir, "run", "--rm", "oci:dist/static-debian13:debug", "-c", "echo here"); out != "here\n" {
			t.Errorf("it printed %q", out)
		}
	})
	bin := compile(t, "amd64")
	app := t.TempDir()
	copyFile(t, bin.static, filepath.Join(app, "app"))
	for _, c := range []struct{ variant, user string }{{"latest", "0"}, {"nonroot", "65532"}} {
		t.Run("FROM "+c.variant, func(t *testing.T) {
			file := "FROM oci:dist/static-debian13:" + c.variant + "\nCOPY app /app\nENTRYPOINT [\"/app\", \"" + c.variant + "\", \"13\"]\n"
			if err := os.WriteFile(filepath.Join(app, "Dockerfile"), []byte(file), 0o644); err != nil {
				t.Fatal(err)
			}
			tag := "localhost/app:" + c.variant
			podman(t, rep.dir, "build", "-q", "-t", tag, app)
			if out := podman(t, rep.dir, "run", "--rm", tag); !strings.HasSuffix(out, "all well\n") {
				t.Errorf("it printed %q", out)
			}
		})
	}
	t.Run("podman build with RUN in debug", func(t *testing.T) {
		file := "FROM oci:dist/static-debian13:debug\nRUN [\"/busybox/sh\", \"-c\", \"id -u > /made\"]\nUSER nonroot\nRUN [\"/busybox/sh\", \"-c\", \"id -u > /tmp/who\"]\n"
		if err := os.WriteFile(filepath.Join(app, "Dockerfile"), []byte(file), 0o644); err != nil {
			t.Fatal(err)
		}
		podman(t, rep.dir, "build", "-q", "-t", "localhost/app:run", app)
		if out := podman(t, rep.dir, "run", "--rm", "localhost/app:run", "-c", "cat /made /tmp/who"); out != "0\n65532\n" {
			t.Errorf("it printed %q", out)
		}
	})
	t.Run("podman load of an archive", func(t *testing.T) {
		dir := t.TempDir()
		o := (&run{dir: dir, args: append([]string{"build", "static", "--json", "--arch", "amd64", "--variant", "debug", "--output", "static.tar", "--lock", "lock.json", "--cache", filepath.Join(all.cache, "cache")}, must(t, all.mirror).args()...)}).start().wait()
		o.ok(t)
		out := podman(t, dir, "load", "-q", "-i", "static.tar")
		t.Logf("podman load: %s", out)
		if got := podman(t, dir, "run", "--rm", "oci-archive:static.tar", "-c", "echo here"); got != "here\n" {
			t.Errorf("it printed %q", got)
		}
	})
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}
