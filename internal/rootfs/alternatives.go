package rootfs

import (
	"fmt"
	"slices"
	"strconv"

	"distroless/internal/rootfs/scripts"
)

// offerAlternative notes an alternative; the one with the highest priority is
// linked when all are known. See update-alternatives(1).
func (a *assembler) offerAlternative(alt scripts.Alternative) error {
	if a.tree.Resolve(alt.Path) == nil {
		return nil // a slice dropped it
	}
	n, err := strconv.Atoi(alt.Priority)
	if err != nil {
		return fmt.Errorf("priority %q: expected a number", alt.Priority)
	}
	if old, ok := a.tree.alternatives[alt.Name]; ok && old.priority >= n && old.Path != alt.Path {
		return nil
	}
	a.tree.alternatives[alt.Name] = chosen{alt, n}
	a.picked = append(a.picked, alt.Name)
	return nil
}

// chosen is the best alternative so far.
type chosen struct {
	scripts.Alternative
	priority int
}

const alternativesDir = "/etc/alternatives/"

// linkAlternatives makes the links of the alternatives that this level has
// chosen: the generic name, to /etc/alternatives, to the file.
func (a *assembler) linkAlternatives() error {
	slices.Sort(a.picked)
	for _, name := range slices.Compact(a.picked) {
		alt := a.tree.alternatives[name].Alternative
		for _, l := range append([]scripts.Alternative{alt}, alt.Slaves...) {
			if a.tree.Resolve(l.Path) == nil {
				continue // a slave whose file is not there has no link: update-alternatives(1)
			}
			for _, link := range []Entry{
				{Path: alternativesDir + l.Name, Target: l.Path},
				{Path: a.real(l.Link), Target: alternativesDir + l.Name},
			} {
				link.Kind, link.Mode, link.Owner = Symlink, 0o777, "update-alternatives"
				if old := a.tree.entries[link.Path]; old != nil && !old.Generated {
					continue // as update-alternatives does: a real file is not replaced by a link
				}
				a.remove(link.Path)
				if err := a.putGenerated(&link); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
