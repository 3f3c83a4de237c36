package main

import (
	"context"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"distroless/catalog"
	"distroless/internal/build"
	"distroless/internal/oci/registry"
	"distroless/internal/plan/lock"
	"distroless/internal/plan/spec"
	"distroless/internal/trust/inventory"
	"distroless/internal/trust/provenance"
	"distroless/internal/trust/sbom"
	"distroless/internal/trust/source"
)

func newSBOM(s *surroundings) *cobra.Command {
	var format, lockFile string
	var arch, cache string
	var flags registryFlags
	cmd := &cobra.Command{
		Use:   "sbom IMAGE",
		Short: "List what is in an image: packages, licences, files",
		Long: `Write a software bill of materials of an image to standard output: its packages
with their sources and licences, and every file with the package or generator that
it belongs to. The image is a layout or an OCI archive, with a tag where it holds
several (dist/base-debian13:debug), or one in a registry. The tag of an index gives a document of all its
images and their packages, and with --arch the one image's, which lists files too.

The digests of the .debs are taken from the lock file where it holds the very
versions that are in the image. The same image and lock give the same bytes.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(sbom.Formats(), sbom.Format(format)) {
				return usagef("--format %s: expected %s or %s", format, sbom.SPDX, sbom.CycloneDX)
			}
			l, err := lock.Read(lockFile)
			if err != nil {
				return err
			}
			reader, err := knowingReader(s, cache)
			if err != nil {
				return err
			}
			data, err := writeSBOM(cmd.Context(), s, &flags, args[0], arch, sbom.Format(format), l, reader)
			if err != nil {
				return err
			}
			_, err = s.stdout.Write(data)
			return err
		},
	}
	cmd.Flags().StringVar(&format, "format", string(sbom.SPDX), "`format`: spdx (2.3) or cyclonedx (1.6), both as JSON")
	cmd.Flags().StringVar(&arch, "arch", "", "`architecture` of an index to describe, by Debian's or OCI's name (default the whole index)")
	cmd.Flags().StringVar(&lockFile, "lock", "distroless.lock", "lock `file`, for the digests of the .debs")
	addReaderCache(cmd, &cache)
	flags.add(cmd)
	return cmd
}

// addReaderCache declares the flag that knowingReader takes.
func addReaderCache(cmd *cobra.Command, cache *string) {
	cmd.Flags().StringVar(cache, "cache", "", "`folder` of the build's cache, which remembers what the layers hold that were written here (default $XDG_CACHE_HOME/distroless)")
}

// knowingReader reads images for an SBOM: what builds with this cache have
// remembered of a layer saves unpacking it. Without a cache each is read.
func knowingReader(s *surroundings, cache string) (*inventory.Reader, error) {
	r := &inventory.Reader{NoMD5: true}
	dir, err := (&common{cache: cache}).cacheDir(s)
	if err != nil {
		if cache != "" {
			return nil, err
		}
		return r, nil // no home, so nothing is remembered there
	}
	r.Known = build.OpenInventories(dir).Layer
	return r, nil
}

func writeSBOM(ctx context.Context, s *surroundings, flags *registryFlags, ref, arch string, format sbom.Format, l *lock.Lock, r *inventory.Reader) ([]byte, error) {
	src, d, err := flags.openImage(ctx, s, ref, arch)
	if err != nil {
		return nil, err
	}
	cat, err := build.LoadCatalog(catalog.Files)
	if err != nil {
		return nil, err
	}
	doc, err := describeImage(ctx, src, d, r, lockedParts(l, cat))
	if err != nil {
		return nil, err
	}
	return doc.Encode(format)
}

// openImage opens a reference and returns the descriptor of what it names, or
// of its member for an architecture.
func (r *registryFlags) openImage(ctx context.Context, s *surroundings, ref, arch string) (source.Source, v1.Descriptor, error) {
	src, err := r.openSource(s, ref)
	if err != nil {
		return nil, v1.Descriptor{}, err
	}
	d, err := src.Resolve(ctx)
	if err != nil || arch == "" {
		return src, d, err
	}
	p, err := spec.ParseArch(arch)
	if err != nil {
		return nil, d, usageError{err}
	}
	images, err := source.Images(ctx, src, d)
	if err != nil {
		return nil, d, err
	}
	for _, img := range images {
		if img.Config.Architecture == p.OCI {
			return src, img.Descriptor, nil
		}
	}
	return nil, d, fmt.Errorf("open %s: no image for %s in it", ref, arch)
}

// registryFlags are the flags of commands that read images from a registry.
type registryFlags struct{ insecure bool }

func (r *registryFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&r.insecure, "insecure", false, "allow plain http to any registry (always to this machine), and certificates that do not verify")
}

// openSource opens a layout or an archive of one, else an image in a registry.
func (r *registryFlags) openSource(s *surroundings, ref string) (source.Source, error) {
	if _, _, ok := source.IsLayout(ref); ok {
		return source.Open(ref)
	}
	if !registry.IsReference(ref) {
		return nil, fmt.Errorf("open %s: no layout or OCI archive is there, and it names no registry: write the host too, as in registry.example.org/team/%s", ref, ref)
	}
	client := &registry.Client{Keychain: registry.Keychain(s.environ), Insecure: r.insecure}
	return client.Open(ref)
}

// describeImage makes the SBOM of an image or an index. locked returns what
// the lock has of an image.
func describeImage(ctx context.Context, src source.Source, d v1.Descriptor, r *inventory.Reader, locked func(*inventory.Inventory) sbom.Locked) (*sbom.Document, error) {
	images, err := source.Images(ctx, src, d)
	if err != nil {
		return nil, err
	}
	var members []sbom.Member
	for _, img := range images {
		v, err := r.Read(ctx, img)
		if err != nil {
			return nil, err
		}
		members = append(members, sbom.Member{Image: v, Locked: locked(v)})
	}
	if !d.MediaType.IsIndex() {
		return sbom.Image(members[0].Image, members[0].Locked), nil
	}
	return sbom.Index("", d.Digest.String(), members), nil
}

// lockedParts finds what a lock has of an image: its packages in whatever cell
// has them, since a .deb of one name, version and architecture is the same in
// all; and of its own cells, by its title, the archives that are not Debian's.
func lockedParts(l *lock.Lock, cat *build.Catalog) func(*inventory.Inventory) sbom.Locked {
	type id struct{ name, version, arch string }
	all := map[id]lock.Package{}
	for _, k := range l.Keys() {
		for _, p := range l.Cells[k].All() {
			all[id{p.Name, p.Version, p.Arch}] = p
		}
	}
	return func(v *inventory.Inventory) sbom.Locked {
		var out sbom.Locked
		for _, p := range v.Packages {
			if l, ok := all[id{p.Name, p.Version, p.Arch}]; ok {
				out.Packages = append(out.Packages, l)
			}
		}
		image, distro, _ := splitTitle(v.Name, cat)
		p, err := spec.ParseArch(v.Platform.Architecture)
		if err != nil {
			return out
		}
		chain, err := provenance.Chain(l, lock.Key{Image: image, Distro: distro, Arch: p.Debian})
		if err != nil {
			return out // not of this lock
		}
		for _, k := range chain {
			out.Upstream = append(out.Upstream, l.Cells[k].Upstream...)
		}
		return out
	}
}
