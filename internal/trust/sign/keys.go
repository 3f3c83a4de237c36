// Package sign knows signatures in the forms of cosign: sigstore bundles, DSSE
// envelopes, and the older signatures over a "simple signing" payload. It makes
// and checks them with key pairs, which may be encrypted under a password. It
// knows bytes only; which manifests they go into is for package attach.
//
// Whatever makes signatures is a [Signer] here, and whatever says whose count a
// [Verifier]: a key in this package, a certificate in package keyless.
//
// Start with [Read], or with [Generate], [ParsePrivate] and [ParsePublic].
package sign

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
)

const (
	privateType = "ENCRYPTED SIGSTORE PRIVATE KEY"
	// oldPrivateType is what cosign wrote before version 2.
	oldPrivateType = "ENCRYPTED COSIGN PRIVATE KEY"
	publicType     = "PUBLIC KEY"
)

// ErrPassword says that a key could not be decrypted with the password given.
var ErrPassword = errors.New("the password does not fit the key")

// Key is a private key.
type Key struct{ signer crypto.Signer }

var (
	_ dsse.Signer = (*Key)(nil)
	_ Signer      = (*Key)(nil)
)

// Public is a public key.
type Public struct {
	key crypto.PublicKey
	der []byte
}

var (
	_ dsse.Verifier = (*Public)(nil)
	_ Verifier      = (*Public)(nil)
)

// Generate makes a key pair, ECDSA on P-256, as PEM; the private one is
// encrypted under the password, which may be empty.
func Generate(password []byte) (private, public []byte, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("generate key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, nil, fmt.Errorf("generate key: %w", err)
	}
	box, err := encrypted.Encrypt(der, password)
	if err != nil {
		return nil, nil, fmt.Errorf("encrypt key: %w", err)
	}
	p, err := (&Key{k}).Public()
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: privateType, Bytes: box}), p.PEM(), nil
}

// ParsePrivate reads a private key as PEM: one of cosign's or ours, encrypted,
// for which password is asked; or a plain one in PKCS #8.
func ParsePrivate(data []byte, password func() ([]byte, error)) (*Key, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("read private key: not PEM")
	}
	der := block.Bytes
	switch block.Type {
	case privateType, oldPrivateType:
		secret, err := password()
		if err != nil {
			return nil, fmt.Errorf("read private key: %w", err)
		}
		if der, err = encrypted.Decrypt(der, secret); err != nil {
			return nil, fmt.Errorf("read private key: %w (%v)", ErrPassword, err)
		}
	case "PRIVATE KEY":
	default:
		return nil, fmt.Errorf("read private key: PEM of type %q, expected %q", block.Type, privateType)
	}
	any, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("read private key: %w", err)
	}
	s, ok := any.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("read private key: %T cannot sign", any)
	}
	k, err := NewKey(s)
	if err != nil {
		return nil, fmt.Errorf("read private key: %w", err)
	}
	return k, nil
}

// NewKey takes a key of the kinds that signatures are made with here.
func NewKey(s crypto.Signer) (*Key, error) {
	if _, err := newPublic(s.Public()); err != nil {
		return nil, err
	}
	return &Key{s}, nil
}

// ParsePublic reads a public key as PEM.
func ParsePublic(data []byte) (*Public, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != publicType {
		return nil, fmt.Errorf("read public key: expected PEM of type %q", publicType)
	}
	k, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read public key: %w", err)
	}
	p, err := newPublic(k)
	if err != nil {
		return nil, fmt.Errorf("read public key: %w", err)
	}
	return p, nil
}

// newPublic takes the kinds of keys that signatures are made with here.
func newPublic(k crypto.PublicKey) (*Public, error) {
	switch k := k.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
	case *rsa.PublicKey:
		if k.N.BitLen() < 2048 {
			return nil, fmt.Errorf("an RSA key of %d bits, expected 2048 or more", k.N.BitLen())
		}
	default:
		return nil, fmt.Errorf("a key of type %T, expected ECDSA, Ed25519 or RSA", k)
	}
	der, err := x509.MarshalPKIXPublicKey(k)
	return &Public{k, der}, err
}

// Public is the key's public half.
func (k *Key) Public() (*Public, error) { return newPublic(k.signer.Public()) }

// PEM is the key as cosign.pub holds it.
func (p *Public) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: publicType, Bytes: p.der})
}

// Hint is what a bundle says of the key that it was signed with: a digest of
// the key.
func (p *Public) Hint() string {
	sum := sha256.Sum256(p.der)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Public is for package dsse.
func (p *Public) Public() crypto.PublicKey { return p.key }

// KeyID is for package dsse: envelopes name no key.
func (p *Public) KeyID() (string, error) { return "", nil }

// KeyID is for package dsse: envelopes name no key.
func (k *Key) KeyID() (string, error) { return "", nil }

// Sign signs a message: the same message and key give the same signature, so
// that signing again changes nothing. ECDSA is made deterministic by RFC 6979.
func (k *Key) Sign(_ context.Context, message []byte) ([]byte, error) {
	if _, ok := k.signer.(ed25519.PrivateKey); ok {
		return k.signer.Sign(nil, message, crypto.Hash(0))
	}
	sum := sha256.Sum256(message)
	return k.signer.Sign(nil, sum[:], crypto.SHA256)
}

// ErrSignature says that a signature was not made with the key.
var ErrSignature = errors.New("the signature was not made with this key, or the signed text was altered")

// Verify checks a signature of a message.
func (p *Public) Verify(_ context.Context, message, signature []byte) error {
	sum := sha256.Sum256(message)
	ok := false
	switch k := p.key.(type) {
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(k, sum[:], signature)
	case ed25519.PublicKey:
		ok = ed25519.Verify(k, message, signature)
	case *rsa.PublicKey:
		ok = rsa.VerifyPKCS1v15(k, crypto.SHA256, sum[:], signature) == nil
	}
	if !ok {
		return ErrSignature
	}
	return nil
}
