package registry

import (
	"github.com/google/go-containerregistry/pkg/authn"
)

// Keychain finds credentials: first those given, if a name or password is,
// then those of docker's configuration with its credential helpers, or of
// podman's (XDG_RUNTIME_DIR/containers/auth.json and its like). environ is the
// process's environment.
func Keychain(environ func(string) (string, bool)) authn.Keychain {
	user, _ := environ("DISTROLESS_REGISTRY_USERNAME")
	password, _ := environ("DISTROLESS_REGISTRY_PASSWORD")
	if user == "" && password == "" {
		return authn.DefaultKeychain
	}
	return given{authn.AuthConfig{Username: user, Password: password}}
}

type given struct{ auth authn.AuthConfig }

func (g given) Resolve(authn.Resource) (authn.Authenticator, error) {
	return authn.FromConfig(g.auth), nil
}
