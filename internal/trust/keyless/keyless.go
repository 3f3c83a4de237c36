// Package keyless signs without a key that somebody has to keep, and verifies
// such signatures, as sigstore has it: a key made for one run, a certificate that
// an authority (Fulcio) gives for it against an identity token, and an entry in a
// log (Rekor) or a timestamp (RFC 3161) that proves that the signature was made
// in the minutes that the certificate is valid for.
//
// Signing asks services over the network; verifying asks nobody: whom it may
// trust is in a file, the trusted root.
//
// Start with [New], which signs, and [NewIdentity], which verifies.
package keyless

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/digitorus/timestamp"
	bundlev1 "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	commonv1 "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	sigstore "github.com/sigstore/sigstore-go/pkg/sign"

	"distroless/internal/trust/sign"
)

// Services are where signatures are certified and entered. Addresses are URLs.
type Services struct {
	// Fulcio is the address of the certificate authority.
	Fulcio string
	// Logs are transparency logs; every signature is entered in each.
	Logs []Log
	// Timestamps are the full addresses of timestamp authorities; every
	// signature gets a timestamp of each.
	Timestamps []string
}

// Log is a transparency log.
type Log struct {
	URL string
	// Version is that of Rekor's interface: 1, which also says when an entry was
	// made, or 2, which does not.
	Version uint32
}

// Check says whether signatures could be verified later: when they were made
// must be on record, or they end with the certificate, after minutes.
func (s *Services) Check() error {
	if err := secret(s.Fulcio); err != nil {
		return err
	}
	if len(s.Timestamps) > 0 {
		return nil
	}
	for _, l := range s.Logs {
		if l.Version == 1 {
			return nil
		}
	}
	if len(s.Logs) > 0 {
		return errors.New("sign: a log of Rekor version 2 does not say when an entry was made: name a timestamp server too")
	}
	return errors.New("sign: nothing would prove when the signatures were made, and they could not be verified once the certificate ends: name a log or a timestamp server")
}

// secret says whether an identity token may be sent to an address: whoever reads
// it on the way can sign as its owner.
func secret(address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return fmt.Errorf("sign: certificate authority: %w", err)
	}
	ip := net.ParseIP(u.Hostname())
	if u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()) {
		return nil
	}
	return fmt.Errorf("sign: certificate authority %q: the identity token goes there, so only https will do, or http with this machine", address)
}

// Signer signs with a key and a certificate of its own. It may be used by
// several goroutines.
type Signer struct {
	services    Services
	client      *client
	key         *sign.Key
	certificate *x509.Certificate
	pem         []byte   // the certificate's
	chain       [][]byte // above the certificate, DER, the root last
}

var _ sign.Signer = (*Signer)(nil)

// New makes a key and asks for its certificate: once, whatever is signed then.
// token is an identity token that Fulcio takes: a JWT with the audience
// "sigstore". transport may be nil.
func New(ctx context.Context, services Services, token string, transport http.RoundTripper) (*Signer, error) {
	if err := services.Check(); err != nil {
		return nil, err
	}
	raw, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	s := &Signer{services: services, client: newClient(transport)}
	if s.key, err = sign.NewKey(raw); err != nil {
		return nil, err
	}
	chain, err := s.client.certify(ctx, services.Fulcio, token, raw)
	if err != nil {
		return nil, fmt.Errorf("ask %s for a certificate: %w", services.Fulcio, err)
	}
	s.certificate = chain[0]
	if !raw.PublicKey.Equal(s.certificate.PublicKey) {
		return nil, fmt.Errorf("ask %s for a certificate: it is for another key", services.Fulcio)
	}
	s.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: chain[0].Raw})
	for _, c := range chain[1:] {
		s.chain = append(s.chain, c.Raw)
	}
	return s, nil
}

// Identity is who the certificate says has signed.
func (s *Signer) Identity() (Subject, error) { return subjectOf(s.certificate) }

// Statement signs a statement. Each call gives another signature.
func (s *Signer) Statement(ctx context.Context, statement []byte) (*sign.Signed, error) {
	signed, err := s.key.Statement(ctx, statement)
	if err != nil {
		return nil, err
	}
	return signed, s.complete(ctx, signed)
}

// Payload signs an older payload. Each call gives another signature.
func (s *Signer) Payload(ctx context.Context, payload []byte) (*sign.Signed, error) {
	signed, err := s.key.Payload(ctx, payload)
	if err != nil {
		return nil, err
	}
	return signed, s.complete(ctx, signed)
}

// HasOlder reports whether a log makes promises: one of version 1.
func (s *Signer) HasOlder() bool {
	return slices.ContainsFunc(s.services.Logs, func(l Log) bool { return l.Version == 1 })
}

// complete puts the certificate, timestamps and entries of logs beside a
// signature, in the place of the key's hint.
func (s *Signer) complete(ctx context.Context, signed *sign.Signed) error {
	material := &bundlev1.VerificationMaterial{
		Content: &bundlev1.VerificationMaterial_Certificate{Certificate: &commonv1.X509Certificate{RawBytes: s.certificate.Raw}},
	}
	signed.Bundle.VerificationMaterial, signed.Chain = material, s.chain
	for _, url := range s.services.Timestamps {
		token, at, err := s.client.stamp(ctx, url, signed.Signature())
		if err != nil {
			return fmt.Errorf("ask %s for a timestamp: %w", url, err)
		}
		if err := s.within(at); err != nil {
			return err
		}
		if material.TimestampVerificationData == nil {
			material.TimestampVerificationData = &bundlev1.TimestampVerificationData{}
		}
		stamps := &material.TimestampVerificationData.Rfc3161Timestamps
		*stamps = append(*stamps, &commonv1.RFC3161SignedTimestamp{SignedTimestamp: token})
	}
	for _, l := range s.services.Logs {
		if err := l.enter(ctx, s.pem, signed.Bundle); err != nil {
			return fmt.Errorf("enter a signature in the log %s: %w", l.URL, err)
		}
		entry := material.TlogEntries[len(material.TlogEntries)-1]
		if at := entry.GetIntegratedTime(); at != 0 {
			if err := s.within(time.Unix(at, 0)); err != nil {
				return err
			}
		}
	}
	return nil
}

// enter adds an entry of the log to a bundle.
func (l *Log) enter(ctx context.Context, certificate []byte, b *bundlev1.Bundle) (err error) {
	// The library takes an answer to be complete that a log need not make so.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("its answer is not an entry: %v", r)
		}
	}()
	// A client for each call: it makes its connection at the first use, unguarded.
	rekor := sigstore.NewRekor(&sigstore.RekorOptions{BaseURL: l.URL, Version: l.Version, Timeout: timeout, Retries: retries})
	return rekor.GetTransparencyLogEntry(ctx, certificate, b)
}

// within says whether a signature of that time can be verified.
func (s *Signer) within(at time.Time) error {
	if at.Before(s.certificate.NotBefore) || at.After(s.certificate.NotAfter) {
		return fmt.Errorf("sign: the certificate is valid from %s to %s, and the signature is of %s: sign fewer images at once, or set the clocks",
			s.certificate.NotBefore.UTC().Format(time.RFC3339), s.certificate.NotAfter.UTC().Format(time.RFC3339), at.UTC().Format(time.RFC3339))
	}
	return nil
}

// stamp asks a timestamp authority when a signature was there. It returns its
// answer as it stands, and the time in it. See RFC 3161.
func (c *client) stamp(ctx context.Context, url string, signature []byte) ([]byte, time.Time, error) {
	sum := sha256.Sum256(signature)
	query, err := (&timestamp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: sum[:]}).Marshal()
	if err != nil {
		return nil, time.Time{}, err
	}
	data, err := c.post(ctx, url, "application/timestamp-query", query)
	if err != nil {
		return nil, time.Time{}, err
	}
	t, err := timestamp.ParseResponse(data)
	if err != nil {
		return nil, time.Time{}, err
	}
	if !bytes.Equal(t.HashedMessage, sum[:]) {
		return nil, time.Time{}, errors.New("the answer is for something else")
	}
	return data, t.Time, nil
}
