package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"distroless/internal/build"
	"distroless/internal/oci/image"
	"distroless/internal/oci/layer"
	"distroless/internal/oci/layout"
	"distroless/internal/plan/lock"
	"distroless/internal/trust/diff"
	"distroless/internal/trust/inventory"
	"distroless/internal/trust/keyless"
	"distroless/internal/trust/provenance"
	"distroless/internal/trust/sign"
	"distroless/internal/trust/source"
	"distroless/internal/trust/verify"
)

const verifyLong = `Verify an image: that it is signed with a key or by an identity, that its signed
provenance is about it, that its SBOMs name every package and file of the layers
with the right digests, and that the lock attached to it has its packages. What holds
is printed line by line. The image is a layout or an OCI archive, with a tag where it
holds several, or one in a registry.

An identity is a certificate's subject and who vouches for it, as in

  distroless verify IMAGE --trusted-root trusted_root.json \
    --certificate-identity https://github.com/team/images/.github/workflows/release.yml@refs/tags/v1 \
    --certificate-oidc-issuer https://token.actions.githubusercontent.com

Nobody is asked: whom to trust for it is in sigstore's trusted root. "cosign
trusted-root create --with-default-services --out trusted_root.json" writes that of the
public services. What a trusted root lists has to be there: an entry in a transparency
log, the time of a log or a timestamp authority, an entry of the certificate in a
certificate transparency log.

With --rebuild the image is built again from the lock and the definitions attached
to it, with packages from the cache or the archive, and compared: by digest, where
the compressor is another by the digests of the layers' archives.

Exit codes: 0 everything holds; 1 it could not be found out; 2 the command line is
wrong; 4 not signed; 5 signed, but not with this key or by this identity, or nothing
proves that; 6 altered: something is not what was signed; 7 not reproducible.`

func newVerify(s *surroundings) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify IMAGE",
		Short: "Verify an image's signature, provenance and contents",
		Long:  verifyLong,
		Args:  cobra.ExactArgs(1),
		RunE:  func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), s, args[0]) },
	}
	f := cmd.Flags()
	f.StringVar(&o.key, "key", "", "public `key`: a file, or env://NAME")
	f.StringVar(&o.identity.Subject, "certificate-identity", "", "`identity` that a certificate has to be for: an address of mail, or a workflow's URI")
	f.StringVar(&o.identity.SubjectRegexp, "certificate-identity-regexp", "", "regular `expression` for it; write ^ and $ to match the whole")
	f.StringVar(&o.identity.Issuer, "certificate-oidc-issuer", "", "`address` of who has to vouch for the identity")
	f.StringVar(&o.identity.IssuerRegexp, "certificate-oidc-issuer-regexp", "", "regular `expression` for it")
	f.StringVar(&o.trustedRoot, "trusted-root", "", "`file` with sigstore's trusted root, trusted_root.json")
	f.BoolVar(&o.identity.IgnoreLog, "insecure-ignore-tlog", false, "do without an entry in a transparency log: a timestamp has to tell the time")
	f.BoolVar(&o.signatureOnly, "signature-only", false, "verify the signature and the layers' digests, for images that have no SBOM and no provenance of ours")
	f.BoolVar(&o.rebuild, "rebuild", false, "build the image again from the lock attached to it, and compare")
	f.StringVar(&o.common.archive, "archive", "", "for --rebuild: `address` of a Debian mirror (default this machine's apt sources)")
	f.StringVar(&o.common.security, "security-archive", "", "for --rebuild: `address` of the security archive (default the mirror's sibling debian-security)")
	f.StringVar(&o.common.cache, "cache", "", "for --rebuild: `folder` for packages (default $XDG_CACHE_HOME/distroless)")
	f.IntVar(&o.common.jobs, "jobs", 0, "work on `n` things at once (default one a core)")
	f.BoolVar(&o.common.json, "json", false, "print results as JSON")
	o.registryFlags.add(cmd)
	return cmd
}

type verifyOptions struct {
	registryFlags
	common                 common
	key, trustedRoot       string
	identity               keyless.IdentityOptions
	signatureOnly, rebuild bool
}

// by is whose signatures count.
func (o *verifyOptions) by(s *surroundings) (sign.Verifier, error) {
	id := &o.identity
	subject, issuer := id.Subject+id.SubjectRegexp != "", id.Issuer+id.IssuerRegexp != ""
	switch {
	case o.key != "" && (subject || issuer):
		return nil, usagef("verify: with a key or by an identity: leave out --key, or the --certificate- flags")
	case o.key != "":
		k, err := publicKey(s, o.key)
		if err != nil {
			return nil, err
		}
		return k, nil
	case !subject && !issuer:
		return nil, usagef("verify: nobody to verify by: name the signer's public key with --key, or the signer with --certificate-identity and --certificate-oidc-issuer")
	case !subject:
		return nil, usagef("verify: name the signer with --certificate-identity or --certificate-identity-regexp: an issuer vouches for many")
	case !issuer:
		return nil, usagef("verify: name who vouches for the identity with --certificate-oidc-issuer or --certificate-oidc-issuer-regexp: others could for the same name")
	case o.trustedRoot == "":
		return nil, usagef("verify: nothing says which certificates to trust, and no network is asked: name sigstore's trusted_root.json with --trusted-root (for the public services \"cosign trusted-root create --with-default-services --out trusted_root.json\" writes it)")
	}
	for flag, pattern := range map[string]string{"certificate-identity-regexp": id.SubjectRegexp, "certificate-oidc-issuer-regexp": id.IssuerRegexp} {
		if _, err := regexp.Compile(pattern); err != nil {
			return nil, usagef("--%s: %w", flag, err)
		}
	}
	var err error
	if id.TrustedRoot, err = readSmall(o.trustedRoot, "trusted root"); err != nil {
		return nil, err
	}
	by, err := keyless.NewIdentity(*id)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.trustedRoot, err)
	}
	return by, nil
}

func (o *verifyOptions) run(ctx context.Context, s *surroundings, ref string) error {
	if o.signatureOnly && o.rebuild {
		return usagef("--rebuild needs the lock attached to the image, which --signature-only does not look at: leave one out")
	}
	by, err := o.by(s)
	if err != nil {
		return err
	}
	src, err := o.openSource(s, ref)
	if err != nil {
		return err
	}
	u := newUI(s, false, false, o.common.json)
	report := struct {
		Image  string         `json:"image"`
		Checks []verify.Check `json:"checks"`
	}{ref, []verify.Check{}}
	vo := verify.Options{By: by, SignatureOnly: o.signatureOnly, Tell: func(c verify.Check) {
		report.Checks = append(report.Checks, c)
		u.printf("ok  %-10s  %s\n", c.What, c.Text)
	}}
	if o.rebuild {
		vo.Rebuild = func(ctx context.Context, d v1.Descriptor, r *provenance.Recipe, l *lock.Lock) (string, error) {
			return o.rebuilt(ctx, s, src, d, r)
		}
	}
	if err := verify.Image(ctx, src, vo); err != nil {
		return verifyError(err)
	}
	return u.result(report)
}

// faultError is a fault with the exit code that tells of it.
type faultError struct {
	error
	code int
}

func (e faultError) Unwrap() error { return e.error }

func verifyError(err error) error {
	var f *verify.Fault
	if !errors.As(err, &f) {
		return err
	}
	name := map[verify.Kind]string{
		verify.NotSigned: "not signed", verify.WrongSigner: "wrong signer", verify.Altered: "altered " + f.What, verify.NotReproducible: "not reproducible",
	}[f.Kind]
	code := map[verify.Kind]int{
		verify.NotSigned: exitNotSigned, verify.WrongSigner: exitWrongSigner, verify.Altered: exitAltered, verify.NotReproducible: exitNotReproducible,
	}[f.Kind]
	return faultError{fmt.Errorf("%s: %w", name, err), code}
}

func notReproducible(format string, args ...any) error {
	return &verify.Fault{Kind: verify.NotReproducible, What: "rebuild", Err: fmt.Errorf(format, args...)}
}

// rebuilt builds an image again and compares it.
func (o *verifyOptions) rebuilt(ctx context.Context, s *surroundings, src source.Source, d v1.Descriptor, r *provenance.Recipe) (string, error) {
	dir, err := os.MkdirTemp("", "distroless-verify-")
	if err != nil {
		return "", fmt.Errorf("rebuild: %w", err)
	}
	defer os.RemoveAll(dir)
	made, err := o.build(ctx, s, dir, r)
	if err != nil {
		return "", err
	}
	again := made.Images[r.Variant][r.Archs[0]]
	if again.Manifest.Digest == d.Digest.String() {
		return "built again from its lock, the same digest", nil
	}
	return compareRebuilt(ctx, src, d, filepath.Join(dir, "again"), made, again)
}

// build builds what a recipe says, for its first architecture, in a folder: with
// the packages of the cache and none of its layers.
func (o *verifyOptions) build(ctx context.Context, s *surroundings, dir string, r *provenance.Recipe) (*build.Made, error) {
	compression, err := layer.ParseCompression(r.Compression)
	if err != nil {
		return nil, fmt.Errorf("rebuild: %w", err)
	}
	c := o.common
	cache, err := c.cacheDir(s)
	if err != nil {
		return nil, err
	}
	if c.cache, err = packagesOnly(cache, dir); err != nil {
		return nil, err
	}
	se, err := openRecipe(s, c, filepath.Join(dir, "recipe"), r, compression)
	if err != nil {
		return nil, err
	}
	keys := recipeKeys(r)[:1]
	if err := checkLocked(ctx, se, keys); err != nil {
		return nil, notReproducible("the definitions attached to the image are not those that its lock is for: %w", err)
	}
	made, failed := se.Images(ctx, keys, nil, []string{r.Variant})
	if len(failed) > 0 {
		return nil, fmt.Errorf("rebuild: %w", cellErrors(failed))
	}
	return made[0], nil
}

// packagesOnly makes a cache that shares another's blobs and remembers nothing
// of what was made of them.
func packagesOnly(cache, dir string) (string, error) {
	at := filepath.Join(dir, "cache")
	if err := os.MkdirAll(at, 0o755); err != nil {
		return "", fmt.Errorf("rebuild: %w", err)
	}
	for _, name := range []string{"sha256", "tmp"} {
		whole, err := filepath.Abs(filepath.Join(cache, name))
		if err != nil {
			return "", fmt.Errorf("rebuild: %w", err)
		}
		if err := os.MkdirAll(whole, 0o755); err != nil {
			return "", fmt.Errorf("rebuild: %w", err)
		}
		if err := os.Symlink(whole, filepath.Join(at, name)); err != nil {
			return "", fmt.Errorf("rebuild: %w", err)
		}
	}
	return at, nil
}

// compareRebuilt says how an image differs from the one built again.
func compareRebuilt(ctx context.Context, src source.Source, d v1.Descriptor, dir string, made *build.Made, again *image.Image) (string, error) {
	if err := layout.Write(ctx, dir, made.Layout()); err != nil {
		return "", err
	}
	images, err := source.Images(ctx, src, d)
	if err != nil {
		return "", err
	}
	other, err := source.Open(dir + ":" + made.Variants[0] + "-" + again.Platform.Architecture)
	if err != nil {
		return "", err
	}
	od, err := other.Resolve(ctx)
	if err != nil {
		return "", err
	}
	rebuilt, err := source.Images(ctx, other, od)
	if err != nil {
		return "", err
	}
	same := len(images[0].Config.RootFS.DiffIDs) == len(rebuilt[0].Config.RootFS.DiffIDs)
	for i := 0; same && i < len(rebuilt[0].Config.RootFS.DiffIDs); i++ {
		same = images[0].Config.RootFS.DiffIDs[i] == rebuilt[0].Config.RootFS.DiffIDs[i]
	}
	a, err := (&inventory.Reader{NoMD5: true, NoSHA1: true}).Read(ctx, images[0])
	if err != nil {
		return "", err
	}
	// What was just built is known; the image that it is held against is not.
	known := build.OpenInventories(filepath.Join(filepath.Dir(dir), "cache")).Layer
	b, err := (&inventory.Reader{NoMD5: true, NoSHA1: true, Known: known}).Read(ctx, rebuilt[0])
	if err != nil {
		return "", err
	}
	diffs := diff.Compare("the image", a, "built again", b)
	if same && len(diffs.Settings) == 0 {
		return "built again from its lock, the same layers and settings; another compressor, so not the same digest", nil
	}
	return "", notReproducible("%s: built again it is %s: %s", d.Digest, again.Manifest.Digest, differences(diffs))
}

// differences names what differs, the first of each kind.
func differences(d *diff.Diff) string {
	var out []string
	for _, s := range d.Settings {
		out = append(out, fmt.Sprintf("%s is %q, was %q", s.Name, s.New, s.Old))
	}
	for i, f := range d.Files {
		if i == 10 {
			out = append(out, fmt.Sprintf("and %d more files", len(d.Files)-i))
			break
		}
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s of %s %s %s", f.Path, f.Owner, f.Change, f.Details)))
	}
	if len(out) == 0 {
		return "the layers differ in times or order alone"
	}
	return strings.Join(out, "; ")
}
