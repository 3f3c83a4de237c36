package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"distroless/internal/trust/keyless"
	"distroless/internal/trust/sign"
)

// The public services of sigstore, which cosign takes too.
const (
	publicFulcio = "https://fulcio.sigstore.dev"
	publicRekor  = "https://rekor.sigstore.dev"
)

// signerOptions are the flags that say who signs.
type signerOptions struct {
	key, token, config       string
	fulcio, rekor, timestamp string
	unsigned                 bool
}

func (o *signerOptions) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.key, "key", "", "private `key`: a file, or env://NAME (default keyless, with an identity token)")
	f.StringVar(&o.token, "identity-token", "", "identity `token`: a file, env://NAME, or the token itself (default what the CI system offers)")
	f.StringVar(&o.fulcio, "fulcio-url", publicFulcio, "`address` of the certificate authority")
	f.StringVar(&o.rekor, "rekor-url", publicRekor, "`address` of the transparency log, Rekor version 1, or none")
	f.StringVar(&o.timestamp, "timestamp-server-url", "none", "full `address` of a timestamp server, or none")
	f.StringVar(&o.config, "signing-config", "", "`file` that names the services, in the place of the three addresses: sigstore's signing config")
	f.BoolVar(&o.unsigned, "unsigned", false, "attach without signing")
}

// signer is who signs, and what to say of it; nil with --unsigned.
func (o *signerOptions) signer(cmd *cobra.Command, s *surroundings) (sign.Signer, string, error) {
	certified := o.token != "" || o.config != ""
	switch {
	case o.unsigned && (o.key != "" || certified):
		return nil, "", usagef("--unsigned signs with nothing: leave out --key, --identity-token and --signing-config")
	case o.unsigned:
		return nil, ", unsigned", nil
	case o.key != "" && certified:
		return nil, "", usagef("a signature is made with --key or with an identity token: leave one out")
	case o.key != "":
		k, err := signingKey(s, o.key)
		if err != nil {
			return nil, "", err
		}
		return k, "", nil
	}
	return o.keyless(cmd, s)
}

// keyless is a signer with a certificate.
func (o *signerOptions) keyless(cmd *cobra.Command, s *surroundings) (sign.Signer, string, error) {
	services, err := o.services(cmd)
	if err != nil {
		return nil, "", err
	}
	token, err := o.identityToken(cmd, s)
	if err != nil {
		return nil, "", err
	}
	k, err := keyless.New(cmd.Context(), *services, token, nil)
	if err != nil {
		return nil, "", err
	}
	who, err := k.Identity()
	if err != nil {
		return nil, "", fmt.Errorf("read the certificate of %s: %w", services.Fulcio, err)
	}
	return k, ", signed by " + who.String(), nil
}

// services are where to sign.
func (o *signerOptions) services(cmd *cobra.Command) (*keyless.Services, error) {
	if o.config != "" {
		for _, name := range []string{"fulcio-url", "rekor-url", "timestamp-server-url"} {
			if cmd.Flags().Changed(name) {
				return nil, usagef("--signing-config names the services: leave out --%s", name)
			}
		}
		data, err := readSmall(o.config, "signing config")
		if err != nil {
			return nil, err
		}
		services, err := keyless.ParseSigningConfig(data, time.Now())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.config, err)
		}
		return services, nil
	}
	services := &keyless.Services{Fulcio: o.fulcio}
	if off(services.Fulcio) {
		return nil, usagef("without a certificate authority there is no signature: name one with --fulcio-url, or a key with --key")
	}
	if !off(o.rekor) {
		services.Logs = []keyless.Log{{URL: o.rekor, Version: 1}}
	}
	if !off(o.timestamp) {
		services.Timestamps = []string{o.timestamp}
	}
	if err := services.Check(); err != nil {
		return nil, usageError{err}
	}
	return services, nil
}

func off(address string) bool { return address == "" || address == "none" }

// identityToken is the one that is named, else that of the CI system.
func (o *signerOptions) identityToken(cmd *cobra.Command, s *surroundings) (string, error) {
	if o.token == "" {
		token, err := keyless.FindToken(cmd.Context(), s.environ, s.machine, nil)
		if errors.Is(err, keyless.ErrNoToken) {
			return "", usagef("sign without a key: no --identity-token, and %w: name one, or a key with --key, or attach without signing with --unsigned", err)
		}
		return token, err
	}
	if keyless.IsToken(o.token) {
		return o.token, nil
	}
	text := ""
	if name, ok := strings.CutPrefix(o.token, "env://"); ok {
		text, _ = s.environ(name)
		if text == "" {
			return "", usagef("identity token %s: the variable is not set", o.token)
		}
	} else {
		data, err := readSmall(o.token, "identity token")
		if err != nil {
			return "", err
		}
		text = string(data)
	}
	if text = strings.TrimSpace(text); !keyless.IsToken(text) {
		return "", fmt.Errorf("identity token %s: not a JWT", o.token)
	}
	return text, nil
}

// maxSmall bounds a key, a token, a signing config or a trusted root, in bytes.
const maxSmall = 1 << 20

// readSmall reads a file that a person names.
func readSmall(file, what string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSmall+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	if len(data) > maxSmall {
		return nil, fmt.Errorf("read %s %s: more than %d bytes", what, file, maxSmall)
	}
	return data, nil
}
