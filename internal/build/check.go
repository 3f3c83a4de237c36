package build

import "distroless/internal/rootfs"

func (r *run) check(n *node, lv *rootfs.Level) error { return nil }

func accountScripts(n *node, listings []*rootfs.Listing) ([]rootfs.Link, error) { return nil, nil }
