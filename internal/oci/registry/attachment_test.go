package registry

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func silent() *log.Logger { return log.New(io.Discard, "", 0) }

// attachment makes one: a manifest with a subject, an empty configuration and
// one blob.
func attachment(t testing.TB, subject, text string) Attachment {
	t.Helper()
	a := Attachment{Blobs: map[string][]byte{}}
	add := func(kind, content string) string {
		d := digestOf([]byte(content))
		a.Blobs[d] = []byte(content)
		return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, kind, d, len(content))
	}
	a.Manifest = fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.example.note",`+
		`"config":%s,"layers":[%s],"subject":{"mediaType":"application/vnd.oci.image.index.v1+json","digest":%q,"size":1}}`,
		add("application/vnd.oci.empty.v1+json", "{}"), add("text/plain", text), subject)
	return a
}

// withAttachment gives the first source's indices an attachment each, one of
// them another on top, and one a tag.
func withAttachment(t testing.TB, sources []Source) []Source {
	t.Helper()
	s := &sources[0]
	s.Attachments = map[string][]Attachment{}
	for _, v := range variants {
		d, err := s.Layout.Tag(v)
		if err != nil {
			t.Fatal(err)
		}
		subject := d.Digest.String()
		note := attachment(t, subject, "note on "+v)
		s.Attachments[subject] = append(s.Attachments[subject], note)
		on := digestOf(note.Manifest)
		s.Attachments[on] = append(s.Attachments[on], attachment(t, on, "signature of it"))
		tagged := attachment(t, subject, "tagged")
		tagged.Tag = strings.Replace(subject, ":", "-", 1) + ".sig"
		s.Attachments[subject] = append(s.Attachments[subject], tagged)
	}
	return sources
}

// found fails unless every attachment is found from its subject, by the list
// of the registry or the tag in its place.
func found(t testing.TB, c *Client, host string, p *Plan) {
	t.Helper()
	for _, r := range p.Repositories {
		for _, m := range r.Manifests {
			if m.Subject == "" {
				continue
			}
			repo, err := name.NewRepository(host + "/" + r.Name)
			if err != nil {
				t.Fatal(err)
			}
			idx, err := remote.Referrers(repo.Digest(m.Subject))
			if err != nil {
				t.Errorf("%s: %v", m.Digest, err)
				continue
			}
			im, err := idx.IndexManifest()
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(im.Manifests, func(d v1.Descriptor) bool {
				return d.Digest.String() == m.Digest
			}) {
				t.Errorf("%s: not listed for %s", m.Digest, m.Subject)
			}
		}
	}
}

// TestAttachments pushes attachments to registries with and without lists of
// their own. If it fails, nobody finds signatures and SBOMs.
func TestAttachments(t *testing.T) {
	for _, referrers := range []bool{true, false} {
		host := start(t, referrers)
		p := mustPlan(t, withAttachment(t, two(t)), Naming{To: host})
		c := quick()
		if _, err := c.Push(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		check(t, host, p)
		found(t, c, host, p)
		if idx := fallbackOf(t, host, p); !referrers && !strings.Contains(idx, `"artifactType":"application/vnd.example.note"`) {
			t.Errorf("the list says nothing of the kind of attachment: %s", idx)
		}
		// Others' attachments stay.
		subject := p.Repositories[0].Tags[len(p.Repositories[0].Tags)-1].Digest
		other := two(t)
		other[0].Attachments = map[string][]Attachment{subject: {attachment(t, subject, "later")}}
		second := mustPlan(t, other, Naming{To: host})
		if res, err := c.Push(t.Context(), second); err != nil || res.Manifests != 1 {
			t.Errorf("a later attachment: %v", err)
		}
		found(t, c, host, p)
		found(t, c, host, second)
	}
}

// fallbackOf reads the list under the tag of some subject, if there is one.
func fallbackOf(t testing.TB, host string, p *Plan) string {
	t.Helper()
	for _, r := range p.Repositories {
		for _, m := range r.Manifests {
			ref, err := name.NewTag(host + "/" + r.Name + ":" + strings.Replace(m.Subject, ":", "-", 1))
			if err != nil || m.Subject == "" {
				continue
			}
			if d, err := remote.Get(ref); err == nil {
				return string(d.Manifest)
			}
		}
	}
	return ""
}

// TestBadAttachments gives attachments that cannot be right. If it fails,
// signatures are lost without a word.
func TestBadAttachments(t *testing.T) {
	sources := two(t)
	d, err := sources[0].Layout.Tag("latest")
	if err != nil {
		t.Fatal(err)
	}
	subject := d.Digest.String()
	stranger := digestOf([]byte("stranger"))
	lost := attachment(t, subject, "x")
	lost.Blobs = nil
	nowhere := attachment(t, subject, "x")
	var m map[string]any
	if err := json.Unmarshal(nowhere.Manifest, &m); err != nil {
		t.Fatal(err)
	}
	delete(m, "subject")
	if nowhere.Manifest, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		of, want string
		a        Attachment
	}{
		{stranger, "is not in the layout", attachment(t, stranger, "x")},
		{stranger, "names another subject", attachment(t, subject, "x")},
		{subject, "was not given", lost},
		{subject, "neither a subject nor a tag", nowhere},
		{subject, "manifest sha256:", Attachment{Manifest: []byte("{")}},
	} {
		sources[0].Attachments = map[string][]Attachment{c.of: {c.a}}
		if _, err := Make(sources[:1], Naming{To: "127.0.0.1:1"}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("the error is %v, want one with %q", err, c.want)
		}
	}
}
