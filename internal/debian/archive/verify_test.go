package archive_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"distroless/internal/debian/archive"
	"distroless/internal/debian/archivetest"
	"distroless/internal/fetch"
	"distroless/internal/testenv"
)

// inRelease makes a signed InRelease of the suite trixie.
func inRelease(t testing.TB, o archivetest.Options) (data []byte, k *archive.Keyring) {
	t.Helper()
	r := archivetest.New(t, o)
	r.Add("trixie", archivetest.Package{Name: "libx1"})
	got, err := new(fetch.Client).GetUnpinned(t.Context(), r.URL()+"/dists/trixie/InRelease", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if k, err = archive.ParseKeyring(r.Keyring()); err != nil {
		t.Fatal(err)
	}
	return got.Data, k
}

// When a Release may be believed, as its dates and its key's go by.
func TestTimes(t *testing.T) {
	date := archivetest.Epoch()
	data, k := inRelease(t, archivetest.Options{Date: date, ValidFor: 7 * 24 * time.Hour, KeyLife: 30 * 24 * time.Hour})
	day := 24 * time.Hour
	tests := []struct {
		name     string
		now      time.Time
		snapshot bool
		want     error
	}{
		{"at once", date, false, nil},
		{"this clock a little behind", date.Add(-5 * time.Minute), false, nil},
		{"this clock far behind", date.Add(-day), false, archive.ErrSignature},
		{"within a week", date.Add(6 * day), false, nil},
		{"after a week", date.Add(8 * day), false, archive.ErrExpired},
		{"after a week, a snapshot", date.Add(8 * day), true, nil},
		{"key has ended", date.Add(31 * day), false, archive.ErrSignature},
		{"key has ended, a snapshot", date.Add(31 * day), true, nil},
		{"a snapshot of tomorrow", date.Add(-day), true, archive.ErrFuture},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// Twice, in both orders of time: what was found at one time must
			// not stick to the keyring.
			for range 2 {
				r, err := archive.VerifyInRelease(data, archive.VerifyOptions{Suite: "trixie", Keyring: k, Now: tt.now, Snapshot: tt.snapshot})
				if !errors.Is(err, tt.want) || (r == nil) == (err == nil) {
					t.Errorf("%v, want %v", err, tt.want)
				}
			}
		})
	}
}

func TestState(t *testing.T) {
	data, k := inRelease(t, archivetest.Options{Date: archivetest.Epoch()})
	r, err := archive.VerifyInRelease(data, archive.VerifyOptions{Suite: "trixie", Keyring: k, Now: archivetest.Epoch()})
	if err != nil {
		t.Fatal(err)
	}
	s := r.State
	if s.Suite != "trixie" || s.Codename != "trixie" || !s.Date.Equal(archivetest.Epoch()) || len(s.SHA256) != 64 || s.Keyring != k.Digest() {
		t.Errorf("%+v", s)
	}
	if len(r.Signers) != 1 || len(r.Files) != 12 {
		t.Errorf("signers %s, %d files", r.Signers, len(r.Files))
	}
}

// Each built-in keyring holds three keys of its own release and is what the
// locks of users say it is.
func TestDebianKeyrings(t *testing.T) {
	want := map[string]string{
		"debian11": "ea4520c4fb86abe0471b70d6246587ecac8e0d1c21f519e3f61d524262787190",
		"debian12": "4c66f2c62619d5f68176ab343b8b95f2d492b57881b4850d549c2863affe0817",
		"debian13": "139f30e958342a9fc51fa32a6ddc813433125f43a90dd63f71ef82dcfaa45252",
	}
	seen := map[string]string{}
	for _, distro := range archive.DebianKeyrings() {
		k, err := archive.DebianKeyring(distro)
		if err != nil {
			t.Fatal(err)
		}
		if k.Digest() != want[distro] {
			t.Errorf("%s: digest %s, want %s", distro, k.Digest(), want[distro])
		}
		if len(k.Fingerprints()) != 5 { // two automatic keys with a subkey each, one release key
			t.Errorf("%s: fingerprints %s", distro, k.Fingerprints())
		}
		for _, f := range k.Fingerprints() {
			if other, twice := seen[f]; twice {
				t.Errorf("%s is trusted for %s and %s", f, other, distro)
			}
			seen[f] = distro
		}
	}
	if len(archive.DebianKeyrings()) != len(want) {
		t.Errorf("keyrings of %s", archive.DebianKeyrings())
	}
	if _, err := archive.DebianKeyring("debian99"); err == nil || !strings.Contains(err.Error(), "debian13") {
		t.Errorf("error %v, want one that lists what there is", err)
	}
}

func TestParseKeyring(t *testing.T) {
	_, a := inRelease(t, archivetest.Options{})
	one, two := archivetest.New(t, archivetest.Options{}), archivetest.New(t, archivetest.Options{})
	both := append(one.Keyring(), append([]byte("a comment between\n"), two.Keyring()...)...)
	k, err := archive.ParseKeyring(both)
	if err != nil || len(k.Fingerprints()) < 2 {
		t.Errorf("two blocks: %v", err)
	}
	if swapped, _ := archive.ParseKeyring(append(two.Keyring(), one.Keyring()...)); swapped.Digest() != k.Digest() {
		t.Error("the digest depends on the order of the keys")
	}
	if k.Digest() == a.Digest() {
		t.Error("other keys, the same digest")
	}
	for name, data := range map[string]string{
		"empty": "", "text": "hello\n", "cut off": string(both[:len(both)-60]), "a signature": "-----BEGIN PGP SIGNATURE-----\n\n=aaaa\n-----END PGP SIGNATURE-----\n",
		"a private key": strings.ReplaceAll(string(one.Keyring()), "PUBLIC", "PRIVATE"),
	} {
		if _, err := archive.ParseKeyring([]byte(data)); err == nil {
			t.Errorf("%s: taken for a keyring", name)
		}
	}
}

// gpgv must agree with what the tests sign, and with what they refuse. (It also
// refuses a wrong Hash header, which RFC 9580, section 7.1, says to ignore: it
// is not signed, and the signature names its hash itself.)
func TestVerifyAgainstGPGV(t *testing.T) {
	tool := testenv.Tool(t, "gpgv")
	r := archivetest.New(t, archivetest.Options{})
	r.Add("trixie", archivetest.Package{Name: "libx1"})
	dir := t.TempDir()
	ring := filepath.Join(dir, "ring.gpg")
	dearmor := exec.Command(testenv.Tool(t, "gpg"), "--dearmor", "-o", ring)
	dearmor.Env = append(os.Environ(), "GNUPGHOME="+dir)
	dearmor.Stdin = strings.NewReader(string(r.Keyring()))
	if out, err := dearmor.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	k, err := archive.ParseKeyring(r.Keyring())
	if err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(string) string{
		"good":              func(s string) string { return s },
		"CRLF":              func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
		"spaces at an end":  func(s string) string { return strings.Replace(s, "Origin: Test\n", "Origin: Test \t\n", 1) },
		"altered":           func(s string) string { return strings.Replace(s, "Origin: Test", "Origin: Tesu", 1) },
		"a line more":       func(s string) string { return strings.Replace(s, "Origin: Test\n", "Origin: Test\nX: y\n", 1) },
		"a dash too many":   func(s string) string { return strings.Replace(s, "Origin: Test\n", "- Origin: Test\n", 1) },
		"signature altered": func(s string) string { i := strings.LastIndex(s, "="); return s[:i-20] + "AAAA" + s[i-16:] },
	} {
		t.Run(name, func(t *testing.T) {
			r.EditInRelease("trixie", edit)
			got, err := new(fetch.Client).GetUnpinned(t.Context(), r.URL()+"/dists/trixie/InRelease", 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "InRelease")
			if err := os.WriteFile(file, got.Data, 0o600); err != nil {
				t.Fatal(err)
			}
			out, gerr := exec.Command(tool, "--keyring", ring, file).CombinedOutput()
			_, err = archive.VerifyInRelease(got.Data, archive.VerifyOptions{Suite: "trixie", Keyring: k, Now: time.Now()})
			if gerr != nil && err == nil {
				t.Errorf("accepted, but gpgv says %v: %s", gerr, out)
			}
			if gerr == nil && err != nil {
				t.Errorf("refused: %v, but gpgv accepts", err)
			}
		})
	}
}

func FuzzVerifyInRelease(f *testing.F) {
	data, k := inRelease(f, archivetest.Options{Date: archivetest.Epoch()})
	text := string(data)
	f.Add(text)
	f.Add(strings.ReplaceAll(text, "\n", "\r\n"))
	f.Add(text + text)
	f.Add(text[:len(text)/2])
	f.Add(strings.Replace(text, "Origin", "- Origin", 1))
	o := archive.VerifyOptions{Suite: "trixie", Keyring: k, Now: archivetest.Epoch()}
	good, err := archive.VerifyInRelease(data, o)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := archive.VerifyInRelease([]byte(text), o)
		if err != nil {
			return
		}
		// The key signed one text only: whatever verifies must say the same.
		if r.Date != good.Date || len(r.Files) != len(good.Files) || r.Codename != good.Codename {
			t.Errorf("verified another text:\n%s", text)
		}
		for p, file := range good.Files {
			if r.Files[p] != file {
				t.Errorf("%s: %+v, was signed as %+v", p, r.Files[p], file)
			}
		}
	})
}

// FuzzRelease reads texts as if they were signed well.
func FuzzRelease(f *testing.F) {
	data, _ := inRelease(f, archivetest.Options{Date: archivetest.Epoch()})
	_, text, _ := strings.Cut(string(data), "\n\n")
	text, _, _ = strings.Cut(text, "-----BEGIN")
	f.Add(text)
	f.Add("Suite: trixie\nDate: Sat, 9 Aug 2025 09:16:30 +0000\nSHA256:\n e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 ./Packages\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := archive.ParseReleaseForTest([]byte(text))
		if err != nil {
			return
		}
		for p := range r.Files {
			if strings.HasPrefix(p, "/") || strings.Contains("/"+p+"/", "/../") {
				t.Errorf("path %q was taken", p)
			}
		}
	})
}

func FuzzParseKeyring(f *testing.F) {
	r := archivetest.New(f, archivetest.Options{Date: archivetest.Epoch()})
	f.Add(r.Keyring())
	f.Add(append(r.Keyring(), r.Keyring()...))
	f.Add([]byte("\x98\x33\x04"))
	data, _ := inRelease(f, archivetest.Options{Date: archivetest.Epoch()})
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := archive.ParseKeyring(text)
		if err != nil {
			return
		}
		if len(k.Fingerprints()) == 0 {
			t.Error("a keyring without keys")
		}
		if _, err := archive.VerifyInRelease(data, archive.VerifyOptions{Suite: "trixie", Keyring: k, Now: archivetest.Epoch()}); err == nil {
			t.Error("verified by a key that did not sign")
		}
	})
}
