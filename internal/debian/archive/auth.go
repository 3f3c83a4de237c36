package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"strings"
)

// Auth holds the users and passwords for archives that ask for them.
type Auth struct{ machines []machine }

// machine is an entry: for addresses of this scheme, host, port and path.
type machine struct {
	scheme         string // "" for https alone
	host, port     string // port "" for any
	path           string // a prefix, "" for any
	user, password string
}

// ReadAuth reads etc/apt/auth.conf and etc/apt/auth.conf.d/*.conf of a
// machine, in apt's order: see apt_auth.conf(5). Files that this user may not
// read count as not there, as they are for apt.
func ReadAuth(root fs.FS) (*Auth, error) {
	files := []string{"etc/apt/auth.conf"}
	entries, err := fs.ReadDir(root, "etc/apt/auth.conf.d")
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("read apt's passwords: %w", err)
	}
	for _, e := range entries {
		if path.Ext(e.Name()) == ".conf" && !strings.HasPrefix(e.Name(), ".") {
			files = append(files, "etc/apt/auth.conf.d/"+e.Name())
		}
	}
	a := new(Auth)
	for _, name := range files {
		text, err := fs.ReadFile(root, name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read apt's passwords: %w", err)
		}
		a.machines = append(a.machines, parseAuth(string(text))...)
	}
	return a, nil
}

// AddNetrc adds the entries of a netrc file after those that are there.
func (a *Auth) AddNetrc(text []byte) {
	a.machines = append(a.machines, parseAuth(string(text))...)
}

// parseAuth reads a netrc-like file. Unknown words are passed over, as apt
// does.
func parseAuth(text string) []machine {
	var words []string
	for _, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			words = append(words, strings.Fields(line)...)
		}
	}
	var all []machine
	for i := 0; i+1 < len(words); i++ {
		value := words[i+1]
		switch {
		case words[i] == "machine":
			all = append(all, parseMachine(value))
		case words[i] == "login" && len(all) > 0:
			all[len(all)-1].user = value
		case words[i] == "password" && len(all) > 0:
			all[len(all)-1].password = value
		default:
			continue
		}
		i++
	}
	return all
}

// parseMachine reads [protocol://]hostname[:port][/path].
func parseMachine(s string) machine {
	var m machine
	if scheme, rest, found := strings.Cut(s, "://"); found {
		m.scheme, s = scheme, rest
	}
	if i := strings.IndexByte(s, '/'); i >= 0 {
		s, m.path = s[:i], s[i:]
	}
	// The colons of an IPv6 address are no port's.
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
		s, m.port = s[:i], s[i+1:]
	}
	m.host = strings.Trim(strings.ToLower(s), "[]")
	return m
}

// Lookup returns the user and password for an address. The first entry that
// matches decides. An entry that names no protocol is for https alone, so that
// a password is not sent in the open by accident.
func (a *Auth) Lookup(u *url.URL) (user, password string, ok bool) {
	for _, m := range a.machines {
		if m.matches(u) {
			return m.user, m.password, true
		}
	}
	return "", "", false
}

func (m machine) matches(u *url.URL) bool {
	scheme := m.scheme
	if scheme == "" {
		scheme = "https"
	}
	return scheme == u.Scheme && m.host == strings.ToLower(u.Hostname()) &&
		(m.port == "" || m.port == u.Port()) && strings.HasPrefix(u.Path, m.path)
}
