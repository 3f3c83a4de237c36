package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

// What can be wrong with a Release file, for callers that branch on it.
var (
	// ErrSignature: no good signature by a key of the keyring.
	ErrSignature = errors.New("not signed by a trusted key")
	// ErrExpired: its Valid-Until has passed.
	ErrExpired = errors.New("no longer valid")
	// ErrFuture: its Date has not come yet.
	ErrFuture = errors.New("from the future")
	// ErrSuite: it is another suite's.
	ErrSuite = errors.New("another suite's Release")
)

// skew is how far the clocks of an archive and of this machine may differ.
const skew = 10 * time.Minute

// maxSignatures bounds the signatures of one file that are looked at: Debian's
// have two or three.
const maxSignatures = 32

// VerifyOptions say what a Release file is checked against.
type VerifyOptions struct {
	// Suite is the suite that was asked for, which Suite or Codename must
	// name; one ending in a slash, a flat repository's folder, has no name.
	Suite   string
	Keyring *Keyring
	Now     time.Time // the time of the check
	// Snapshot is set for an archive as it was at some time in the past: its
	// Valid-Until does not count, and its keys need only have been valid when
	// they signed.
	Snapshot bool
}

const (
	beginMessage   = "-----BEGIN PGP SIGNED MESSAGE-----"
	beginSignature = "-----BEGIN PGP SIGNATURE-----"
)

// VerifyInRelease checks a clear-signed Release file and reads its signed
// text. The file must be one signed message and nothing else: text before or
// after it, or a second message, is refused, since a reader that is less
// careful than the verifier would take it for signed.
func VerifyInRelease(data []byte, o VerifyOptions) (*Release, error) {
	if err := oneMessage(data); err != nil {
		return nil, fmt.Errorf("read InRelease: %w", err)
	}
	block, rest := clearsign.Decode(data)
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("read InRelease: not one clear-signed message: %w", ErrSignature)
	}
	sig, err := io.ReadAll(block.ArmoredSignature.Body)
	if err != nil {
		return nil, fmt.Errorf("read InRelease: signature: %w: %w", err, ErrSignature)
	}
	// Bytes is the text as it was signed: lines ended by CR LF, no last one.
	signers, err := verifySignatures(block.Bytes, sig, o)
	if err != nil {
		return nil, fmt.Errorf("verify InRelease: %w", err)
	}
	return release(block.Plaintext, data, signers, o)
}

// VerifyDetached checks a Release file against its Release.gpg.
func VerifyDetached(text, signature []byte, o VerifyOptions) (*Release, error) {
	sig, err := unarmor(signature)
	if err != nil {
		return nil, fmt.Errorf("read Release.gpg: %w: %w", err, ErrSignature)
	}
	signers, err := verifySignatures(text, sig, o)
	if err != nil {
		return nil, fmt.Errorf("verify Release: %w", err)
	}
	return release(text, text, signers, o)
}

// oneMessage refuses what would make two readers of a file see different
// texts in it. See RFC 9580, section 7.
func oneMessage(data []byte) error {
	if !bytes.HasPrefix(data, []byte(beginMessage)) {
		return fmt.Errorf("it does not begin with %q: %w", beginMessage, ErrSignature)
	}
	inText, signatures := true, 0
	for n, line := range strings.Split(string(data[len(beginMessage):]), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if i := strings.IndexFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }); i >= 0 {
			return fmt.Errorf("line %d has a control character: %w", n+1, ErrSignature)
		}
		switch {
		case line == beginSignature:
			inText = false
			signatures++
		case inText && strings.HasPrefix(line, "-") && !strings.HasPrefix(line, "- "):
			return fmt.Errorf("line %d begins with a dash that is not escaped: %w", n+1, ErrSignature)
		case strings.HasPrefix(line, beginMessage):
			return fmt.Errorf("line %d begins a second message: %w", n+1, ErrSignature)
		}
	}
	if signatures != 1 {
		return fmt.Errorf("%d signature blocks, want one: %w", signatures, ErrSignature)
	}
	return nil
}

// verifySignatures returns the fingerprints of the keys that signed text well.
// Each signature is looked at alone, so that one which nobody can read does
// not spoil the others: an archive signs with the next release's key too.
func verifySignatures(text, sig []byte, o VerifyOptions) (signers []string, err error) {
	if o.Keyring == nil {
		return nil, fmt.Errorf("no keyring given: %w", ErrSignature)
	}
	var refused []string
	packets := packet.NewOpaqueReader(bytes.NewReader(sig))
	for n := 0; ; n++ {
		p, err := packets.Next()
		if err == io.EOF {
			break
		}
		if err != nil || n == maxSignatures {
			refused = append(refused, "the signature block does not parse")
			break
		}
		var one bytes.Buffer
		if err := p.Serialize(&one); err != nil {
			return nil, fmt.Errorf("signature %d: %w: %w", n+1, err, ErrSignature)
		}
		signer, err := verifyOne(text, one.Bytes(), o)
		if err != nil {
			refused = append(refused, err.Error())
			continue
		}
		signers = append(signers, signer)
	}
	if len(signers) > 0 {
		return signers, nil
	}
	if len(refused) == 0 {
		refused = append(refused, "no signature in it")
	}
	return nil, fmt.Errorf("%w: %s: the keyring has %s", ErrSignature, strings.Join(refused, "; "), strings.Join(o.Keyring.primaries, ", "))
}

// verifyOne checks one signature packet and returns the fingerprint of the key
// that made it.
func verifyOne(text, sig []byte, o VerifyOptions) (string, error) {
	if len(text) == 0 {
		return "", errors.New("nothing is signed")
	}
	config := &packet.Config{Time: func() time.Time { return o.Now.Add(skew) }}
	if o.Snapshot {
		// Zero: a signature's own end does not count, its keys' at signing
		// time do.
		config.Time = func() time.Time { return time.Time{} }
	}
	parsed, err := packet.Read(bytes.NewReader(sig))
	if err != nil {
		return "", fmt.Errorf("signature does not parse: %w", err)
	}
	s, ok := parsed.(*packet.Signature)
	if !ok || s.SigType != packet.SigTypeBinary && s.SigType != packet.SigTypeText {
		return "", errors.New("not a signature over a document")
	}
	by := issuer(s)
	keys, err := o.Keyring.entities()
	if err != nil {
		return "", fmt.Errorf("read keyring: %w", err)
	}
	_, signer, err := openpgp.VerifyDetachedSignature(keys, bytes.NewReader(text), bytes.NewReader(sig), config)
	switch {
	case errors.Is(err, pgperrors.ErrUnknownIssuer):
		return "", fmt.Errorf("signed by unknown key %s", by)
	case err != nil:
		return "", fmt.Errorf("signature by %s: %w", by, err)
	}
	if o.Snapshot {
		return fmt.Sprintf("%X", signer.PrimaryKey.Fingerprint), nil
	}
	if err := validNow(signer, s, o.Now); err != nil {
		return "", fmt.Errorf("signature by %s: %w", by, err)
	}
	return fmt.Sprintf("%X", signer.PrimaryKey.Fingerprint), nil
}

// validNow checks that the key which made a signature may still be trusted:
// the library asks only about the time of signing, and an archive's Release is
// to be signed anew by a key that lives.
func validNow(signer *openpgp.Entity, s *packet.Signature, now time.Time) error {
	if _, err := signer.VerifyPrimaryKey(now, nil); err != nil {
		return err
	}
	for i := range signer.Subkeys {
		sub := &signer.Subkeys[i]
		if s.IssuerKeyId == nil || sub.PublicKey.KeyId != *s.IssuerKeyId {
			continue
		}
		if _, err := sub.Verify(now, nil); err != nil {
			return err
		}
	}
	return nil
}

// issuer names the key that a signature says it is by.
func issuer(s *packet.Signature) string {
	switch {
	case len(s.IssuerFingerprint) > 0:
		return fmt.Sprintf("%X", s.IssuerFingerprint)
	case s.IssuerKeyId != nil:
		return fmt.Sprintf("%016X", *s.IssuerKeyId)
	}
	return "nobody named"
}
