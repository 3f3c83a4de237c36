package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"distroless/internal/testenv"
)

// TestStructure holds real images against a file of tests, with a runtime that
// has no daemon and with an engine. If it fails, a user's own tests say of an
// image what is not so, or leave containers behind.
func TestStructure(t *testing.T) {
	testenv.E2E(t)
	rep := must(t, all.images)
	st := must(t, all.storage)
	tests, err := filepath.Abs("testdata/structure/debug.yaml")
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(t.TempDir(), "storage.conf")
	text := fmt.Sprintf("[storage]\ndriver = %q\ngraphroot = %q\nrunroot = %q\n", st.driver, st.root, st.runroot)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	temporary := t.TempDir()
	env := []string{"CONTAINERS_STORAGE_CONF=" + conf, all.containers(), "TMPDIR=" + temporary}
	before := podman(t, all.dir, "images", "--all", "--quiet")
	for _, runtime := range []string{"runc", "podman"} {
		testenv.Tool(t, runtime)
		for _, image := range []string{"static-debian13", "base-debian13"} {
			t.Run(runtime+"/"+image, func(t *testing.T) {
				o := (&run{dir: rep.dir, env: env, args: []string{"test", "dist/" + image + ":debug-nonroot", "-f", tests, "--runtime", runtime}}).start().wait()
				if o.code != 0 || !strings.Contains(o.stdout, "11 passed, 0 failed") {
					t.Errorf("exit code %d\n%s%s", o.code, o.stdout, o.stderr)
				}
			})
		}
	}
	t.Run("a command that does not end", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "slow.yaml")
		if err := os.WriteFile(file, []byte("schemaVersion: 2.0.0\ncommandTests: [{name: slow, command: sleep, args: ['600']}]\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, runtime := range []string{"runc", "podman"} {
			o := (&run{dir: rep.dir, env: env, args: []string{"test", "dist/static-debian13:debug", "-f", file, "--runtime", runtime, "--timeout", "3s"}}).start().wait()
			if o.code != 1 || !strings.Contains(o.stdout, "not done after 3s") {
				t.Errorf("%s: exit code %d\n%s%s", runtime, o.code, o.stdout, o.stderr)
			}
		}
	})
	if left, err := os.ReadDir(temporary); err != nil || slices.ContainsFunc(left, func(e os.DirEntry) bool { return strings.HasPrefix(e.Name(), "structure-test") }) {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if out := podman(t, all.dir, "ps", "--all", "--quiet"); out != "" {
		t.Errorf("containers are left behind:\n%s", out)
	}
	if after := podman(t, all.dir, "images", "--all", "--quiet"); after != before {
		t.Errorf("images are left behind:\n%swhere there were\n%s", after, before)
	}
}
