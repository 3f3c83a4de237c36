package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"distroless/catalog"
	"distroless/internal/build"
)

func newList(s *surroundings) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the images of the catalogue",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return list(newUI(s, false, false, asJSON))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print results as JSON")
	return cmd
}

// listed is an image, as --json prints it.
type listed struct {
	Name         string              `json:"name"`
	From         string              `json:"from,omitempty"`
	Description  string              `json:"description"`
	Experimental bool                `json:"experimental,omitempty"`
	EndOfLife    string              `json:"end-of-life,omitempty"`
	Distros      map[string][]string `json:"distros"` // to architectures, Debian's names
}

func list(u *ui) error {
	cat, err := build.LoadCatalog(catalog.Files)
	if err != nil {
		return err
	}
	b := build.NewReader(cat)
	var out []listed
	for _, name := range cat.Names() {
		d, err := cat.Image(name)
		if err != nil {
			return err
		}
		l := listed{Name: name, From: d.From, Description: d.Description, Experimental: d.Experimental, EndOfLife: d.EndOfLife, Distros: map[string][]string{}}
		for _, distro := range d.DistroNames() {
			if l.Distros[distro], err = b.Archs(name, distro); err != nil {
				return err
			}
		}
		out = append(out, l)
		u.printf("%-12s %s%s\n", l.Name, l.Description, remarks(l))
		for _, distro := range d.DistroNames() {
			u.printf("%-12s   %s: %s\n", "", distro, strings.Join(l.Distros[distro], " "))
		}
	}
	return u.result(out)
}

func remarks(l listed) string {
	var r string
	if l.Experimental {
		r += " (experimental)"
	}
	if l.EndOfLife != "" {
		r += " (end of life: " + l.EndOfLife + ")"
	}
	return r
}

func newVersion(s *surroundings) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the program's version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := versionOf()
			u := newUI(s, false, false, asJSON)
			u.printf("distroless %s %s/%s %s\n", v.Version, v.OS, v.Arch, v.Go)
			return u.result(v)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print results as JSON")
	return cmd
}

type version struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

// versionOf reads what the Go tool has recorded in the program.
func versionOf() version {
	v := version{Version: "(unknown)", Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Revision = s.Value
		}
	}
	if v.Version == "(devel)" && v.Revision != "" {
		v.Version = fmt.Sprintf("devel-%.12s", v.Revision)
	}
	return v
}
