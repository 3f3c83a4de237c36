package archivetest

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

// listed is a line of a Release's SHA256 field.
type listed struct {
	path   string
	digest string
	size   int
}

// publishSuite makes a suite's indices and its signed Release.
func (r *Repo) publishSuite(s *suite) error {
	folder := root(s.name) + "/dists/" + s.name + "/"
	if strings.HasSuffix(s.name, "/") {
		folder = path.Join(root(s.name), s.name) + "/"
	}
	var files []listed
	for _, index := range r.indices(s) {
		for _, form := range r.o.Indices {
			data := []byte(index.text)
			if form != "" {
				var err error
				if data, err = Compress(strings.TrimPrefix(form, "."), data); err != nil {
					return err
				}
			}
			name := index.path + form
			l := listed{name, digest(data), len(data)}
			files = append(files, l)
			if s.broken[index.arch] {
				// As on a mirror that was copied while the archive changed: the
				// name has other bytes, the digest nothing.
				r.files[folder+name] = content{data: append(bytes.Clone(data), '\n')}
				continue
			}
			r.files[folder+name] = content{data: data}
			if !r.o.NoByHash {
				r.files[folder+path.Dir(name)+"/by-hash/SHA256/"+l.digest] = content{data: data}
			}
		}
	}
	text := r.releaseText(s, files)
	if s.edit != nil {
		text = s.edit(text)
	}
	signed, detached, err := r.signRelease(s, text)
	if err != nil {
		return err
	}
	if s.sign != nil {
		signed = s.sign(signed)
	}
	if signed != "" {
		r.files[folder+"InRelease"] = content{data: []byte(signed)}
	}
	r.files[folder+"Release"] = content{data: []byte(text)}
	if detached != "" {
		r.files[folder+"Release.gpg"] = content{data: []byte(detached)}
	}
	return nil
}

// index is a Packages file before compression.
type index struct{ path, arch, text string }

func (r *Repo) indices(s *suite) []index {
	if strings.HasSuffix(s.name, "/") {
		return []index{{"Packages", "", texts(s.entries, func(entry) bool { return true })}}
	}
	components := map[string]bool{"main": true}
	for _, e := range s.entries {
		components[e.component] = true
	}
	var all []index
	arches := r.o.Arches
	if r.o.SeparateAll {
		arches = append(slices.Clone(arches), "all")
	}
	for _, component := range slices.Sorted(maps.Keys(components)) {
		for _, arch := range arches {
			text := texts(s.entries, func(e entry) bool {
				return e.component == component && (e.arch == arch || e.arch == "all" && !r.o.SeparateAll)
			})
			all = append(all, index{component + "/binary-" + arch + "/Packages", arch, text})
		}
	}
	return all
}

func texts(entries []entry, want func(entry) bool) string {
	var b strings.Builder
	for _, e := range entries {
		if want(e) {
			b.WriteString(e.text + "\n")
		}
	}
	return b.String()
}

// releaseText writes a Release as Debian's main and security archives do.
func (r *Repo) releaseText(s *suite, files []listed) string {
	const layout = "Mon, 02 Jan 2006 15:04:05 MST"
	var b strings.Builder
	components := map[string]bool{"main": true}
	for _, e := range s.entries {
		components[e.component] = true
	}
	security := strings.HasSuffix(s.name, "-security")
	flat := strings.HasSuffix(s.name, "/")
	fmt.Fprintf(&b, "Origin: Test\nLabel: Test\n")
	if !flat {
		fmt.Fprintf(&b, "Suite: %s\nCodename: %s\n", s.name, s.name)
	}
	fmt.Fprintf(&b, "Date: %s\n", r.o.Date.Format(layout))
	valid := r.o.ValidFor
	if valid == 0 && security {
		valid = 7 * 24 * time.Hour
	}
	if valid != 0 {
		fmt.Fprintf(&b, "Valid-Until: %s\n", r.o.Date.Add(valid).Format(layout))
	}
	if !r.o.NoByHash {
		b.WriteString("Acquire-By-Hash: yes\n")
	}
	arches := strings.Join(r.o.Arches, " ")
	if r.o.SeparateAll {
		arches = "all " + arches
	} else if !security {
		b.WriteString("No-Support-for-Architecture-all: Packages\n")
		arches = "all " + arches
	}
	if !flat {
		names := slices.Sorted(maps.Keys(components))
		if security {
			for i := range names {
				names[i] = "updates/" + names[i]
			}
		}
		fmt.Fprintf(&b, "Architectures: %s\nComponents: %s\n", arches, strings.Join(names, " "))
	}
	b.WriteString("Description: archive of a test\nSHA256:\n")
	for _, f := range files {
		fmt.Fprintf(&b, " %s %8d %s\n", f.digest, f.size, f.path)
	}
	return b.String()
}

// signRelease returns the InRelease and the Release.gpg.
func (r *Repo) signRelease(s *suite, text string) (signed, detached string, err error) {
	if s.unsigned {
		return "", "", nil
	}
	key := r.key
	if s.wrongKey {
		key = r.other
	}
	config := &packet.Config{Time: func() time.Time { return r.o.Date }}
	signing, ok := key.SigningKey(r.o.Date, config)
	if !ok {
		return "", "", fmt.Errorf("the key cannot sign at %s", r.o.Date)
	}
	var b bytes.Buffer
	w, err := clearsign.Encode(&b, signing.PrivateKey, config)
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return "", "", err
	}
	var d bytes.Buffer
	err = openpgp.ArmoredDetachSign(&d, []*openpgp.Entity{key}, strings.NewReader(text), &openpgp.SignParams{Config: config})
	return b.String() + "\n", d.String() + "\n", err
}
