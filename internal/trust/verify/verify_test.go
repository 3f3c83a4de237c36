package verify_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"distroless/internal/oci/registry"
	"distroless/internal/plan/lock"
	"distroless/internal/trust/attach"
	"distroless/internal/trust/inventory"
	"distroless/internal/trust/provenance"
	"distroless/internal/trust/sbom"
	"distroless/internal/trust/sign"
	"distroless/internal/trust/source"
	"distroless/internal/trust/trusttest"
	"distroless/internal/trust/verify"
)

func newKey(t *testing.T) *sign.Key {
	t.Helper()
	raw, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	k, err := sign.ParsePrivate(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func public(t *testing.T, k *sign.Key) *sign.Public {
	t.Helper()
	p, err := k.Public()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// node is what has no paragraph in the image.
var node = sbom.Locked{Upstream: []lock.Upstream{{Name: "node", Version: "22", SHA256: strings.Repeat("0d", 32), Purl: "pkg:generic/node@22"}}}

// sampleLock is the lock of the sample image.
func sampleLock() *lock.Lock {
	l := &lock.Lock{Cells: map[lock.Key]*lock.Cell{}}
	for _, arch := range []string{"amd64", "arm64"} {
		c := &lock.Cell{Definition: "sha256:" + strings.Repeat("ab", 32), Archive: []lock.Suite{{Suite: "trixie", Date: time.Unix(1.7e9, 0).UTC(), Release: strings.Repeat("cd", 32), Keyring: "k"}}}
		for _, p := range []string{"base-files 13.8+deb13u1", "libc6 2.41-12", "libstdc++6 14.2.0-19"} {
			name, version, _ := strings.Cut(p, " ")
			sum := sha256.Sum256([]byte(p + arch))
			c.Packages = append(c.Packages, lock.Package{Name: name, Version: version, Arch: arch, Suite: "trixie", Path: "pool/" + name + ".deb", Size: 1, SHA256: hex.EncodeToString(sum[:])})
		}
		l.Cells[lock.Key{Image: "app", Distro: "debian13", Arch: arch}] = c
	}
	return l
}

// signed makes a layout whose image and index carry everything, signed with k.
func signed(t *testing.T, dir string, k *sign.Key, tags bool) {
	t.Helper()
	var subjects []v1.Hash
	var list []registry.Attachment
	for _, tag := range []string{"latest", "latest-amd64", "latest-arm64"} {
		src, err := source.Open(dir + ":" + tag)
		if err != nil {
			t.Fatal(err)
		}
		d, err := src.Resolve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		in := attach.Input{Subject: d, Name: "app-debian13", Distro: "debian-13", Version: "1", Key: k, Tags: tags}
		images, err := source.Images(t.Context(), src, d)
		if err != nil {
			t.Fatal(err)
		}
		var r inventory.Reader
		var members []sbom.Member
		var archs []string
		for _, img := range images {
			v, err := r.Read(t.Context(), img)
			if err != nil {
				t.Fatal(err)
			}
			members = append(members, sbom.Member{Image: v, Locked: node})
			archs = append(archs, img.Config.Architecture)
		}
		in.SBOM = sbom.Index("app-debian13", d.Digest.String(), members)
		if !d.MediaType.IsIndex() {
			in.SBOM = sbom.Image(members[0].Image, node)
		}
		if in.Lock, err = provenance.Subset(sampleLock(), "app", "debian13", archs); err != nil {
			t.Fatal(err)
		}
		in.Recipe = &provenance.Recipe{Image: "app", Distro: "debian13", Variant: "latest", Archs: archs, Compression: "gzip", Lock: string(in.Lock.Bytes()), Definitions: map[string]string{"app.yaml": "name: app\n"}}
		a, err := attach.Make(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		subjects, list = append(subjects, d.Digest), append(list, a...)
	}
	if err := attach.ToLayout(dir, subjects, list); err != nil {
		t.Fatal(err)
	}
}

// check verifies a reference; what holds is one word each.
func check(t *testing.T, ref string, o verify.Options) (string, error) {
	t.Helper()
	src, err := source.Open(ref)
	if err != nil {
		t.Fatal(err)
	}
	var ok []string
	o.Tell = func(c verify.Check) { ok = append(ok, c.What) }
	err = verify.Image(t.Context(), src, o)
	return strings.Join(ok, " "), err
}

// outcome is the kind of a fault and what is at fault.
func outcome(err error) string {
	var f *verify.Fault
	if !errors.As(err, &f) {
		return fmt.Sprint(err)
	}
	return [...]string{"", "not signed", "wrong signer", "altered", "not reproducible"}[f.Kind] + ": " + f.What
}

func TestHolds(t *testing.T) {
	k := newKey(t)
	for _, tags := range []bool{true, false} {
		dir := trusttest.Sample(t)
		signed(t, dir, k, tags)
		before, err := os.ReadFile(filepath.Join(dir, "index.json"))
		if err != nil {
			t.Fatal(err)
		}
		o := verify.Options{Key: public(t, k)}
		one := " provenance sbom sbom lock"
		if got, err := check(t, dir+":latest", o); err != nil || got != "signature contents"+one+one+one {
			t.Errorf("index: %q, %v", got, err)
		}
		if got, err := check(t, dir+":latest-arm64", o); err != nil || got != "signature contents"+one {
			t.Errorf("image: %q, %v", got, err)
		}
		calls := 0
		o.Rebuild = func(_ context.Context, _ v1.Descriptor, r *provenance.Recipe, l *lock.Lock) (string, error) {
			calls++
			if len(r.Archs) != 1 || len(l.Cells) != 1 {
				t.Errorf("rebuild of %v with %d cells", r.Archs, len(l.Cells))
			}
			return "the same", nil
		}
		if _, err := check(t, dir, o); err != nil || calls != 2 {
			t.Errorf("%d rebuilds, %v", calls, err)
		}
		signed(t, dir, k, tags)
		if after, err := os.ReadFile(filepath.Join(dir, "index.json")); err != nil || !bytes.Equal(before, after) {
			t.Errorf("signing again changed the layout: %v\n%s\n%s", err, before, after)
		}
	}
}

func TestNotSigned(t *testing.T) {
	k, other := newKey(t), newKey(t)
	dir := trusttest.Sample(t)
	if _, err := check(t, dir, verify.Options{Key: public(t, k)}); outcome(err) != "not signed: signature" {
		t.Errorf("nothing attached: %v", err)
	}
	signed(t, dir, nil, false)
	if _, err := check(t, dir, verify.Options{Key: public(t, k)}); outcome(err) != "not signed: signature" {
		t.Errorf("nothing signed: %v", err)
	}
	signed(t, dir, other, true)
	if _, err := check(t, dir, verify.Options{Key: public(t, k)}); outcome(err) != "wrong signer: signature" {
		t.Errorf("signed by another: %v", err)
	}
	signed(t, dir, k, false)
	if _, err := check(t, dir, verify.Options{Key: public(t, k)}); err != nil {
		t.Errorf("signed by both: %v", err)
	}
}

// TestTampering changes one thing after signing. If it fails, somebody who can
// write to a registry can change an image, or what is said of it, unseen.
func TestTampering(t *testing.T) {
	k := newKey(t)
	o := verify.Options{Key: public(t, k)}
	open := func(t *testing.T) string {
		dir := trusttest.Sample(t)
		signed(t, dir, k, true)
		return dir
	}
	for name, c := range map[string]struct {
		change func(t *testing.T, dir string)
		want   string
	}{
		"a layer":    {func(t *testing.T, dir string) { flipBlob(t, dir, manifestOf(t, dir, "latest-amd64").Layers[1].Digest) }, "altered: layer"},
		"the config": {func(t *testing.T, dir string) { flipBlob(t, dir, manifestOf(t, dir, "latest-amd64").Config.Digest) }, "altered: config"},
		"a manifest": {func(t *testing.T, dir string) { flipBlob(t, dir, entry(t, dir, "latest-amd64").Digest) }, "altered: manifest"},
		"the index":  {func(t *testing.T, dir string) { flipBlob(t, dir, entry(t, dir, "latest").Digest) }, "altered: index"},
		"the tag moved to a manifest that nobody signed": {func(t *testing.T, dir string) {
			m := manifestOf(t, dir, "latest-amd64")
			m.Annotations["x"] = "y"
			point(t, dir, "latest", m)
		}, "not signed: signature"},
		"an SBOM": {func(t *testing.T, dir string) {
			flipBlob(t, dir, attached(t, dir, "latest-amd64", "application/spdx+json").Layers[0].Digest)
		}, "altered: sbom"},
		"an SBOM put in the place of another": {func(t *testing.T, dir string) {
			replaceDocument(t, dir, "latest-amd64", "application/spdx+json", func(b []byte) []byte { return bytes.Replace(b, []byte("2.41-12"), []byte("2.41-99"), -1) })
		}, "altered: sbom"},
		"the other SBOM put in the place of another": {func(t *testing.T, dir string) {
			replaceDocument(t, dir, "latest", "application/vnd.cyclonedx+json", func(b []byte) []byte { return append(b, ' ') })
		}, "altered: sbom"},
		"an SBOM taken away": {func(t *testing.T, dir string) { remove(t, dir, "latest-amd64", "application/vnd.cyclonedx+json") }, "altered: sbom"},
		"the lock": {func(t *testing.T, dir string) {
			flipBlob(t, dir, attached(t, dir, "latest-arm64", provenance.RecipeType).Layers[0].Digest)
		}, "altered: lock"},
		"a lock put in the place of another": {func(t *testing.T, dir string) {
			replaceDocument(t, dir, "latest", provenance.RecipeType, func(b []byte) []byte { return bytes.Replace(b, []byte("trixie"), []byte("trixiE"), -1) })
		}, "altered: lock"},
		"the signature": {func(t *testing.T, dir string) {
			dropTags(t, dir)
			replaceBundle(t, dir, "latest", sign.SignatureType, func(s string) string { return flipSignature(s) })
		}, "altered: signature"},
		"the provenance": {func(t *testing.T, dir string) {
			dropTags(t, dir)
			replaceBundle(t, dir, "latest", provenance.PredicateType, func(s string) string { return flipSignature(s) })
		}, "altered: provenance"},
		"the signature's blob": {func(t *testing.T, dir string) {
			m := attachedBundle(t, dir, "latest", sign.SignatureType)
			flipBlob(t, dir, m.Layers[0].Digest)
		}, "altered: signature"},
		"the older signature alone, for another image": {func(t *testing.T, dir string) {
			dropBundles(t, dir)
			sig := entry(t, dir, attach.Tag(entry(t, dir, "latest-amd64").Digest, "sig"))
			name(t, dir, attach.Tag(entry(t, dir, "latest").Digest, "sig"), sig)
		}, "altered: signature"},
		"the signed provenance taken away": {func(t *testing.T, dir string) {
			dropTags(t, dir)
			removeBundle(t, dir, "latest-amd64", provenance.PredicateType)
		}, "not signed: provenance"},
		"another image's attachments": {func(t *testing.T, dir string) {
			dropTags(t, dir)
			m := attachedBundle(t, dir, "latest-amd64", sign.SignatureType)
			removeBundle(t, dir, "latest", sign.SignatureType)
			d := entry(t, dir, "latest")
			m.Subject = &v1.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
			add(t, dir, m, "")
		}, "altered: signature"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := open(t)
			c.change(t, dir)
			if _, err := check(t, dir+":latest", o); outcome(err) != c.want {
				t.Errorf("%v, want %s (%v)", outcome(err), c.want, err)
			}
		})
	}
}

// TestLies signs documents that do not say what is in the layers. If it fails,
// a signer's mistake, a stale SBOM, passes.
func TestLies(t *testing.T) {
	k := newKey(t)
	honest := trusttest.Sample(t)
	layers := trusttest.SampleLayers("amd64")
	for name, change := range map[string]func(){
		"a file more":    func() { layers[2].Files["/usr/bin/more"] = "x" },
		"a file less":    func() { delete(layers[2].Files, "/usr/bin/app") },
		"another file":   func() { layers[2].Files["/usr/bin/app"] = "else" },
		"a package more": func() { layers[0].Files["/var/lib/dpkg/status.d/x"] = "Package: x\nVersion: 1\nArchitecture: all\n" },
		"another version": func() {
			layers[1].Files["/var/lib/dpkg/status.d/libc6"] = "Package: libc6\nVersion: 9\nArchitecture: amd64\n"
		},
		"a file not listed": func() { layers[1].Files["/usr/lib/libc.so.6"] = "not what the package has" },
	} {
		t.Run(name, func(t *testing.T) {
			layers = trusttest.SampleLayers("amd64")
			change()
			img, blobs := trusttest.Image(t, "amd64", layers...)
			dir := trusttest.Layout(t, imageList(img), blobs)
			d := entry(t, dir, "latest-amd64")
			src, err := source.Open(honest + ":latest-amd64")
			if err != nil {
				t.Fatal(err)
			}
			hd, err := src.Resolve(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			images, err := source.Images(t.Context(), src, hd)
			if err != nil {
				t.Fatal(err)
			}
			v, err := new(inventory.Reader).Read(t.Context(), images[0])
			if err != nil {
				t.Fatal(err)
			}
			v.Digest = d.Digest.String() // the document claims to be about the other image
			l, err := provenance.Subset(sampleLock(), "app", "debian13", []string{"amd64"})
			if err != nil {
				t.Fatal(err)
			}
			list, err := attach.Make(t.Context(), attach.Input{Subject: d, Name: "app-debian13", SBOM: sbom.Image(v, sbom.Locked{}), Key: k, Lock: l, Recipe: &provenance.Recipe{
				Image: "app", Distro: "debian13", Variant: "latest", Archs: []string{"amd64"}, Lock: string(l.Bytes())}})
			if err != nil {
				t.Fatal(err)
			}
			if err := attach.ToLayout(dir, []v1.Hash{d.Digest}, list); err != nil {
				t.Fatal(err)
			}
			want := "altered: sbom"
			if name == "a file not listed" {
				want = "altered: contents"
			}
			if _, err := check(t, dir+":latest-amd64", verify.Options{Key: public(t, k)}); outcome(err) != want {
				t.Errorf("%s, want %s (%v)", outcome(err), want, err)
			}
		})
	}
}

func flipSignature(s string) string {
	i := strings.Index(s, `"sig":"`) + len(`"sig":"`) + 20
	c := byte('A')
	if s[i] == 'A' {
		c = 'B'
	}
	return s[:i] + string(c) + s[i+1:]
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
