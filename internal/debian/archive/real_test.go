package archive_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"distroless/internal/debian/archive"
	"distroless/internal/fetch"
	"distroless/internal/testenv"
)

// TestRealArchive walks the real archive: each release's three suites must
// verify, and each (suite, architecture) must either give its index or an error
// of a known kind. What it finds is logged, since that is the archive's state
// and not ours; amd64 must work everywhere, as the catalogue is built from it.
func TestRealArchive(t *testing.T) {
	testenv.E2E(t)
	address, err := archive.Discover(archive.DiscoverOptions{
		Main: os.Getenv("DISTROLESS_ARCHIVE"), Security: os.Getenv("DISTROLESS_SECURITY_ARCHIVE"), Machine: os.DirFS("/"),
	})
	if err != nil {
		t.Fatal(err)
	}
	cache, err := fetch.OpenCache(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := &archive.Client{Fetch: &fetch.Client{Cache: cache}}
	for distro, codename := range map[string]string{"debian11": "bullseye", "debian12": "bookworm", "debian13": "trixie"} {
		keyring, err := archive.DebianKeyring(distro)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"", "-updates", "-security"} {
			s := archive.Suite{Name: codename + part, Roots: address.Main, Keyring: keyring}
			if part == "-security" {
				s.Roots = address.Security
			}
			t.Run(s.Name, func(t *testing.T) {
				t.Parallel()
				realSuite(t, c, s)
			})
		}
	}
}

func realSuite(t *testing.T, c *archive.Client, s archive.Suite) {
	r, err := c.Release(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("Release of %s, signed by %s", r.State.Date, strings.Join(r.Signers, ", "))
	for _, arch := range []string{"amd64", "arm64", "armhf", "ppc64el", "riscv64", "s390x"} {
		x, err := c.Packages(t.Context(), r, "main", arch)
		switch {
		case err == nil:
			text, err := x.ReadAll(t.Context())
			if err != nil {
				t.Errorf("%s: %v", arch, err)
			}
			t.Logf("%s: %d bytes, %d packages", arch, len(text), strings.Count(string(text), "\nPackage: ")+1)
		case errors.Is(err, archive.ErrArchitecture) && !slices.Contains(r.Architectures, arch):
			t.Logf("%s: not listed", arch)
		case errors.Is(err, archive.ErrMismatch) && arch != "amd64":
			t.Logf("%s: %v", arch, err)
		default:
			t.Errorf("%s: %v", arch, err)
		}
	}
}
