package diff

import (
	"fmt"
	"io"
	"strings"
)

// most is how many files a text lists of each kind of change before it counts
// the rest.
const most = 40

// Text writes the difference for a terminal. all lists every file.
func (d *Diff) Text(w io.Writer, all bool) error {
	p := &printer{w: w}
	p.f("%s\n- %s  %s\n+ %s  %s\n", d.Platform, d.Old.Reference, d.Old.Digest, d.New.Reference, d.New.Digest)
	if d.Same() {
		p.f("\nthe same packages, files and settings\n")
	}
	p.f("\n%12s %12s %12s\n", "", "old", "new")
	for _, row := range d.sizes() {
		p.f("%12s %12s %12s  %s\n", row.name, row.old, row.now, row.change)
	}
	if len(d.Packages) > 0 {
		p.f("\npackages\n")
		for _, x := range d.Packages {
			p.f("  %s %s %s\n", sign(x.Change), x.Name, versions(x))
		}
	}
	if len(d.Settings) > 0 {
		p.f("\nsettings\n")
		for _, s := range d.Settings {
			p.f("  ~ %s: %s -> %s\n", s.Name, orNone(s.Old), orNone(s.New))
		}
	}
	if len(d.Files) > 0 {
		p.f("\nfiles\n")
		left := d.eachFile(all, func(f *File) { p.f("  %s %s %s\n", sign(f.Change), f.Path, about(f)) })
		if left > 0 {
			p.f("  and %d more: see --all\n", left)
		}
	}
	return p.err
}

// Markdown writes the difference for a pull request.
func (d *Diff) Markdown(w io.Writer, all bool) error {
	p := &printer{w: w}
	p.f("### %s\n\n", d.Platform)
	p.f("| | `%s` | `%s` | |\n|---|---:|---:|---:|\n", d.Old.Reference, d.New.Reference)
	for _, row := range d.sizes() {
		p.f("| %s | %s | %s | %s |\n", row.name, row.old, row.now, row.change)
	}
	p.f("\nOld `%s`, new `%s`.\n", d.Old.Digest, d.New.Digest)
	if d.Same() {
		p.f("\nThe same packages, files and settings.\n")
	}
	if len(d.Packages) > 0 {
		p.f("\n| package | old | new | |\n|---|---|---|---|\n")
		for _, x := range d.Packages {
			p.f("| %s | %s | %s | %s |\n", cell(x.Name), cell(x.Old), cell(x.New), x.Change)
		}
	}
	if len(d.Settings) > 0 {
		p.f("\n| setting | old | new |\n|---|---|---|\n")
		for _, s := range d.Settings {
			p.f("| %s | %s | %s |\n", cell(s.Name), cell(s.Old), cell(s.New))
		}
	}
	if len(d.Files) > 0 {
		p.f("\n<details><summary>%d files</summary>\n\n| file | | |\n|---|---|---|\n", len(d.Files))
		left := d.eachFile(all, func(f *File) { p.f("| %s | %s | %s |\n", cell(f.Path), f.Change, cell(about(f))) })
		if left > 0 {
			p.f("\nand %d more\n", left)
		}
		p.f("\n</details>\n")
	}
	return p.err
}

// eachFile calls f with the files, at most [most] of each change unless all is
// set, and returns how many were left out.
func (d *Diff) eachFile(all bool, f func(*File)) (left int) {
	seen := map[string]int{}
	for i := range d.Files {
		if seen[d.Files[i].Change]++; seen[d.Files[i].Change] > most && !all {
			left++
			continue
		}
		f(&d.Files[i])
	}
	return left
}

type row struct{ name, old, now, change string }

func (d *Diff) sizes() []row {
	bytes := func(name string, a, b int64) row { return row{name, size(a), size(b), delta(a, b)} }
	count := func(name string, a, b int) row {
		r := row{name, fmt.Sprint(a), fmt.Sprint(b), ""}
		if a != b {
			r.change = fmt.Sprintf("%+d", b-a)
		}
		return r
	}
	return []row{
		bytes("compressed", d.Old.Size, d.New.Size), bytes("unpacked", d.Old.Unpacked, d.New.Unpacked),
		count("files", d.Old.Files, d.New.Files), count("packages", d.Old.Packages, d.New.Packages), count("layers", d.Old.Layers, d.New.Layers),
	}
}

func delta(a, b int64) string {
	if a == b {
		return ""
	}
	s := "+" + size(b-a)
	if b < a {
		s = "-" + size(a-b)
	}
	if a > 0 {
		s += fmt.Sprintf(" (%+.1f%%)", 100*float64(b-a)/float64(a))
	}
	return s
}

// size writes bytes as people read them, decimal.
func size(n int64) string {
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%.2f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}

func sign(change string) string {
	switch change {
	case "added":
		return "+"
	case "removed":
		return "-"
	}
	return "~"
}

func versions(p Package) string {
	switch p.Change {
	case "added":
		return p.New
	case "removed":
		return p.Old
	case "rebuilt":
		return p.New + " (rebuilt)"
	}
	return p.Old + " -> " + p.New
}

func about(f *File) string {
	var parts []string
	if f.Details != "" {
		parts = append(parts, f.Details)
	}
	switch {
	case f.Change == "added" && f.Kind == "file":
		parts = append(parts, size(f.NewSize))
	case f.Change == "removed" && f.Kind == "file":
		parts = append(parts, size(f.OldSize))
	case f.OldSize != f.NewSize:
		parts = append(parts, delta(f.OldSize, f.NewSize))
	}
	return strings.TrimSpace(strings.Join(parts, ", ") + " (" + f.Owner + ")")
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

// cell is text that cannot end a cell of a Markdown table or be markup.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;", "`", "'").Replace(s)
}

// printer writes until the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) f(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}
