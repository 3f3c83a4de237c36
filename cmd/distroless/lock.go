package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"distroless/internal/build"
	"distroless/internal/oci/layer"
	"distroless/internal/plan/lock"
)

const lockLong = `Resolve images to the newest packages and write the lock. Without names and
flags it is every cell that the lock holds already, else every image of the
catalogue for this machine's architecture.`

type lockOptions struct{ common }

func newLock(s *surroundings) *cobra.Command {
	var o lockOptions
	cmd := &cobra.Command{
		Use:   "lock [NAME|FILE...]",
		Short: "Take the newest packages",
		Long:  lockLong,
		RunE:  func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), s, args) },
	}
	o.add(cmd.Flags())
	return cmd
}

// lockReport is what a lock changed, as --json prints it.
type lockReport struct {
	Cell    string          `json:"cell"`
	New     bool            `json:"new"` // the cell was not in the lock
	Changes []packageChange `json:"changes"`
}

// packageChange is a package in another version; one side is empty where the
// package came or went.
type packageChange struct {
	Package string `json:"package"`
	Old     string `json:"old,omitempty"`
	New     string `json:"new,omitempty"`
}

func (o *lockOptions) run(ctx context.Context, s *surroundings, args []string) error {
	se, names, err := o.open(s, args, layer.Compression{})
	if err != nil {
		return err
	}
	defer se.ui.close()
	keys, err := o.cellsToLock(se, names)
	if err != nil {
		return err
	}
	before := map[lock.Key]*lock.Cell{}
	for k, c := range se.lock.Cells {
		before[k] = c
	}
	_, failed, err := o.resolve(ctx, se, keys, build.Newest)
	if err != nil {
		return err
	}
	se.ui.close()
	reports := []lockReport{}
	for _, k := range se.lock.Keys() {
		r := lockReport{Cell: k.String(), New: before[k] == nil, Changes: packageChanges(before[k], se.lock.Cells[k])}
		if r.New || len(r.Changes) > 0 {
			reports = append(reports, r)
		}
	}
	printLocked(se.ui, o.lock, reports)
	if err := se.ui.result(reports); err != nil {
		return err
	}
	return outcome(failed, len(failed) < len(keys))
}

// cellsToLock lists the cells to resolve: what the names and flags mean, else
// what the lock holds. Images that stand on a named one, and are in the lock,
// follow it.
func (o *lockOptions) cellsToLock(se *session, names []string) ([]lock.Key, error) {
	if len(names) == 0 && len(o.distros) == 0 && len(o.archs) == 0 && len(se.lock.Cells) > 0 {
		var keys []lock.Key
		for _, k := range se.lock.Keys() {
			if _, err := se.catalog.Image(k.Image); err == nil {
				keys = append(keys, k)
			} else {
				se.ui.note("note: %s is in the lock, but no definition of that name is known: name its file to lock it too", k)
			}
		}
		return keys, nil
	}
	keys, err := o.keys(se, names)
	if err != nil {
		return nil, err
	}
	for _, k := range se.lock.Keys() {
		if !slices.Contains(keys, k) && se.standsOn(k, keys) {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// standsOn reports whether the cell k stands on one of the others.
func (se *session) standsOn(k lock.Key, others []lock.Key) bool {
	at := k
	for range len(se.lock.Cells) + 1 {
		d, err := se.catalog.Image(at.Image)
		if err != nil || d.From == "" {
			return false
		}
		at.Image = d.From
		if slices.Contains(others, at) {
			return true
		}
	}
	return false
}

func packageChanges(old, now *lock.Cell) []packageChange {
	versions := func(c *lock.Cell) map[string]string {
		m := map[string]string{}
		if c != nil {
			for _, p := range c.All() {
				m[p.Name] = p.Version
			}
		}
		return m
	}
	a, b := versions(old), versions(now)
	out := []packageChange{}
	for name, v := range b {
		if a[name] != v {
			out = append(out, packageChange{name, a[name], v})
		}
	}
	for name, v := range a {
		if _, ok := b[name]; !ok {
			out = append(out, packageChange{name, v, ""})
		}
	}
	slices.SortFunc(out, func(x, y packageChange) int { return strings.Compare(x.Package, y.Package) })
	return out
}

func printLocked(u *ui, file string, reports []lockReport) {
	if len(reports) == 0 {
		u.printf("%s: everything is the newest already\n", file)
		return
	}
	for _, r := range reports {
		if r.New {
			u.printf("%s  %d packages\n", r.Cell, len(r.Changes))
			continue
		}
		u.printf("%s\n", r.Cell)
		for _, c := range r.Changes {
			switch {
			case c.Old == "":
				u.printf("  + %s %s\n", c.Package, c.New)
			case c.New == "":
				u.printf("  - %s %s\n", c.Package, c.Old)
			default:
				u.printf("    %s %s -> %s\n", c.Package, c.Old, c.New)
			}
		}
	}
}

func describeChange(c build.Change) string {
	return fmt.Sprintf("%d packages", len(c.New.All()))
}
