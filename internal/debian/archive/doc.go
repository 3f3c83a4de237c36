// Package archive reads an apt repository, from a keyring to its indices.
//
// The chain is: a [Keyring] made the signature of an InRelease, the InRelease
// lists the SHA-256 of each index, an index those of the packages. Each link
// is checked before the next is used.
//
//   - [Discover] finds the addresses of Debian's own archive; [ReadAuth] the
//     passwords for others.
//   - [Client.Release] fetches and verifies a suite's InRelease; start reading
//     there. [VerifyInRelease] does the same for bytes that are at hand.
//   - [Client.Packages] fetches a component's index for an architecture.
//   - [Suite.Object] says where a package of an index lies.
//
// It does not parse indices: package index does, and it chooses no versions.
// Formats: https://wiki.debian.org/DebianRepository/Format, sources.list(5).
package archive
