package keystore_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"distroless/internal/build/buildtest"
	"distroless/internal/rootfs/keystore"
	"distroless/internal/testenv"
)

func der(t *testing.T, name string) []byte {
	t.Helper()
	block, _ := pem.Decode(buildtest.Certificate(name))
	if block == nil {
		t.Fatal("no PEM")
	}
	return block.Bytes
}

// Aliases are Debian's, so that people's keytool commands go on working.
func TestAlias(t *testing.T) {
	for file, want := range map[string]string{
		"mozilla/ISRG_Root_X1.crt":     "debian:isrg_root_x1.pem",
		"corp.pem":                     "debian:corp.pem",
		"certs/Our CA (2026), new.crt": "debian:our_ca_=2026=__new.pem",
		"mozilla/NetLock_Arany_=Class_Gold=_Főtanúsítvány.crt": "debian:netlock_arany_=class_gold=_főtanúsítvány.pem",
	} {
		if got := keystore.Alias(file); got != want {
			t.Errorf("Alias(%q) = %q, want %q", file, got, want)
		}
	}
}

// The bytes follow from the content: an image built twice is the same, in
// whatever order certificates are given.
func TestEncode(t *testing.T) {
	a, b := keystore.Certificate{"debian:a.pem", der(t, "A")}, keystore.Certificate{"debian:b.pem", der(t, "B")}
	one, err := keystore.Encode([]keystore.Certificate{b, a}, 1700000000)
	if err != nil {
		t.Fatal(err)
	}
	two, err := keystore.Encode([]keystore.Certificate{a, b}, 1700000000)
	if err != nil || !bytes.Equal(one, two) {
		t.Errorf("another order gives other bytes (%v)", err)
	}
	const head = "\xfe\xed\xfe\xed\x00\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00\x02\x00\x0cdebian:a.pem\x00\x00\x01\x8b\xcf\xe5\x68\x00\x00\x05X.509"
	if !strings.HasPrefix(string(one), head) {
		t.Errorf("it begins %q, want %q", one[:len(head)], head)
	}
	if _, err := keystore.Encode([]keystore.Certificate{{Alias: "debian:x.pem"}}, 0); err == nil || !strings.Contains(err.Error(), "debian:x.pem: no PEM certificate") {
		t.Errorf("no certificate: %v", err)
	}
	if _, err := keystore.Encode([]keystore.Certificate{{Alias: strings.Repeat("x", 70000), DER: a.DER}}, 0); err == nil || !strings.Contains(err.Error(), "70000 bytes") {
		t.Errorf("a long alias: %v", err)
	}
}

// jdks are the keytools of the machine: the one on PATH, and in whole test runs
// those of other JDKs.
func jdks(t *testing.T) []string {
	more := []string{testenv.Tool(t, "keytool")}
	if testenv.Required() {
		others, _ := filepath.Glob("/usr/lib/jvm/*/bin/keytool")
		more = append(more, others...)
	}
	var list []string
	for _, k := range more {
		at, err := filepath.EvalSymlinks(k)
		if err == nil && !slices.Contains(list, at) {
			list = append(list, at)
		}
	}
	return list
}

// Every JDK lists what was put in. If it fails, Java programs trust nobody, or
// cannot start TLS at all.
func TestKeytool(t *testing.T) {
	tools := jdks(t)
	bundle, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt")
	if err != nil && testenv.Required() {
		t.Fatal(err)
	}
	certs := []keystore.Certificate{
		{"debian:same.pem", der(t, "A")}, {"debian:Same.pem", der(t, "B")}, {"debian:\U0001f512 főt\x00.pem", der(t, "C")},
	}
	for n := 0; ; n++ {
		var block *pem.Block
		if block, bundle = pem.Decode(bundle); block == nil {
			break
		}
		certs = append(certs, keystore.Certificate{fmt.Sprintf("debian:n%d.pem", n), block.Bytes})
	}
	text, err := keystore.Encode(certs, 1700000000)
	if err != nil {
		t.Fatal(err)
	}
	store := filepath.Join(t.TempDir(), "cacerts")
	if err := os.WriteFile(store, text, 0o644); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, c := range certs {
		want = append(want, fmt.Sprintf("%X", sha256.Sum256(c.DER)))
	}
	slices.Sort(want)
	for _, tool := range tools {
		cmd := exec.Command(tool, "-list", "-keystore", store, "-storepass", keystore.Password)
		cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TZ=UTC", "JAVA_TOOL_OPTIONS=")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", tool, err, out)
		}
		var got []string
		for _, m := range regexp.MustCompile(`\(SHA-256\): ([0-9A-F:]+)`).FindAllSubmatch(out, -1) {
			got = append(got, strings.ReplaceAll(string(m[1]), ":", ""))
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s lists %d certificates, want %d of the same digests\n%.400s", tool, len(got), len(want), out)
		}
		for _, part := range []string{"\ndebian:same.pem, Nov 14, 2023, trustedCertEntry", "\ndebian:same.pem-2, Nov 14, 2023, trustedCertEntry", "főt\x00.pem, Nov"} {
			if !strings.Contains(string(out), part) {
				t.Errorf("%s does not list %q", tool, part)
			}
		}
	}
	t.Logf("%d certificates, %d keytools", len(certs), len(tools))
}
