package build

import (
	"encoding/json"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"distroless/internal/build/buildtest"
	"distroless/internal/debian/archivetest"
	"distroless/internal/oci/layer"
	"distroless/internal/rootfs"
)

var updateGolden = flag.Bool("update", false, "write testdata/levels.json anew")

// golden is what testdata/levels.json holds: digests of layers, with the
// versions under which a cache remembers them.
type golden struct {
	PlanVersion    string   `json:"planVersion"`
	ListingVersion int      `json:"listingVersion"`
	Layers         []string `json:"layers"` // of the debug variant, the lowest first: what it is and the archive's digest
}

// goldenImages are two definitions of the test's own, so that a change in the
// catalogue changes nothing here: with packages in two layers, a package that
// has no list, slices, contents, accounts, certificates, effects of scripts, and
// a debug level.
func goldenImages(b *bench) string {
	b.repo.Add("trixie",
		archivetest.Package{Name: "golden-data", Arch: "all", NoSums: true, Conffiles: []string{"/etc/golden.conf"},
			Scripts: map[string]string{"postinst": "#!/bin/sh\nset -e\nmkdir -p /var/lib/golden\nupdate-alternatives --install /usr/bin/gold gold /usr/bin/golden 10\n"},
			Files: []archivetest.File{archivetest.Text("etc/golden.conf", "x = 1\n"), archivetest.Exec("usr/bin/golden", "a program"),
				archivetest.Text("usr/share/doc/golden-data/copyright", "see /usr/share/common-licenses/GPL-2\n"), archivetest.Text("lib/golden/data", "data")}},
		archivetest.Package{Name: "golden-over", Arch: "all", Replaces: "golden-data", Files: []archivetest.File{archivetest.Text("usr/lib/golden/data", "other data")}},
	)
	b.define(map[string]string{"image.yaml": `
name: golden-base
packages: [base-files, golden-data, ca-certificates, libc6]
omit:
  - {package: awk, reason: not run}
  - {package: openssl, reason: not run}
  - {package: debconf, reason: not run}
layers: [glibc]
accounts:
  users: [{name: root, uid: 0, gid: 0, home: /root}, {name: app, uid: 1000, gid: 0, home: /home/app}]
  groups: [{name: root, gid: 0}]
slices:
  - reason: a test's
    drop: [/usr/sbin/update-ca-certificates, /usr/share/man/**, /usr/share/doc/**, /usr/share/common-licenses/**]
    keep: [/usr/share/doc/*/copyright]
    keep-referenced: [/usr/share/common-licenses/*]
debug:
  packages: [busybox-static]
  slices:
    - {package: busybox-static, reason: a test's, move: {/usr/bin/busybox: /busybox/busybox}}
  applets: /busybox/busybox
  shell: [/busybox/sh]
distros: {debian13: {}}
`})
	return b.define(map[string]string{"own.crt": string(buildtest.Certificate("Own")), "image.yaml": `
name: golden
from: golden-base
packages: [golden-over]
certificates: [own.crt]
contents:
  - {path: /etc/golden.conf, text: "x = 2"}
  - {path: /opt/link, link: /etc/golden.conf}
  - {path: /opt/dir, directory: true, mode: "0700"}
distros: {debian13: {}}
`})
}

// TestGolden: caches remember layers under planVersion and ListingVersion. A
// program that makes others of the same lock without another version would go on
// with those of the release before, here and not there.
func TestGolden(t *testing.T) {
	const file = "testdata/levels.json"
	b := newBench(t)
	name := goldenImages(b)
	got := golden{PlanVersion: planVersion, ListingVersion: rootfs.ListingVersion}
	m := b.build(t.TempDir(), func(o *Options) { o.Compression = layer.Compression{Kind: "none"} }, name)[0]
	for _, l := range m.Images["debug"]["amd64"].Layers {
		got.Layers = append(got.Layers, l.CreatedBy+" "+l.DiffID)
	}
	var want golden
	if data, err := os.ReadFile(file); err == nil {
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatal(err)
		}
	} else if !*updateGolden {
		t.Fatal(err)
	}
	same := slices.Equal(got.Layers, want.Layers)
	sameVersions := got.PlanVersion == want.PlanVersion && got.ListingVersion == want.ListingVersion
	switch {
	case same && sameVersions:
	case sameVersions:
		t.Errorf("the same definitions and packages give other layers than before, under the same versions:\n%s\nbefore\n%s\n"+
			"If that is meant, raise what a cache remembers them by: rootfs.ListingVersion where Unpack says other things of a .deb, layer.tarVersion where the archive's order or headers changed, else planVersion in levels.go. Then run go test ./internal/build -run TestGolden -update.",
			strings.Join(got.Layers, "\n"), strings.Join(want.Layers, "\n"))
	case *updateGolden:
		data, err := json.MarshalIndent(got, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is of planVersion %s and ListingVersion %d, the program has %s and %d: run go test ./internal/build -run TestGolden -update and commit the file",
			file, want.PlanVersion, want.ListingVersion, got.PlanVersion, got.ListingVersion)
	}
}
