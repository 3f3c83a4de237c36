package keylesstest

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/json"
	"math/big"
	"net/http"
	"net/url"
	"testing"
	"time"

	ctx509 "github.com/google/certificate-transparency-go/x509"
)

// authority is a root with one authority below it.
type authority struct {
	root, intermediate *x509.Certificate
	key                *ecdsa.PrivateKey // the intermediate's
	stamper            *x509.Certificate // of a timestamp authority
	stamperKey         *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, usage x509.ExtKeyUsage) authority {
	rootKey := Key(t)
	a := authority{key: Key(t), stamperKey: Key(t)}
	from, to := time.Now().Add(-48*time.Hour), time.Now().Add(48*time.Hour)
	ca := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root", Organization: []string{"test"}}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	a.root = issue(t, &ca, &ca, rootKey.Public(), rootKey)
	below := ca
	below.SerialNumber, below.Subject.CommonName, below.ExtKeyUsage = big.NewInt(2), "intermediate", []x509.ExtKeyUsage{usage}
	a.intermediate = issue(t, &below, a.root, a.key.Public(), rootKey)
	if usage == x509.ExtKeyUsageTimeStamping {
		// The usage has to be critical, which the library's field is not.
		critical := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: encode(t, []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})}
		a.stamper = issue(t, &x509.Certificate{
			SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "stamper"}, NotBefore: from, NotAfter: to,
			KeyUsage: x509.KeyUsageDigitalSignature, ExtraExtensions: []pkix.Extension{critical},
		}, a.intermediate, a.stamperKey.Public(), a.key)
	}
	return a
}

func issue(t testing.TB, c, parent *x509.Certificate, public any, key *ecdsa.PrivateKey) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, c, parent, public, key)
	if err != nil {
		t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func encode(t testing.TB, v any) []byte {
	der, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// leaf is a certificate as Fulcio gives it, entered in a certificate
// transparency log.
func (a *authority) leaf(t testing.TB, log *CTLog, public any, c claims, now time.Time, lifetime time.Duration) *x509.Certificate {
	san, err := url.Parse(c.Sub)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), NotBefore: now.Add(-time.Minute), NotAfter: now.Add(lifetime), URIs: []*url.URL{san},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		ExtraExtensions: []pkix.Extension{
			{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}, Value: []byte(c.Iss)},
			{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: encode(t, c.Iss)},
		},
	}
	bare := issue(t, &template, a.intermediate, public, a.key)
	sct := log.sct(t, bare.RawTBSCertificate, a.intermediate.RawSubjectPublicKeyInfo, now)
	list := binary.BigEndian.AppendUint16(nil, uint16(len(sct)))
	list = append(list, sct...)
	list = append(binary.BigEndian.AppendUint16(nil, uint16(len(list))), list...)
	template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}, Value: encode(t, list)})
	return issue(t, &template, a.intermediate, public, a.key)
}

// CTLog is a certificate transparency log that keeps nothing.
type CTLog struct {
	key *ecdsa.PrivateKey
	t   testing.TB
}

// NewCTLog makes a log.
func NewCTLog(t testing.TB) *CTLog { return &CTLog{Key(t), t} }

// Key is the log's key.
func (l *CTLog) Key() *ecdsa.PublicKey { return &l.key.PublicKey }

// signature signs a certificate as it is before the log's answer is put into
// it. See RFC 6962, section 3.2.
func (l *CTLog) signature(t testing.TB, tbs, issuer []byte, now time.Time) []byte {
	hash := sha256.Sum256(issuer)
	input := binary.BigEndian.AppendUint64([]byte{0, 0}, uint64(now.UnixMilli())) // version 1, a certificate's timestamp
	input = append(input, 0, 1)                                                   // of a precertificate
	input = append(input, hash[:]...)
	input = append(input, byte(len(tbs)>>16), byte(len(tbs)>>8), byte(len(tbs)))
	input = append(append(input, tbs...), 0, 0) // no extensions
	sum := sha256.Sum256(input)
	sig, err := ecdsa.SignASN1(rand.Reader, l.key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte{4, 3, byte(len(sig) >> 8), byte(len(sig))}, sig...) // SHA-256, ECDSA
}

// sct is the answer of the log as certificates have it.
func (l *CTLog) sct(t testing.TB, tbs, issuer []byte, now time.Time) []byte {
	out := append([]byte{0}, logID(&l.key.PublicKey)...)
	out = binary.BigEndian.AppendUint64(out, uint64(now.UnixMilli()))
	out = append(out, 0, 0)
	return append(out, l.signature(t, tbs, issuer, now)...)
}

// ServeHTTP answers to add-pre-chain, which is what Fulcio asks. See RFC 6962,
// section 4.2.
func (l *CTLog) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var request struct{ Chain [][]byte }
	if err := json.NewDecoder(req.Body).Decode(&request); err != nil || len(request.Chain) < 2 {
		http.Error(w, "no chain", http.StatusBadRequest)
		return
	}
	precert, err := ctx509.ParseCertificate(request.Chain[0])
	if ctx509.IsFatal(err) {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	issuer, err := x509.ParseCertificate(request.Chain[1])
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	tbs, err := ctx509.RemoveCTPoison(precert.RawTBSCertificate)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	now := time.Now()
	w.Header().Set("Content-Type", "application/json")
	err = json.NewEncoder(w).Encode(map[string]any{
		"sct_version": 0, "id": logID(&l.key.PublicKey), "timestamp": now.UnixMilli(), "extensions": "",
		"signature": l.signature(l.t, tbs, issuer.RawSubjectPublicKeyInfo, now),
	})
	if err != nil {
		l.t.Error(err)
	}
}
