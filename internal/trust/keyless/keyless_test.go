package keyless_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	bundlev1 "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	commonv1 "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	testdata "github.com/sigstore/sigstore-go/pkg/testing/data"
	"google.golang.org/protobuf/proto"

	"distroless/internal/trust/keyless"
	"distroless/internal/trust/keyless/keylesstest"
	"distroless/internal/trust/sign"
)

const statement = `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"","digest":{"sha256":"0000000000000000000000000000000000000000000000000000000000000000"}}],"predicateType":"https://example.org/v1","predicate":{}}`

// everything is a trusted root that lists all there is.
var everything = keylesstest.Trust{CT: true, Log: true, Timestamp: true}

// services are those of a fake, with a log of that version (0 is none) and a
// timestamp authority or none.
func services(s *keylesstest.Services, version uint32, stamped bool) keyless.Services {
	out := keyless.Services{Fulcio: s.URL}
	if version > 0 {
		out.Logs = []keyless.Log{{URL: s.URL, Version: version}}
	}
	if stamped {
		out.Timestamps = []string{s.Timestamp()}
	}
	return out
}

func newSigner(t *testing.T, s keyless.Services) *keyless.Signer {
	t.Helper()
	signer, err := keyless.New(t.Context(), s, keylesstest.Token(keylesstest.Identity, keylesstest.Issuer), nil)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// wanted is the identity of the fakes.
func wanted(root []byte) keyless.IdentityOptions {
	return keyless.IdentityOptions{Subject: keylesstest.Identity, Issuer: keylesstest.Issuer, TrustedRoot: root}
}

func check(t *testing.T, o keyless.IdentityOptions, s *sign.Signed) (string, error) {
	t.Helper()
	id, err := keyless.NewIdentity(o)
	if err != nil {
		t.Fatal(err)
	}
	return id.Check(t.Context(), s)
}

// kind is what became of a check.
func kind(err error) string {
	var r *sign.Refused
	switch {
	case err == nil:
		return "accepted"
	case !errors.As(err, &r):
		return err.Error()
	case r.Altered:
		return "altered"
	}
	return "other"
}

// both signs a statement and a payload.
func both(t *testing.T, s *keyless.Signer) map[string]*sign.Signed {
	t.Helper()
	st, err := s.Statement(t.Context(), []byte(statement))
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Payload(t.Context(), []byte("payload"))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*sign.Signed{"statement": st, "payload": p}
}

// TestSigned signs with each set of services and verifies what comes back from
// each form. If it fails, keyless signatures do not hold.
func TestSigned(t *testing.T) {
	for _, version := range []uint32{0, 1, 2} {
		for _, stamped := range []bool{true, false} {
			s := keylesstest.New(t)
			to := services(s, version, stamped)
			t.Run(fmt.Sprintf("log %d, timestamp %v", version, stamped), func(t *testing.T) {
				if to.Check() != nil {
					if _, err := keyless.New(t.Context(), to, "", nil); err == nil || s.Calls("/api/v2/signingCert") > 0 {
						t.Errorf("signing with what nobody could verify: %v", err)
					}
					return
				}
				signer := newSigner(t, to)
				if who, err := signer.Identity(); err != nil || who.String() != keylesstest.Identity+" (issuer "+keylesstest.Issuer+")" {
					t.Errorf("%s, %v", who, err)
				}
				o := wanted(s.TrustedRoot(keylesstest.Trust{CT: true, Log: version > 0, Timestamp: stamped}))
				for name, signed := range both(t, signer) {
					by, err := check(t, o, signed)
					if err != nil || by != "by "+keylesstest.Identity+" (issuer "+keylesstest.Issuer+")" {
						t.Errorf("%s: %q, %v", name, by, err)
					}
					forms(t, o, name, signed, version == 1)
				}
				if signer.HasOlder() != (version == 1) {
					t.Errorf("has the older form: %v", signer.HasOlder())
				}
				if n := s.Calls("/api/v2/signingCert"); n != 1 {
					t.Errorf("%d certificates", n)
				}
			})
		}
	}
}

// forms reads a signature back from the forms that it is kept in.
func forms(t *testing.T, o keyless.IdentityOptions, name string, signed *sign.Signed, older bool) {
	t.Helper()
	mediaType := sign.SimpleType
	if name == "statement" {
		mediaType = sign.EnvelopeType
		data, err := signed.JSON()
		if err != nil {
			t.Fatal(err)
		}
		again, err := sign.Read(sign.BundleType, data, nil)
		if err != nil || string(again.Payload) != statement {
			t.Fatal(err)
		}
		if _, err := check(t, o, again); err != nil {
			t.Errorf("bundle: %v", err)
		}
	}
	data, annotations, err := signed.Older()
	if (err == nil) != older {
		t.Fatalf("%s in the older form: %v", name, err)
	}
	if err != nil {
		return
	}
	if n := strings.Count(annotations["dev.sigstore.cosign/chain"], "BEGIN"); n != 2 {
		t.Errorf("%s: a chain of %d", name, n)
	}
	// cosign compares a log's digest with these very bytes.
	sum := sha256.Sum256(data)
	var log struct{ Payload struct{ Body []byte } }
	if err := json.Unmarshal([]byte(annotations["dev.sigstore.cosign/bundle"]), &log); err != nil || !bytes.Contains(log.Payload.Body, []byte(hex.EncodeToString(sum[:]))) {
		t.Errorf("%s: the log's entry is not of its bytes: %v\n%s", name, err, log.Payload.Body)
	}
	again, err := sign.Read(mediaType, data, annotations)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := check(t, o, again); err != nil {
		t.Errorf("%s in the older form: %v", name, err)
	}
	annotations["dev.sigstore.cosign/bundle"] = strings.Replace(annotations["dev.sigstore.cosign/bundle"], `"logIndex":`, `"logIndex":1`, 1)
	if again, err = sign.Read(mediaType, data, annotations); err != nil {
		t.Fatal(err)
	}
	if _, err := check(t, o, again); kind(err) != "altered" {
		t.Errorf("%s in the older form, another index: %v", name, err)
	}
}

// TestTampering changes one thing of what was signed, or asks for another. If it
// fails, a signature counts that proves nothing.
func TestTampering(t *testing.T) {
	s, elsewhere := keylesstest.New(t), keylesstest.New(t)
	trusted := s.TrustedRoot(everything)
	material := func(b *bundlev1.Bundle) *bundlev1.VerificationMaterial { return b.VerificationMaterial }
	foreign := both(t, newSigner(t, services(elsewhere, 1, true)))
	second := both(t, newSigner(t, services(s, 1, true)))
	for name, c := range map[string]struct {
		ask    func(o *keyless.IdentityOptions)
		change func(b, again *bundlev1.Bundle)
		want   string
	}{
		"nothing":                  {nil, nil, "accepted"},
		"another identity":         {func(o *keyless.IdentityOptions) { o.Subject += "x" }, nil, "other"},
		"another issuer":           {func(o *keyless.IdentityOptions) { o.Issuer = "https://example.org" }, nil, "other"},
		"a pattern that fits":      {func(o *keyless.IdentityOptions) { o.Subject, o.SubjectRegexp = "", `^https://ci\.example\.org/team/` }, nil, "accepted"},
		"a pattern that does not":  {func(o *keyless.IdentityOptions) { o.Subject, o.SubjectRegexp = "", `^https://ci\.example\.org/others/` }, nil, "other"},
		"a pattern for the issuer": {func(o *keyless.IdentityOptions) { o.Issuer, o.IssuerRegexp = "", `^nobody$` }, nil, "other"},
		"another authority":        {func(o *keyless.IdentityOptions) { o.TrustedRoot = elsewhere.TrustedRoot(everything) }, nil, "other"},
		"the signature":            {nil, func(b, _ *bundlev1.Bundle) { flip(signatureOf(b)) }, "altered"},
		"another certificate": {nil, func(b, again *bundlev1.Bundle) {
			material(b).Content = material(again).Content
		}, "altered"},
		"no entry":                {nil, func(b, _ *bundlev1.Bundle) { material(b).TlogEntries = nil }, "other"},
		"no entry, not asked for": {func(o *keyless.IdentityOptions) { o.IgnoreLog = true }, func(b, _ *bundlev1.Bundle) { material(b).TlogEntries = nil }, "accepted"},
		"another entry": {nil, func(b, again *bundlev1.Bundle) {
			material(b).TlogEntries = material(again).TlogEntries
		}, "altered"},
		"the log's promise": {nil, func(b, _ *bundlev1.Bundle) { flip(material(b).TlogEntries[0].InclusionPromise.SignedEntryTimestamp) }, "altered"},
		"the time of entry": {nil, func(b, _ *bundlev1.Bundle) { material(b).TlogEntries[0].IntegratedTime++ }, "altered"},
		"the log's proof":   {nil, func(b, _ *bundlev1.Bundle) { flip(material(b).TlogEntries[0].InclusionProof.RootHash) }, "altered"},
		"the tree's head": {nil, func(b, _ *bundlev1.Bundle) {
			c := material(b).TlogEntries[0].InclusionProof.Checkpoint
			c.Envelope = strings.Replace(c.Envelope, "\n1\n", "\n2\n", 1)
		}, "altered"},
		"the entry's body": {nil, func(b, _ *bundlev1.Bundle) {
			e := material(b).TlogEntries[0]
			e.CanonicalizedBody = bytes.Replace(e.CanonicalizedBody, []byte(`"apiVersion"`), []byte(` "apiVersion"`), 1)
		}, "altered"},
		"a log's entry that the root does not list": {nil, func(b, _ *bundlev1.Bundle) { flip(material(b).TlogEntries[0].LogId.KeyId) }, "other"},
		"no timestamp": {nil, func(b, _ *bundlev1.Bundle) { material(b).TimestampVerificationData = nil }, "accepted"}, // the log tells the time
		"neither":      {func(o *keyless.IdentityOptions) { o.IgnoreLog = true }, func(b, _ *bundlev1.Bundle) { material(b).TimestampVerificationData = nil }, "other"},
		"another timestamp": {func(o *keyless.IdentityOptions) { o.IgnoreLog = true }, func(b, again *bundlev1.Bundle) {
			material(b).TimestampVerificationData = material(again).TimestampVerificationData
		}, "altered"},
		"a key in the place of the certificate": {nil, func(b, _ *bundlev1.Bundle) {
			material(b).Content = &bundlev1.VerificationMaterial_PublicKey{PublicKey: &commonv1.PublicKeyIdentifier{Hint: "hint"}}
		}, "other"},
		"nothing of the signer":      {nil, func(b, _ *bundlev1.Bundle) { b.VerificationMaterial = nil }, "other"},
		"a certificate that is none": {nil, func(b, _ *bundlev1.Bundle) { material(b).GetCertificate().RawBytes = []byte("x") }, "altered"},
	} {
		t.Run(name, func(t *testing.T) {
			for what, signed := range both(t, newSigner(t, services(s, 1, true))) {
				o := wanted(trusted)
				if c.ask != nil {
					c.ask(&o)
				}
				if c.change != nil {
					c.change(signed.Bundle, second[what].Bundle)
				}
				if _, err := check(t, o, signed); kind(err) != c.want {
					t.Errorf("%s: %s, want %s: %v", what, kind(err), c.want, err)
				}
			}
		})
	}
	t.Run("another text", func(t *testing.T) {
		signed := both(t, newSigner(t, services(s, 1, true)))
		signed["payload"].Payload = []byte("Payload")
		signed["statement"].Bundle.GetDsseEnvelope().Payload = []byte(strings.Replace(statement, "example", "Example", 1))
		for what, s := range signed {
			if _, err := check(t, wanted(trusted), s); kind(err) != "altered" {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
	t.Run("signed with another authority's certificate", func(t *testing.T) {
		for what, signed := range foreign {
			_, err := check(t, wanted(trusted), signed)
			if kind(err) != "other" || !strings.Contains(err.Error(), keylesstest.Identity) {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
	t.Run("the message names who signed", func(t *testing.T) {
		o := wanted(trusted)
		o.Subject = "https://ci.example.org/other"
		if _, err := check(t, o, second["statement"]); !strings.Contains(err.Error(), "signed by "+keylesstest.Identity+" (issuer "+keylesstest.Issuer+")") || !strings.Contains(err.Error(), o.Subject) {
			t.Error(err)
		}
	})
}

func signatureOf(b *bundlev1.Bundle) []byte {
	return (&sign.Signed{Bundle: b}).Signature()
}

func flip(data []byte) { data[len(data)/2] ^= 1 }

// TestTime signs when the certificate is not valid, by the clock of the log and
// of the timestamp authority.
func TestTime(t *testing.T) {
	for _, late := range []time.Duration{-time.Hour, time.Hour} {
		s := keylesstest.New(t)
		signer := newSigner(t, services(s, 1, true))
		good := both(t, signer)["statement"]
		trusted := s.TrustedRoot(everything)
		s.Now = func() time.Time { return time.Now().Add(late) }
		if _, err := signer.Statement(t.Context(), []byte(statement)); err == nil || !strings.Contains(err.Error(), "the certificate is valid from") {
			t.Errorf("%s: %v", late, err)
		}
		// What somebody with the key could have done later.
		for _, to := range []keyless.Services{services(s, 1, false), services(s, 0, true), services(s, 2, true)} {
			signed := &sign.Signed{Payload: good.Payload, Bundle: proto.CloneOf(good.Bundle)}
			other := both(t, newSigner(t, to))["statement"] // at the other time, by its own certificate
			signed.Bundle.VerificationMaterial.TlogEntries = other.Bundle.VerificationMaterial.TlogEntries
			signed.Bundle.VerificationMaterial.TimestampVerificationData = other.Bundle.VerificationMaterial.TimestampVerificationData
			o := wanted(trusted)
			o.IgnoreLog = len(to.Logs) == 0
			if _, err := check(t, o, signed); kind(err) == "accepted" {
				t.Errorf("%s: accepted", late)
			}
		}
	}
	// A certificate of the past with a timestamp of now, rightly made.
	s := keylesstest.New(t)
	s.Now = func() time.Time { return time.Now().Add(-time.Hour) }
	token := keylesstest.Token(keylesstest.Identity, keylesstest.Issuer)
	signer, err := keyless.New(t.Context(), services(s, 0, true), token, nil)
	if err != nil {
		t.Fatal(err)
	}
	signed := both(t, signer)["payload"]
	if _, err := check(t, wanted(s.TrustedRoot(keylesstest.Trust{Timestamp: true})), signed); err != nil {
		t.Errorf("a certificate that has ended since: %v", err)
	}
	s.Now = time.Now
	late, err := keyless.Stamp(t.Context(), s.Timestamp(), signed.Signature())
	if err != nil {
		t.Fatal(err)
	}
	signed.Bundle.VerificationMaterial.TimestampVerificationData.Rfc3161Timestamps[0].SignedTimestamp = late
	_, err = check(t, wanted(s.TrustedRoot(keylesstest.Trust{Timestamp: true})), signed)
	if kind(err) != "other" || !strings.Contains(err.Error(), "when the certificate was not valid") {
		t.Errorf("stamped too late: %v", err)
	}
}

// TestTransparency: a certificate that its authority did not publish counts only
// where the trusted root lists nobody to publish it with.
func TestTransparency(t *testing.T) {
	s := keylesstest.New(t)
	signed := both(t, newSigner(t, services(s, 1, false)))["statement"]
	other := keylesstest.New(t)
	if _, err := check(t, wanted(s.TrustedRootWith(other.CT(), keylesstest.Trust{CT: true, Log: true})), signed); kind(err) != "other" || !strings.Contains(err.Error(), "certificate timestamp") {
		t.Errorf("published in another log: %v", err)
	}
	if _, err := check(t, wanted(s.TrustedRoot(keylesstest.Trust{Log: true})), signed); err != nil {
		t.Errorf("nobody asks: %v", err)
	}
}

// TestMutated takes each value out of bundles, and puts others in its place. If
// it fails, a document that somebody puts beside an image ends the program, or
// passes unsigned. (As a fuzz target it would have all of sigstore built again.)
func TestMutated(t *testing.T) {
	s := keylesstest.New(t)
	id, err := keyless.NewIdentity(wanted(s.TrustedRoot(everything)))
	if err != nil {
		t.Fatal(err)
	}
	for version := uint32(1); version <= 2; version++ {
		signed := both(t, newSigner(t, services(s, version, true)))["statement"]
		data, err := signed.JSON()
		if err != nil {
			t.Fatal(err)
		}
		var doc any
		if err := json.Unmarshal(data, &doc); err != nil {
			t.Fatal(err)
		}
		tried := 0
		mutate(doc, func() {
			tried++
			data, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			read, err := sign.Read(sign.BundleType, data, nil)
			if err != nil {
				return
			}
			if _, err := id.Check(t.Context(), read); err == nil && string(read.Payload) != statement {
				t.Errorf("a signature of %q: %s", read.Payload, data)
			}
		})
		if tried < 100 {
			t.Errorf("%d changes tried", tried)
		}
	}
}

// mutate calls f with a document each of whose values is taken out or replaced
// in turn.
func mutate(v any, f func()) {
	others := []any{nil, "", "AA==", "0", 1e15, -1.0, map[string]any{}, []any{}, []any{map[string]any{}}}
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			was := v[k]
			delete(v, k)
			f()
			for _, o := range others {
				v[k] = o
				f()
			}
			v[k] = was
			mutate(was, f)
		}
	case []any:
		for i, was := range v {
			for _, o := range others {
				v[i] = o
				f()
			}
			v[i] = was
			mutate(was, f)
		}
	}
}

func TestIdentityOptions(t *testing.T) {
	s := keylesstest.New(t)
	for name, o := range map[string]keyless.IdentityOptions{
		"no identity":            {Issuer: "x", TrustedRoot: s.TrustedRoot(everything)},
		"no issuer":              {Subject: "x", TrustedRoot: s.TrustedRoot(everything)},
		"a pattern that is none": {Issuer: "x", SubjectRegexp: "(", TrustedRoot: s.TrustedRoot(everything)},
		"no root":                {Issuer: "x", Subject: "x"},
		"a root of nobody":       {Issuer: "x", Subject: "x", TrustedRoot: []byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`)},
		"nobody tells the time":  {Issuer: "x", Subject: "x", TrustedRoot: s.TrustedRoot(keylesstest.Trust{CT: true})},
		"a log that is ignored":  {Issuer: "x", Subject: "x", TrustedRoot: s.TrustedRoot(keylesstest.Trust{Log: true}), IgnoreLog: true},
	} {
		if _, err := keyless.NewIdentity(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestRecorded verifies a bundle that others have made with sigstore's public
// services: the provenance of an npm package, signed in GitHub Actions. If it
// fails, what the public services give is not understood.
func TestRecorded(t *testing.T) {
	root := recordedRoot(t)
	b := testdata.Bundle(t, "sigstore.js@2.0.0-provenance.sigstore.json")
	signed := &sign.Signed{Payload: b.GetDsseEnvelope().GetPayload(), Bundle: b.Bundle}
	const subject = "https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main"
	o := keyless.IdentityOptions{Subject: subject, Issuer: "https://token.actions.githubusercontent.com", TrustedRoot: root}
	if by, err := check(t, o, signed); err != nil || !strings.Contains(by, subject) {
		t.Errorf("%q, %v", by, err)
	}
	o.Subject = "https://github.com/example/other"
	if _, err := check(t, o, signed); kind(err) != "other" || !strings.Contains(err.Error(), subject) {
		t.Error(err)
	}
	o.Subject = subject
	flip(signatureOf(signed.Bundle))
	if _, err := check(t, o, signed); kind(err) != "altered" {
		t.Error(err)
	}
}

func recordedRoot(t *testing.T) []byte {
	data, err := testdata.TrustedRoot(t, "public-good.json").MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestServicesThatFail: if it fails, a service's trouble gives a broken signature
// or an error that says nothing.
func TestServicesThatFail(t *testing.T) {
	for path, answers := range map[string][]string{
		"/api/v2/signingCert": {"", "{}", "[", `{"signedCertificateEmbeddedSct":{"chain":{"certificates":["x"]}}}`, certificateOfAnother(t)},
		"/timestamp":          {"", "x"},
		"/api/v1/log/entries": {"", "{}", "["},
		"/api/v2/log/entries": {"", "["},
	} {
		for _, answer := range answers {
			s := keylesstest.New(t)
			s.Change = func(p string, data []byte) []byte {
				if p == path {
					return []byte(answer)
				}
				return data
			}
			version := uint32(1)
			if strings.HasPrefix(path, "/api/v2/log") {
				version = 2
			}
			signer, err := keyless.New(t.Context(), services(s, version, true), keylesstest.Token(keylesstest.Identity, keylesstest.Issuer), nil)
			if err == nil {
				_, err = signer.Statement(t.Context(), []byte(statement))
			}
			if err == nil || !strings.Contains(err.Error(), s.URL) {
				t.Errorf("%s answers %.20q: %v", path, answer, err)
			}
		}
	}
	s := keylesstest.New(t)
	_, err := keyless.New(t.Context(), services(s, 1, true), "e.e.e", nil)
	if err == nil || !strings.Contains(err.Error(), "400 Bad Request: token: ") {
		t.Errorf("a token that Fulcio does not take: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := keyless.New(ctx, services(s, 1, true), "", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// certificateOfAnother is Fulcio's answer to somebody else.
func certificateOfAnother(t *testing.T) string {
	var answer string
	s := keylesstest.New(t)
	s.Change = func(path string, data []byte) []byte {
		if path == "/api/v2/signingCert" {
			answer = string(data)
		}
		return data
	}
	newSigner(t, services(s, 1, false))
	return answer
}

// TestTogether signs from several goroutines, as an image's attachments are.
func TestTogether(t *testing.T) {
	s := keylesstest.New(t)
	signer := newSigner(t, services(s, 1, true))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			signed, err := signer.Statement(t.Context(), []byte(statement))
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := check(t, wanted(s.TrustedRoot(everything)), signed); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestFindToken(t *testing.T) {
	s := keylesstest.New(t)
	token := keylesstest.Token(keylesstest.Identity, keylesstest.Issuer)
	empty := fstest.MapFS{}
	for name, c := range map[string]struct {
		env     map[string]string
		machine fstest.MapFS
		want    string // a part of the error; "" is the token
	}{
		"GitLab":                    {map[string]string{"SIGSTORE_ID_TOKEN": token + "\n"}, empty, ""},
		"GitHub":                    {map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": s.URL + "/token?v=1", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request"}, empty, ""},
		"GitHub, without its token": {map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": s.URL + "/token?v=1"}, empty, "ask GitHub Actions"},
		"Kubernetes":                {nil, fstest.MapFS{"var/run/sigstore/cosign/oidc-token": {Data: []byte(token)}}, ""},
		"not a token":               {map[string]string{"SIGSTORE_ID_TOKEN": "secret"}, empty, "SIGSTORE_ID_TOKEN: not an identity token"},
		"a file that is none":       {nil, fstest.MapFS{"var/run/sigstore/cosign/oidc-token": {Data: []byte("x")}}, "not an identity token"},
		"none":                      {nil, empty, "looked for SIGSTORE_ID_TOKEN"},
	} {
		got, err := keyless.FindToken(t.Context(), func(name string) (string, bool) { v, ok := c.env[name]; return v, ok }, c.machine, nil)
		if c.want == "" && (err != nil || got != token) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, keyless.ErrNoToken) != (name == "none")) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error shows the token: %v", name, err)
		}
	}
}

// TestSecret: if it fails, an identity token is sent where others can read it.
func TestSecret(t *testing.T) {
	for address, ok := range map[string]bool{
		"https://fulcio.example.org": true, "http://127.0.0.1:5555": true, "http://[::1]:5555": true, "http://localhost": true,
		"http://fulcio.example.org": false, "fulcio.example.org": false, "": false, "http://127.0.0.1.example.org": false, "://": false,
	} {
		s := keyless.Services{Fulcio: address, Timestamps: []string{"http://tsa.example.org"}}
		if err := s.Check(); (err == nil) != ok {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestSigningConfig(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	service := func(url string, version int) map[string]any {
		return map[string]any{"url": url, "majorApiVersion": version, "operator": "example.org", "validFor": map[string]string{"start": "2025-01-01T00:00:00Z"}}
	}
	config := map[string]any{
		"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json", "caUrls": []any{service("https://fulcio.example.org", 1)},
		"rekorTlogUrls": []any{service("https://one.example.org", 1), service("https://two.example.org", 2)}, "rekorTlogConfig": map[string]string{"selector": "ANY"},
		"tsaUrls": []any{service("https://tsa.example.org/api/v1/timestamp", 1)}, "tsaConfig": map[string]string{"selector": "ANY"},
	}
	parse := func() (*keyless.Services, error) {
		data, err := json.Marshal(config)
		if err != nil {
			t.Fatal(err)
		}
		return keyless.ParseSigningConfig(data, at)
	}
	s, err := parse()
	if err != nil || fmt.Sprint(*s) != "{https://fulcio.example.org [{https://two.example.org 2}] [https://tsa.example.org/api/v1/timestamp]}" {
		t.Errorf("%v, %v", s, err)
	}
	delete(config, "tsaUrls")
	if _, err := parse(); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("a log that does not tell the time alone: %v", err)
	}
	config["rekorTlogUrls"] = []any{service("https://one.example.org", 1)}
	if s, err := parse(); err != nil || len(s.Logs) != 1 || s.Logs[0].Version != 1 {
		t.Errorf("%v, %v", s, err)
	}
	at = at.AddDate(-5, 0, 0)
	if _, err := parse(); err == nil {
		t.Error("services of the future: accepted")
	}
	if _, err := keyless.ParseSigningConfig([]byte("{"), at); err == nil {
		t.Error("half a document: accepted")
	}
}
