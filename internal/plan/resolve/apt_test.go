package resolve

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"distroless/internal/debian/index"
	"distroless/internal/debian/relation"
	"distroless/internal/testenv"
)

// apt is an apt of its own: nothing is installed, and all it writes is in a
// folder of the test.
type apt struct {
	dir   string
	flags []string
}

// newApt sets one up for a release, with main, updates and security from where
// this machine gets its packages, and fetches the lists.
func newApt(t *testing.T, release string) apt {
	t.Helper()
	testenv.E2E(t)
	testenv.Tool(t, "apt-get")
	a := apt{dir: t.TempDir()}
	for _, d := range []string{"lists/partial", "cache/archives/partial", "etc/sources.list.d", "etc/preferences.d", "etc/apt.conf.d"} {
		if err := os.MkdirAll(filepath.Join(a.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var sources strings.Builder
	for line := range strings.Lines(run(t, "apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(ORIGIN)", "Created-By: Packages")) {
		f := strings.Fields(line)
		if len(f) != 3 || f[2] != "Debian" {
			continue
		}
		// The lists are used here alone, by both sides, so nobody need sign them.
		_, kind, _ := strings.Cut(f[1], "-")
		fmt.Fprintf(&sources, "deb [trusted=yes] %s %s main\n", f[0], strings.TrimSuffix(release+"-"+kind, "-"))
	}
	for name, text := range map[string]string{"etc/sources.list": sources.String(), "status": ""} {
		if err := os.WriteFile(filepath.Join(a.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for key, value := range map[string]string{
		"Dir::Etc": "etc", "Dir::State::Lists": "lists", "Dir::State": "", "Dir::State::status": "status", "Dir::Cache": "cache",
		"Dir::Cache::pkgcache": "cache/packages", "Dir::Cache::srcpkgcache": "cache/sources", // a machine may have turned these off, and apt is slow then
	} {
		a.flags = append(a.flags, "-o", key+"="+filepath.Join(a.dir, value))
	}
	// The same choice among providers and no hidden marks, whatever the machine's settings.
	a.flags = append(a.flags, "-o", "APT::Architecture=amd64", "-o", "APT::Architectures::=amd64", "-o", "APT::Install-Recommends=false", "-o", "APT::Sandbox::User=")
	a.apt(t, "-q", "update")
	return a
}

// apt runs apt-get with its own folders.
func (a apt) apt(t *testing.T, args ...string) string {
	t.Helper()
	return run(t, "apt-get", slices.Concat(a.flags, args)...)
}

func run(t *testing.T, tool string, args ...string) string {
	t.Helper()
	cmd := exec.Command(tool, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", tool, args, err, stderr.String())
	}
	return string(out)
}

// packages reads the indices that apt has fetched.
func (a apt) packages(t *testing.T) []*index.Package {
	t.Helper()
	var all []*index.Package
	for line := range strings.Lines(a.apt(t, "indextargets", "--format", "$(FILENAME) $(RELEASE)", "Created-By: Packages")) {
		file, suite, _ := strings.Cut(strings.TrimSpace(line), " ")
		text := run(t, "/usr/lib/apt/apt-helper", "cat-file", file)
		if err := index.Parse(context.Background(), strings.NewReader(text), suite, func(p *index.Package) error {
			all = append(all, p)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// install asks what apt would install.
func (a apt) install(t *testing.T, names ...string) map[string]string {
	t.Helper()
	set := map[string]string{}
	for line := range strings.Lines(a.apt(t, append([]string{"-s", "install", "--no-install-recommends"}, names...)...)) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == "Inst" {
			set[f[1]] = strings.TrimPrefix(f[2], "(")
		}
	}
	return set
}

// aptCases are what is asked for together: what images are made of, and what
// is known for long alternatives, virtual packages and circles.
var aptCases = strings.Split(strings.TrimSpace(`
base-files netbase tzdata media-types ca-certificates
libsqlite3-0 libgomp1 libstdc++6
bash
busybox-static
python3
python3-numpy
python3-django
python3-dev python3-venv
openjdk-17-jre-headless
openjdk-21-jre-headless
default-jdk
nodejs
npm
ruby
php
perl
golang-go
g++
build-essential
mono-runtime
erlang-base
r-base-core
nginx
nginx-light nginx-extras
apache2
haproxy
postgresql-client
postgresql
mariadb-server
redis-server
rabbitmq-server
git
curl
openssh-server
exim4
postfix
mutt
mawk gawk original-awk
systemd
dpkg apt debconf adduser
emacs-nox
ffmpeg
ghostscript
libreoffice-core
chromium
xserver-xorg-core
dbus-x11
docker.io
podman
task-ssh-server
`), "\n")

// aptDiffers are choices that are made otherwise on purpose, with the reason.
var aptDiffers = map[string]string{
	"trixie python3-django": "\"python3-typing-extensions | python3-supported-min\" is met by python3, which is there anyway; apt sees that too late",
	"trixie podman":         "podman depends on netavark, so golang-github-containers-common needs no other container-network-stack; apt chooses one before it comes to netavark",
}

// An image holds what apt would install, no more and no less.
func TestAsApt(t *testing.T) {
	for _, c := range []struct {
		release string
		every   int // which share of the cases: apt takes seconds for each
	}{{"trixie", 1}, {"bookworm", 4}} {
		release, every := c.release, c.every
		t.Run(release, func(t *testing.T) {
			a := newApt(t, release)
			pool := NewPool("amd64", a.packages(t))
			compared := 0
			for i, names := range aptCases {
				wanted := strings.Fields(names)
				if i%every != 0 || slices.ContainsFunc(wanted, func(n string) bool { return len(pool.versions(n)) == 0 }) {
					continue // a name of the other release
				}
				compared++
				t.Run(names, func(t *testing.T) {
					t.Parallel()
					compareWithApt(t, a, pool, release, wanted)
				})
			}
			if compared < 40/every {
				t.Errorf("only %d requests could be compared", compared)
			}
		})
	}
}

func compareWithApt(t *testing.T, a apt, pool *Pool, release string, wanted []string) {
	req := Request{Arch: "amd64", Pool: pool}
	for _, n := range wanted {
		req.Wanted = append(req.Wanted, relation.Group{{Name: n}})
	}
	r, err := Resolve(req)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range r.Packages {
		got[c.Name] = c.Version
	}
	if d := difference(got, a.install(t, wanted...)); d != "" && aptDiffers[release+" "+strings.Join(wanted, " ")] == "" {
		t.Error(d)
	}
}

// difference tells what only one of the two would install.
func difference(got, want map[string]string) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if want[name] != got[name] {
			out = append(out, fmt.Sprintf("%s %s here, %s for apt", name, got[name], cmp.Or(want[name], "none")))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] == "" {
			out = append(out, fmt.Sprintf("%s %s for apt alone", name, want[name]))
		}
	}
	return strings.Join(out, "; ")
}
