package archive

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

//go:embed keys/*.asc
var debianKeys embed.FS

// Keyring holds the public keys whose signature makes an InRelease trusted.
//
// It keeps their bytes, and each verification reads them anew: the library's
// parsed keys remember what they found at one point in time, so they can be
// used neither from two goroutines nor for two times.
type Keyring struct {
	packets      []byte
	primaries    []string // fingerprints of the keys without their subkeys
	fingerprints []string // of all, sorted, each once
}

// DebianKeyring returns the keys of Debian's own archive for a distro, such as
// debian13: those of that release alone, for its main and security archives.
func DebianKeyring(distro string) (*Keyring, error) {
	data, err := debianKeys.ReadFile("keys/" + distro + ".asc")
	if err != nil {
		return nil, fmt.Errorf("find the archive keys of %q: none are built in, want one of %s: give this archive a keyring of its own",
			distro, strings.Join(DebianKeyrings(), ", "))
	}
	k, err := ParseKeyring(data)
	if err != nil {
		return nil, fmt.Errorf("read the archive keys of %s: %w", distro, err)
	}
	return k, nil
}

// DebianKeyrings returns the distros that [DebianKeyring] knows, sorted.
func DebianKeyrings() []string {
	entries, _ := debianKeys.ReadDir("keys")
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(e.Name(), ".asc")
	}
	slices.Sort(names)
	return names
}

// ParseKeyring reads a keyring: armored, in one or several blocks, or binary.
// It must hold at least one key, and no private ones.
func ParseKeyring(data []byte) (*Keyring, error) {
	packets := data
	if bytes.Contains(data, []byte("-----BEGIN PGP")) {
		var err error
		if packets, err = dearmor(data); err != nil {
			return nil, fmt.Errorf("read keyring: %w: want OpenPGP public keys, armored or binary", err)
		}
	}
	keys, err := openpgp.ReadKeyRing(bytes.NewReader(packets))
	if err != nil {
		return nil, fmt.Errorf("read keyring: %w: want OpenPGP public keys, armored or binary", err)
	}
	if len(keys) == 0 {
		return nil, errors.New("read keyring: no keys in it: want OpenPGP public keys, armored or binary")
	}
	k := &Keyring{packets: packets}
	for _, e := range keys {
		primary := fmt.Sprintf("%X", e.PrimaryKey.Fingerprint)
		if e.PrivateKey != nil {
			return nil, fmt.Errorf("read keyring: key %s is a private key: export the public one", primary)
		}
		k.primaries = append(k.primaries, primary)
		k.fingerprints = append(k.fingerprints, primary)
		for _, s := range e.Subkeys {
			k.fingerprints = append(k.fingerprints, fmt.Sprintf("%X", s.PublicKey.Fingerprint))
		}
	}
	slices.Sort(k.fingerprints)
	k.fingerprints = slices.Compact(k.fingerprints)
	return k, nil
}

// dearmor returns the bytes of all armored blocks. The armor reader may read
// ahead of the block that it returns, so each gets its own bytes.
func dearmor(data []byte) ([]byte, error) {
	const end = "-----END PGP PUBLIC KEY BLOCK-----"
	var packets []byte
	for {
		text, rest, found := bytes.Cut(data, []byte(end))
		if !found {
			if bytes.Contains(data, []byte("-----BEGIN PGP")) {
				return nil, errors.New("armored block is not a public key or has no end")
			}
			return packets, nil
		}
		block, err := armor.Decode(io.MultiReader(bytes.NewReader(text), strings.NewReader(end+"\n")))
		if err != nil {
			return nil, err
		}
		if block.Type != openpgp.PublicKeyType {
			return nil, fmt.Errorf("armored block is a %s, want a %s", block.Type, openpgp.PublicKeyType)
		}
		body, err := io.ReadAll(block.Body)
		if err != nil {
			return nil, err
		}
		packets = append(packets, body...)
		data = rest
	}
}

// entities returns the keys, read anew.
func (k *Keyring) entities() (openpgp.EntityList, error) {
	return openpgp.ReadKeyRing(bytes.NewReader(k.packets))
}

// Fingerprints returns the fingerprints of all keys and subkeys, upper-case
// hexadecimal, sorted, each once.
func (k *Keyring) Fingerprints() []string { return slices.Clone(k.fingerprints) }

// Digest identifies the keyring in a lock: the SHA-256, hexadecimal, of its
// sorted fingerprints, each followed by a newline. A key whose life was
// prolonged stays the same key; one that was added or taken away shows.
func (k *Keyring) Digest() string {
	h := sha256.New()
	for _, f := range k.fingerprints {
		_, _ = io.WriteString(h, f+"\n")
	}
	return hex.EncodeToString(h.Sum(nil))
}

// unarmor returns the bytes of a signature, armored or not.
func unarmor(sig []byte) ([]byte, error) {
	if !bytes.HasPrefix(bytes.TrimLeft(sig, " \t\r\n"), []byte("-----BEGIN")) {
		return sig, nil
	}
	block, err := armor.Decode(bytes.NewReader(sig))
	if err != nil {
		return nil, err
	}
	if block.Type != openpgp.SignatureType {
		return nil, fmt.Errorf("armored block is a %s, want a %s", block.Type, openpgp.SignatureType)
	}
	return io.ReadAll(block.Body)
}
