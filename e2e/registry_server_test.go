package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"distroless/internal/testenv"
)

// served is a registry on loopback.
type served struct {
	host string // "127.0.0.1:40123"
	ca   string // file with its certificate; empty for plain http
	log  string // file with a line for each request, as web servers write it
}

// The credentials of a registry that wants some.
const (
	registryUser     = "release"
	registryPassword = "correct horse"
)

// serveRegistry runs Debian's docker-registry until the test ends, plain or
// with TLS and a password.
func serveRegistry(t *testing.T, secure bool) served {
	t.Helper()
	return runRegistry(t, testenv.Tool(t, "docker-registry"), secure)
}

// runRegistry is serveRegistry for any program that is configured as CNCF's
// distribution is, of whatever version.
func runRegistry(t *testing.T, program string, secure bool) served {
	t.Helper()
	dir := t.TempDir()
	s := served{host: freePort(t), log: filepath.Join(dir, "log")}
	conf := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp:\n  addr: %s\n", filepath.Join(dir, "data"), s.host)
	if secure {
		var key string
		s.ca, key = certificate(t, dir)
		hash, err := bcrypt.GenerateFromPassword([]byte(registryPassword), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		passwords := filepath.Join(dir, "htpasswd")
		put(t, passwords, registryUser+":"+string(hash)+"\n")
		conf += fmt.Sprintf("  tls: {certificate: %q, key: %q}\nauth: {htpasswd: {realm: test, path: %q}}\n", s.ca, key, passwords)
	}
	put(t, filepath.Join(dir, "config.yml"), conf)
	// Version 3 would send traces to a collector, which nobody runs here.
	background(t, s.log, "env", "OTEL_TRACES_EXPORTER=none", program, "serve", filepath.Join(dir, "config.yml"))
	waitFor(t, filepath.Base(program), func() error {
		c, err := net.Dial("tcp", s.host)
		if err == nil {
			err = c.Close()
		}
		return err
	})
	return s
}

// logged counts the requests in a registry's log by method, from an offset on,
// and returns where the log ends.
func (s served) logged(t testing.TB, from int64) (by map[string]int, end int64) {
	t.Helper()
	data, err := os.ReadFile(s.log)
	if err != nil {
		t.Fatal(err)
	}
	by = map[string]int{}
	for line := range strings.Lines(string(data[from:])) {
		_, request, _ := strings.Cut(line, `] "`)
		if method, _, ok := strings.Cut(request, " /v2/"); ok {
			by[method]++
		}
	}
	return by, int64(len(data))
}

func put(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// background runs a program until the test ends.
func background(t testing.TB, log, name string, args ...string) {
	t.Helper()
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() }) // it ends either way
		_ = cmd.Wait()                                                            // how it ended is of no interest
		kill.Stop()
		if t.Failed() {
			text, _ := os.ReadFile(log) // for a person to read
			t.Logf("%s says:\n%s", name, text[max(0, len(text)-2000):])
		}
		if err := errors.Join(err, out.Close()); err != nil {
			t.Error(err)
		}
	})
}

func waitFor(t testing.TB, what string, f func() error) {
	t.Helper()
	var err error
	for range 300 {
		if err = f(); err == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("%s does not come up: %v", what, err)
}

// certificate makes a certificate for loopback that signs itself.
func certificate(t testing.TB, dir string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "ca.crt"), filepath.Join(dir, "key.pem")
	put(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	put(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})))
	return cert, key
}

// client is an HTTP transport that trusts the registry.
func (s served) client(t testing.TB) *http.Transport {
	t.Helper()
	tr := &http.Transport{}
	if s.ca != "" {
		data, err := os.ReadFile(s.ca)
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(data)
		tr.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// counting stands before a plain registry and counts what passes to it.
type counting struct {
	server *httptest.Server
	mu     sync.Mutex
	by     map[string]int // requests by method
	bytes  int64          // of their bodies
}

func count(t testing.TB, s served) *counting {
	t.Helper()
	c := &counting{by: map[string]int{}}
	to := &url.URL{Scheme: "http", Host: s.host}
	p := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host }}
	c.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		c.mu.Lock()
		c.by[req.Method]++
		c.mu.Unlock()
		req.Body = &counted{req.Body, c}
		p.ServeHTTP(w, req)
	}))
	t.Cleanup(c.server.Close)
	return c
}

func (c *counting) host() string { return strings.TrimPrefix(c.server.URL, "http://") }

type counted struct {
	io.ReadCloser
	c *counting
}

func (r *counted) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	r.c.bytes += int64(n)
	return n, err
}

// reset returns the counts and begins anew.
func (c *counting) reset() (by map[string]int, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	by, bytes, c.by, c.bytes = c.by, c.bytes, map[string]int{}, 0
	return by, bytes
}

// serveDocker runs a docker daemon that touches nothing of the machine's until
// the test ends, and returns the environment that names it.
func serveDocker(t *testing.T) []string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dockerd-") // sockets' names have to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	testenv.Tool(t, "docker")
	host := "unix://" + filepath.Join(dir, "socket")
	background(t, filepath.Join(dir, "log"), testenv.Tool(t, "dockerd"), "--iptables=false", "--ip6tables=false", "--bridge=none",
		"--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"), "--pidfile", filepath.Join(dir, "pid"), "--host", host)
	env := []string{"DOCKER_HOST=" + host, "DOCKER_CONFIG=" + dir, "CONTAINERD_ADDRESS=" + filepath.Join(dir, "exec", "containerd", "containerd.sock"), "CONTAINERD_NAMESPACE=e2e"}
	waitFor(t, "dockerd", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, "docker", "version")
		cmd.Env = append(os.Environ(), env...)
		return cmd.Run()
	})
	return env
}
