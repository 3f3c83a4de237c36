package rootfs

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
)

const (
	bundlePath = "/etc/ssl/certs/ca-certificates.crt"
	certsDir   = "/usr/share/ca-certificates/"
	certsConf  = "/etc/ca-certificates.conf"
)

// systemBundle writes the bundle as update-ca-certificates(8) does: each
// certificate of the package, in the order of ca-certificates.conf where there
// is one, each ending in a newline. The package's own configuration step lists
// all of them by name in byte order. A line that begins with "!" in conf is a
// certificate that is not trusted.
func systemBundle(l *Listing, conf []byte, read func(*Entry) ([]byte, error)) ([]byte, error) {
	files := map[string]*Entry{}
	var names []string
	for i := range l.Entries {
		e := &l.Entries[i]
		if name, ok := strings.CutPrefix(e.Path, certsDir); ok && e.Kind == File && strings.HasSuffix(name, ".crt") {
			files[name] = e
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if conf != nil {
		names = trusted(conf)
	}
	var b bytes.Buffer
	for _, name := range names {
		e, ok := files[name]
		if !ok {
			return nil, fmt.Errorf("%s: %s is listed, but package %s %s does not have it: take the line out", certsConf, name, l.Package, l.Version)
		}
		text, err := read(e)
		if err != nil {
			return nil, err
		}
		b.Write(text)
		if !bytes.HasSuffix(text, []byte("\n")) {
			b.WriteByte('\n')
		}
	}
	if b.Len() == 0 {
		return nil, fmt.Errorf("package %s %s: no certificates under %s", l.Package, l.Version, certsDir)
	}
	return b.Bytes(), nil
}

// trusted lists the certificates that a ca-certificates.conf enables.
func trusted(conf []byte) []string {
	var names []string
	for line := range strings.SplitSeq(string(conf), "\n") {
		if line != "" && line[0] != '#' && line[0] != '!' {
			names = append(names, line)
		}
	}
	return names
}

// CertificateFile is a PEM file that a definition adds to the trusted
// authorities.
type CertificateFile struct {
	Name string // for messages
	PEM  []byte
}

// addCertificates appends the certificates of files to a bundle, each once and
// in the order given. A file without a certificate, or with anything that is
// not one, is an error; so is a private key.
func addCertificates(bundle []byte, files []CertificateFile) ([]byte, error) {
	seen := map[[sha256.Size]byte]bool{}
	for rest := bundle; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		seen[sha256.Sum256(block.Bytes)] = true
	}
	out := bytes.NewBuffer(slices.Clone(bundle))
	for _, f := range files {
		n := 0
		for rest := f.PEM; ; n++ {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				if len(bytes.TrimSpace(rest)) > 0 && n == 0 {
					return nil, fmt.Errorf("certificates: %s: not PEM: expected \"-----BEGIN CERTIFICATE-----\"; convert DER with openssl x509 -inform der", f.Name)
				}
				break
			}
			if block.Type != "CERTIFICATE" {
				return nil, fmt.Errorf("certificates: %s: block %d is a %s, expected certificates only: everything in an image can be read by whoever has the image", f.Name, n+1, block.Type)
			}
			if _, err := x509.ParseCertificate(block.Bytes); err != nil {
				return nil, fmt.Errorf("certificates: %s: block %d: %w", f.Name, n+1, err)
			}
			if sum := sha256.Sum256(block.Bytes); !seen[sum] {
				seen[sum] = true
				pem.Encode(out, &pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes}) // a bytes.Buffer takes every write
			}
		}
		if n == 0 {
			return nil, fmt.Errorf("certificates: %s: no certificate in it", f.Name)
		}
	}
	return out.Bytes(), nil
}
