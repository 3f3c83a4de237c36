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

type whyOptions struct{ common }

func newWhy(s *surroundings) *cobra.Command {
	var o whyOptions
	cmd := &cobra.Command{
		Use:   "why PACKAGE IMAGE|FILE",
		Short: "Say why a package is in an image",
		Long: `Say why a package is in an image: every shortest way from the packages that a
definition names to it, in the image's own level and those below. A dependency
that was left out is told with its reason. A cell that the lock does not hold is
resolved first; the lock is left as it is.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), s, args[0], args[1]) },
	}
	o.add(cmd.Flags())
	return cmd
}

// whyReport is the answer for one cell, as --json prints it.
type whyReport struct {
	Cell    string        `json:"cell"`
	Package string        `json:"package"`
	Version string        `json:"version,omitempty"`
	Level   string        `json:"level,omitempty"` // the image whose level holds it
	Debug   bool          `json:"debug,omitempty"` // in debug variants only
	Chains  [][]string    `json:"chains,omitempty"`
	Waived  []lock.Waiver `json:"waived,omitempty"` // relations on it that were left out
}

func (o *whyOptions) run(ctx context.Context, s *surroundings, pkg, image string) error {
	se, names, err := o.open(s, []string{image}, layer.Compression{})
	if err != nil {
		return err
	}
	defer se.ui.close()
	keys, err := o.keys(se, names)
	if err != nil {
		return err
	}
	if _, failed := se.Resolve(ctx, keys, build.Missing); len(failed) > 0 {
		return cellErrors(failed)
	}
	se.ui.close()
	var reports []whyReport
	found := false
	for _, k := range keys {
		r, err := se.why(k, pkg)
		if err != nil {
			return err
		}
		found = found || r.Version != ""
		reports = append(reports, r)
		printWhy(se.ui, r)
	}
	if err := se.ui.result(reports); err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("package %s is not in %s", pkg, image)
	}
	return nil
}

// why walks the lock's edges backwards from a package to those that
// definitions name.
func (se *session) why(k lock.Key, pkg string) (whyReport, error) {
	r := whyReport{Cell: k.String(), Package: pkg}
	parents := map[string][]string{}
	wanted := map[string]string{} // package to the image that names it
	for at := k; ; {
		c := se.lock.Cells[at]
		if c == nil {
			return r, fmt.Errorf("cell %s: not in the lock: run \"distroless lock\"", at)
		}
		for i, p := range c.All() {
			for _, n := range p.Needs {
				parents[n] = append(parents[n], p.Name)
			}
			if p.Wanted {
				wanted[p.Name] = at.Image
			}
			if p.Name == pkg {
				r.Version, r.Level, r.Debug = p.Version, at.Image, i >= len(c.Packages)
			}
		}
		for _, w := range c.Waivers {
			if strings.Contains(" "+w.Relation+" ", " "+pkg+" ") {
				r.Waived = append(r.Waived, w)
			}
		}
		if c.From == "" {
			break
		}
		at.Image = c.From
	}
	if r.Version != "" {
		r.Chains = chains(pkg, parents, wanted)
	}
	return r, nil
}

// chains returns, for each package that a definition names and that leads to
// pkg, one shortest way: the image, the packages, pkg.
func chains(pkg string, parents map[string][]string, wanted map[string]string) [][]string {
	next := map[string]string{pkg: ""}
	queue := []string{pkg}
	var out [][]string
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		if image, ok := wanted[at]; ok {
			chain := []string{image}
			for p := at; p != ""; p = next[p] {
				chain = append(chain, p)
			}
			out = append(out, chain)
		}
		up := slices.Clone(parents[at])
		slices.Sort(up)
		for _, p := range slices.Compact(up) {
			if _, seen := next[p]; !seen {
				next[p] = at
				queue = append(queue, p)
			}
		}
	}
	return out
}

func printWhy(u *ui, r whyReport) {
	if r.Version == "" {
		u.printf("%s: %s is not in it\n", r.Cell, r.Package)
	} else {
		in := "level " + r.Level
		if r.Debug {
			in += ", debug variants only"
		}
		u.printf("%s: %s %s (%s)\n", r.Cell, r.Package, r.Version, in)
	}
	for _, c := range r.Chains {
		u.printf("  %s\n", strings.Join(c, " -> "))
	}
	for _, w := range r.Waived {
		u.printf("  left out: %s depends on %s: %s\n", w.Package, w.Relation, w.Reason)
	}
}
