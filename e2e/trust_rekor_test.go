package e2e

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	rekorv1 "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"

	"distroless/internal/trust/attach"
	"distroless/internal/trust/provenance"
	"distroless/internal/trust/sign"
)

// serveRekor1 runs Rekor of version 1 in front of a Trillian, until the test
// ends. It makes its key, and tells the public one.
func (s *sigstore) serveRekor1() *ecdsa.PublicKey {
	trillian := freePort(s.t)
	background(s.t, filepath.Join(s.dir, "trillian.log"), filepath.Join(all.dir, "trillian"), "-address", trillian)
	waitFor(s.t, "trillian", func() error {
		c, err := net.Dial("tcp", trillian)
		if err != nil {
			return err
		}
		return c.Close()
	})
	host, port, err := net.SplitHostPort(trillian)
	if err != nil {
		s.t.Fatal(err)
	}
	// Of the endpoints, searchIndex is left out, which needs a Redis.
	s.rekor = "http://" + s.serve("rekor1", "/ping", "serve", "--rekor_server.address", "HOST", "--port", "PORT", "--rekor_server.hostname", "HOST",
		"--trillian_log_server.address", host, "--trillian_log_server.port", port, "--rekor_server.signer", "memory", "--enable_retrieve_api=false",
		"--enabled_api_endpoints", "getLogInfo,getPublicKey,getLogProof,createLogEntry,getLogEntryByIndex,getLogEntryByUUID,searchLogQuery")
	block, _ := pem.Decode(download(s.t, s.rekor+"/api/v1/log/publicKey"))
	if block == nil {
		s.t.Fatal("the log's key is not PEM")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		s.t.Fatal(err)
	}
	public, ok := key.(*ecdsa.PublicKey)
	if !ok {
		s.t.Fatalf("the log's key is a %T", key)
	}
	return public
}

// signedOlder signs with a log of version 1, whose promises the older form needs.
// If it fails, others cannot verify what we sign with the services that are the
// default, or we not what they have signed there.
func signedOlder(t *testing.T) {
	at := serveSigstore(t, 1)
	t.Run("by us, with timestamps", func(t *testing.T) {
		signedByUs(t, at, false, "base-debian13", "--timestamp-server-url", at.timestamp)
	})
	// Without timestamps, though the root lists who gives them.
	t.Run("by us", func(t *testing.T) { signedByUs(t, at, true, "base-debian13:latest") })
	t.Run("by cosign", func(t *testing.T) { signedByCosign(t, at) })
}

// signedByUs signs what those arguments name, and verifies an image in each form.
func signedByUs(t *testing.T, at *sigstore, referrers bool, what ...string) {
	s := newSigning(t, filepath.Join(all.dir, "cosign"), referrers)
	image := s.registry + "/base-debian13:latest"
	by, other := at.by(signer), at.by("other@example.org")
	s.ours(0, append([]string{"sign", "--fulcio-url", at.fulcio, "--rekor-url", at.rekor, "--identity-token", at.issuer.token(signer)}, what...)...)
	s.ours(0, "push", "base-debian13", "--to", s.registry)
	for _, form := range []string{"true", "false"} {
		bundle := "--new-bundle-format=" + form
		s.theirs(0, with(by, "verify", bundle, image)...)
		s.theirs(1, with(other, "verify", bundle, image)...)
		for _, kind := range []string{"slsaprovenance1", "spdxjson"} {
			s.theirs(0, with(by, "verify-attestation", "--type", kind, bundle, image)...)
			s.theirs(1, with(other, "verify-attestation", "--type", kind, bundle, image)...)
		}
	}
	s.ours(0, with(by, "verify", image)...)
	s.ours(5, with(other, "verify", image)...)
	dropBundles(t, filepath.Join(s.dir, "base-debian13"))
	if o := s.ours(0, with(by, "verify", "base-debian13:latest")...); !strings.Contains(o.stdout, "(tag)") {
		t.Errorf("signatures under tags do not count: %s", o.stdout)
	}
	s.ours(5, with(other, "verify", "base-debian13:latest")...)
}

// dropBundles leaves of the signatures of a layout those under tags.
func dropBundles(t *testing.T, layout string) {
	t.Helper()
	file := filepath.Join(layout, "index.json")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var idx v1.IndexManifest
	if err := json.Unmarshal(data, &idx); err != nil {
		t.Fatal(err)
	}
	before := len(idx.Manifests)
	idx.Manifests = slices.DeleteFunc(idx.Manifests, func(d v1.Descriptor) bool { return d.ArtifactType == sign.BundleType })
	if len(idx.Manifests) == before {
		t.Fatalf("%s has no bundles", file)
	}
	if data, err = json.Marshal(idx); err != nil {
		t.Fatal(err)
	}
	put(t, file, string(data))
}

// signedByCosign has cosign sign an image and its provenance, in each form.
func signedByCosign(t *testing.T, at *sigstore) {
	s := newSigning(t, filepath.Join(all.dir, "cosign"), true)
	predicate := filepath.Join(s.dir, "provenance.json")
	put(t, predicate, s.predicate("base-debian13:latest-amd64"))
	for _, image := range []string{"latest-amd64", "debug-amd64"} {
		s.ours(0, "sign", "base-debian13:"+image, "--unsigned")
	}
	for _, form := range []string{"bundle", "tag"} {
		t.Run(form, func(t *testing.T) {
			s := &signing{t: t, dir: s.dir, cosign: s.cosign, registry: s.registry + "/" + form}
			image, second := s.registry+"/base-debian13:latest-amd64", s.registry+"/base-debian13:debug-amd64"
			by, other := at.by(signer), at.by("other@example.org")
			cosign := func(command string, who string, more ...string) {
				t.Helper()
				s.theirs(0, append([]string{command, "--fulcio-url", at.fulcio, "--rekor-url", at.rekor, "--use-signing-config=false", "--trusted-root", at.root,
					"--new-bundle-format=" + strconv.FormatBool(form == "bundle"), "--identity-token", at.issuer.token(who), "-y"}, more...)...)
			}
			s.ours(0, "push", "base-debian13", "--to", s.registry)
			s.ours(4, with(by, "verify", image)...)
			cosign("sign", signer, image)
			if o := s.ours(0, with(by, "verify", image, "--signature-only")...); !strings.Contains(o.stdout, "("+form+")") {
				t.Errorf("it is not in that form: %s", o.stdout)
			}
			s.ours(5, with(other, "verify", image, "--signature-only")...)
			s.ours(4, with(by, "verify", image)...) // no provenance
			attest := []string{"--type", "slsaprovenance1", "--predicate", predicate, image}
			cosign("attest", "other@example.org", attest...)
			s.ours(5, with(by, "verify", image)...)
			cosign("attest", signer, attest...)
			s.ours(0, with(by, "verify", image)...)
			cosign("sign", signer, second, "--timestamp-server-url", at.timestamp)
			s.ours(0, with(by, "verify", second, "--signature-only")...)
			s.altered(by, form, image, second)
		})
	}
}

// predicate is the provenance of an image of a layout, which a signed copy tells.
func (s *signing) predicate(image string) string {
	s.t.Helper()
	tool(s.t, s.dir, "cp", "-r", "base-debian13", "keyed")
	s.ours(0, "sign", strings.Replace(image, "base-debian13", "keyed", 1), "--key", "ours.key")
	blobs, err := filepath.Glob(filepath.Join(s.dir, "keyed", "blobs", "sha256", "*"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, file := range blobs {
		data, err := os.ReadFile(file)
		if err != nil {
			s.t.Fatal(err)
		}
		var statement struct {
			PredicateType string
			Predicate     json.RawMessage
		}
		signed, err := sign.Read(sign.BundleType, data, nil)
		if err != nil || json.Unmarshal(signed.Payload, &statement) != nil || statement.PredicateType != provenance.PredicateType {
			continue // another blob
		}
		return string(statement.Predicate)
	}
	s.t.Fatalf("%s has no provenance", image)
	return ""
}

// altered puts copies of a signed image beside it, each with a signature in which
// one thing is not what it was.
func (s *signing) altered(by []string, form, image, second string) {
	entry := func(s *sign.Signed) *rekorv1.TransparencyLogEntry {
		return s.Bundle.VerificationMaterial.TlogEntries[0]
	}
	for what, c := range map[string]struct {
		code   int
		change func(s, other *sign.Signed) // other is of another image, by the same signer
	}{
		"nothing":   {0, func(_, _ *sign.Signed) {}},
		"signature": {6, func(s, other *sign.Signed) { *s = *other }},
		"text": {6, func(s, other *sign.Signed) {
			s.Payload = other.Payload
			if e := s.Bundle.GetDsseEnvelope(); e != nil {
				e.Payload = other.Payload
			}
		}},
		"certificate": {6, func(s, other *sign.Signed) {
			s.Bundle.VerificationMaterial.Content = other.Bundle.VerificationMaterial.Content
		}},
		"entry":   {6, func(s, other *sign.Signed) { s.Bundle.VerificationMaterial.TlogEntries[0] = entry(other) }},
		"promise": {6, func(s, _ *sign.Signed) { entry(s).InclusionPromise.SignedEntryTimestamp[20] ^= 1 }},
		"time":    {6, func(s, _ *sign.Signed) { entry(s).IntegratedTime++ }},
		"proof":   {6, func(s, _ *sign.Signed) { entry(s).InclusionProof.Hashes[0][0] ^= 1 }},
	} {
		if what == "proof" && form == "tag" {
			continue // it has no place there
		}
		s.t.Run(what, func(t *testing.T) {
			s := &signing{t: t, dir: s.dir, cosign: s.cosign, registry: s.registry + "/" + what}
			to := s.registry + "/base-debian13:latest-amd64"
			img, err := remote.Image(reference(t, image))
			if err != nil {
				t.Fatal(err)
			}
			if err := remote.Write(reference(t, to), img); err != nil {
				t.Fatal(err)
			}
			a, other := attachedTo(t, image, form), attachedTo(t, second, form)
			c.change(a.signed, other.signed)
			a.attach(t, to, form)
			s.ours(c.code, with(by, "verify", to, "--signature-only")...)
			s.theirs(min(c.code, 1), with(by, "verify", "--new-bundle-format="+strconv.FormatBool(form == "bundle"), to)...)
		})
	}
}

func reference(t *testing.T, image string) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(image)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// attached is a signature as it lies in a registry.
type attached struct {
	manifest map[string]any
	layer    map[string]any // the manifest's only one
	config   v1.Layer
	signed   *sign.Signed
}

// attachedTo is the signature of an image in that form.
func attachedTo(t *testing.T, image, form string) *attached {
	t.Helper()
	d, err := remote.Head(reference(t, image))
	if err != nil {
		t.Fatal(err)
	}
	repository := reference(t, image).Context()
	var ref name.Reference = repository.Tag(attach.Tag(d.Digest, "sig"))
	if form == "bundle" {
		ref = bundleOf(t, repository.Digest(d.Digest.String()))
	}
	img, err := remote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	a := &attached{}
	if a.config, err = partial.ConfigLayer(img); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &a.manifest); err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%s: %d layers, %v", ref, len(layers), err)
	}
	a.layer = a.manifest["layers"].([]any)[0].(map[string]any)
	r, err := layers[0].Compressed() // as it lies there
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	mediaType := map[string]string{"bundle": sign.BundleType, "tag": sign.SimpleType}[form]
	if a.signed, err = sign.Read(mediaType, data, m.Layers[0].Annotations); err != nil {
		t.Fatal(err)
	}
	return a
}

// bundleOf is the manifest of the bundle that signs an image.
func bundleOf(t *testing.T, image name.Digest) name.Digest {
	t.Helper()
	index, err := remote.Referrers(image)
	if err != nil {
		t.Fatal(err)
	}
	list, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list.Manifests {
		ref := image.Context().Digest(d.Digest.String())
		img, err := remote.Image(ref)
		if err != nil {
			t.Fatal(err)
		}
		// This registry's list has no annotations.
		m, err := img.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		if m.Annotations[attach.BundlePredicateAnnotation] == sign.SignatureType {
			return ref
		}
	}
	t.Fatalf("%s: no bundle signs it", image)
	return name.Digest{}
}

// attach gives an image the signature, the image being the one that it was found
// beside, in another repository.
func (a *attached) attach(t *testing.T, image, form string) {
	t.Helper()
	var data []byte
	var err error
	if form == "bundle" {
		data, err = a.signed.JSON()
	} else {
		data, a.layer["annotations"], err = a.signed.Older()
	}
	if err != nil {
		t.Fatal(err)
	}
	d, err := remote.Head(reference(t, image))
	if err != nil {
		t.Fatal(err)
	}
	repository := reference(t, image).Context()
	layer := static.NewLayer(data, types.MediaType(a.layer["mediaType"].(string)))
	digest, err := layer.Digest()
	if err != nil {
		t.Fatal(err)
	}
	a.layer["digest"], a.layer["size"] = digest.String(), len(data)
	for _, l := range []v1.Layer{layer, a.config} {
		if err := remote.WriteLayer(repository, l); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := json.Marshal(a.manifest)
	if err != nil {
		t.Fatal(err)
	}
	var ref name.Reference = repository.Tag(attach.Tag(d.Digest, "sig"))
	if form == "bundle" {
		ref = repository.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256(raw)))
	}
	if err := remote.Put(ref, manifest{raw, types.MediaType(a.manifest["mediaType"].(string))}); err != nil {
		t.Fatal(err)
	}
}

// manifest is one to put into a registry as it stands.
type manifest struct {
	raw       []byte
	mediaType types.MediaType
}

func (m manifest) RawManifest() ([]byte, error)        { return m.raw, nil }
func (m manifest) MediaType() (types.MediaType, error) { return m.mediaType, nil }
