package sign

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	bundlev1 "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	commonv1 "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	"google.golang.org/protobuf/encoding/protojson"
)

const (
	// BundleType is the media type of a sigstore bundle, version 0.3.
	BundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"
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

// Envelope signs a statement as a DSSE envelope, in JSON.
func (k *Key) Envelope(ctx context.Context, statement []byte) ([]byte, error) {
	e, err := k.envelope(ctx, statement)
	if err != nil {
		return nil, err
	}
	return json.Marshal(e)
}

func (k *Key) envelope(ctx context.Context, statement []byte) (*dsse.Envelope, error) {
	s, err := dsse.NewEnvelopeSigner(k)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	e, err := s.SignPayload(ctx, PayloadType, statement)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return e, nil
}

// Bundle signs a statement as a sigstore bundle with a public key's hint.
func (k *Key) Bundle(ctx context.Context, statement []byte) ([]byte, error) {
	e, err := k.envelope(ctx, statement)
	if err != nil {
		return nil, err
	}
	pub, err := k.Public()
	if err != nil {
		return nil, err
	}
	sig, err := base64.StdEncoding.DecodeString(e.Signatures[0].Sig)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	b := &bundlev1.Bundle{
		MediaType: BundleType,
		VerificationMaterial: &bundlev1.VerificationMaterial{
			Content: &bundlev1.VerificationMaterial_PublicKey{PublicKey: &commonv1.PublicKeyIdentifier{Hint: pub.Hint()}},
		},
		Content: &bundlev1.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			Payload: statement, PayloadType: PayloadType, Signatures: []*protodsse.Signature{{Sig: sig}},
		}},
	}
	data, err := protojson.Marshal(b)
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

// Open checks a signed statement, a bundle or an envelope, and returns the
// statement. [ErrSignature] is in the error of one that another key signed.
func (p *Public) Open(ctx context.Context, mediaType string, data []byte) ([]byte, error) {
	e := new(dsse.Envelope)
	if mediaType == EnvelopeType {
		if err := json.Unmarshal(data, e); err != nil {
			return nil, fmt.Errorf("read envelope: %w", err)
		}
	} else {
		var err error
		if e, err = bundled(data); err != nil {
			return nil, err
		}
	}
	if e.PayloadType != PayloadType {
		return nil, fmt.Errorf("read envelope: payload of type %q, expected %s", e.PayloadType, PayloadType)
	}
	v, err := dsse.NewEnvelopeVerifier(p)
	if err != nil {
		return nil, fmt.Errorf("verify envelope: %w", err)
	}
	if _, err := v.Verify(ctx, e); err != nil {
		return nil, fmt.Errorf("verify envelope: %w", ErrSignature)
	}
	return e.DecodeB64Payload()
}

// bundled returns the envelope in a bundle.
func bundled(data []byte) (*dsse.Envelope, error) {
	b := new(bundlev1.Bundle)
	if err := protojson.Unmarshal(data, b); err != nil {
		return nil, fmt.Errorf("read bundle: %w", err)
	}
	in := b.GetDsseEnvelope()
	if in == nil {
		return nil, errors.New("read bundle: no DSSE envelope in it")
	}
	e := &dsse.Envelope{PayloadType: in.GetPayloadType(), Payload: base64.StdEncoding.EncodeToString(in.GetPayload())}
	for _, s := range in.GetSignatures() {
		e.Signatures = append(e.Signatures, dsse.Signature{KeyID: s.GetKeyid(), Sig: base64.StdEncoding.EncodeToString(s.GetSig())})
	}
	return e, nil
}

// Unverified returns the statement in a bundle or an envelope without looking
// at its signature: to tell what somebody else has signed, and for no more.
func Unverified(mediaType string, data []byte) ([]byte, error) {
	e := new(dsse.Envelope)
	var err error
	if mediaType == EnvelopeType {
		err = json.Unmarshal(data, e)
	} else {
		e, err = bundled(data)
	}
	if err != nil {
		return nil, err
	}
	return e.DecodeB64Payload()
}

// simple is the payload of an older signature: see containers-signature(5).
type simple struct {
	Critical struct {
		Identity struct {
			Reference string `json:"docker-reference"`
		} `json:"identity"`
		Image struct {
			Digest string `json:"docker-manifest-digest"`
		} `json:"image"`
		Type string `json:"type"`
	} `json:"critical"`
	Optional map[string]any `json:"optional"`
}

const simpleSigning = "cosign container image signature"

// Simple makes the payload of an older signature, and its signature.
func (k *Key) Simple(ctx context.Context, reference, digest string) (payload, signature []byte, err error) {
	var s simple
	s.Critical.Identity.Reference, s.Critical.Image.Digest, s.Critical.Type = reference, digest, simpleSigning
	if payload, err = json.Marshal(s); err != nil {
		return nil, nil, fmt.Errorf("sign: %w", err)
	}
	if signature, err = k.Sign(ctx, payload); err != nil {
		return nil, nil, fmt.Errorf("sign: %w", err)
	}
	return payload, signature, nil
}

// OpenSimple checks an older signature and returns the digest that it is for.
func (p *Public) OpenSimple(ctx context.Context, payload, signature []byte) (digest string, err error) {
	if err := p.Verify(ctx, payload, signature); err != nil {
		return "", err
	}
	return SimpleDigest(payload)
}

// SimpleDigest reads the digest of a payload, verified or not.
func SimpleDigest(payload []byte) (string, error) {
	var s simple
	if err := json.Unmarshal(payload, &s); err != nil {
		return "", fmt.Errorf("read signature's payload: %w", err)
	}
	if s.Critical.Type != simpleSigning {
		return "", fmt.Errorf("read signature's payload: type %q, expected %q", s.Critical.Type, simpleSigning)
	}
	return s.Critical.Image.Digest, nil
}

// Hint is what a bundle says of the key that it was signed with, "" where it
// says nothing: see [Public.Hint].
func Hint(data []byte) string {
	b := new(bundlev1.Bundle)
	if err := protojson.Unmarshal(data, b); err != nil {
		return ""
	}
	return b.GetVerificationMaterial().GetPublicKey().GetHint()
}
