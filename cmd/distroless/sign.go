package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"distroless/catalog"
	"distroless/internal/build"
	"distroless/internal/oci/layout"
	"distroless/internal/oci/registry"
	"distroless/internal/plan/lock"
	"distroless/internal/plan/spec"
	"distroless/internal/trust/attach"
	"distroless/internal/trust/inventory"
	"distroless/internal/trust/provenance"
	"distroless/internal/trust/sbom"
	"distroless/internal/trust/sign"
	"distroless/internal/trust/source"
)

const signLong = `Attach to the images of a layout what is to be known of them, signed: SBOMs in SPDX
and CycloneDX, provenance, and the lock with the definitions, from which the image
can be built again. "distroless push" then sends it all. Every index and image of
the layout is signed, or those of one tag.

Signatures are those of cosign, as bundles that refer to the image, and with
--old-tags also under the tags sha256-<hex>.sig and .att, where cosign before
version 3 looks:

  cosign verify --key distroless.pub --insecure-ignore-tlog=true IMAGE
  cosign verify-attestation --type slsaprovenance1 --key distroless.pub --insecure-ignore-tlog=true IMAGE

The key is a file or env://NAME, its password DISTROLESS_PASSWORD or
COSIGN_PASSWORD. Signing again with the same key changes nothing.

Without --key the signer is who the identity token says: that of --identity-token,
else of the CI system (SIGSTORE_ID_TOKEN as GitLab's id_tokens set it, GitHub
Actions with the permission id-token: write, a Kubernetes volume at
/var/run/sigstore/cosign/oidc-token). A Fulcio certifies a key made for this run,
and a Rekor enters each signature: in the public services, for everybody to see and
for good. --fulcio-url, --rekor-url and --timestamp-server-url name others,
"none" does without the last two, and --signing-config names all three. Signing
again adds signatures. To verify:

  cosign verify --certificate-identity WHO --certificate-oidc-issuer URL IMAGE

--unsigned attaches everything but signatures.`

func newSign(s *surroundings) *cobra.Command {
	var o attachOptions
	var by signerOptions
	cmd := &cobra.Command{
		Use:   "sign LAYOUT[:TAG]",
		Short: "Attach SBOMs, provenance and signatures to images",
		Long:  signLong,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := lock.Read(o.lockFile)
			if err != nil {
				return err
			}
			if _, _, ok := source.IsLayout(args[0]); !ok {
				return fmt.Errorf("sign %s: no layout is there: run \"distroless build\" first", args[0])
			}
			var who string
			if o.signer, who, err = by.signer(cmd, s); err != nil {
				return err
			}
			cat, err := build.LoadCatalog(catalog.Files)
			if err != nil {
				return err
			}
			made, err := o.attach(cmd.Context(), s, args[0], cat, l)
			if err != nil {
				return err
			}
			path, _, _ := source.IsLayout(args[0])
			if err := attach.ToLayout(path, made.subjects, made.list); err != nil {
				return err
			}
			fmt.Fprintf(s.stdout, "%s  %d images and indices, %d attachments, %s%s\n", path, len(made.subjects), len(made.list), size(made.size()), who)
			for _, n := range made.notes {
				fmt.Fprintf(s.stderr, "note: %s\n", n)
			}
			return nil
		},
	}
	by.add(cmd)
	cmd.Flags().StringVar(&o.lockFile, "lock", "distroless.lock", "lock `file` that the images were built from")
	o.add(cmd)
	return cmd
}

// attachOptions are the flags of everything that attaches.
type attachOptions struct {
	signer      sign.Signer // nil attaches without signing
	lockFile    string
	definition  string
	compression string
	builder     string
	cache       string
	oldTags     bool
}

func (o *attachOptions) add(cmd *cobra.Command) {
	addReaderCache(cmd, &o.cache)
	f := cmd.Flags()
	f.StringVar(&o.definition, "definition", "", "definition `file` of an image that is not in the catalogue")
	f.StringVar(&o.compression, "compression", "", "`compression` that the image was built with, where it has a level: gzip:9 (default what its layers say)")
	f.StringVar(&o.builder, "builder-id", "", "`URI` of who builds, for the provenance (default a build on somebody's machine)")
	f.BoolVar(&o.oldTags, "old-tags", true, "put signatures under the tags that cosign before version 3 knows, too")
}

// attachments are what there is to attach to a layout.
type attachments struct {
	subjects  []v1.Hash
	list      []registry.Attachment
	bySubject map[string][]registry.Attachment // by "sha256:<hex>", as a push takes them
	notes     []string
}

func (a *attachments) size() int64 {
	var n int64
	for _, x := range a.list {
		n += int64(len(x.Manifest))
		for _, b := range x.Blobs {
			n += int64(len(b))
		}
	}
	return n
}

// attach makes the attachments of the images of a layout. It writes nothing. The
// catalogue says which names are images.
func (o *attachOptions) attach(ctx context.Context, s *surroundings, ref string, cat *build.Catalog, l *lock.Lock) (*attachments, error) {
	path, tag, _ := source.IsLayout(ref)
	on, err := layout.Open(path)
	if err != nil {
		return nil, err
	}
	tags := []string{tag}
	if tag == "" {
		tags = slices.DeleteFunc(on.Tags(), func(t string) bool { return strings.HasPrefix(t, "sha256-") })
	}
	reader, err := knowingReader(s, o.cache)
	if err != nil {
		return nil, err
	}
	run := &attachRun{attachOptions: o, surroundings: s, cat: cat, lock: l, locked: lockedParts(l, cat), done: map[v1.Hash]bool{}, reader: reader,
		out: attachments{bySubject: map[string][]registry.Attachment{}}, texts: map[string]*definitions{}, checked: map[string]error{}}
	// Indices first: their names say the variant, and what is said of an image
	// is the same under all its names.
	for _, wantIndex := range []bool{true, false} {
		for _, t := range tags {
			src, err := source.Open(path + ":" + t)
			if err != nil {
				return nil, err
			}
			d, err := src.Resolve(ctx)
			if err != nil {
				return nil, err
			}
			if d.MediaType.IsIndex() == wantIndex {
				if err := run.entry(ctx, src, d, t); err != nil {
					return nil, err
				}
			}
		}
	}
	if err := run.make(ctx); err != nil {
		return nil, err
	}
	return &run.out, nil
}

// attachRun is one call of attach.
type attachRun struct {
	*attachOptions
	*surroundings
	cat      *build.Catalog
	lock     *lock.Lock
	locked   func(*inventory.Inventory) sbom.Locked
	reader   *inventory.Reader
	licences sbom.Licences
	checked  map[string]error        // recipes, by all that decides whether their definitions are right
	texts    map[string]*definitions // by image and distro
	done     map[v1.Hash]bool
	inputs   []attach.Input
	out      attachments
}

// make makes the attachments of all that entry has found.
func (r *attachRun) make(ctx context.Context) error {
	made, err := attach.MakeAll(ctx, r.inputs)
	if err != nil {
		return err
	}
	for i, in := range r.inputs {
		r.out.subjects = append(r.out.subjects, in.Subject.Digest)
		r.out.list = append(r.out.list, made[i]...)
		r.out.bySubject[in.Subject.Digest.String()] = made[i]
	}
	return nil
}

// entry finds what there is to attach to one entry of the layout, and to the
// images in it.
func (r *attachRun) entry(ctx context.Context, src source.Source, d v1.Descriptor, tag string) error {
	if r.done[d.Digest] {
		return nil
	}
	images, err := source.Images(ctx, src, d)
	if err != nil {
		return err
	}
	var members []sbom.Member
	for _, img := range images {
		v, err := r.reader.Read(ctx, img)
		if err != nil {
			return err
		}
		members = append(members, sbom.Member{Image: v, Locked: r.locked(v)})
	}
	if d.MediaType.IsIndex() {
		name := members[0].Image.Name
		if err := r.one(ctx, d, sbom.Index(name, d.Digest.String(), members), members, tag); err != nil {
			return err
		}
	}
	for i, img := range images {
		if r.done[img.Descriptor.Digest] {
			continue
		}
		doc := sbom.Image(members[i].Image, members[i].Locked)
		if err := r.one(ctx, img.Descriptor, doc, members[i:i+1], tag); err != nil {
			return err
		}
	}
	return nil
}

// one finds what there is to attach to one image or index.
func (r *attachRun) one(ctx context.Context, d v1.Descriptor, doc *sbom.Document, members []sbom.Member, tag string) error {
	v := members[0].Image
	in := attach.Input{
		Subject: d, Name: v.Name, SBOM: doc.Share(&r.licences), Distro: v.Distro, Version: versionOf().Version, Builder: r.builder, Signer: r.signer, Tags: r.oldTags,
	}
	if in.Name == "" {
		in.Name = "image"
	}
	if err := r.recipe(ctx, &in, members, tag); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.out.notes = append(r.out.notes, fmt.Sprintf("%s:%s: no provenance and no lock attached: %v", in.Name, tag, err))
	}
	r.done[d.Digest] = true
	r.inputs = append(r.inputs, in)
	return nil
}

// recipe finds how an image was built: its title and tag say what it is, and
// the lock must have just the packages that are in it.
func (r *attachRun) recipe(ctx context.Context, in *attach.Input, members []sbom.Member, tag string) error {
	image, distro, ok := splitTitle(in.Name, r.cat)
	if !ok {
		return fmt.Errorf("its title, %q, names no distro", in.Name)
	}
	var archs []string
	for _, m := range members {
		p, err := spec.ParseArch(m.Image.Platform.Architecture)
		if err != nil {
			return err
		}
		archs = append(archs, p.Debian)
		tag = strings.TrimSuffix(tag, "-"+p.OCI)
	}
	if !slices.Contains(spec.Variants(), tag) {
		return fmt.Errorf("its tag, %q, is none of %s", tag, strings.Join(spec.Variants(), ", "))
	}
	texts := r.texts[in.Name]
	if texts == nil {
		var err error
		if texts, err = gatherDefinitions(r.definition, image, distro); err != nil {
			return err
		}
		r.texts[in.Name] = texts
	}
	recipe, part, err := newRecipe(texts, r.lock, image, distro, tag, cmp.Or(r.compression, compressionOf(members[0].Image)), archs)
	if err != nil {
		return fmt.Errorf("%w: name the lock that it was built from with --lock", err)
	}
	for i, m := range members {
		if err := attach.SamePackages(part, lock.Key{Image: image, Distro: distro, Arch: archs[i]}, tag, m.Image); err != nil {
			return fmt.Errorf("the lock is not the one that it was built from: %w", err)
		}
	}
	if err := r.checkRecipe(ctx, recipe); err != nil {
		return fmt.Errorf("the definitions are not those that it was built from: %w", err)
	}
	in.Recipe, in.Lock = recipe, part
	return nil
}

// checkRecipe is the function of that name, once for the variants of an image:
// they have the same definitions and the same lock.
func (r *attachRun) checkRecipe(ctx context.Context, recipe *provenance.Recipe) error {
	key := fmt.Sprintf("%s %s %q", recipe.Image, recipe.Distro, recipe.Archs)
	if err, ok := r.checked[key]; ok {
		return err
	}
	err := checkRecipe(ctx, r.surroundings, recipe)
	if ctx.Err() == nil {
		r.checked[key] = err
	}
	return err
}

// compressionOf is how an image's layers are compressed, by their media type;
// the level does not show.
func compressionOf(v *inventory.Inventory) string {
	for _, l := range v.Manifest.Layers {
		if _, kind, ok := strings.Cut(string(l.MediaType), "+"); ok {
			return kind
		}
	}
	return "none"
}
