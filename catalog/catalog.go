// Package catalog holds the definitions of the images that the program knows
// by name, and of the distros they are built for: one YAML file an image. It
// is data only; package spec reads it.
package catalog

import "embed"

// Files are the definitions, <image>.yaml, and distros.yaml.
//
//go:embed *.yaml
var Files embed.FS
