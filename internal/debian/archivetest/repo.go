package archivetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"distroless/internal/debian/archive"
)

// Options say how a [Repo] is made; the zero value is an archive of today.
type Options struct {
	// Date of the Release files; zero means the time of New.
	Date time.Time
	// ValidFor sets Valid-Until that long after Date; 0 sets none for main and
	// a week for security, as Debian does.
	ValidFor time.Duration
	// KeyLife is how long after Date the key is good; 0 means for ever.
	KeyLife time.Duration
	// Arches that the suites list; nil means amd64, arm64, armhf, ppc64el,
	// riscv64 and s390x.
	Arches []string
	// Indices are the forms of Packages that are listed: "", ".gz", ".xz"; nil
	// means ".xz" and "".
	Indices []string
	// NoByHash leaves Acquire-By-Hash out, as simple third-party archives do.
	NoByHash bool
	// SeparateAll puts packages of Architecture: all into an index of their
	// own, as some third-party archives do.
	SeparateAll bool
}

// Repo is an archive of one or several suites, served on loopback until the
// test ends. Its methods may be called while it serves.
type Repo struct {
	t      testing.TB
	o      Options
	key    *openpgp.Entity
	other  *openpgp.Entity // whom nobody trusts
	server *httptest.Server

	mu       sync.Mutex
	suites   map[string]*suite
	pool     map[string]content // by path below an archive's root
	files    map[string]content // what is served; nil when it has to be made
	faults   []*fault
	requests []string
}

// suite is the content of dists/<name>.
type suite struct {
	name     string
	entries  []entry
	broken   map[string]bool // architectures whose index is not the listed one
	unsigned bool
	wrongKey bool
	edit     func(string) string // of the Release text before it is signed
	sign     func(string) string // of the InRelease
}

// entry is a paragraph of Packages.
type entry struct {
	component, arch string
	text            string
}

// content is a file's bytes, or where on disk they lie.
type content struct {
	data []byte
	file string
}

func (c content) read() ([]byte, error) {
	if c.file != "" {
		return os.ReadFile(c.file)
	}
	return c.data, nil
}

// New makes an empty archive with a key of its own and serves it.
func New(t testing.TB, o Options) *Repo {
	t.Helper()
	if o.Date.IsZero() {
		o.Date = time.Now()
	}
	o.Date = o.Date.UTC().Truncate(time.Second)
	if o.Arches == nil {
		o.Arches = []string{"amd64", "arm64", "armhf", "ppc64el", "riscv64", "s390x"}
	}
	if o.Indices == nil {
		o.Indices = []string{".xz", ""}
	}
	r := &Repo{t: t, o: o, suites: map[string]*suite{}, pool: map[string]content{}}
	r.key, r.other = r.newKey("Test Archive"), r.newKey("Somebody Else")
	r.server = httptest.NewServer(r)
	t.Cleanup(r.server.Close)
	return r
}

// newKey makes a key a year older than the archive.
func (r *Repo) newKey(name string) *openpgp.Entity {
	r.t.Helper()
	born := r.o.Date.AddDate(-1, 0, 0)
	config := &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return born }}
	if r.o.KeyLife > 0 {
		config.KeyLifetimeSecs = uint32(r.o.Date.Add(r.o.KeyLife).Sub(born) / time.Second)
	}
	e, err := openpgp.NewEntity(name, "", "nobody@example.org", config)
	if err != nil {
		r.t.Fatalf("make a key: %v", err)
	}
	return e
}

// URL is the root of the main archive.
func (r *Repo) URL() string { return r.server.URL + "/debian" }

// SecurityURL is the root of the security archive, a sibling of the main one.
func (r *Repo) SecurityURL() string { return r.server.URL + "/debian-security" }

// FlatURL is the root of the flat archive, of which "./" is the suite.
func (r *Repo) FlatURL() string { return r.server.URL + "/flat" }

// Keyring returns the archive's public key, armored.
func (r *Repo) Keyring() []byte {
	r.t.Helper()
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err == nil {
		err = r.key.Serialize(w)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		r.t.Fatalf("export a key: %v", err)
	}
	return append(b.Bytes(), '\n')
}

// Suite returns where a suite lies and whose signature it has.
func (r *Repo) Suite(name string) archive.Suite {
	r.t.Helper()
	k, err := archive.ParseKeyring(r.Keyring())
	if err != nil {
		r.t.Fatal(err)
	}
	return archive.Suite{Name: name, Roots: []string{r.server.URL + root(name)}, Keyring: k}
}

// root is the folder of the archive that a suite belongs to.
func root(suite string) string {
	switch {
	case strings.HasSuffix(suite, "/"):
		return "/flat"
	case strings.HasSuffix(suite, "-security"):
		return "/debian-security"
	}
	return "/debian"
}

// Add puts packages into a suite, which is made where it is not there: of the
// security archive when its name ends in -security, of the flat one when it
// ends in a slash, else of main. Add without packages makes an empty suite.
func (r *Repo) Add(name string, packages ...Package) {
	r.t.Helper()
	r.withSuite(name, func(*suite) {})
	for _, p := range packages {
		p = p.withDefaults()
		data, err := p.Build()
		if err != nil {
			r.t.Fatal(err)
		}
		r.add(name, p.Component, p.Paragraph(), content{data: data})
	}
}

// AddFile puts a .deb on disk into a suite's main component. The paragraph is
// its control file or its entry in another archive's index; the fields that say
// where the file lies are kept, those about its bytes made anew.
func (r *Repo) AddFile(name, file, paragraph string) {
	r.t.Helper()
	r.add(name, "main", paragraph, content{file: file})
}

// AddControl puts a paragraph into a suite's index whose .deb is nowhere, for
// tests that only resolve. Fields about the file are made up.
func (r *Repo) AddControl(name, paragraph string) {
	r.t.Helper()
	r.add(name, "main", paragraph, content{})
}

func (r *Repo) add(name, component, paragraph string, c content) {
	r.t.Helper()
	data, err := c.read()
	if err != nil {
		r.t.Fatalf("add to %s: %v", name, err)
	}
	fields, kept := map[string]string{}, ""
	for line := range strings.Lines(strings.TrimSpace(paragraph) + "\n") {
		field, value, _ := strings.Cut(line, ":")
		if !slices.Contains([]string{"Filename", "Size", "SHA256", "MD5sum"}, field) {
			kept += line
		}
		if line[0] != ' ' {
			fields[field] = strings.TrimSpace(value)
		}
	}
	location := fields["Filename"]
	if location == "" {
		location = poolPath(component, fields)
	}
	kept += fmt.Sprintf("Filename: %s\nSize: %d\nSHA256: %s\n", location, len(data), digest(data))
	r.withSuite(name, func(s *suite) {
		s.entries = append(s.entries, entry{component, fields["Architecture"], kept})
		if c.data != nil || c.file != "" {
			r.pool[root(name)+"/"+location] = c
		}
	})
}

// poolPath is where Debian would put a package.
func poolPath(component string, fields map[string]string) string {
	source, _, _ := strings.Cut(fields["Source"], " ")
	if source == "" {
		source = fields["Package"]
	}
	prefix := source[:1]
	if strings.HasPrefix(source, "lib") && len(source) > 3 {
		prefix = source[:4]
	}
	version := fields["Version"]
	if i := strings.IndexByte(version, ':'); i >= 0 {
		version = version[i+1:]
	}
	file := fields["Package"] + "_" + version + "_" + fields["Architecture"] + ".deb"
	return path.Join("pool", component, prefix, source, file)
}

// withSuite changes a suite; what is served is made anew at the next request.
func (r *Repo) withSuite(name string, change func(*suite)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.suites[name]
	if s == nil {
		s = &suite{name: name, broken: map[string]bool{}}
		r.suites[name] = s
	}
	change(s)
	r.files = nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// publish makes what is served. The lock is held.
func (r *Repo) publish() error {
	r.files = maps.Clone(r.pool)
	for _, name := range slices.Sorted(maps.Keys(r.suites)) {
		if err := r.publishSuite(r.suites[name]); err != nil {
			return fmt.Errorf("publish %s: %w", name, err)
		}
	}
	return nil
}
