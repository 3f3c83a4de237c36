package keyless

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"distroless/internal/trust/sign"
)

// IdentityOptions say whose signatures count.
type IdentityOptions struct {
	// Subject is who signs, as certificates have it: an address of mail, or the
	// URI of a workflow. SubjectRegexp is a regular expression for it, which need
	// not match the whole; one of the two is needed, and both must hold.
	Subject, SubjectRegexp string
	// Issuer is who vouches for the subject, a URL; IssuerRegexp likewise.
	Issuer, IssuerRegexp string
	// TrustedRoot is sigstore's trusted root, as JSON. What it lists is asked
	// for: where it has certificate transparency logs, a certificate has to be in
	// one; where it has transparency logs, a signature has to be in one; and a log
	// or a timestamp authority of it has to say when that was.
	TrustedRoot []byte
	// IgnoreLog does without an entry in a transparency log. A timestamp has to
	// say when the signature was made then.
	IgnoreLog bool
}

// Identity accepts the signatures of an identity.
type Identity struct {
	material root.TrustedMaterial
	verifier *verify.Verifier
	wanted   verify.CertificateIdentity
	logs     bool // entries in transparency logs are asked for
}

var _ sign.Verifier = (*Identity)(nil)

// NewIdentity reads the trusted root and the identity that is asked for.
func NewIdentity(o IdentityOptions) (*Identity, error) {
	wanted, err := verify.NewShortCertificateIdentity(o.Issuer, o.IssuerRegexp, o.Subject, o.SubjectRegexp)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	material, err := root.NewTrustedRootFromJSON(o.TrustedRoot)
	if err != nil {
		return nil, fmt.Errorf("read trusted root: %w", err)
	}
	if len(material.FulcioCertificateAuthorities()) == 0 {
		return nil, errors.New("read trusted root: it lists no certificate authority")
	}
	id := &Identity{material: material, wanted: wanted, logs: len(material.RekorLogs()) > 0 && !o.IgnoreLog}
	// What an identity has signed is of any size; who reads it parses it.
	options := []verify.VerifierOption{verify.WithoutStatementPredicate()}
	switch {
	case id.logs:
		options = append(options, verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1))
	case len(material.TimestampingAuthorities()) > 0:
		options = append(options, verify.WithSignedTimestamps(1))
	default:
		return nil, errors.New("read trusted root: it lists nobody who could say when a signature was made, neither a log nor a timestamp authority")
	}
	if len(material.CTLogs()) > 0 {
		options = append(options, verify.WithSignedCertificateTimestamps(1))
	}
	if id.verifier, err = verify.NewVerifier(material, options...); err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	return id, nil
}

// Check verifies a signature, its certificate, when it was made, and that the
// certificate is that of the identity.
func (id *Identity) Check(_ context.Context, s *sign.Signed) (string, error) {
	cert, err := s.Certificate()
	if err != nil {
		return "", altered("read certificate: %w", err)
	}
	if cert == nil {
		return "", other("it is signed with a key, and has no certificate of an identity: verify it with --key")
	}
	subject, err := subjectOf(cert)
	if err != nil {
		return "", altered("read certificate: %w", err)
	}
	var options []bundle.Option
	if s.Bundle.GetVerificationMaterial().GetX509CertificateChain() != nil && s.Bundle.GetMediaType() == sign.BundleType {
		options = append(options, bundle.AllowCertificateChain())
	}
	b, err := bundle.NewBundle(s.Bundle, options...)
	if err != nil {
		return "", altered("read bundle: %w", err)
	}
	if _, err := id.verifier.Verify(b, verify.NewPolicy(id.artifact(s), verify.WithCertificateIdentity(id.wanted))); err != nil {
		return "", id.why(s, b, cert, subject, err)
	}
	return "by " + subject.String(), nil
}

// artifact is what a signature is held against. A statement is in its envelope.
func (id *Identity) artifact(s *sign.Signed) verify.ArtifactPolicyOption {
	if s.Bundle.GetDsseEnvelope() != nil {
		return verify.WithoutArtifactUnsafe()
	}
	return verify.WithArtifact(bytes.NewReader(s.Payload))
}

func altered(format string, args ...any) error {
	return &sign.Refused{Altered: true, Err: fmt.Errorf(format, args...)}
}

func other(format string, args ...any) error {
	return &sign.Refused{Err: fmt.Errorf(format, args...)}
}

// why says what is the matter with a signature that does not verify: whether
// something was altered, or somebody else has signed, or nothing proves who. It
// decides nothing else; the library's reason is in cause.
func (id *Identity) why(s *sign.Signed, b *bundle.Bundle, cert *x509.Certificate, subject Subject, cause error) error {
	signature, err := b.SignatureContent()
	if err != nil {
		return altered("read bundle: %w", err)
	}
	content, err := b.VerificationContent()
	if err != nil {
		return altered("read bundle: %w", err)
	}
	if e := s.Bundle.GetDsseEnvelope(); e != nil {
		err = verify.VerifySignature(signature, content, id.material)
	} else {
		err = verify.VerifySignatureWithArtifacts(signature, content, id.material, []io.Reader{bytes.NewReader(s.Payload)})
	}
	if err != nil {
		return altered("the signature was not made with the key of the certificate of %s, or the signed text was altered", subject)
	}
	if _, err := verify.VerifyLeafCertificate(cert.NotBefore, cert, id.material); err != nil {
		return other("signed by %s, says a certificate of %q, which is not of an authority of the trusted root", subject, cert.Issuer)
	}
	if err := id.wanted.Verify(subject.summary); err != nil {
		return other("signed by %s: %s", subject, id.mismatch(subject))
	}
	times, err := id.times(b, subject)
	if err != nil {
		return err
	}
	for _, t := range times {
		if t.Before(cert.NotBefore) || t.After(cert.NotAfter) {
			return other("signed by %s at %s, when the certificate was not valid: it is from %s to %s", subject,
				t.UTC().Format(time.RFC3339), cert.NotBefore.UTC().Format(time.RFC3339), cert.NotAfter.UTC().Format(time.RFC3339))
		}
	}
	return other("signed by %s: %w", subject, cause)
}

// mismatch says which part of an identity is not the one that is asked for.
func (id *Identity) mismatch(subject Subject) string {
	if err := id.wanted.SubjectAlternativeName.Verify(subject.summary); err != nil {
		return "another identity than " + strings.Join(nonEmpty(id.wanted.SubjectAlternativeName.SubjectAlternativeName, id.wanted.SubjectAlternativeName.Regexp.String()), " and ")
	}
	return "another issuer than " + strings.Join(nonEmpty(id.wanted.Issuer.Issuer, id.wanted.Issuer.Regexp.String()), " and ")
}

func nonEmpty(list ...string) []string {
	var out []string
	for _, s := range list {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}

// times are when the logs and the timestamps say that a signature was made. The
// error says which of them is wrong, or that one is missing.
func (id *Identity) times(b *bundle.Bundle, subject Subject) ([]time.Time, error) {
	var times []time.Time
	if id.logs {
		entries, err := b.TlogEntries()
		if err != nil {
			return nil, altered("read log entry: %w", err)
		}
		known := false
		for _, e := range entries {
			_, ok := id.material.RekorLogs()[fmt.Sprintf("%x", e.LogKeyID())]
			known = known || ok
			if ok && !e.IntegratedTime().IsZero() {
				times = append(times, e.IntegratedTime())
			}
		}
		if !known {
			return nil, other("signed by %s, and entered in no transparency log of the trusted root", subject)
		}
		if _, err := verify.VerifyTlogEntry(b, id.material, 1, true); err != nil && !outside(times, b) {
			return nil, altered("signed by %s: its entry in the transparency log is not of this signature, or not the log's: %w", subject, err)
		}
	}
	stamps, err := b.Timestamps()
	if err != nil {
		return nil, altered("read timestamp: %w", err)
	}
	good, bad, err := verify.VerifySignedTimestamp(b, id.material)
	if err != nil {
		return nil, altered("read timestamp: %w", err)
	}
	for _, t := range good {
		times = append(times, t.Time)
	}
	switch {
	case len(times) == 0 && len(stamps) > 0:
		return nil, altered("signed by %s: its timestamp is not of this signature, or not of an authority of the trusted root: %w", subject, errors.Join(bad...))
	case len(times) == 0:
		return nil, other("signed by %s, and nothing proves when: neither a log of the trusted root nor a timestamp", subject)
	}
	return times, nil
}

// outside reports whether a time lies outside those of a bundle's certificate,
// which is why the entry of a log may not count though it is the log's.
func outside(times []time.Time, b *bundle.Bundle) bool {
	content, err := b.VerificationContent()
	if err != nil {
		return false
	}
	for _, t := range times {
		if !content.ValidAtTime(t, nil) {
			return true
		}
	}
	return false
}

// Subject is who a certificate is for.
type Subject struct{ summary certificate.Summary }

func (s Subject) String() string {
	return s.summary.SubjectAlternativeName + " (issuer " + s.summary.Issuer + ")"
}

func subjectOf(cert *x509.Certificate) (Subject, error) {
	summary, err := certificate.SummarizeCertificate(cert)
	if err != nil {
		return Subject{}, err
	}
	return Subject{summary}, nil
}
