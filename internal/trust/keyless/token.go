package keyless

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
)

// audience is whom an identity token has to be for.
const audience = "sigstore"

// The places where the common CI systems leave an identity token, or say where
// to get one.
const (
	tokenVariable         = "SIGSTORE_ID_TOKEN" // GitLab's id_tokens, and whoever sets it
	githubURLVariable     = "ACTIONS_ID_TOKEN_REQUEST_URL"
	githubRequestVariable = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
	tokenFile             = "var/run/sigstore/cosign/oidc-token" // Kubernetes: a projected volume
)

// ErrNoToken says that no identity token was found.
var ErrNoToken = errors.New("no identity token")

// FindToken finds an identity token in the environment of a CI system. machine
// is the machine's root. [ErrNoToken] is in the error where there is none, with
// what was looked for.
func FindToken(ctx context.Context, environ func(string) (string, bool), machine fs.FS, transport http.RoundTripper) (string, error) {
	get := func(name string) string {
		v, _ := environ(name)
		return strings.TrimSpace(v)
	}
	if token := get(tokenVariable); token != "" {
		return token, checkToken(token, tokenVariable)
	}
	if address := get(githubURLVariable); address != "" {
		token, err := newClient(transport).requestToken(ctx, address, get(githubRequestVariable))
		if err != nil {
			return "", fmt.Errorf("ask GitHub Actions for an identity token: %w", err)
		}
		return token, checkToken(token, "GitHub Actions' answer")
	}
	if machine != nil {
		data, err := fs.ReadFile(machine, tokenFile)
		if err == nil {
			token := strings.TrimSpace(string(data))
			return token, checkToken(token, "/"+tokenFile)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("read identity token: %w", err)
		}
	}
	return "", fmt.Errorf("%w: looked for %s (GitLab: id_tokens), %s with %s (GitHub Actions: permission id-token: write), /%s (Kubernetes)",
		ErrNoToken, tokenVariable, githubURLVariable, githubRequestVariable, tokenFile)
}

// checkToken tells a token from something that was put in its place. Whether it
// is any good is for Fulcio to say.
func checkToken(token, where string) error {
	if !IsToken(token) {
		return fmt.Errorf("%s: not an identity token: expected three parts with dots between, a JWT", where)
	}
	return nil
}

// IsToken reports whether a text looks like a JWT.
func IsToken(text string) bool {
	return strings.Count(text, ".") == 2 && strings.HasPrefix(text, "ey") && !strings.ContainsAny(text, " \t\r\n/\\")
}
