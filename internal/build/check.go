package build

import (
	"fmt"
	"strings"

	"distroless/internal/plan/spec"
	"distroless/internal/rootfs"
	"distroless/internal/rootfs/closure"
)

// check holds a level's whole tree against the rules for an image that runs. A
// finding that no definition of the chain allows is an error.
func (r *run) check(n *node, lv *rootfs.Level) error {
	o := closure.Options{Arch: n.key.Arch, MergedUsr: n.distro.MergedUsr, Cache: lv.Tree.LoaderPaths()}
	env := settings(n.steps(), "latest").Env
	o.Path = splitPath(env["PATH"])
	o.LibraryPath = splitPath(env["LD_LIBRARY_PATH"])
	for at := n; at != nil; at = at.lower {
		allow := at.step.Sect.Allow
		if at.debug {
			allow = at.step.Sect.Debug.Allow
		}
		for _, a := range allow {
			o.Waivers = append(o.Waivers, waiver(a))
			if a.Check == closure.SetID {
				o.AllowSetID = append(o.AllowSetID, a.Path)
			}
		}
	}
	res, err := closure.Check(lv.Tree.View(), o)
	if err != nil {
		return err
	}
	if err := res.Err(); err != nil {
		return fmt.Errorf("%w\nmend the definition, or accept a finding under `allow:` with check, path and reason", err)
	}
	return nil
}

func waiver(a spec.Allowance) closure.Waiver {
	return closure.Waiver{Check: a.Check, Path: a.Path, Wants: a.Wants, Reason: a.Reason}
}

func splitPath(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ":")
}
