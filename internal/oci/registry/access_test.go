package registry

import (
	"maps"
	"net/http"
	"testing"
	"time"
)

// TestChallenge reads challenges as registries send them. If it fails, a push
// does not log in.
func TestChallenge(t *testing.T) {
	for header, want := range map[string]map[string]string{
		`Bearer realm="https://a.example.org/t?x=1,2",service="s",scope="repository:a/b:pull,push"`: {"realm": "https://a.example.org/t?x=1,2", "service": "s", "scope": "repository:a/b:pull,push"},
		`bearer realm=plain , error="in\"valid"`:                                                    {"realm": "plain", "error": `in"valid`},
		`Basic realm="r"`:                                                                           {"realm": "r"},
		`Basic`:                                                                                     {},
		`Bearer realm="open`:                                                                        {"realm": "open"},
	} {
		c := parseChallenge([]string{"Negotiate", header})
		if c == nil || !maps.Equal(c.Parameters, want) {
			t.Errorf("%s: %+v", header, c)
		}
	}
	if c := parseChallenge([]string{"Negotiate abc", ""}); c != nil {
		t.Errorf("a challenge that cannot be met: %+v", c)
	}
}

// FuzzChallenge gives challenges of any form. If it fails, a registry can
// crash a push.
func FuzzChallenge(f *testing.F) {
	for _, s := range []string{`Bearer realm="https://a.example.org/token",service="registry.example.org"`, `Basic realm="a"`, `Bearer a="\`, `Bearer =,=`, `Bearer a=b, c="d\"e"`, ``} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, s string) { parseChallenge([]string{s}) })
}

// TestRetryAfterHeader reads both forms of the header. If it fails, a push
// comes back too early, or never.
func TestRetryAfterHeader(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for v, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": 0, "soon": 0,
		"Fri, 02 Jan 2026 03:04:15 GMT": 10 * time.Second, "Fri, 02 Jan 2026 03:04:00 GMT": 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {v}}, now); got != want {
			t.Errorf("%q: %s, want %s", v, got, want)
		}
	}
}
