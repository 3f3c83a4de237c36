// Package build is the pipeline: definition and archive to lock, definition,
// lock and verified bytes to image. It is the only package that knows all
// stages; each stage is a package of its own that knows none of the others.
//
//   - [Builder] holds what a run needs; start reading there.
//   - [Builder.Resolve] is the lock stage: it alone chooses versions.
//   - [Builder.Images] is the image stage: it can choose nothing.
//   - [Catalog] is the set of definitions.
//
// It prints nothing and knows no flags; the command does.
package build
