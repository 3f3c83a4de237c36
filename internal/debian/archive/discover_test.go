package archive_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"distroless/internal/debian/archive"
)

// machine is a file system with these files below etc/apt, alternately names
// and texts.
func machine(files ...string) fstest.MapFS {
	m := fstest.MapFS{"etc/os-release": {Data: []byte("ID=debian\n")}}
	for i := 0; i < len(files); i += 2 {
		m["etc/apt/"+files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return m
}

// usual are the sources of a fresh Debian 12 or 13, comments and all.
const usual = `Types: deb
# http://snapshot.example.org/archive/debian/20250520T000000Z
URIs: http://mirror.example.org/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
# http://snapshot.example.org/archive/debian-security/20250520T000000Z
URIs: http://mirror.example.org/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
`

func TestDiscover(t *testing.T) {
	const main, security = "http://mirror.example.org/debian", "http://mirror.example.org/debian-security"
	tests := []struct {
		name           string
		o              archive.DiscoverOptions
		main, security string // joined by spaces
		fails          string
	}{
		{"given", archive.DiscoverOptions{Main: main + "/", Machine: machine("sources.list", "deb http://x.example.org/debian sid main\n")}, main, security, ""},
		{"given, security too", archive.DiscoverOptions{Main: main, Security: "https://s.example.org/sec/"}, main, "https://s.example.org/sec", ""},
		{"given, a snapshot", archive.DiscoverOptions{Main: "http://s.example.org/archive/debian/20250520T000000Z/"},
			"http://s.example.org/archive/debian/20250520T000000Z", "http://s.example.org/archive/debian-security/20250520T000000Z", ""},
		{"given, a folder", archive.DiscoverOptions{Main: "/srv/mirror/debian"}, "file:///srv/mirror/debian", "file:///srv/mirror/debian-security", ""},
		{"given, another name", archive.DiscoverOptions{Main: "http://h.example.org/a/proxy%20x"}, "http://h.example.org/a/proxy%20x", "http://h.example.org/a/debian-security", ""},
		{"given, no folder", archive.DiscoverOptions{Main: "http://debian.example.org/"}, "", "", "--security-archive"},
		{"given, nonsense", archive.DiscoverOptions{Main: "mirror.example.org/debian"}, "", "", "want http://"},
		{"given, a query", archive.DiscoverOptions{Main: "http://example.org/debian?x"}, "", "", "no query"},
		{"definition", archive.DiscoverOptions{Definition: archive.Address{Main: []string{main, "https://b.example.org/debian/"}}, Machine: machine()},
			main + " https://b.example.org/debian", security + " https://b.example.org/debian-security", ""},
		{"nothing", archive.DiscoverOptions{}, "", "", "set DISTROLESS_ARCHIVE"},
		{"empty machine", archive.DiscoverOptions{Machine: fstest.MapFS{}}, "", "", "set DISTROLESS_ARCHIVE"},

		{"usual", archive.DiscoverOptions{Machine: machine("sources.list.d/debian.sources", usual)}, main, security, ""},
		{"usual, CRLF, no last newline", archive.DiscoverOptions{Machine: machine("sources.list.d/debian.sources", strings.TrimSpace(strings.ReplaceAll(usual, "\n", "\r\n")))}, main, security, ""},
		{"one-line", archive.DiscoverOptions{Machine: machine("sources.list", "# a comment\ndeb-src "+main+" trixie main\ndeb [ arch=amd64,arm64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg ] "+
			main+"/ trixie main contrib # more\ndeb "+security+" trixie-security main\n")}, main, security, ""},
		{"old security suite", archive.DiscoverOptions{Machine: machine("sources.list", "deb "+main+" buster main\ndeb "+security+"/ buster/updates main\n")}, main, security, ""},
		{"aliases", archive.DiscoverOptions{Machine: machine("sources.list", "deb "+main+" stable-updates main\ndeb "+security+" stable-security main\n")}, main, security, ""},
		{"mirrors in order, each once", archive.DiscoverOptions{Machine: machine("sources.list.d/a.sources",
			"Types: deb deb-src\nURIs: http://a.example.org/debian/\n https://b.example.org/debian\nSuites: trixie\n trixie-updates\nComponents: main\n\n"+
				"Types: deb\nURIs: http://b.example.org/debian-security http://a.example.org/debian-security\nSuites: trixie-security\nComponents: main\n",
			"sources.list.d/b.list", "deb http://a.example.org/debian trixie-backports main\n")},
			"http://a.example.org/debian https://b.example.org/debian", "http://b.example.org/debian-security http://a.example.org/debian-security", ""},
		{"others that use Debian's names", archive.DiscoverOptions{Machine: machine(
			"sources.list.d/aaa.list", "deb [signed-by=/etc/apt/keyrings/chrome.gpg] https://chrome.example.org/deb/ stable main\n",
			"sources.list.d/debian.sources", usual,
			"sources.list.d/docker.list", "deb [arch=amd64 signed-by=/etc/apt/keyrings/docker.asc] https://docker.example.org/linux/debian bookworm stable\n",
			"sources.list.d/pg.list", "deb https://pg.example.org/repos bookworm-pgdg main\n",
			"sources.list.d/ubuntu.list", "deb http://u.example.org/ubuntu noble main\n")},
			main + " https://chrome.example.org/deb", security, ""},
		{"disabled", archive.DiscoverOptions{Machine: machine("sources.list.d/debian.sources", "Enabled: no\n"+usual)}, "", "", "no entry of a Debian suite"},
		{"files that apt does not read", archive.DiscoverOptions{Machine: machine("sources.list.d/debian.sources.save", usual, "sources.list.d/a~.list", "deb "+main+" trixie main\n")}, "", "", "no entry of a Debian suite"},
		{"no security", archive.DiscoverOptions{Machine: machine("sources.list", "deb "+main+" trixie main\n")}, "", "", "no entry of a security suite"},
		{"no security, but given", archive.DiscoverOptions{Security: security, Machine: machine("sources.list", "deb "+main+" trixie main\n")}, main, security, ""},
		{"kinds not read", archive.DiscoverOptions{Machine: machine("sources.list", "deb cdrom:[Debian GNU/Linux 12 _Bookworm_ - Official amd64 NETINST]/ bookworm main\n"+
			"deb mirror+file:/etc/apt/mirrors/debian.list bookworm main\ndeb tor+http://x.example.org/debian bookworm main\n")}, "", "", "etc/apt/sources.list:2"},
		{"mirror lists of cloud images", archive.DiscoverOptions{Machine: machine("sources.list.d/debian.sources", strings.NewReplacer(
			main+"\n", "mirror+file:///etc/apt/mirrors/debian.list\n", security+"\n", "mirror+file:/etc/apt/mirrors/debian-security.list\n").Replace(usual),
			"mirrors/debian.list", "# comment\n"+main+"\tpriority:1\n\nhttps://b.example.org/debian/\n", "mirrors/debian-security.list", security)},
			main + " https://b.example.org/debian", security, ""},
		{"file", archive.DiscoverOptions{Machine: machine("sources.list", "deb file:/srv/debian trixie main\ndeb file:///srv/debian-security trixie-security main\n")},
			"file:///srv/debian", "file:///srv/debian-security", ""},
		{"broken line", archive.DiscoverOptions{Machine: machine("sources.list", "\ndeb http://example.org/debian\n")}, "", "", "etc/apt/sources.list:2: want an address and a suite"},
		{"broken word", archive.DiscoverOptions{Machine: machine("sources.list", "rpm http://example.org/debian x y\n")}, "", "", "want deb or deb-src"},
		{"broken options", archive.DiscoverOptions{Machine: machine("sources.list", "deb [arch=amd64 http://example.org/debian x y\n")}, "", "", "do not end"},
		{"broken paragraph", archive.DiscoverOptions{Machine: machine("sources.list.d/x.sources", "\n\nTypes: deb\nSuites: trixie\n")}, "", "", "etc/apt/sources.list.d/x.sources:3: paragraph without URIs"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, err := archive.Discover(tt.o)
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) {
					t.Errorf("error %v, want one that says %q", err, tt.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(a.Main, " "); got != tt.main {
				t.Errorf("main %s\nwant %s", got, tt.main)
			}
			if got := strings.Join(a.Security, " "); got != tt.security {
				t.Errorf("security %s\nwant %s", got, tt.security)
			}
			if a.Source == "" {
				t.Error("does not say where it found that")
			}
		})
	}
}

// Callers may have another idea when no address is known, so they must be able
// to tell.
func TestNoAddress(t *testing.T) {
	if _, err := archive.Discover(archive.DiscoverOptions{Machine: machine()}); !errors.Is(err, archive.ErrNoAddress) {
		t.Errorf("error %v, want ErrNoAddress", err)
	}
}

func TestParseSources(t *testing.T) {
	got, err := archive.ParseSources("x.sources", `# first
Types: deb
URIs: https://deb.example.org/node
Suites: nodistro
# in the middle
Components: main
 contrib
architectures: amd64 arm64
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDMEZ
 -----END PGP PUBLIC KEY BLOCK-----
X-Repolib-Name: node


Types: deb-src
URIs: http://example.org
Suites: ./
`)
	if err != nil || len(got) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	s := got[0]
	if fmt.Sprint(s.URIs, s.Suites, s.Components, s.Arches) != "[https://deb.example.org/node] [nodistro] [main contrib] [amd64 arm64]" ||
		s.Position != "x.sources:2" || !strings.HasPrefix(s.SignedBy, "-----BEGIN PGP") {
		t.Errorf("%+v", s)
	}
}

func FuzzSources(f *testing.F) {
	f.Add(usual)
	f.Add("deb [ arch=amd64 signed-by=/x ] http://example.org/debian trixie main contrib # c\n")
	f.Add("deb [arch=amd64] cdrom:[Debian 12 a b]/ bookworm main\n\ndeb http://example.org ./\n")
	f.Add("Types: deb\r\nURIs: a\n b\n#\n c\nSuites: x/\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, parse := range []func(string, string) ([]archive.Source, error){archive.ParseOneLine, archive.ParseSources} {
			sources, err := parse("fuzz", text)
			for _, s := range sources {
				if err != nil || len(s.URIs) == 0 || len(s.Suites) == 0 || !strings.HasPrefix(s.Position, "fuzz:") {
					t.Errorf("%+v, %v", s, err)
				}
			}
		}
		a, err := archive.Discover(archive.DiscoverOptions{Machine: machine("sources.list", text, "sources.list.d/a.sources", text)})
		if err == nil && (len(a.Main) == 0 || len(a.Security) == 0) {
			t.Errorf("%+v without an error", a)
		}
	})
}
