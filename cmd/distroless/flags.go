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
	lock    *lock.Lock
	ui      *ui
}

// open reads catalogue and lock and sets up the builder. Arguments that are
// files are added to the catalogue; names are what the arguments name.
func (c *common) open(s *surroundings, args []string, compression layer.Compression) (se *session, names []string, err error) {
	cat, err := build.LoadCatalog(catalog.Files)
	if err != nil {
		return nil, nil, err
	}
	for _, a := range args {
		if build.IsFile(a) {
			if a, err = cat.Add(a); err != nil {
				return nil, nil, err
			}
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
	u := newUI(s, c.quiet, c.verbose, c.json)
	se = &session{catalog: cat, lock: l, ui: u}
	se.Builder = build.New(build.Options{
		Catalog: cat, Lock: l, Cache: cache, Compression: compression, Jobs: c.jobs, Epoch: epoch, Step: u.step, Keyring: s.keyring,
		Fetch: &fetch.Client{Cache: cache, Progress: u.progress(), Credentials: auth.Lookup},
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
// image of the catalogue. An image is passed over for a distro that it is not
// defined for, unless it was named and that leaves nothing of it.
func (c *common) keys(se *session, names []string) ([]lock.Key, error) {
	named := len(names) > 0
	if !named {
		names = se.catalog.Names()
	}
	distros := c.distros
	if slices.Contains(distros, "all") {
		distros = se.catalog.DistroNames()
	}
	if len(distros) == 0 {
		distros = []string{""}
	}
	var keys []lock.Key
	for _, name := range names {
		before := len(keys)
		var last error
		for _, dn := range distros {
			d, err := se.catalog.Distro(dn)
			if err != nil {
				return nil, usageError{err}
			}
			k, err := c.cells(se, name, d)
			if err != nil {
				last = err
				continue
			}
			keys = append(keys, k...)
		}
		if len(keys) == before && named && last != nil {
			return nil, usageError{last}
		}
	}
	return keys, nil
}

func (c *common) cells(se *session, name string, d *spec.Distro) ([]lock.Key, error) {
	offered, err := se.Archs(name, d.Name)
	if err != nil {
		return nil, err
	}
	archs := offered
	if !slices.Contains(c.archs, "all") {
		archs = nil
		for _, a := range c.archs {
			p, err := spec.ParseArch(a)
			if err != nil {
				return nil, err
			}
			archs = append(archs, p.Debian)
		}
		if len(archs) == 0 {
			p, err := spec.ParseArch(build.MachineArch())
			if err != nil {
				return nil, fmt.Errorf("%w: name one with --arch", err)
			}
			archs = []string{p.Debian}
		}
	}
	var keys []lock.Key
	for _, a := range archs {
		if !slices.Contains(offered, a) {
			return nil, fmt.Errorf("image %s: %s is not built for %s, only for %s", name, d.Name, a, strings.Join(offered, ", "))
		}
		if k := (lock.Key{Image: name, Distro: d.Name, Arch: a}); !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// exists reports whether a path is there, whatever it is.
func exists(p string) bool {
	_, err := os.Stat(p)
	return !errors.Is(err, fs.ErrNotExist)
}
