package archive_test

import (
	"net/url"
	"testing"

	"distroless/internal/debian/archive"
)

// The examples of apt_auth.conf(5): what applies to https://example.org/debian
// and what does not.
func TestAuth(t *testing.T) {
	tests := []struct {
		entry, address string
		want           bool
	}{
		{"machine example.org\nlogin apt\npassword debian\n", "https://example.org/debian", true},
		{"machine example.org login apt password debian", "https://example.org/debian", true},
		{"machine example.org/deb login apt password debian", "https://example.org/debian", true},
		{"machine example.org/debian/ login apt password debian", "https://example.org/debian/dists/trixie/InRelease", true},
		{"machine example.org:443 login apt password debian", "https://example.org/debian", false},
		{"machine example.org/deb/ login apt password debian", "https://example.org/debian", false},
		{"machine example.org/ubuntu login apt password debian", "https://example.org/debian", false},
		{"machine example.orga login apt password debian", "https://example.org/debian", false},
		{"machine example.net login apt password debian", "https://example.org/debian", false},
		// A password goes over plain http only when that was asked for.
		{"machine example.org login apt password debian", "http://example.org/debian", false},
		{"machine http://example.org login apt password debian", "http://example.org/debian", true},
		{"machine http://example.org login apt password debian", "https://example.org/debian", false},
		{"machine example.org:8443 login apt password debian", "https://EXAMPLE.org:8443/debian", true},
		{"machine [::1]:8443 login apt password debian", "https://[::1]:8443/debian", true},
		{"# machine example.org login x password y\nmachine example.org account z login apt password debian", "https://example.org/", true},
		{"login apt password debian", "https://example.org/", false},
		{"machine", "https://example.org/", false},
	}
	for _, tt := range tests {
		for _, file := range []string{"auth.conf", "auth.conf.d/a.conf"} {
			a, err := archive.ReadAuth(machine(file, tt.entry))
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(tt.address)
			if err != nil {
				t.Fatal(err)
			}
			user, password, ok := a.Lookup(u)
			if ok != tt.want || ok && (user != "apt" || password != "debian") {
				t.Errorf("%q for %s: %s, %s, %v, want %v", tt.entry, tt.address, user, password, ok, tt.want)
			}
		}
	}
}

func TestAuthOrder(t *testing.T) {
	a, err := archive.ReadAuth(machine("auth.conf.d/b.conf", "machine example.org login b password b", "auth.conf.d/a.conf", "machine example.org/x login a password a",
		"auth.conf.d/c.txt", "machine example.org login c password c"))
	if err != nil {
		t.Fatal(err)
	}
	a.AddNetrc([]byte("machine example.org login netrc password n\nmachine other.example.org login netrc password n\n"))
	for address, want := range map[string]string{"https://example.org/x/y": "a", "https://example.org/": "b", "https://other.example.org/": "netrc"} {
		u, _ := url.Parse(address)
		if user, _, _ := a.Lookup(u); user != want {
			t.Errorf("%s: %q, want %q", address, user, want)
		}
	}
}
