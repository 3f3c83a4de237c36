// Package fetch brings bytes by their digest: from a cache on disk, else over
// HTTP from the first mirror that has them.
//
// It knows nothing of Debian. An [Object] says what is wanted (a name for
// messages, a SHA-256, a size) and where it may be found; whatever arrives is
// checked against the digest before anybody sees it, so an address is never
// trusted, only tried.
//
//   - [Client.Get] returns an object's bytes; start reading there.
//   - [Client.Fetch] and [Client.FetchAll] bring objects into the cache, to be
//     read later.
//   - [Client.Open] streams an object that is too large to hold.
//   - [Client.GetUnpinned] is for the one kind of file that has no digest
//     beforehand because it is the root of the digests: an archive's InRelease.
//   - [Cache] is the store, usable alone.
//
// It is not for pushing, and not for registries.
package fetch
