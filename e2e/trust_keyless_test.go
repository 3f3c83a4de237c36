package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"distroless/internal/testenv"
	"distroless/internal/trust/keyless/keylesstest"
)

// insideVariable names the folder of the test that runs this one without a
// network.
const insideVariable = "DISTROLESS_E2E_INSIDE"

// sigstoreTools are sigstore's servers, in tools/sigstore.
var sigstoreTools = map[string]string{
	"fulcio": "github.com/sigstore/fulcio", "timestamp": "github.com/sigstore/timestamp-authority/v2/cmd/timestamp-server",
	"rekor":  "github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix",
	"rekor1": "github.com/sigstore/rekor/cmd/rekor-server", "trillian": "distroless/tools/sigstore/trillian",
}

// TestKeyless holds keyless signing against sigstore's own servers and cosign.
//
// It runs in a network of its own that has loopback and nothing else: servers
// that listen everywhere are heard by nobody, their fixed ports are free, and
// what verifies can ask nobody.
func TestKeyless(t *testing.T) {
	testenv.E2E(t)
	if os.Getenv(insideVariable) != "" {
		loopback(t)
		t.Run("sigstore's servers", signedByServers)
		t.Run("a log of version 1", signedOlder)
		return
	}
	must(t, all.images)
	cosign(t)
	for name, path := range sigstoreTools {
		goTool(t, "sigstore", path, name)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestKeyless$", "-test.v")
	cmd.Env = append(os.Environ(), insideVariable+"="+all.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("in a network of its own: %v", err)
	}
}

// inside is what the tests of another run share, built by that.
func inside(dir string) *shared {
	return &shared{
		dir: dir, program: func() (string, error) { return filepath.Join(dir, "distroless"), nil },
		images: func() (*report, error) { return &report{dir: dir, lock: filepath.Join(dir, "lock.json")}, nil },
	}
}

// loopback brings the loopback of a new network up.
func loopback(t *testing.T) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		t.Fatal(err)
	}
}

// sigstore is sigstore on loopback.
type sigstore struct {
	t                        *testing.T
	dir                      string
	issuer                   *issuer
	version                  int    // of Rekor
	fulcio, rekor, timestamp string // addresses
	root, config             string // files
}

const signer = "release@example.org"

// serveSigstore runs Fulcio, Rekor of that version and the timestamp authority
// until the test ends, with an issuer of identity tokens and a certificate
// transparency log of the test's own.
func serveSigstore(t *testing.T, version int) *sigstore {
	s := &sigstore{t: t, dir: t.TempDir(), issuer: newIssuer(t), version: version}
	ct := keylesstest.NewCTLog(t)
	mux := http.NewServeMux()
	mux.Handle("POST /ct/v1/add-pre-chain", ct)
	ctServer := httptest.NewServer(mux)
	t.Cleanup(ctServer.Close)
	// First, because its metrics and those of Rekor of version 1 have one port,
	// without which only Rekor goes on.
	s.timestamp = "http://" + s.serve("timestamp", "/ping", "serve", "--host", "HOST", "--port", "PORT", "--timestamp-signer", "memory", "--disable-ntp-monitoring") + "/api/v1/timestamp"
	rekor := map[int]func() *ecdsa.PublicKey{1: s.serveRekor1, 2: s.serveRekor}
	key := rekor[version]()
	s.serveFulcio(ctServer.URL)
	var bundle struct {
		Chains []struct{ Certificates []string }
	}
	if err := json.Unmarshal(download(t, s.fulcio+"/api/v2/trustBundle"), &bundle); err != nil {
		t.Fatal(err)
	}
	parts := keylesstest.Parts{
		Fulcio:    keylesstest.Authority{URL: s.fulcio, Chain: certificates(t, []byte(strings.Join(bundle.Chains[0].Certificates, "")))},
		Timestamp: keylesstest.Authority{URL: s.timestamp, Chain: certificates(t, download(t, s.timestamp+"/certchain"))},
		Log:       keylesstest.Log{URL: s.rekor, Key: key},
		CT:        keylesstest.Log{URL: ctServer.URL, Key: ct.Key()},
	}
	s.root, s.config = filepath.Join(s.dir, "trusted_root.json"), filepath.Join(s.dir, "signing_config.json")
	put(t, s.root, string(parts.TrustedRoot(t, time.Now())))
	put(t, s.config, s.signingConfig())
	return s
}

// serve runs one of the servers on a port of loopback, waits until a path
// answers, and returns host and port. HOST and PORT stand for them in its
// arguments, ELSE for other ports.
func (s *sigstore) serve(name, ready string, args ...string) string {
	s.t.Helper()
	at := freePort(s.t)
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		s.t.Fatal(err)
	}
	for i, a := range args {
		switch a {
		case "HOST":
			args[i] = host
		case "PORT":
			args[i] = port
		case "ELSE":
			_, args[i], err = net.SplitHostPort(freePort(s.t))
			if err != nil {
				s.t.Fatal(err)
			}
		}
	}
	background(s.t, filepath.Join(s.dir, name+".log"), filepath.Join(all.dir, name), args...)
	waitFor(s.t, name, func() error {
		resp, err := http.Get("http://" + at + ready)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s", resp.Status)
		}
		return nil
	})
	return at
}

func (s *sigstore) serveRekor() *ecdsa.PublicKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	file := filepath.Join(s.dir, "rekor.pem")
	put(s.t, file, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	s.rekor = "http://" + s.serve("rekor", "/healthz", "serve", "--http-address", "HOST", "--http-port", "PORT", "--grpc-port", "ELSE", "--http-metrics-port", "ELSE",
		"--hostname", "HOST", "--storage-dir", filepath.Join(s.dir, "rekor"), "--signer-filepath", file, "--checkpoint-interval", "1s")
	return &key.PublicKey
}

func (s *sigstore) serveFulcio(ct string) {
	conf := filepath.Join(s.dir, "fulcio.yaml")
	put(s.t, conf, fmt.Sprintf("oidc-issuers:\n  %s:\n    issuer-url: %s\n    client-id: sigstore\n    type: email\n", s.issuer.url, s.issuer.url))
	s.fulcio = "http://" + s.serve("fulcio", "/healthz", "serve", "--host", "HOST", "--port", "PORT", "--grpc-host", "HOST", "--grpc-port", "ELSE", "--metrics-port", "ELSE",
		"--ca", "ephemeralca", "--ct-log-url", ct, "--config-path", conf)
}

// signingConfig names the servers.
func (s *sigstore) signingConfig() string {
	service := func(url string, version int) []any {
		return []any{map[string]any{"url": url, "majorApiVersion": version, "operator": "example.org", "validFor": map[string]string{"start": "2025-01-01T00:00:00Z"}}}
	}
	data, err := json.Marshal(map[string]any{
		"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json", "caUrls": service(s.fulcio, 1),
		"rekorTlogUrls": service(s.rekor, s.version), "rekorTlogConfig": map[string]string{"selector": "ANY"},
		"tsaUrls": service(s.timestamp, 1), "tsaConfig": map[string]string{"selector": "ANY"},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return string(data)
}

// by are the arguments that ask for a signature of somebody.
func (s *sigstore) by(who string) []string {
	return []string{"--trusted-root", s.root, "--certificate-identity", who, "--certificate-oidc-issuer", s.issuer.url}
}

// with puts arguments before those that ask for a signer.
func with(of []string, more ...string) []string { return append(append([]string{}, more...), of...) }

func download(t *testing.T, url string) []byte {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v\n%s", url, resp.Status, err, data)
	}
	return data
}

func certificates(t *testing.T, data []byte) []*x509.Certificate {
	t.Helper()
	var out []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return out
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
}

// issuer gives identity tokens, and lets others see its key, as OpenID Connect
// has it.
type issuer struct {
	t   *testing.T
	url string
	key *rsa.PrivateKey
}

func newIssuer(t *testing.T) *issuer {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{t: t, key: key}
	mux := http.NewServeMux()
	answer := func(path string, v func() any) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if err := json.NewEncoder(w).Encode(v()); err != nil {
				t.Error(err)
			}
		})
	}
	answer("/.well-known/openid-configuration", func() any {
		return map[string]any{"issuer": i.url, "jwks_uri": i.url + "/keys", "authorization_endpoint": i.url + "/auth", "token_endpoint": i.url + "/token",
			"id_token_signing_alg_values_supported": []string{"RS256"}, "response_types_supported": []string{"id_token"}, "subject_types_supported": []string{"public"}}
	})
	answer("/keys", func() any {
		return map[string]any{"keys": []any{map[string]string{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "1",
			"n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()), "e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes())}}}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	i.url = server.URL
	return i
}

// token is an identity token, signed.
func (i *issuer) token(email string) string {
	i.t.Helper()
	part := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			i.t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	now := time.Now().Unix()
	text := part(map[string]string{"alg": "RS256", "kid": "1", "typ": "JWT"}) + "." +
		part(map[string]any{"iss": i.url, "sub": email, "aud": "sigstore", "email": email, "email_verified": true, "iat": now, "exp": now + 600})
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, i.key, 5, sum[:]) // 5 is SHA-256
	if err != nil {
		i.t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// signedByServers signs with the servers and verifies with cosign, and the other
// way round. If it fails, others cannot verify what we sign without keys, or we
// not what they sign.
func signedByServers(t *testing.T) {
	for _, referrers := range []bool{true, false} {
		name := map[bool]string{true: "referrers", false: "tags"}[referrers]
		t.Run(name, func(t *testing.T) {
			at := serveSigstore(t, 2)
			s := newSigning(t, filepath.Join(all.dir, "cosign"), referrers)
			image, unsigned := s.registry+"/base-debian13:latest", s.registry+"/unsigned/base-debian13:latest"
			by, other := at.by(signer), at.by("other@example.org")

			s.ours(0, "push", "base-debian13", "--to", s.registry+"/unsigned")
			s.ours(4, with(by, "verify", unsigned)...)
			began := time.Now()
			s.ours(0, "sign", "base-debian13", "--signing-config", at.config, "--identity-token", at.issuer.token(signer))
			t.Logf("signed in %.1f s", time.Since(began).Seconds())
			s.ours(0, "push", "base-debian13", "--to", s.registry)
			for _, ref := range []string{image, image + "-arm64"} {
				s.theirs(0, with(by, "verify", ref)...)
				s.theirs(1, with(other, "verify", ref)...)
			}
			for _, kind := range []string{"slsaprovenance1", "spdxjson"} {
				s.theirs(0, with(by, "verify-attestation", "--type", kind, image)...)
				s.theirs(1, with(other, "verify-attestation", "--type", kind, image)...)
			}
			s.ours(0, with(by, "verify", image)...)
			s.ours(0, with(by, "verify", "base-debian13:nonroot")...)
			if o := s.ours(5, with(other, "verify", image)...); !strings.Contains(o.stderr, "signed by "+signer+" (issuer "+at.issuer.url+")") {
				t.Errorf("the message does not name who signed: %s", o.stderr)
			}
			if o := s.ours(1, "sign", "base-debian13", "--signing-config", at.config, "--identity-token", newIssuer(t).token(signer)); !strings.Contains(o.stderr, at.fulcio) {
				t.Errorf("a token of somebody whom Fulcio does not know: %s", o.stderr)
			}

			s.theirs(0, "sign", "--signing-config", at.config, "--trusted-root", at.root, "--identity-token", at.issuer.token(signer), "-y", unsigned)
			s.ours(0, with(by, "verify", unsigned, "--signature-only")...)
			s.ours(5, with(other, "verify", unsigned, "--signature-only")...)
			s.ours(4, with(by, "verify", unsigned)...) // no provenance
		})
	}
}
