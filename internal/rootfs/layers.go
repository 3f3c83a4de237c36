package rootfs

import (
	"maps"
	"slices"
)

// setTimes gives generated entries the time of the newest package file in
// their layer, else in the level, else below it, and clamps all to the epoch.
func (a *assembler) setTimes() error {
	for _, e := range a.level.entries {
		if e.Generated && e.MTime == 0 {
			e.MTime = a.level.time(e.Group)
		}
		if a.in.Epoch != nil && e.MTime > *a.in.Epoch {
			c := *e // package entries are shared with the listing
			c.MTime = *a.in.Epoch
			a.level.entries[c.Path], a.tree.entries[c.Path] = &c, &c
		}
	}
	a.tree.newest = max(a.tree.newest, a.level.newest["*"])
	if a.in.Epoch != nil {
		a.tree.newest = min(a.tree.newest, *a.in.Epoch)
	}
	return nil
}

// time is how old a generated entry of a group is, in seconds since 1970.
func (l *Level) time(group string) int64 {
	for _, t := range []int64{l.newest[group], l.newest["*"], l.Tree.newest} {
		if t != 0 {
			return t
		}
	}
	return 0
}

// Layer is one layer of a level: its entries with every directory above them,
// sorted by path.
type Layer struct {
	Group   string // source package, or "" for the level's common layer
	Entries []Entry
}

// Layers divides the level into its layers: those of source packages sorted by
// name, the common one last. A layer without entries is left out.
func (l *Level) Layers() []Layer {
	byGroup := map[string]map[string]Entry{}
	for _, e := range l.entries {
		g := byGroup[e.Group]
		if g == nil {
			g = map[string]Entry{}
			byGroup[e.Group] = g
		}
		g[e.Path] = *e
	}
	names := slices.Sorted(maps.Keys(byGroup))
	if len(names) > 0 && names[0] == "" {
		names = append(names[1:], "")
	}
	var out []Layer
	for _, name := range names {
		out = append(out, l.layer(name, byGroup[name]))
	}
	return out
}

// layer adds the directories above the entries of a group. Modes are the
// tree's; times are those that the group's own packages say.
func (l *Level) layer(group string, entries map[string]Entry) Layer {
	for _, p := range slices.Sorted(maps.Keys(entries)) {
		parents(p, func(d string) {
			if _, ok := entries[d]; !ok {
				entries[d] = *l.Tree.entries[d]
			}
		})
	}
	out := Layer{Group: group, Entries: make([]Entry, 0, len(entries))}
	for _, p := range slices.Sorted(maps.Keys(entries)) {
		e := entries[p]
		if e.Kind == Dir {
			e.MTime = l.dirTime(group, p)
		}
		out.Entries = append(out.Entries, e)
	}
	linkTwins(out.Entries)
	return out
}

// twinSize is the size in bytes from which a second copy of a file is worth a
// link.
const twinSize = 4 << 10

// linkTwins makes hard links of files that are the same in everything but the
// path, as the packages of one source often have for their copyright.
func linkTwins(entries []Entry) {
	type identity struct {
		digest   string
		mode     uint32
		uid, gid int
		mtime    int64
	}
	first := map[identity]string{}
	linked := map[string]string{} // what was a file, to what it is a link to
	for i := range entries {
		e := &entries[i]
		if e.Kind != File || e.Size < twinSize || len(e.Xattrs) > 0 {
			continue
		}
		id := identity{e.Digest, e.Mode, e.UID, e.GID, e.MTime}
		if at, ok := first[id]; ok {
			e.Kind, e.Target = Hardlink, at
			linked[e.Path] = at
			continue
		}
		first[id] = e.Path
	}
	for i := range entries {
		// A link to a link could be unpacked before it.
		if at, ok := linked[entries[i].Target]; ok && entries[i].Kind == Hardlink {
			entries[i].Target = at
		}
	}
}

func (l *Level) dirTime(group, dir string) int64 {
	t := l.dirs[group][dir]
	if t == 0 {
		t = l.time(group)
	}
	if l.epoch != nil {
		t = min(t, *l.epoch)
	}
	return t
}

// Newest is the time of the newest file in the tree, in seconds since 1970:
// the image's creation time.
func (t *Tree) Newest() int64 { return t.newest }
