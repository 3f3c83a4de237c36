package sign

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	bundlev1 "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	commonv1 "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	rekorv1 "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

const (
	// BundleType is the media type of a sigstore bundle, version 0.3.
	BundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"
	// oldBundleType is that of the first version, the only one in which a log's
	// promise does without its proof: what signatures in the older form have.
	oldBundleType = "application/vnd.dev.sigstore.bundle+json;version=0.1"
	// EnvelopeType is that of a DSSE envelope.
	EnvelopeType = "application/vnd.dsse.envelope.v1+json"
	// PayloadType is that of an in-toto statement inside an envelope.
	PayloadType = "application/vnd.in-toto+json"
	// SimpleType is that of the payload of an older signature.
	SimpleType = "application/vnd.dev.cosign.simplesigning.v1+json"
	// SignatureType is the predicate type of the statement that signs an image
	// in a bundle.
	SignatureType = "https://sigstore.dev/cosign/sign/v1"
)

// Annotations of a layer in the older form. See cosign's specification of
// signatures, SIGNATURE_SPEC.md.
const (
	signatureAnnotation   = "dev.cosignproject.cosign/signature" // base64; empty where the layer is an envelope
	certificateAnnotation = "dev.sigstore.cosign/certificate"    // PEM
	chainAnnotation       = "dev.sigstore.cosign/chain"          // PEM
	logAnnotation         = "dev.sigstore.cosign/bundle"         // [logged]
	timestampAnnotation   = "dev.sigstore.cosign/rfc3161timestamp"
)

// Signed is a text that somebody signed, with what tells who.
type Signed struct {
	// Payload is the text: a statement, or the payload of an older signature.
	Payload []byte
	// Bundle has the signature and what tells of the signer: a key's hint, or a
	// certificate with entries of logs and timestamps.
	Bundle *bundlev1.Bundle
	// Chain are the authorities above the certificate, in DER, the root last.
	// Only the older form carries them.
	Chain [][]byte
}

// Signer signs texts.
type Signer interface {
	// Statement signs an in-toto statement in a DSSE envelope.
	Statement(ctx context.Context, statement []byte) (*Signed, error)
	// Payload signs the payload of an older signature as it is.
	Payload(ctx context.Context, payload []byte) (*Signed, error)
	// HasOlder reports whether its signatures have the older form: whether
	// [Signed.Older] gives one.
	HasOlder() bool
}

// Verifier says whose signatures count.
type Verifier interface {
	// Check returns who signed, for a person to read: "with the key". The error
	// is a [*Refused] where the signature does not count.
	Check(ctx context.Context, s *Signed) (by string, err error)
}

// Refused is why a signature does not count.
type Refused struct {
	// Altered says that something is not what was signed; else somebody else
	// has signed, or nothing proves who.
	Altered bool
	Err     error
}

func (r *Refused) Error() string { return r.Err.Error() }

// Unwrap gives the cause.
func (r *Refused) Unwrap() error { return r.Err }

// Statement signs a statement. The bundle has the key's hint.
func (k *Key) Statement(ctx context.Context, statement []byte) (*Signed, error) {
	s, err := dsse.NewEnvelopeSigner(k)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	e, err := s.SignPayload(ctx, PayloadType, statement)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	sig, err := base64.StdEncoding.DecodeString(e.Signatures[0].Sig)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	b := &bundlev1.Bundle{MediaType: BundleType, Content: &bundlev1.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
		Payload: statement, PayloadType: PayloadType, Signatures: []*protodsse.Signature{{Sig: sig}},
	}}}
	return k.signed(statement, b)
}

// Payload signs an older payload.
func (k *Key) Payload(ctx context.Context, payload []byte) (*Signed, error) {
	sig, err := k.Sign(ctx, payload)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return k.signed(payload, message(payload, sig))
}

// HasOlder is true of keys.
func (k *Key) HasOlder() bool { return true }

func (k *Key) signed(payload []byte, b *bundlev1.Bundle) (*Signed, error) {
	pub, err := k.Public()
	if err != nil {
		return nil, err
	}
	b.VerificationMaterial = &bundlev1.VerificationMaterial{
		Content: &bundlev1.VerificationMaterial_PublicKey{PublicKey: &commonv1.PublicKeyIdentifier{Hint: pub.Hint()}},
	}
	return &Signed{Payload: payload, Bundle: b}, nil
}

// message is a bundle about a text that is signed as it is.
func message(payload, signature []byte) *bundlev1.Bundle {
	sum := sha256.Sum256(payload)
	return &bundlev1.Bundle{MediaType: BundleType, Content: &bundlev1.Bundle_MessageSignature{MessageSignature: &commonv1.MessageSignature{
		MessageDigest: &commonv1.HashOutput{Algorithm: commonv1.HashAlgorithm_SHA2_256, Digest: sum[:]}, Signature: signature,
	}}}
}

// Check verifies a signature with the key. What its bundle says of logs and
// certificates adds nothing to the key, and is not looked at.
func (p *Public) Check(ctx context.Context, s *Signed) (string, error) {
	err := ErrSignature
	if e := s.Bundle.GetDsseEnvelope(); e != nil {
		var v *dsse.EnvelopeVerifier
		if v, err = dsse.NewEnvelopeVerifier(p); err != nil {
			return "", fmt.Errorf("verify envelope: %w", err)
		}
		if _, err = v.Verify(ctx, envelope(e)); err != nil {
			err = fmt.Errorf("verify envelope: %w", ErrSignature)
		}
	} else if m := s.Bundle.GetMessageSignature(); m != nil {
		err = p.Verify(ctx, s.Payload, m.GetSignature())
	}
	if err != nil {
		return "", &Refused{Altered: s.hint() == p.Hint(), Err: err} // one with its hint claims to be of this key
	}
	return "with the key", nil
}

// hint is what a bundle says of the key that it was signed with, "" where it
// says nothing: see [Public.Hint].
func (s *Signed) hint() string { return s.Bundle.GetVerificationMaterial().GetPublicKey().GetHint() }

// Signature is the signature itself.
func (s *Signed) Signature() []byte {
	if sigs := s.Bundle.GetDsseEnvelope().GetSignatures(); len(sigs) > 0 {
		return sigs[0].GetSig()
	}
	return s.Bundle.GetMessageSignature().GetSignature()
}

// JSON is the bundle, in the form that [BundleType] names.
func (s *Signed) JSON() ([]byte, error) {
	data, err := protojson.Marshal(s.Bundle)
	if err != nil {
		return nil, fmt.Errorf("sign: write bundle: %w", err)
	}
	// The library varies the spaces from build to build.
	var out bytes.Buffer
	if err := json.Compact(&out, data); err != nil {
		return nil, fmt.Errorf("sign: write bundle: %w", err)
	}
	return out.Bytes(), nil
}

// envelope is a bundle's envelope as the older form has it.
func envelope(in *protodsse.Envelope) *dsse.Envelope {
	e := &dsse.Envelope{PayloadType: in.GetPayloadType(), Payload: base64.StdEncoding.EncodeToString(in.GetPayload())}
	for _, s := range in.GetSignatures() {
		e.Signatures = append(e.Signatures, dsse.Signature{KeyID: s.GetKeyid(), Sig: base64.StdEncoding.EncodeToString(s.GetSig())})
	}
	return e
}

// logged is an entry of a log as the older form has it: the promise over what
// comes with it.
type logged struct {
	SignedEntryTimestamp []byte
	Payload              struct {
		Body           []byte `json:"body"`
		IntegratedTime int64  `json:"integratedTime"` // seconds since 1970
		LogIndex       int64  `json:"logIndex"`
		LogID          string `json:"logID"` // hex
	}
}

// stamped is a timestamp as the older form has it.
type stamped struct{ SignedRFC3161Timestamp []byte }

// Older is the layer of the older form: an envelope or a payload, with its
// annotations. With a certificate it needs the promise of a log, and without one
// there is no such form.
func (s *Signed) Older() (data []byte, annotations map[string]string, err error) {
	annotations = map[string]string{signatureAnnotation: ""}
	if e := s.Bundle.GetDsseEnvelope(); e != nil {
		if data, err = json.Marshal(envelope(e)); err != nil {
			return nil, nil, fmt.Errorf("sign: write envelope: %w", err)
		}
	} else {
		data = s.Payload
		annotations[signatureAnnotation] = base64.StdEncoding.EncodeToString(s.Signature())
	}
	material := s.Bundle.GetVerificationMaterial()
	cert := material.GetCertificate().GetRawBytes()
	if cert == nil {
		return data, annotations, nil
	}
	// The log has the digest of an envelope's very bytes, which are these.
	if e := s.Bundle.GetDsseEnvelope(); e != nil {
		if data, err = json.Marshal(e); err != nil {
			return nil, nil, fmt.Errorf("sign: write envelope: %w", err)
		}
	}
	annotations[certificateAnnotation] = encodePEM(cert)
	annotations[chainAnnotation] = encodePEM(s.Chain...)
	for _, e := range material.GetTlogEntries() {
		if e.GetInclusionPromise() == nil {
			continue
		}
		l := logged{SignedEntryTimestamp: e.GetInclusionPromise().GetSignedEntryTimestamp()}
		l.Payload.Body, l.Payload.IntegratedTime = e.GetCanonicalizedBody(), e.GetIntegratedTime()
		l.Payload.LogIndex, l.Payload.LogID = e.GetLogIndex(), hex.EncodeToString(e.GetLogId().GetKeyId())
		text, err := json.Marshal(l)
		if err != nil {
			return nil, nil, fmt.Errorf("sign: write log entry: %w", err)
		}
		annotations[logAnnotation] = string(text)
		return data, annotations, nil
	}
	return nil, nil, errors.New("sign: no log has promised an entry, and the older form has no place for anything else")
}

func encodePEM(certificates ...[]byte) string {
	var b bytes.Buffer
	for _, c := range certificates {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c}))
	}
	return b.String()
}

// Read reads something signed in any of the forms, from a document of that media
// type with the annotations beside it. Nothing of it is verified.
func Read(mediaType string, data []byte, annotations map[string]string) (*Signed, error) {
	switch mediaType {
	case EnvelopeType:
		return readEnvelope(data, annotations)
	case SimpleType:
		sig, err := base64.StdEncoding.DecodeString(annotations[signatureAnnotation])
		if err != nil {
			return nil, fmt.Errorf("read signature: %w", err)
		}
		s := &Signed{Payload: data, Bundle: message(data, sig)}
		return s, s.readOlder(annotations)
	}
	s := &Signed{Bundle: new(bundlev1.Bundle)}
	if err := protojson.Unmarshal(data, s.Bundle); err != nil {
		return nil, fmt.Errorf("read bundle: %w", err)
	}
	e := s.Bundle.GetDsseEnvelope()
	if e == nil {
		return nil, errors.New("read bundle: no DSSE envelope in it")
	}
	s.Payload = e.GetPayload()
	return s, checkType(e.GetPayloadType())
}

func checkType(payloadType string) error {
	if payloadType != PayloadType {
		return fmt.Errorf("read envelope: payload of type %q, expected %s", payloadType, PayloadType)
	}
	return nil
}

func readEnvelope(data []byte, annotations map[string]string) (*Signed, error) {
	e := new(dsse.Envelope)
	if err := json.Unmarshal(data, e); err != nil {
		return nil, fmt.Errorf("read envelope: %w", err)
	}
	payload, err := e.DecodeB64Payload()
	if err != nil {
		return nil, fmt.Errorf("read envelope: %w", err)
	}
	out := &protodsse.Envelope{Payload: payload, PayloadType: e.PayloadType}
	for _, s := range e.Signatures {
		sig, err := base64.StdEncoding.DecodeString(s.Sig)
		if err != nil {
			return nil, fmt.Errorf("read envelope: signature: %w", err)
		}
		out.Signatures = append(out.Signatures, &protodsse.Signature{Sig: sig, Keyid: s.KeyID})
	}
	s := &Signed{Payload: payload, Bundle: &bundlev1.Bundle{MediaType: BundleType, Content: &bundlev1.Bundle_DsseEnvelope{DsseEnvelope: out}}}
	if err := s.readOlder(annotations); err != nil {
		return nil, err
	}
	return s, checkType(e.PayloadType)
}

// readOlder adds to a bundle what annotations tell of the signer: a certificate,
// a log's entry, a timestamp. Without a certificate there is nothing to tell.
func (s *Signed) readOlder(annotations map[string]string) error {
	block, _ := pem.Decode([]byte(annotations[certificateAnnotation]))
	if block == nil {
		return nil
	}
	material := &bundlev1.VerificationMaterial{Content: &bundlev1.VerificationMaterial_Certificate{Certificate: &commonv1.X509Certificate{RawBytes: block.Bytes}}}
	s.Bundle.VerificationMaterial = material
	if text := annotations[logAnnotation]; text != "" {
		entry, err := readEntry([]byte(text))
		if err != nil {
			return err
		}
		material.TlogEntries = []*rekorv1.TransparencyLogEntry{entry}
		s.Bundle.MediaType = oldBundleType
	}
	// Under an envelope cosign has the whole envelope stamped, not the
	// signature; there the log's entry has to tell the time.
	if text := annotations[timestampAnnotation]; text != "" && s.Bundle.GetMessageSignature() != nil {
		var t stamped
		if err := json.Unmarshal([]byte(text), &t); err != nil {
			return fmt.Errorf("read timestamp: %w", err)
		}
		material.TimestampVerificationData = &bundlev1.TimestampVerificationData{
			Rfc3161Timestamps: []*commonv1.RFC3161SignedTimestamp{{SignedTimestamp: t.SignedRFC3161Timestamp}},
		}
	}
	return nil
}

func readEntry(text []byte) (*rekorv1.TransparencyLogEntry, error) {
	var l logged
	if err := json.Unmarshal(text, &l); err != nil {
		return nil, fmt.Errorf("read log entry: %w", err)
	}
	id, err := hex.DecodeString(l.Payload.LogID)
	if err != nil {
		return nil, fmt.Errorf("read log entry: %w", err)
	}
	var kind struct{ Kind, APIVersion string }
	if err := json.Unmarshal(l.Payload.Body, &kind); err != nil {
		return nil, fmt.Errorf("read log entry: %w", err)
	}
	return &rekorv1.TransparencyLogEntry{
		LogIndex: l.Payload.LogIndex, LogId: &commonv1.LogId{KeyId: id}, IntegratedTime: l.Payload.IntegratedTime,
		KindVersion:       &rekorv1.KindVersion{Kind: kind.Kind, Version: kind.APIVersion},
		InclusionPromise:  &rekorv1.InclusionPromise{SignedEntryTimestamp: l.SignedEntryTimestamp},
		CanonicalizedBody: l.Payload.Body,
	}, nil
}

// Certificate is the certificate that a signature comes with; nil where there
// is none.
func (s *Signed) Certificate() (*x509.Certificate, error) {
	material := s.Bundle.GetVerificationMaterial()
	der := material.GetCertificate().GetRawBytes()
	if chain := material.GetX509CertificateChain().GetCertificates(); len(chain) > 0 {
		der = chain[0].GetRawBytes()
	}
	if der == nil {
		return nil, nil
	}
	return x509.ParseCertificate(der)
}
