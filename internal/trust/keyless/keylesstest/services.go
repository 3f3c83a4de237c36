// Package keylesstest is sigstore in one process: a certificate authority with a
// certificate transparency log, a log of either version, a timestamp authority,
// and a CI system that gives identity tokens, on loopback. Unlike the real ones it
// believes every token, and its clock can be set.
//
// It is imported by tests only.
package keylesstest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	"github.com/sigstore/sigstore-go/pkg/root"
)

// Identity and Issuer are those of [Token].
const (
	Identity = "https://ci.example.org/team/images/.github/workflows/release.yml@refs/tags/v1"
	Issuer   = "https://issuer.example.org"
)

// Services are the servers and their keys.
type Services struct {
	URL string
	// Now is the clock of all of them.
	Now func() time.Time
	// Change may alter an answer: path is that of the request.
	Change func(path string, answer []byte) []byte

	mu    sync.Mutex
	calls map[string]int // requests by path
	index int64          // of the next entry

	ca, tsa  authority
	rekor    *ecdsa.PrivateKey
	ct       *CTLog
	t        testing.TB
	lifetime time.Duration // of certificates
}

// New serves until the test ends.
func New(t testing.TB) *Services {
	s := &Services{t: t, Now: time.Now, calls: map[string]int{}, lifetime: 10 * time.Minute, rekor: Key(t), ct: NewCTLog(t)}
	s.ca, s.tsa = newAuthority(t, x509.ExtKeyUsageCodeSigning), newAuthority(t, x509.ExtKeyUsageTimeStamping)
	mux := http.NewServeMux()
	for path, f := range map[string]handler{
		"POST /api/v2/signingCert": s.certify, "POST /timestamp": s.stamp, "POST /api/v1/log/entries": s.enter,
		"POST /api/v2/log/entries": s.enter2, "GET /token": s.token,
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, req *http.Request) { s.serve(w, req, f) })
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// handler answers to a request with that body. It may set headers.
type handler func(h http.Header, req *http.Request, body []byte) (int, []byte)

func (s *Services) serve(w http.ResponseWriter, req *http.Request, f handler) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	s.calls[req.URL.Path]++
	s.mu.Unlock()
	status, answer := f(w.Header(), req, body)
	if s.Change != nil {
		answer = s.Change(req.URL.Path, answer)
	}
	if json.Valid(answer) {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(status)
	if _, err := w.Write(answer); err != nil {
		s.t.Error(err)
	}
}

// Calls is how many requests a path has had.
func (s *Services) Calls(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[path]
}

// Timestamp is the address of the timestamp authority.
func (s *Services) Timestamp() string { return s.URL + "/timestamp" }

// refused is an answer that says no.
func refused(format string, args ...any) (int, []byte) {
	return http.StatusBadRequest, fmt.Appendf(nil, format, args...)
}

// certify is Fulcio.
func (s *Services) certify(_ http.Header, _ *http.Request, body []byte) (int, []byte) {
	var request struct {
		Credentials struct {
			Token string `json:"oidcIdentityToken"`
		}
		CSR []byte `json:"certificateSigningRequest"`
	}
	if err := json.Unmarshal(body, &request); err != nil {
		return refused("%v", err)
	}
	block, _ := pem.Decode(request.CSR)
	if block == nil {
		return refused("no request in PEM")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil || csr.CheckSignature() != nil {
		return refused("request: %v", err)
	}
	claims, err := claimsOf(request.Credentials.Token)
	if err != nil {
		return refused("token: %v", err)
	}
	leaf := s.ca.leaf(s.t, s.ct, csr.PublicKey, claims, s.Now(), s.lifetime)
	answer, err := json.Marshal(map[string]any{"signedCertificateEmbeddedSct": map[string]any{"chain": map[string]any{
		"certificates": []string{toPEM(leaf), toPEM(s.ca.intermediate), toPEM(s.ca.root)},
	}}})
	if err != nil {
		return refused("%v", err)
	}
	return http.StatusOK, answer
}

type claims struct{ Iss, Sub, Aud string }

func claimsOf(token string) (claims, error) {
	var c claims
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c, fmt.Errorf("%d parts", len(parts))
	}
	data, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, err
	}
	if c.Aud != "sigstore" {
		return c, fmt.Errorf("audience %q", c.Aud)
	}
	return c, nil
}

// Token makes an identity token, which nobody has signed.
func Token(identity, issuer string) string {
	part := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			panic(err) // strings only
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	return part(map[string]string{"alg": "none", "typ": "JWT"}) + "." + part(map[string]string{"iss": issuer, "sub": identity, "aud": "sigstore"}) + ".c2ln"
}

// token is what GitHub Actions offers to a job.
func (s *Services) token(_ http.Header, req *http.Request, _ []byte) (int, []byte) {
	if req.URL.Query().Get("audience") != "sigstore" || req.URL.Query().Get("v") != "1" || req.Header.Get("Authorization") != "Bearer request" {
		return refused("audience %q, authorization %q", req.URL.Query().Get("audience"), req.Header.Get("Authorization"))
	}
	return http.StatusOK, []byte(`{"count": 1, "value": "` + Token(Identity, Issuer) + `"}`)
}

// stamp is the timestamp authority.
func (s *Services) stamp(_ http.Header, _ *http.Request, body []byte) (int, []byte) {
	req, err := timestamp.ParseRequest(body)
	if err != nil {
		return refused("%v", err)
	}
	t := timestamp.Timestamp{
		HashAlgorithm: req.HashAlgorithm, HashedMessage: req.HashedMessage, Time: s.Now(), Policy: []int{1, 3, 6, 1, 4, 1, 57264, 2},
		AddTSACertificate: true,
	}
	answer, err := t.CreateResponseWithOpts(s.tsa.stamper, s.tsa.stamperKey, crypto.SHA256)
	if err != nil {
		return refused("%v", err)
	}
	return http.StatusOK, answer
}

// Trust says what a trusted root lists.
type Trust struct{ CT, Log, Timestamp bool }

// CT is the certificate transparency log.
func (s *Services) CT() *CTLog { return s.ct }

// TrustedRoot is the trusted root of these services, as JSON.
func (s *Services) TrustedRoot(trust Trust) []byte { return s.TrustedRootWith(s.ct, trust) }

// TrustedRootWith is the trusted root with another certificate transparency log.
func (s *Services) TrustedRootWith(ct *CTLog, trust Trust) []byte {
	p := Parts{Fulcio: Authority{s.URL, []*x509.Certificate{s.ca.intermediate, s.ca.root}}}
	if trust.Timestamp {
		p.Timestamp = Authority{s.Timestamp(), []*x509.Certificate{s.tsa.stamper, s.tsa.intermediate, s.tsa.root}}
	}
	if trust.Log {
		p.Log = Log{s.URL, &s.rekor.PublicKey}
	}
	if trust.CT {
		p.CT = Log{s.URL + "/ct", &ct.key.PublicKey}
	}
	return p.TrustedRoot(s.t, s.Now())
}

// Parts are what a trusted root lists. Those without a URL are left out.
type Parts struct {
	Fulcio, Timestamp Authority
	Log, CT           Log
}

// Authority is an authority with its certificates, the root last, and of a
// timestamp authority the one that stamps first.
type Authority struct {
	URL   string
	Chain []*x509.Certificate
}

// Log is a log with its key.
type Log struct {
	URL string
	Key *ecdsa.PublicKey
}

// TrustedRoot is a trusted root, as JSON, that is valid around a time.
func (p *Parts) TrustedRoot(t testing.TB, now time.Time) []byte {
	t.Helper()
	since, until := now.Add(-24*time.Hour), now.Add(24*time.Hour)
	last := len(p.Fulcio.Chain) - 1
	cas := []root.CertificateAuthority{&root.FulcioCertificateAuthority{
		Root: p.Fulcio.Chain[last], Intermediates: p.Fulcio.Chain[:last], ValidityPeriodStart: since, ValidityPeriodEnd: until, URI: p.Fulcio.URL,
	}}
	var tsas []root.TimestampingAuthority
	if c := p.Timestamp.Chain; len(c) > 0 {
		tsas = append(tsas, &root.SigstoreTimestampingAuthority{
			Root: c[len(c)-1], Intermediates: c[1 : len(c)-1], Leaf: c[0], ValidityPeriodStart: since, ValidityPeriodEnd: until, URI: p.Timestamp.URL,
		})
	}
	tr, err := root.NewTrustedRoot(root.TrustedRootMediaType01, cas, p.CT.listed(since), tsas, p.Log.listed(since))
	if err != nil {
		t.Fatal(err)
	}
	data, err := tr.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (l *Log) listed(since time.Time) map[string]*root.TransparencyLog {
	if l.URL == "" {
		return nil
	}
	id := logID(l.Key)
	return map[string]*root.TransparencyLog{hex.EncodeToString(id): {
		BaseURL: l.URL, ID: id, ValidityPeriodStart: since, HashFunc: crypto.SHA256, PublicKey: l.Key, SignatureHashFunc: crypto.SHA256,
	}}
}

// logID is how a log is named by its key.
func logID(key *ecdsa.PublicKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic(err) // a key on P-256: cannot happen
	}
	sum := sha256.Sum256(der)
	return sum[:]
}

// Key makes a key.
func Key(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func toPEM(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}
