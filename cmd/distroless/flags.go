package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"distroless/catalog"
	"distroless/internal/build"
	"distroless/internal/debian/archive"
	"distroless/internal/fetch"
	"distroless/internal/oci/layer"
	"distroless/internal/plan/lock"
	"distroless/internal/plan/spec"
	"distroless/internal/upstream"
)

// common are the flags that every command which resolves or builds has.
type common struct {
	distros, archs    []string
	archive, security string
	lock, cache       string
	jobs              int
	keepGoing         bool
	json              bool
	quiet, verbose    bool
}

func (c *common) add(f *pflag.FlagSet) {
	f.StringSliceVar(&c.distros, "distro", nil, "`distro` to build for, repeatable, or all (default debian13)")
	f.StringSliceVar(&c.archs, "arch", nil, "`architecture` to build for, by Debian's or OCI's name, repeatable, or all (default this machine's)")
	f.StringVar(&c.archive, "archive", "", "`address` of a Debian mirror: the folder with dists/ and pool/ (default this machine's apt sources)")
	f.StringVar(&c.security, "security-archive", "", "`address` of the security archive (default the mirror's sibling debian-security)")
	f.StringVar(&c.lock, "lock", "distroless.lock", "lock `file`")
	f.StringVar(&c.cache, "cache", "", "`folder` for packages and layers (default $XDG_CACHE_HOME/distroless)")
	f.IntVar(&c.jobs, "jobs", 0, "work on `n` things at once (default one a core)")
	f.BoolVar(&c.keepGoing, "keep-going", false, "when one architecture fails, go on with the others")
	f.BoolVar(&c.json, "json", false, "print results as JSON")
	f.BoolVarP(&c.quiet, "quiet", "q", false, "print errors only")
	f.BoolVarP(&c.verbose, "verbose", "v", false, "say each step")
}

// fromEnvironment sets the flags that the command line leaves out from
// variables of the same name.
func fromEnvironment(cmd *cobra.Command, environ func(string) (string, bool)) error {
	var errs []error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "help" {
			return
		}
		name := "DISTROLESS_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := environ(name)
		if !ok || value == "" {
			return
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			errs = append(errs, usagef("%s=%q: %w", name, value, err))
		}
	})
	return errors.Join(errs...)
}

// session is what a command works with once its flags are read.
type session struct {
	*build.Builder
	catalog *build.Catalog
	files   map[string]string // the files of definitions, by image, that are not the catalogue's
	lock    *lock.Lock
	ui      *ui
}

// open reads catalogue and lock and sets up the builder. Arguments that are
// files are added to the catalogue; names are what the arguments name.
func (c *common) open(s *surroundings, args []string, compression layer.Compression) (se *session, names []string, err error) {
	if c.jobs < 0 {
		return nil, nil, usagef("--jobs %d: expected 1 or more, or 0 for one a core", c.jobs)
	}
	cat, err := build.LoadCatalog(catalog.Files)
	if err != nil {
		return nil, nil, err
	}
	files := map[string]string{}
	for _, a := range args {
		if file := a; build.IsFile(a) {
			if a, err = cat.Add(file); err != nil {
				return nil, nil, err
			}
			files[a] = file
		} else if _, err := cat.Image(a); err != nil {
			return nil, nil, usageError{err}
		}
		if !slices.Contains(names, a) {
			names = append(names, a)
		}
	}
	l, err := lock.Read(c.lock)
	if err != nil {
		return nil, nil, err
	}
	dir, err := c.cacheDir(s)
	if err != nil {
		return nil, nil, err
	}
	cache, err := fetch.OpenCache(dir)
	if err != nil {
		return nil, nil, err
	}
	epoch, err := sourceDateEpoch(s)
	if err != nil {
		return nil, nil, err
	}
	auth, err := archive.ReadAuth(s.machine)
	if err != nil {
		return nil, nil, err
	}
	if home, ok := s.environ("HOME"); ok {
		if netrc, err := os.ReadFile(filepath.Join(home, ".netrc")); err == nil {
			auth.AddNetrc(netrc)
		}
	}
	u := newUI(s, c.quiet, c.verbose, c.json)
	se = &session{catalog: cat, files: files, lock: l, ui: u}
	saveMemory()
	se.Builder = build.New(build.Options{
		Catalog: cat, Lock: l, Cache: cache, Compression: compression, Jobs: c.jobs, KeepGoing: c.keepGoing, Epoch: epoch, Step: u.step, Keyring: s.keyring,
		Fetch: &fetch.Client{Cache: cache, Progress: u.progress(), Credentials: auth.Lookup},
		Npm:   func() (*upstream.NpmConfig, error) { return npmConfig(s) },
		Address: func() (archive.Address, error) {
			return archive.Discover(archive.DiscoverOptions{Main: c.archive, Security: c.security, Machine: s.machine})
		},
	})
	return se, names, nil
}

func (c *common) cacheDir(s *surroundings) (string, error) {
	if c.cache != "" {
		return c.cache, nil
	}
	if dir, ok := s.environ("XDG_CACHE_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "distroless"), nil
	}
	home, ok := s.environ("HOME")
	if !ok || home == "" {
		return "", usagef("find the cache: neither HOME nor XDG_CACHE_HOME is set: name a folder with --cache")
	}
	return filepath.Join(home, ".cache", "distroless"), nil
}

func sourceDateEpoch(s *surroundings) (*int64, error) {
	text, ok := s.environ("SOURCE_DATE_EPOCH")
	if !ok || text == "" {
		return nil, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return nil, usagef("SOURCE_DATE_EPOCH=%q: expected seconds since 1970", text)
	}
	return &n, nil
}

// keys lists the cells that names and flags mean. Without names it is every
// image of the catalogue that there is for the distros and architectures. Of
// several distros an image is passed over for those that it is not defined for,
// or that are not built for an architecture; but each architecture that was
// asked for must be found in one of them, for each image that was named.
func (c *common) keys(se *session, names []string) ([]lock.Key, error) {
	distros, err := c.chosenDistros(se)
	if err != nil {
		return nil, err
	}
	archs, err := c.chosenArchs()
	if err != nil {
		return nil, err
	}
	named := len(names) > 0
	if !named {
		names = se.catalog.Names()
	}
	var keys []lock.Key
	var last error
	for _, name := range names {
		before := len(keys)
		for _, d := range distros {
			k, missing, err := cells(se, name, d, archs)
			if err != nil {
				return nil, err
			}
			if missing != nil {
				last = missing
			}
			keys = append(keys, k...)
		}
		if named && !covered(keys[before:], archs) {
			return nil, usageError{last}
		}
	}
	if !covered(keys, archs) {
		return nil, usageError{last}
	}
	return keys, nil
}

// covered reports whether there are cells for each architecture, or any at all
// where none is named.
func covered(keys []lock.Key, archs []string) bool {
	for _, a := range archs {
		if !slices.ContainsFunc(keys, func(k lock.Key) bool { return k.Arch == a }) {
			return false
		}
	}
	return len(keys) > 0
}

// chosenDistros lists the distros asked for, else the default one.
func (c *common) chosenDistros(se *session) ([]string, error) {
	if slices.Contains(c.distros, "all") {
		return se.catalog.DistroNames(), nil
	}
	asked := c.distros
	if len(asked) == 0 {
		asked = []string{""}
	}
	var out []string
	for _, name := range asked {
		d, err := se.catalog.Distro(name)
		if err != nil {
			return nil, usageError{err}
		}
		if !slices.Contains(out, d.Name) {
			out = append(out, d.Name)
		}
	}
	return out, nil
}

// chosenArchs lists the architectures asked for, by Debian's names, else the
// machine's own; nil means all.
func (c *common) chosenArchs() ([]string, error) {
	if slices.Contains(c.archs, "all") {
		return nil, nil
	}
	if len(c.archs) == 0 {
		p, err := spec.ParseArch(build.MachineArch())
		if err != nil {
			return nil, usagef("%w: name one with --arch", err)
		}
		return []string{p.Debian}, nil
	}
	var out []string
	for _, a := range c.archs {
		p, err := spec.ParseArch(a)
		if err != nil {
			return nil, usageError{err}
		}
		if !slices.Contains(out, p.Debian) {
			out = append(out, p.Debian)
		}
	}
	return out, nil
}

// cells lists the cells of one image and distro. missing says what of them
// there is not; err that the definition cannot be used.
func cells(se *session, name, distro string, archs []string) (keys []lock.Key, missing, err error) {
	if d, err := se.catalog.Image(name); err != nil {
		return nil, nil, err
	} else if _, err := d.For(distro); err != nil {
		return nil, err, nil
	}
	offered, err := se.Archs(name, distro)
	if err != nil {
		return nil, nil, err
	}
	if archs == nil {
		archs = offered
	}
	for _, a := range archs {
		if !slices.Contains(offered, a) {
			missing = fmt.Errorf("image %s: %s is not built for %s, only for %s", name, distro, a, strings.Join(offered, ", "))
			if others := se.catalog.Relatives(name, distro, a, false); len(others) > 0 {
				missing = fmt.Errorf("%w; %s is", missing, strings.Join(others, " or "))
			}
			continue
		}
		keys = append(keys, lock.Key{Image: name, Distro: distro, Arch: a})
	}
	return keys, missing, nil
}

// exists reports whether a path is there, whatever it is.
func exists(p string) bool {
	_, err := os.Stat(p)
	return !errors.Is(err, fs.ErrNotExist)
}
