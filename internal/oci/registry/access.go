package registry

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// access is how one registry is reached: by which scheme, and with which
// credentials for which repository. Tokens are asked for when they are first
// needed and again when the registry refuses one.
type access struct {
	registry  name.Registry
	actions   string // that tokens are asked for
	keychain  authn.Keychain
	transport http.RoundTripper
	patience  time.Duration // of a question about authentication

	mu        sync.Mutex // held while the registry is asked how it wants it
	challenge *transport.Challenge

	repositories sync.Map // name to *grant
}

// grant is the right to use one repository.
type grant struct {
	mu     sync.Mutex
	header string // value of Authorization; empty for anonymous use
	serial int    // counts up with each header
	fresh  bool   // the header can be used
}

// ping asks the registry once which scheme and authentication it wants.
func (a *access) ping(ctx context.Context) (*transport.Challenge, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.challenge != nil {
		return a.challenge, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, a.patience, errStalled)
	defer cancel()
	noting := &noting{inner: a.transport, reading: a.reading()}
	c, err := transport.Ping(ctx, a.registry, noting)
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return nil, &permanentError{fmt.Errorf("%w: name the certificate of its authority with SSL_CERT_FILE, or do without that check with --insecure", untrusted)}
	}
	var unknown *net.DNSError
	if errors.As(err, &unknown) && unknown.IsNotFound {
		return nil, &permanentError{fmt.Errorf("%w: is the registry's name right?", err)}
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil, &permanentError{fmt.Errorf("%w: nothing listens there: is the registry running?", err)}
	}
	if err != nil {
		return nil, stalled(ctx, noting.explain(err))
	}
	a.challenge = c
	return c, nil
}

// reading reports whether nothing is to be written.
func (a *access) reading() bool { return a.actions == transport.PullScope }

// scheme is "http" or "https", once ping has succeeded.
func (a *access) scheme(c *transport.Challenge) string {
	if c.Insecure {
		return "http"
	}
	return "https"
}

// authorization returns the header for a repository. Its serial is given back
// to [access.refused] when the registry does not accept it.
func (a *access) authorization(ctx context.Context, repository string, also []string) (header string, serial int, err error) {
	c, err := a.ping(ctx)
	if err != nil {
		return "", 0, err
	}
	g := a.grant(repository)
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.fresh {
		if g.header, err = a.obtain(ctx, c, repository, also); err != nil {
			return "", 0, err
		}
		g.serial++
		g.fresh = true
	}
	return g.header, g.serial, nil
}

// renew makes the next authorization of a repository a new one.
func (a *access) renew(repository string) {
	g := a.grant(repository)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fresh = false
}

func (a *access) grant(repository string) *grant {
	g, _ := a.repositories.LoadOrStore(repository, &grant{})
	return g.(*grant)
}

// refused says that the registry answered 401. A new header is obtained, with
// the challenge of that answer, unless somebody was quicker.
func (a *access) refused(ctx context.Context, repository string, also []string, serial int, said http.Header) error {
	c, err := a.ping(ctx)
	if err != nil {
		return err
	}
	if now := parseChallenge(said.Values("WWW-Authenticate")); now != nil {
		now.Insecure = c.Insecure
		if !strings.EqualFold(now.Scheme, c.Scheme) || now.Parameters["realm"] != c.Parameters["realm"] {
			a.mu.Lock()
			a.challenge, c = now, now
			a.mu.Unlock()
		}
	}
	g := a.grant(repository)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.serial != serial {
		return nil
	}
	header, err := a.obtain(ctx, c, repository, also)
	if err != nil {
		return err
	}
	g.header = header
	g.serial++
	return nil
}

// obtain exchanges credentials for a header.
func (a *access) obtain(ctx context.Context, c *transport.Challenge, repository string, also []string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, a.patience, errStalled)
	defer cancel()
	auth, err := authn.Resolve(ctx, a.keychain, a.registry.Repo(repository))
	if err != nil {
		return "", &permanentError{err}
	}
	if !strings.EqualFold(c.Scheme, "bearer") {
		return basic(ctx, auth)
	}
	own := a.registry.Repo(repository).Scope(a.actions)
	scopes := []string{own}
	for _, r := range also {
		scopes = append(scopes, a.registry.Repo(r).Scope(transport.PullScope))
	}
	noting := &noting{inner: a.transport, reading: a.reading()}
	token, err := transport.Exchange(ctx, a.registry, auth, noting, scopes, c)
	if refusal := (*transport.Error)(nil); errors.As(err, &refusal) && refusal.StatusCode/100 == 4 && len(scopes) > 1 && !temporaryStatus(refusal.StatusCode) {
		// Some token servers refuse the whole where one part is not allowed.
		token, err = transport.Exchange(ctx, a.registry, auth, noting, scopes[:1], c)
	}
	if err != nil {
		return "", stalled(ctx, noting.explain(err))
	}
	if token.AccessToken != "" {
		return "Bearer " + token.AccessToken, nil
	}
	return "Bearer " + token.Token, nil
}

func basic(ctx context.Context, auth authn.Authenticator) (string, error) {
	cfg, err := authn.Authorization(ctx, auth)
	switch {
	case err != nil:
		return "", &permanentError{err}
	case cfg.RegistryToken != "":
		return "Bearer " + cfg.RegistryToken, nil
	case cfg.Auth != "":
		return "Basic " + cfg.Auth, nil
	case cfg.Username != "" || cfg.Password != "":
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(cfg.Username+":"+cfg.Password)), nil
	}
	return "", nil
}

// parseChallenge reads WWW-Authenticate headers (RFC 9110, section 11.6.1) and
// returns the first that is Bearer or Basic, or nil.
func parseChallenge(headers []string) *transport.Challenge {
	for _, h := range headers {
		scheme, rest, _ := strings.Cut(strings.TrimSpace(h), " ")
		if !strings.EqualFold(scheme, "bearer") && !strings.EqualFold(scheme, "basic") {
			continue
		}
		c := &transport.Challenge{Scheme: strings.ToLower(scheme), Parameters: map[string]string{}}
		for rest = strings.TrimLeft(rest, " ,"); rest != ""; rest = strings.TrimLeft(rest, " ,") {
			key, after, ok := strings.Cut(rest, "=")
			if !ok {
				break
			}
			var value string
			if value, rest = parameter(after); value != "" {
				c.Parameters[strings.ToLower(strings.TrimSpace(key))] = value
			}
		}
		return c
	}
	return nil
}

// parameter reads a token or a quoted string from the start of s.
func parameter(s string) (value, rest string) {
	s = strings.TrimLeft(s, " ")
	if !strings.HasPrefix(s, `"`) {
		value, rest, _ = strings.Cut(s, ",")
		return strings.TrimSpace(value), rest
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:]
		case '\\':
			i++
			if i == len(s) {
				return b.String(), ""
			}
		}
		b.WriteByte(s[i])
	}
	return b.String(), ""
}

// guard lets plain http through to loopback only, unless all of it is allowed.
type guard struct {
	inner    http.RoundTripper
	insecure bool
}

var errPlain = errors.New("the registry answers over plain http only, where others can read and change what passes: use https, or allow it with --insecure")

func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme == "http" && !g.insecure && !loopback(req.URL.Hostname()) {
		return nil, &permanentError{errPlain}
	}
	return g.inner.RoundTrip(req)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
