package sign_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"distroless/internal/trust/sign"
)

func password(s string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(s), nil }
}

// keys is a pair without a password, which would cost time.
func keys(t *testing.T) (*sign.Key, *sign.Public) {
	t.Helper()
	raw, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	k, err := sign.ParsePrivate(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), password(""))
	if err != nil {
		t.Fatal(err)
	}
	p, err := k.Public()
	if err != nil {
		t.Fatal(err)
	}
	return k, p
}

// TestKeys: if it fails, a key is lost, or opens without its password.
func TestKeys(t *testing.T) {
	private, public, err := sign.Generate([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(private, []byte("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n")) {
		t.Errorf("private key %s", private)
	}
	for _, wrong := range []string{"Secret"} {
		if _, err := sign.ParsePrivate(private, password(wrong)); !errors.Is(err, sign.ErrPassword) {
			t.Errorf("password %q: %v", wrong, err)
		}
	}
	k, err := sign.ParsePrivate(private, password("secret"))
	if err != nil {
		t.Fatal(err)
	}
	if p, err := k.Public(); err != nil || !bytes.Equal(p.PEM(), public) {
		t.Errorf("the halves do not fit: %v", err)
	}
	for _, bad := range []string{"", "x", string(public), "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if _, err := sign.ParsePrivate([]byte(bad), password("")); err == nil {
			t.Errorf("private key %q: accepted", bad)
		}
	}
	for _, bad := range []string{"", string(private)} {
		if _, err := sign.ParsePublic([]byte(bad)); err == nil {
			t.Errorf("public key %q: accepted", bad)
		}
	}
}

// TestKinds signs with the kinds of keys that others make.
func TestKinds(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	big, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range []any{ed, big} {
		der, err := x509.MarshalPKCS8PrivateKey(raw)
		if err != nil {
			t.Fatal(err)
		}
		k, err := sign.ParsePrivate(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), password(""))
		if err != nil {
			t.Fatal(err)
		}
		p, err := k.Public()
		if err != nil {
			t.Fatal(err)
		}
		sig, err := k.Sign(t.Context(), []byte("message"))
		if err != nil || p.Verify(t.Context(), []byte("message"), sig) != nil || p.Verify(t.Context(), []byte("massage"), sig) == nil {
			t.Errorf("%T: %v", raw, err)
		}
	}
}

func TestSigned(t *testing.T) {
	k, p := keys(t)
	_, other := keys(t)
	statement := []byte(`{"_type":"https://in-toto.io/Statement/v1"}`)
	for _, mediaType := range []string{sign.BundleType, sign.EnvelopeType} {
		make := k.Bundle
		if mediaType == sign.EnvelopeType {
			make = k.Envelope
		}
		data, err := make(t.Context(), statement)
		if err != nil {
			t.Fatal(err)
		}
		again, err := make(t.Context(), statement)
		if err != nil || !bytes.Equal(data, again) {
			t.Errorf("%s: signing again gives other bytes: %v", mediaType, err)
		}
		if got, err := p.Open(t.Context(), mediaType, data); err != nil || !bytes.Equal(got, statement) {
			t.Errorf("%s: %q, %v", mediaType, got, err)
		}
		if _, err := other.Open(t.Context(), mediaType, data); !errors.Is(err, sign.ErrSignature) {
			t.Errorf("%s with another key: %v", mediaType, err)
		}
		altered := bytes.Replace(data, []byte("eyJfdHlwZSI6"), []byte("eyJfdHlwZSI7"), 1)
		if _, err := p.Open(t.Context(), mediaType, altered); err == nil || bytes.Equal(altered, data) {
			t.Errorf("%s altered: accepted", mediaType)
		}
		if got, err := sign.Unverified(mediaType, data); err != nil || !bytes.Equal(got, statement) {
			t.Errorf("%s unverified: %q, %v", mediaType, got, err)
		}
		unsigned := data[:bytes.Index(data, []byte(`"signatures":[`))+len(`"signatures":[`)]
		unsigned = append(unsigned, []byte("]}}")[:2+strings.Count(mediaType, "bundle")]...)
		if _, err := p.Open(t.Context(), mediaType, unsigned); err == nil {
			t.Errorf("%s without signatures: accepted", mediaType)
		}
	}
}

func TestSimple(t *testing.T) {
	k, p := keys(t)
	payload, sig, err := k.Simple(t.Context(), "base-debian13", "sha256:abc")
	if err != nil {
		t.Fatal(err)
	}
	if d, err := p.OpenSimple(t.Context(), payload, sig); err != nil || d != "sha256:abc" {
		t.Errorf("%q, %v", d, err)
	}
	if _, err := p.OpenSimple(t.Context(), bytes.Replace(payload, []byte("abc"), []byte("abd"), 1), sig); !errors.Is(err, sign.ErrSignature) {
		t.Errorf("altered: %v", err)
	}
	if d, err := sign.SimpleDigest([]byte(`{"critical":{"type":"atomic container signature"}}`)); err == nil {
		t.Errorf("another type of payload: %q", d)
	}
}

func FuzzOpen(f *testing.F) {
	k, err := sign.ParsePrivate([]byte(fixedKey), password(""))
	if err != nil {
		f.Fatal(err)
	}
	p, err := k.Public()
	if err != nil {
		f.Fatal(err)
	}
	for _, make := range [](func() ([]byte, error)){
		func() ([]byte, error) { return k.Bundle(f.Context(), []byte("statement")) },
		func() ([]byte, error) { return k.Envelope(f.Context(), []byte("statement")) },
	} {
		data, err := make()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, mediaType := range []string{sign.BundleType, sign.EnvelopeType} {
			if got, err := p.Open(t.Context(), mediaType, data); err == nil && string(got) != "statement" {
				t.Errorf("%s: a signature of %q", mediaType, got)
			}
		}
	})
}

// fixedKey is a key of this test and of nothing else.
const fixedKey = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n-----END PRIVATE KEY-----\n"
