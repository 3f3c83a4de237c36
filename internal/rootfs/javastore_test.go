package rootfs_test

import (
	"encoding/pem"
	"testing"

	"distroless/internal/build/buildtest"
	"distroless/internal/rootfs"
	"distroless/internal/rootfs/keystore"
)

// Java's trust store holds what the bundle holds, in the level that has use
// for it and in each above that adds certificates. If it fails, Java programs
// trust other authorities than the rest of the image, or none.
func TestJavaStore(t *testing.T) {
	const store = "/etc/ssl/certs/java/cacerts"
	cert := func(name string) string { return string(buildtest.Certificate(name)) }
	want := func(created int64, names ...string) string {
		var list []keystore.Certificate
		for i := 0; i < len(names); i += 2 {
			block, _ := pem.Decode(buildtest.Certificate(names[i+1]))
			list = append(list, keystore.Certificate{Alias: names[i], DER: block.Bytes})
		}
		text, err := keystore.Encode(list, created)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	const at = "usr/share/ca-certificates/"
	lower := level(t, rootfs.Input{}, pkg{Name: "ca-certificates", Files: files(text(at+"m/A B.crt", cert("A")), text(at+"m/B.crt", cert("B")))})
	if lower.Tree.Lookup(store) != nil {
		t.Error("a store where nothing is Java's")
	}
	time := func(l *rootfs.Level) int64 { return l.Tree.Lookup(store).MTime }

	java := level(t, rootfs.Input{Lower: lower.Tree}, pkg{Name: "ca-certificates-java", Files: files(text("usr/share/x", "x"))})
	if got := content(t, java, store); got != want(time(java), "debian:a_b.pem", "A", "debian:b.pem", "B") || java.Tree.Lookup(store).Mode != 0o644 {
		t.Errorf("with ca-certificates-java: %q", got)
	}
	own := rootfs.CertificateFile{Name: "certs/Own.pem", PEM: []byte(cert("Own") + cert("More") + cert("A"))}
	full := func(created int64) string {
		return want(created, "debian:a_b.pem", "A", "debian:b.pem", "B", "debian:own.pem", "Own", "debian:own.pem", "More")
	}
	upper := level(t, rootfs.Input{Lower: java.Tree, Certificates: []rootfs.CertificateFile{own}})
	if got := content(t, upper, store); got != full(time(upper)) {
		t.Errorf("with a company's own: %q", got)
	}
	other := level(t, rootfs.Input{Lower: upper.Tree}, pkg{Name: "aa", Files: files(text("x", "x"))})
	for _, layer := range other.Layers() {
		for _, e := range layer.Entries {
			if e.Path == store {
				t.Error("the store is written again in a level that changes nothing of it")
			}
		}
	}

	// Another vendor's Java, whose package links to the store; and an epoch.
	vendor := pkg{Name: "vendor-jdk", Files: files(symlink("usr/lib/jvm/vendor/lib/security/cacerts", "/etc/ssl/certs/java/cacerts"))}
	epoch := int64(1000)
	at3 := level(t, rootfs.Input{Lower: lower.Tree, Certificates: []rootfs.CertificateFile{own}, Epoch: &epoch}, vendor)
	if got := content(t, at3, store); got != full(epoch) {
		t.Errorf("for a link: %q", got)
	}
	if level(t, rootfs.Input{}, vendor).Tree.Lookup(store) != nil {
		t.Error("a store without a bundle to make it from")
	}
	wantError(t, "debian:a.pem: no PEM certificate in it", rootfs.Input{}, vendor, pkg{Name: "ca-certificates", Files: files(text(at+"a.crt", "no"))})
}
