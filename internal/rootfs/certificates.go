package rootfs

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	"distroless/internal/rootfs/keystore"
)

const (
	bundlePath = "/etc/ssl/certs/ca-certificates.crt"
	certsDir   = "/usr/share/ca-certificates/"
	certsConf  = "/etc/ca-certificates.conf"
	javaStore  = "/etc/ssl/certs/java/cacerts"
)

// authorities are those that an image trusts, in the two forms that programs
// read.
type authorities struct {
	bundle []byte                 // PEM, as in bundlePath; nil for none
	named  []keystore.Certificate // the same, for Java's store
	// files are what definitions have added so far: ca-certificates may come
	// in a level above, and the bundle is made anew then.
	files []CertificateFile
}

// add appends the text of a certificate file to the bundle, as it is.
func (a *authorities) add(name string, text []byte) {
	a.bundle = append(a.bundle, text...)
	if !bytes.HasSuffix(text, []byte("\n")) {
		a.bundle = append(a.bundle, '\n')
	}
	alias := keystore.Alias(name)
	block, rest := pem.Decode(text)
	if block == nil { // said when a store is written: programs that read the bundle pass it over
		a.named = append(a.named, keystore.Certificate{Alias: alias})
	}
	for ; block != nil; block, rest = pem.Decode(rest) {
		a.named = append(a.named, keystore.Certificate{Alias: alias, DER: block.Bytes})
	}
}

// clone is a copy that can be added to without changing a.
func (a authorities) clone() authorities {
	return authorities{slices.Clone(a.bundle), slices.Clone(a.named), slices.Clone(a.files)}
}

// systemBundle writes the bundle as update-ca-certificates(8) does: each
// certificate of the package, in the order of ca-certificates.conf where there
// is one, each ending in a newline. The package's own configuration step lists
// all of them by name in byte order. A line that begins with "!" in conf is a
// certificate that is not trusted.
func systemBundle(l *Listing, conf []byte, read func(*Entry) ([]byte, error)) (authorities, error) {
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
	var out authorities
	for _, name := range names {
		e, ok := files[name]
		if !ok {
			return out, fmt.Errorf("%s: %s is listed, but package %s %s does not have it: take the line out", certsConf, name, l.Package, l.Version)
		}
		text, err := read(e)
		if err != nil {
			return out, err
		}
		out.add(name, text)
	}
	if out.bundle == nil {
		return out, fmt.Errorf("package %s %s: no certificates under %s", l.Package, l.Version, certsDir)
	}
	return out, nil
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

// withFiles returns the authorities with the certificates of files, each once
// and in the order given. A file without a certificate, or with anything that
// is not one, is an error; so is a private key.
func (a authorities) withFiles(files []CertificateFile) (authorities, error) {
	seen := map[[sha256.Size]byte]bool{}
	for rest := a.bundle; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		seen[sha256.Sum256(block.Bytes)] = true
	}
	out := a.clone()
	out.files = append(out.files, files...)
	for _, f := range files {
		n := 0
		for rest := f.PEM; ; n++ {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				if len(bytes.TrimSpace(rest)) > 0 && n == 0 {
					return a, fmt.Errorf("certificates: %s: not PEM: expected \"-----BEGIN CERTIFICATE-----\"; convert DER with openssl x509 -inform der", f.Name)
				}
				break
			}
			if block.Type != "CERTIFICATE" {
				return a, fmt.Errorf("certificates: %s: block %d is a %s, expected certificates only: everything in an image can be read by whoever has the image", f.Name, n+1, block.Type)
			}
			if _, err := x509.ParseCertificate(block.Bytes); err != nil {
				return a, fmt.Errorf("certificates: %s: block %d: %w", f.Name, n+1, err)
			}
			if sum := sha256.Sum256(block.Bytes); !seen[sum] {
				seen[sum] = true
				out.add(f.Name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes}))
			}
		}
		if n == 0 {
			return a, fmt.Errorf("certificates: %s: no certificate in it", f.Name)
		}
	}
	return out, nil
}

// addBundle writes the certificate bundle, in the level that has
// ca-certificates and in each that adds certificates. What levels below
// ca-certificates have added stays in it, behind the package's own.
func (a *assembler) addBundle() error {
	trust, changed := a.tree.trust, false
	for _, s := range a.pkgs {
		if s.Package != "ca-certificates" {
			continue
		}
		conf, err := a.text(certsConf)
		if err != nil {
			return err
		}
		added := trust.files
		if trust, err = systemBundle(s.Listing, conf, a.in.Read); err != nil {
			return err
		}
		if trust, err = trust.withFiles(added); err != nil {
			return err
		}
		changed = true
	}
	if len(a.in.Certificates) > 0 {
		var err error
		if trust, err = trust.withFiles(a.in.Certificates); err != nil {
			return err
		}
		changed = true
	}
	if changed {
		a.tree.trust = trust
		if err := a.generate("ca-certificates", bundlePath, 0o644, trust.bundle); err != nil {
			return err
		}
	}
	return a.addJavaStore(changed)
}

// addJavaStore writes the trust store of Java where the tree has use for one
// and a bundle to make it from: in the first such level, and in each above
// that changes the bundle.
func (a *assembler) addJavaStore(changed bool) error {
	if a.tree.trust.bundle == nil || !a.wantsJavaStore() || !changed && a.tree.entries[javaStore] != nil {
		return nil
	}
	created := a.level.time("")
	if a.in.Epoch != nil {
		created = min(created, *a.in.Epoch)
	}
	text, err := keystore.Encode(a.tree.trust.named, created)
	if err != nil {
		return err
	}
	return a.generate("ca-certificates-java", javaStore, 0o644, text)
}

// wantsJavaStore reports whether the tree has the package that would keep the
// store, or a Java whose own store is a link to it.
func (a *assembler) wantsJavaStore() bool {
	if a.tree.packages["ca-certificates-java"] != nil {
		return true
	}
	for p, e := range a.tree.entries {
		if e.Kind == Symlink && strings.HasSuffix(p, "/lib/security/cacerts") && (resolveLink(p, e.Target) == javaStore || a.tree.end(p) == javaStore) {
			return true
		}
	}
	return false
}
