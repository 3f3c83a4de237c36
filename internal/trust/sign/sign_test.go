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

// forms are the ways in which a statement is kept.
func forms(t testing.TB, s *sign.Signed) map[string][]byte {
	t.Helper()
	bundle, err := s.JSON()
	if err != nil {
		t.Fatal(err)
	}
	envelope, _, err := s.Older()
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{sign.BundleType: bundle, sign.EnvelopeType: envelope}
}

// checked reads and checks what was kept.
func checked(t testing.TB, p *sign.Public, mediaType string, data []byte) ([]byte, error) {
	s, err := sign.Read(mediaType, data, nil)
	if err != nil {
		return nil, err
	}
	by, err := p.Check(t.Context(), s)
	if err == nil && by != "with the key" {
		t.Errorf("signed %q", by)
	}
	return s.Payload, err
}

func TestSigned(t *testing.T) {
	k, p := keys(t)
	_, other := keys(t)
	statement := []byte(`{"_type":"https://in-toto.io/Statement/v1"}`)
	s, err := k.Statement(t.Context(), statement)
	if err != nil {
		t.Fatal(err)
	}
	again, err := k.Statement(t.Context(), statement)
	if err != nil {
		t.Fatal(err)
	}
	for mediaType, data := range forms(t, s) {
		if !bytes.Equal(data, forms(t, again)[mediaType]) {
			t.Errorf("%s: signing again gives other bytes", mediaType)
		}
		if got, err := checked(t, p, mediaType, data); err != nil || !bytes.Equal(got, statement) {
			t.Errorf("%s: %q, %v", mediaType, got, err)
		}
		var refused *sign.Refused
		if _, err := checked(t, other, mediaType, data); !errors.Is(err, sign.ErrSignature) || !errors.As(err, &refused) || refused.Altered {
			t.Errorf("%s with another key: %v", mediaType, err)
		}
		altered := bytes.Replace(data, []byte("eyJfdHlwZSI6"), []byte("eyJfdHlwZSI7"), 1)
		if _, err := checked(t, p, mediaType, altered); err == nil || bytes.Equal(altered, data) {
			t.Errorf("%s altered: accepted", mediaType)
		} else if errors.As(err, &refused) && refused.Altered != (mediaType == sign.BundleType) {
			t.Errorf("%s altered: %v", mediaType, err) // a bundle names its key, an envelope does not
		}
		unsigned := data[:bytes.Index(data, []byte(`"signatures":[`))+len(`"signatures":[`)]
		unsigned = append(unsigned, []byte("]}}")[:2+strings.Count(mediaType, "bundle")]...)
		if _, err := checked(t, p, mediaType, unsigned); err == nil {
			t.Errorf("%s without signatures: accepted", mediaType)
		}
	}
}

func TestSimple(t *testing.T) {
	k, p := keys(t)
	payload, err := sign.Simple("base-debian13", "sha256:abc")
	if err != nil {
		t.Fatal(err)
	}
	s, err := k.Payload(t.Context(), payload)
	if err != nil {
		t.Fatal(err)
	}
	data, annotations, err := s.Older()
	if err != nil || len(annotations) != 1 {
		t.Fatalf("%v, %v", annotations, err)
	}
	if s, err = sign.Read(sign.SimpleType, data, annotations); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Check(t.Context(), s); err != nil {
		t.Error(err)
	}
	if d, err := sign.SimpleDigest(s.Payload); err != nil || d != "sha256:abc" {
		t.Errorf("%q, %v", d, err)
	}
	s.Payload = bytes.Replace(payload, []byte("abc"), []byte("abd"), 1)
	if _, err := p.Check(t.Context(), s); !errors.Is(err, sign.ErrSignature) {
		t.Errorf("altered: %v", err)
	}
	if d, err := sign.SimpleDigest([]byte(`{"critical":{"type":"atomic container signature"}}`)); err == nil {
		t.Errorf("another type of payload: %q", d)
	}
}

// FuzzRead reads what anybody may attach. If it fails, something that the key
// has not signed passes.
func FuzzRead(f *testing.F) {
	k, err := sign.ParsePrivate([]byte(fixedKey), password(""))
	if err != nil {
		f.Fatal(err)
	}
	p, err := k.Public()
	if err != nil {
		f.Fatal(err)
	}
	s, err := k.Statement(f.Context(), []byte("statement"))
	if err != nil {
		f.Fatal(err)
	}
	for _, data := range forms(f, s) {
		f.Add(data, "", "")
	}
	f.Add([]byte("statement"), "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", `{"SignedEntryTimestamp":"","Payload":{"body":"e30=","integratedTime":1,"logIndex":1,"logID":"00"}}`)
	f.Fuzz(func(t *testing.T, data []byte, certificate, log string) {
		annotations := map[string]string{"dev.cosignproject.cosign/signature": "AAAA", "dev.sigstore.cosign/certificate": certificate, "dev.sigstore.cosign/bundle": log}
		for _, mediaType := range []string{sign.BundleType, sign.EnvelopeType, sign.SimpleType} {
			s, err := sign.Read(mediaType, data, annotations)
			if err != nil {
				continue
			}
			if _, err := p.Check(t.Context(), s); err == nil && string(s.Payload) != "statement" {
				t.Errorf("%s: a signature of %q", mediaType, s.Payload)
			}
		}
	})
}

// fixedKey is a key of this test and of nothing else.
const fixedKey = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n-----END PRIVATE KEY-----\n"
