// Package keystore writes the trust store that Debian's Java reads,
// /etc/ssl/certs/java/cacerts: a key store of type JKS that holds certificates
// of authorities and nothing else. Keys cannot be put into it, and nothing is
// read back. Which certificates belong into an image is for package rootfs.
//
// Debian 11, 12 and 13 write it with the hook of ca-certificates-java, whose
// program asks for "JKS" by name whatever the JDK's default type is. JDKs from
// 9 on take either type where a file says which it is by its first bytes
// (keystore.type.compat in java.security).
//
// The format is described in the class comment and the code of
// sun.security.provider.JavaKeyStore; it has no random part, so that the same
// certificates and time give the same bytes.
//
// Start with [Encode].
package keystore

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Password is what the store is opened with. It guards against accidents only:
// every JDK knows it.
const Password = "changeit"

// Certificate is an authority that is trusted.
type Certificate struct {
	Alias string // what keytool calls it, see [Alias]
	DER   []byte // the X.509 certificate
}

// Alias is the name that Debian's Java knows a certificate file by: "debian:"
// and the name of the link that update-ca-certificates(8) makes in
// /etc/ssl/certs for a file of that name, in lower case.
func Alias(file string) string {
	name := path.Base(file)
	for _, ext := range []string{".crt", ".pem", ".cer"} {
		name = strings.TrimSuffix(name, ext)
	}
	name = strings.NewReplacer(" ", "_", ",", "_", "(", "=", ")", "=").Replace(name)
	return "debian:" + strings.ToLower(name) + ".pem"
}

const (
	magic   = 0xfeedfeed
	version = 2
	trusted = 2 // tag of an entry that is a certificate; 1 is a private key
	salt    = "Mighty Aphrodite"
)

// Encode writes a store. Entries are sorted by alias; a second certificate of
// one alias is given the suffix "-2", the next "-3", since a JDK keeps only the
// last of those that are named alike. created is the date of every entry, in
// seconds since 1970.
func Encode(certs []Certificate, created int64) ([]byte, error) {
	entries, err := named(certs)
	if err != nil {
		return nil, err
	}
	var b []byte
	b = binary.BigEndian.AppendUint32(b, magic)
	b = binary.BigEndian.AppendUint32(b, version)
	b = binary.BigEndian.AppendUint32(b, uint32(len(entries)))
	for _, c := range entries {
		b = binary.BigEndian.AppendUint32(b, trusted)
		b = appendText(b, c.Alias)
		b = binary.BigEndian.AppendUint64(b, uint64(created*1000))
		b = appendText(b, "X.509")
		b = binary.BigEndian.AppendUint32(b, uint32(len(c.DER)))
		b = append(b, c.DER...)
	}
	sum := digest(b)
	return append(b, sum[:]...), nil
}

// named gives every certificate an alias of its own and sorts them by it.
func named(certs []Certificate) ([]Certificate, error) {
	taken := map[string]bool{}
	out := make([]Certificate, 0, len(certs))
	for _, c := range certs {
		if len(c.DER) == 0 {
			return nil, fmt.Errorf("write Java's trust store: %s: no PEM certificate in it: leave the file out", c.Alias)
		}
		alias := strings.ToLower(strings.ToValidUTF8(c.Alias, "_")) // JKS looks aliases up in lower case
		for n := 2; taken[alias]; n++ {
			alias = fmt.Sprintf("%s-%d", strings.ToLower(strings.ToValidUTF8(c.Alias, "_")), n)
		}
		if n := len(appendText(nil, alias)) - 2; n > math.MaxUint16 {
			return nil, fmt.Errorf("write Java's trust store: the alias %.40q... has %d bytes, more than %d: shorten the file's name", alias, n, math.MaxUint16)
		}
		taken[alias] = true
		out = append(out, Certificate{alias, c.DER})
	}
	slices.SortFunc(out, func(a, b Certificate) int { return strings.Compare(a.Alias, b.Alias) })
	return out, nil
}

// appendText writes a string as java.io.DataOutput.writeUTF does: its length in
// bytes, and "modified UTF-8", in which NUL has two bytes and a character
// beyond U+FFFF is a pair of surrogates of three bytes each.
func appendText(b []byte, s string) []byte {
	var text []byte
	for _, r := range s {
		switch {
		case r == 0:
			text = append(text, 0xc0, 0x80)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			for _, half := range []rune{hi, lo} {
				text = append(text, 0xe0|byte(half>>12), 0x80|byte(half>>6&0x3f), 0x80|byte(half&0x3f))
			}
		default:
			text = utf8.AppendRune(text, r)
		}
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(text)))
	return append(b, text...)
}

// digest is the check sum with which a JDK finds a damaged store, or a wrong
// password.
func digest(store []byte) [sha1.Size]byte {
	var b bytes.Buffer
	for _, c := range utf16.Encode([]rune(Password)) {
		b.Write(binary.BigEndian.AppendUint16(nil, c))
	}
	b.WriteString(salt)
	b.Write(store)
	return sha1.Sum(b.Bytes())
}
