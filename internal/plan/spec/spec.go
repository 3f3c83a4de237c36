// Package spec reads image definitions: the YAML files that say what goes
// into an image. It knows the language of definitions and how a definition
// becomes the effective one for a distro; it does not know packages, archives
// or file trees, and touches neither network nor disk.
//
// Start with [Definition], then [Parse] and [Definition.For]. The reference in
// docs/definition.md is generated from the doc comments of these types.
package spec

// Definition is one image. A key given at the top level holds for every
// distro; the same key under `distros.<name>` adds to it (lists and maps) or
// replaces it (single values).
type Definition struct {
	// Name of the image: lower case letters, digits, `.` and `-`, as registries
	// allow in a repository name. Required.
	Name string `yaml:"name" json:"name"`
	// Description is one sentence for `distroless list` and the image's
	// org.opencontainers.image.description annotation.
	Description string `yaml:"description" json:"-"`
	// From names the image that this one stands on; its levels come first.
	// Without it the image starts from nothing.
	From string `yaml:"from" json:"from,omitempty"`
	// Experimental marks an image that may change or go without notice.
	Experimental bool `yaml:"experimental" json:"-"`
	// EndOfLife says why the image should no longer be chosen, for example that
	// upstream ended its support.
	EndOfLife string `yaml:"end-of-life" json:"-"`
	// Distros lists the distros that the image is defined for, each with what
	// differs there. An empty section (`debian13: {}`) is enough.
	Distros map[string]*Section `yaml:"distros" json:"-"`
	// Section holds what is common to all distros.
	Section `yaml:",inline"`
}

// Section is what an image holds and how it runs.
type Section struct {
	// Archs lists the architectures, by Debian's or OCI's names. Without it the
	// image takes those of its `from`, else all of the distro.
	Archs []string `yaml:"archs" json:"archs,omitempty"`
	// Packages to install with their dependencies, in the syntax of a Depends
	// field: `libssl3t64`, `libc6 (>= 2.41)`, `libfoo [amd64 arm64]`.
	Packages []string `yaml:"packages" json:"packages,omitempty"`
	// Omit lists dependencies that are left out, each with the reason why the
	// image works without.
	Omit []Omission `yaml:"omit" json:"omit,omitempty"`
	// Archives lists apt repositories besides the distro's own; packages come
	// from the one with the highest version.
	Archives []Archive `yaml:"archives" json:"archives,omitempty"`
	// Upstream lists archives that are not Debian's: npm packages and tarballs,
	// of which single files are taken.
	Upstream []Upstream `yaml:"upstream" json:"upstream,omitempty"`
	// Slices say which files of the packages are kept. Rules of `from` come
	// first; the last rule that speaks of a path decides.
	Slices []Slice `yaml:"slices" json:"slices,omitempty"`
	// Scripts account for maintainer scripts that are not understood by
	// themselves.
	Scripts []Script `yaml:"scripts" json:"scripts,omitempty"`
	// Contents are files, links and directories besides the packages'.
	Contents []Content `yaml:"contents" json:"contents,omitempty"`
	// Accounts are the users and groups of /etc/passwd and /etc/group; they add
	// to those of `from`.
	Accounts Accounts `yaml:"accounts" json:"accounts,omitzero"`
	// Certificates are PEM files, beside the definition, whose certificates are
	// added to the image's trusted authorities.
	Certificates []string `yaml:"certificates" json:"certificates,omitempty"`
	// Env are environment variables; they add to those of `from`.
	Env map[string]string `yaml:"env" json:"env,omitempty"`
	// Entrypoint is the command that the image runs.
	Entrypoint []string `yaml:"entrypoint" json:"entrypoint,omitzero"`
	// Cmd holds the default arguments of the entrypoint.
	Cmd []string `yaml:"cmd" json:"cmd,omitzero"`
	// Workdir is the working folder; default `/`, in nonroot variants the
	// user's home.
	Workdir string `yaml:"workdir" json:"workdir,omitempty"`
	// User is the user of the plain variants: a number or `number:number`;
	// default 0.
	User string `yaml:"user" json:"user,omitempty"`
	// Labels of the image's config; they add to those of `from`.
	Labels map[string]string `yaml:"labels" json:"labels,omitempty"`
	// Version names the package, or the entry of `upstream`, whose upstream version is the image's: it
	// becomes the annotation org.opencontainers.image.version, and in values of
	// `env` and `labels` stands wherever they say `${version}`. There
	// `${arch}` is Debian's name of the architecture.
	Version string `yaml:"version" json:"version,omitempty"`
	// Budget is the most that the layers of one architecture may have together,
	// compressed with gzip, as in `19 MB` (millions of bytes). The catalogue's
	// tests fail for an image that outgrows it by more than 2%.
	Budget string `yaml:"budget" json:"-"`
	// Layers names Debian source packages that get a layer of their own,
	// instead of those over 1 MiB.
	Layers []string `yaml:"layers" json:"layers,omitempty"`
	// Allow lists findings of the closure checks that are accepted, each with
	// the reason.
	Allow []Allowance `yaml:"allow" json:"allow,omitempty"`
	// Debug is what the debug variants add.
	Debug *Debug `yaml:"debug" json:"debug,omitempty"`
}

// Debug is what the debug variants hold beyond the plain ones, in a layer of
// its own.
type Debug struct {
	// Packages to add, with their dependencies.
	Packages []string `yaml:"packages" json:"packages,omitempty"`
	// Omit lists dependencies that are left out of the debug variants.
	Omit []Omission `yaml:"omit" json:"omit,omitempty"`
	// Slices for the debug packages; the image's own rules come first.
	Slices []Slice `yaml:"slices" json:"slices,omitempty"`
	// Scripts account for maintainer scripts of the debug packages.
	Scripts []Script `yaml:"scripts" json:"scripts,omitempty"`
	// Applets is the path of a busybox binary; each of its applets becomes a
	// link to it in the same folder.
	Applets string `yaml:"applets" json:"applets,omitempty"`
	// Env are environment variables of the debug variants.
	Env map[string]string `yaml:"env" json:"env,omitempty"`
	// Path lists folders that the debug variants have at the end of PATH.
	Path []string `yaml:"path" json:"path,omitempty"`
	// Shell is the entrypoint of debug variants whose image has none.
	Shell []string `yaml:"shell" json:"shell,omitzero"`
	// Allow lists findings of the closure checks that are accepted.
	Allow []Allowance `yaml:"allow" json:"allow,omitempty"`
}

// Omission leaves a dependency out.
type Omission struct {
	// Package that is not installed though others depend on it.
	Package string `yaml:"package" json:"package"`
	// Reason why the image works without it. Required.
	Reason string `yaml:"reason" json:"reason"`
}

// Archive is an apt repository with a key of its own.
type Archive struct {
	// Name for messages and the lock: lower case letters, digits, `.` and `-`.
	// Required.
	Name string `yaml:"name" json:"name"`
	// URLs of the repository's root, mirrors in order: what stands behind `deb`
	// in sources.list(5). Passwords come from apt's auth.conf or ~/.netrc.
	URLs []string `yaml:"urls" json:"-"`
	// Suite below dists/, or a folder that ends in `/` for a flat repository.
	Suite string `yaml:"suite" json:"suite"`
	// Components to read; default `main`. A flat repository has none.
	Components []string `yaml:"components" json:"components,omitempty"`
	// Key is a file beside the definition with the OpenPGP keys that sign the
	// repository, armored or not. Required.
	Key string `yaml:"key" json:"key"`
	// Archs limits the repository to these architectures.
	Archs []string `yaml:"archs" json:"archs,omitempty"`
}

// Upstream is an archive from elsewhere. Exactly one of `npm` and `url` says
// where it is.
type Upstream struct {
	// Name of the software, for messages and bills of materials. Required.
	Name string `yaml:"name" json:"name"`
	// Npm names a package of an npm registry: the one that `registry` says, else
	// the machine's own npm configuration.
	Npm string `yaml:"npm" json:"npm,omitempty"`
	// Registry is the address of the npm registry.
	Registry string `yaml:"registry" json:"registry,omitempty"`
	// URL of a tarball; `{version}` in it stands for the version.
	URL string `yaml:"url" json:"url,omitempty"`
	// SHA256 of a tarball by URL, in hex; without it the lock records what
	// came.
	SHA256 string `yaml:"sha256" json:"sha256,omitempty"`
	// Version that is taken: a whole one, or for npm a line such as "22", of
	// which the lock records the newest.
	Version string `yaml:"version" json:"version,omitempty"`
	// Archs limits the entry to these architectures.
	Archs []string `yaml:"archs" json:"archs,omitempty"`
	// Paths maps names in the archive to paths in the image; a name that ends
	// in `/` brings a whole folder. Nothing else of the archive is kept.
	Paths map[string]string `yaml:"paths" json:"paths"`
	// Purl is the package URL for bills of materials; `{version}` is replaced.
	Purl string `yaml:"purl" json:"purl,omitempty"`
	// CPE is the name that vulnerability databases know it by; `{version}` is
	// replaced.
	CPE string `yaml:"cpe" json:"cpe,omitempty"`
}

// Slice is one set of path rules.
type Slice struct {
	// Package the rule is for; without it, every package.
	Package string `yaml:"package" json:"package,omitempty"`
	// Reason why the files are not needed, or are. Required.
	Reason string `yaml:"reason" json:"reason"`
	// Drop lists patterns of paths to leave out. `*` and `?` match within one
	// name, `**` any number of them; all are absolute.
	Drop []string `yaml:"drop" json:"drop,omitempty"`
	// Keep lists patterns of paths to keep although `drop` matches them.
	Keep []string `yaml:"keep" json:"keep,omitempty"`
	// KeepReferenced lists patterns of dropped files that are kept, here or in
	// an image that stands on this one, when a copyright file names them.
	KeepReferenced []string `yaml:"keep-referenced" json:"keep-referenced,omitempty"`
	// Move maps a package's path to the path it gets in the image.
	Move map[string]string `yaml:"move" json:"move,omitempty"`
}

// Script accounts for one maintainer script by the digest of its text.
type Script struct {
	// Package whose script it is.
	Package string `yaml:"package" json:"package"`
	// Script is its name: preinst, config, postinst or triggers.
	Script string `yaml:"script" json:"script"`
	// Digest of the script's text, normalised for comments and versions, as
	// the error of a build prints it.
	Digest string `yaml:"digest" json:"digest"`
	// Effect says what the build does in the script's place: `none`, or one of
	// the effects in the guide.
	Effect string `yaml:"effect" json:"effect"`
	// Args are the effect's arguments, as the command of that name takes them.
	Args []string `yaml:"args" json:"args,omitempty"`
	// Reason why that effect is right. Required.
	Reason string `yaml:"reason" json:"reason"`
}

// Content is one file, link or directory. Exactly one of `text`, `source`,
// `link` and `directory` says which.
type Content struct {
	// Path in the image, absolute.
	Path string `yaml:"path" json:"path"`
	// Text is the content of a file.
	Text *string `yaml:"text" json:"text,omitempty"`
	// Source is a file or a folder beside the definition.
	Source string `yaml:"source" json:"source,omitempty"`
	// Link is the target of a symbolic link.
	Link string `yaml:"link" json:"link,omitempty"`
	// Directory makes a directory.
	Directory bool `yaml:"directory" json:"directory,omitempty"`
	// Mode in octal; default "0644" for files, "0755" for directories.
	Mode string `yaml:"mode" json:"mode,omitempty"`
	// UID of the owner; default 0.
	UID int `yaml:"uid" json:"uid,omitempty"`
	// GID of the owning group; default 0.
	GID int `yaml:"gid" json:"gid,omitempty"`
	// Archs limits the entry to these architectures.
	Archs []string `yaml:"archs" json:"archs,omitempty"`
}

// Accounts are users and groups.
type Accounts struct {
	// Users are lines of /etc/passwd.
	Users []User `yaml:"users" json:"users,omitempty"`
	// Groups are lines of /etc/group.
	Groups []Group `yaml:"groups" json:"groups,omitempty"`
}

// User is a line of /etc/passwd.
type User struct {
	// Name of the user.
	Name string `yaml:"name" json:"name"`
	// UID is the user's number.
	UID int `yaml:"uid" json:"uid"`
	// GID is the number of the user's group.
	GID int `yaml:"gid" json:"gid"`
	// Home is the home folder; it is made with mode 0700 unless it is there.
	Home string `yaml:"home" json:"home"`
	// Shell is the login shell; default /sbin/nologin.
	Shell string `yaml:"shell" json:"shell,omitempty"`
}

// Group is a line of /etc/group.
type Group struct {
	// Name of the group.
	Name string `yaml:"name" json:"name"`
	// GID is the group's number.
	GID int `yaml:"gid" json:"gid"`
	// Members are the names of further users in the group.
	Members []string `yaml:"members" json:"members,omitempty"`
}

// Allowance accepts a finding of the closure checks.
type Allowance struct {
	// Check that found it, as the error names it.
	Check string `yaml:"check" json:"check"`
	// Path pattern of the files it is about.
	Path string `yaml:"path" json:"path"`
	// Wants is a pattern of what is missing: a library, a version, a path.
	Wants string `yaml:"wants" json:"wants,omitempty"`
	// Reason why it does no harm. Required.
	Reason string `yaml:"reason" json:"reason"`
}

// Variant names of every image, in the order they are built and listed.
var variants = [...]string{"latest", "nonroot", "debug", "debug-nonroot"}

// Variants returns the variants of every image: latest, nonroot, debug and
// debug-nonroot.
func Variants() []string { return append([]string(nil), variants[:]...) }
