package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"distroless/internal/testenv"
)

// client is a way in which programs of an image reach an https server.
type client struct {
	name    string
	image   string
	distro  string
	run     []string // podman's options, then the image's name as "IMAGE", then arguments
	refusal string   // part of what is printed where the server is not trusted
	byName  bool     // the server is called by its name, where a client knows no addresses in certificates
}

// serverName is what the server's certificate calls it, besides its address.
const serverName = "service"

// clients use every store of trusted authorities that an image has.
func clients() []client {
	entry := func(program string, args ...string) []string {
		return append([]string{"--entrypoint", program, "IMAGE"}, args...)
	}
	const java = "PKIX path building failed"
	list := []client{
		{"Go", "static", "debian13", entry("/probe/fetch"), "certificate signed by unknown authority", false},
		{"Python", "python3", "debian13", entry("/usr/bin/python3", "/probe/fetch.py"), "CERTIFICATE_VERIFY_FAILED", false},
		{"Python 2.7", "python2.7", "debian11",
			append([]string{"--add-host", serverName + ":127.0.0.1"}, entry("/usr/bin/python", "/probe/fetch27.py")...), "CERTIFICATE_VERIFY_FAILED", true},
		{"nodejs as it is", "nodejs", "debian13", entry("/nodejs/bin/node", "/probe/fetch.js"), "unable to", false},
		{"nodejs 20 of Debian", "nodejs20", "debian13", entry("/usr/bin/node", "/probe/fetch.js"), "unable to", false},
		{"nodejs 22, --use-openssl-ca", "nodejs22", "debian13", entry("/nodejs/bin/node", "--use-openssl-ca", "/probe/fetch.js"), "unable to", false},
		{"nodejs 22, NODE_EXTRA_CA_CERTS", "nodejs22", "debian13",
			append([]string{"--env", "NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt"}, entry("/nodejs/bin/node", "/probe/fetch.js")...), "unable to", false},
	}
	for _, j := range []struct{ image, distro string }{
		{"java21", "debian13"}, {"java25", "debian13"}, {"java17", "debian12"}, {"java11", "debian11"},
	} {
		list = append(list, client{j.image, j.image, j.distro, entry("/usr/bin/java", "-cp", "/probe", "Fetch"), java, false})
	}
	return list
}

// TestCertificates reaches a server whose authority is a company's own: a
// definition that names the authority makes every program trust it, an image
// without does not. If it fails, a company's programs cannot reach its own
// services, or trust whoever asks.
func TestCertificates(t *testing.T) {
	testenv.E2E(t)
	address, authority := serveTLS(t)
	probes := tlsProbes(t)
	for _, c := range clients() {
		t.Run(c.name, func(t *testing.T) {
			plain, own := certified(t, c, authority)
			get := func(image string) (string, error) {
				args := []string{"run", "--rm", "--network", "host", "--volume", probes + ":/probe:ro"}
				for _, a := range c.run {
					args = append(args, strings.Replace(a, "IMAGE", image, 1))
				}
				url := address
				if c.byName {
					url = strings.Replace(url, "127.0.0.1", serverName, 1)
				}
				return command(t, all.dir, "podman", must(t, all.storage).args(append(args, url)...)...)
			}
			if out, err := get(own); err != nil || out != "all well\n" {
				t.Errorf("with the authority: %q, %v", out, err)
			}
			out, err := get(plain)
			if err == nil || !strings.Contains(out+err.Error(), c.refusal) {
				t.Errorf("without the authority: %q, %v; want a refusal with %q", out, err, c.refusal)
			}
		})
	}
}

// certified builds an image as the catalogue has it, and one on it that adds an
// authority. It returns their names in podman's storage.
func certified(t *testing.T, c client, authority []byte) (plain, own string) {
	t.Helper()
	dir := t.TempDir()
	definition := fmt.Sprintf("name: own\ndescription: an image with an authority of its own\nfrom: %s\ncertificates: [corp.pem]\ndistros:\n  %s: {}\n", c.image, c.distro)
	for name, text := range map[string][]byte{"own.yaml": []byte(definition), "corp.pem": authority} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"build", c.image, "./own.yaml", "--distro", c.distro, "--arch", "amd64", "--variant", "latest",
		"--json", "--cache", filepath.Join(all.cache, "cache"), "--lock", "lock.json"}
	(&run{dir: dir, args: append(args, must(t, all.mirror).args()...)}).start().wait().ok(t)
	plain, own = "localhost/tls-"+c.image+":plain", "localhost/tls-"+c.image+":own"
	load(t, filepath.Join(dir, "dist", c.image+"-"+c.distro), "latest", plain)
	load(t, filepath.Join(dir, "dist", "own-"+c.distro), "latest", own)
	return plain, own
}

// tlsProbes is a folder with the test's programs.
func tlsProbes(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"fetch.py", "fetch27.py", "fetch.js"} {
		copyFile(t, filepath.Join("testdata", "tls", name), filepath.Join(dir, name))
	}
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "fetch"), "./testdata/tls")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	tool(t, ".", "javac", "--release", "11", "-d", dir, "testdata/tls/Fetch.java")
	return dir
}

// serveTLS serves "all well" on loopback, and returns the address with the
// certificate of the authority that vouches for it.
func serveTLS(t *testing.T) (address string, authority []byte) {
	t.Helper()
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Company root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	rootDER, rootKey := certify(t, root, root, nil)
	root, err := x509.ParseCertificate(rootDER) // with the key's identifier, which Python 3.13 wants to find in the leaf
	if err != nil {
		t.Fatal(err)
	}
	leafDER, leafKey := certify(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: serverName}, DNSNames: []string{serverName}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, root, rootKey)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "all well\n") }))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leafDER}, PrivateKey: leafKey}}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // clients refuse it on purpose
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL + "/", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER})
}

// certify makes a certificate with a key of its own; without a parent's key it
// signs itself.
func certify(t *testing.T, c, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if parentKey == nil {
		parentKey = key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	return der, key
}
