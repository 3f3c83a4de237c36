package archive_test

import (
	"bytes"
	"crypto"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"distroless/internal/debian/archive"
	"distroless/internal/debian/archivetest"
)

const smallRelease = "Suite: trixie\nDate: Sat, 09 Aug 2025 12:00:00 UTC\nSHA256:\n e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 main/binary-amd64/Packages\n"

// at is a library configuration that believes in one point of time.
func at(when time.Time) *packet.Config {
	return &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return when }}
}

// signed clear-signs text with an entity's signing key, or its primary one.
func signed(t *testing.T, text string, config *packet.Config, keys ...*packet.PrivateKey) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := clearsign.EncodeMulti(&b, keys, config)
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return append(b.Bytes(), '\n')
}

func keyring(t *testing.T, entities ...*openpgp.Entity) *archive.Keyring {
	t.Helper()
	var b bytes.Buffer
	for _, e := range entities {
		if err := e.Serialize(&b); err != nil {
			t.Fatal(err)
		}
	}
	k, err := archive.ParseKeyring(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newEntity(t *testing.T, config *packet.Config) *openpgp.Entity {
	t.Helper()
	e, err := openpgp.NewEntity("Archive", "", "nobody@example.org", config)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.AddSigningSubkey(config); err != nil {
		t.Fatal(err)
	}
	return e
}

// A key that its owner took back, or that has come to its end, signs nothing
// any more, and its subkeys neither.
func TestRevokedAndExpired(t *testing.T) {
	date := archivetest.Epoch()
	born, later := date.AddDate(-1, 0, 0), date.AddDate(0, 1, 0)
	tests := []struct {
		name           string
		prepare        func(e *openpgp.Entity) error
		live, snapshot bool // whether it is accepted a month after signing
	}{
		{"good", func(*openpgp.Entity) error { return nil }, true, true},
		{"key compromised", func(e *openpgp.Entity) error { return e.Revoke(packet.KeyCompromised, "", at(later)) }, false, false},
		{"subkey compromised", func(e *openpgp.Entity) error { return signingSubkey(e).Revoke(packet.KeyCompromised, "", at(later)) }, false, false},
		{"key retired since", func(e *openpgp.Entity) error { return e.Revoke(packet.KeyRetired, "", at(later)) }, false, true},
		{"subkey retired since", func(e *openpgp.Entity) error { return signingSubkey(e).Revoke(packet.KeyRetired, "", at(later)) }, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newEntity(t, at(born))
			data := signed(t, smallRelease, at(date), signingSubkey(e).PrivateKey)
			if err := tt.prepare(e); err != nil {
				t.Fatal(err)
			}
			k := keyring(t, e)
			for _, snapshot := range []bool{false, true} {
				want := tt.live
				if snapshot {
					want = tt.snapshot
				}
				_, err := archive.VerifyInRelease(data, archive.VerifyOptions{Suite: "trixie", Keyring: k, Now: later.Add(time.Hour), Snapshot: snapshot})
				if (err == nil) != want || err != nil && !errors.Is(err, archive.ErrSignature) {
					t.Errorf("snapshot %v: %v, want accepted: %v", snapshot, err, want)
				}
			}
		})
	}
}

func signingSubkey(e *openpgp.Entity) *openpgp.Subkey {
	for i := range e.Subkeys {
		if e.Subkeys[i].PublicKey.PubKeyAlgo.CanSign() {
			return &e.Subkeys[i]
		}
	}
	return nil
}

// An archive signs with the last and the next release's keys too: one good
// signature is enough, wherever it stands, and a bad one beside it is no harm.
func TestSeveralSignatures(t *testing.T) {
	date := archivetest.Epoch()
	a, b, c := newEntity(t, at(date)), newEntity(t, at(date)), newEntity(t, at(date))
	data := signed(t, smallRelease, at(date), a.PrivateKey, signingSubkey(b).PrivateKey)
	o := archive.VerifyOptions{Suite: "trixie", Now: date}
	for name, tt := range map[string]struct {
		trusted []*openpgp.Entity
		signers int
	}{"first": {[]*openpgp.Entity{a}, 1}, "second": {[]*openpgp.Entity{c, b}, 1}, "both": {[]*openpgp.Entity{b, a}, 2}, "neither": {[]*openpgp.Entity{c}, 0}} {
		o.Keyring = keyring(t, tt.trusted...)
		r, err := archive.VerifyInRelease(data, o)
		if tt.signers == 0 {
			if !errors.Is(err, archive.ErrSignature) || strings.Count(err.Error(), "unknown key") != 2 {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || len(r.Signers) != tt.signers {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// SHA-1 can be forged.
func TestWeakSignatureHash(t *testing.T) {
	date := archivetest.Epoch()
	config := at(date)
	config.Algorithm = packet.PubKeyAlgoRSA
	config.RSABits = 2048
	e := newEntity(t, config)
	weak := at(date)
	weak.DefaultHash, weak.NonDeterministicSignaturesViaNotation = crypto.SHA1, new(bool)
	sig := &packet.Signature{Version: 4, SigType: packet.SigTypeBinary, PubKeyAlgo: e.PrivateKey.PubKeyAlgo, Hash: crypto.SHA1, CreationTime: date, IssuerKeyId: &e.PrimaryKey.KeyId}
	h, err := sig.PrepareSign(weak)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = h.Write([]byte(smallRelease))
	if err := sig.Sign(h, e.PrivateKey, weak); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := sig.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	_, err = archive.VerifyDetached([]byte(smallRelease), b.Bytes(), archive.VerifyOptions{Suite: "trixie", Keyring: keyring(t, e), Now: date})
	if !errors.Is(err, archive.ErrSignature) || !strings.Contains(err.Error(), "SHA-1") {
		t.Errorf("error %v, want one about SHA-1", err)
	}
}

// Suites are verified side by side with one keyring.
func TestKeyringShared(t *testing.T) {
	date := archivetest.Epoch()
	e := newEntity(t, at(date))
	data, k := signed(t, smallRelease, at(date), signingSubkey(e).PrivateKey), keyring(t, e)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			_, err := archive.VerifyInRelease(data, archive.VerifyOptions{Suite: "trixie", Keyring: k, Now: date.AddDate(0, 0, i-3)})
			if (err == nil) != (i >= 3) {
				t.Errorf("%d days after: %v", i-3, err)
			}
		})
	}
	wg.Wait()
}
