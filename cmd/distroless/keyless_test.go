package main

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"distroless/internal/trust/keyless/keylesstest"
)

// sigstore NAME serves sigstore until the tests end: SIGSTORE is its address,
// TOKEN an identity token, IDENTITY and ISSUER what is in it, NAME.json its
// trusted root, and NAME.config a signing config that has a log of version 2.
func sigstore(t *testing.T) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		if len(args) != 1 {
			ts.Fatalf("usage: sigstore name")
		}
		s := keylesstest.New(t)
		ts.Setenv("SIGSTORE", s.URL)
		ts.Setenv("TOKEN", keylesstest.Token(keylesstest.Identity, keylesstest.Issuer))
		ts.Setenv("IDENTITY", keylesstest.Identity)
		ts.Setenv("ISSUER", keylesstest.Issuer)
		write := func(suffix string, data []byte) {
			ts.Check(os.WriteFile(ts.MkAbs(args[0]+suffix), data, 0o644))
		}
		write(".json", s.TrustedRoot(keylesstest.Trust{CT: true, Log: true, Timestamp: true}))
		service := func(url string, version int) []any {
			return []any{map[string]any{"url": url, "majorApiVersion": version, "operator": "example.org", "validFor": map[string]string{"start": "2025-01-01T00:00:00Z"}}}
		}
		exact := map[string]any{"selector": "EXACT", "count": 1}
		config, err := json.Marshal(map[string]any{
			"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json", "caUrls": service(s.URL, 1),
			"rekorTlogUrls": service(s.URL, 2), "rekorTlogConfig": exact, "tsaUrls": service(s.Timestamp(), 1), "tsaConfig": exact,
		})
		ts.Check(err)
		write(".config", config)
		write(".token", fmt.Appendln(nil, keylesstest.Token(keylesstest.Identity, keylesstest.Issuer)))
	}
}
