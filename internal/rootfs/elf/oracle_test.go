package elf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"distroless/internal/testenv"
)

// systemFiles is a sample of what lies in some of the machine's directories.
func systemFiles(most int, dirs ...string) []string {
	var all []string
	for _, dir := range dirs {
		filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && (dir != "/usr/lib" || strings.Contains(p, ".so")) {
				all = append(all, p)
			}
			return nil
		})
	}
	var out []string
	for i := 0; i < len(all); i += 1 + len(all)/most {
		out = append(out, all[i])
	}
	return out
}

// What ld.so is told must be what binutils reads in the same file.
func TestOracleReadelf(t *testing.T) {
	readelf := testenv.Tool(t, "readelf")
	files := systemFiles(20, "/usr/bin")
	if testenv.Required() {
		files = systemFiles(1500, "/usr/bin", "/usr/lib", "/usr/sbin")
	}
	seen := 0
	for _, p := range files {
		f, err := os.Open(p)
		if err != nil {
			continue
		}
		st, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		info, err := Parse(f, st.Size())
		f.Close()
		if errors.Is(err, ErrNotELF) {
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", p, err)
			continue
		}
		seen++
		if got, want := summary(info), readelfSummary(t, readelf, p); got != want {
			t.Errorf("%s:\ngot\n%swant\n%s", p, got, want)
		}
	}
	t.Logf("%d ELF files compared", seen)
	if testenv.Required() && seen < 100 {
		t.Errorf("only %d ELF files were found to compare", seen)
	}
}

func summary(i *Info) string {
	var b strings.Builder
	fmt.Fprintf(&b, "interp %s\nneeded %q\nsoname %s\nrpath %q\nrunpath %q\n", i.Interp, i.Needed, i.Soname, i.RPath, i.RunPath)
	var need []string
	for _, n := range i.Verneed {
		for _, v := range n.Versions {
			need = append(need, n.File+" "+v.Name)
		}
	}
	fmt.Fprintf(&b, "verneed %q\nverdef %q\n", need, i.Verdef)
	if i.ABI != nil {
		fmt.Fprintf(&b, "abi %d %d.%d.%d\n", i.ABI.OS, i.ABI.Kernel[0], i.ABI.Kernel[1], i.ABI.Kernel[2])
	}
	return b.String()
}

var (
	interpRE  = regexp.MustCompile(`Requesting program interpreter: (.*)\]`)
	dynamicRE = regexp.MustCompile(`\((NEEDED|SONAME|RPATH|RUNPATH)\)\s.*: \[(.*)\]`)
	fileRE    = regexp.MustCompile(`Version: 1  File: (\S*)  Cnt:`)
	needRE    = regexp.MustCompile(`  Name: (\S+)  Flags: \S+(?: \| \S+)*  Version: \d+`)
	defRE     = regexp.MustCompile(`Rev: 1  Flags: .*  Index: \d+  Cnt: \d+  Name: (\S+)`)
	abiRE     = regexp.MustCompile(`OS: (\S+), ABI: (\S+)`)
)

func readelfSummary(t *testing.T, readelf, p string) string {
	cmd := exec.Command(readelf, "-W", "-l", "-d", "-V", "-n", p)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("readelf %s: %v", p, err)
	}
	i := Info{}
	abi := ""
	for line := range strings.Lines(string(out)) {
		if m := interpRE.FindStringSubmatch(line); m != nil {
			i.Interp = m[1]
		}
		if m := dynamicRE.FindStringSubmatch(line); m != nil {
			switch m[1] {
			case "NEEDED":
				i.Needed = append(i.Needed, m[2])
			case "SONAME":
				i.Soname = m[2]
			case "RPATH":
				i.RPath = strings.Split(m[2], ":")
			case "RUNPATH":
				i.RunPath = strings.Split(m[2], ":")
			}
		}
		if m := fileRE.FindStringSubmatch(line); m != nil {
			i.Verneed = append(i.Verneed, Need{File: m[1]})
		} else if m := needRE.FindStringSubmatch(line); m != nil {
			n := &i.Verneed[len(i.Verneed)-1]
			n.Versions = append(n.Versions, Version{Name: m[1]})
		}
		if m := defRE.FindStringSubmatch(line); m != nil {
			i.Verdef = append(i.Verdef, m[1])
		}
		if m := abiRE.FindStringSubmatch(line); m != nil && abi == "" {
			abi = fmt.Sprintf("abi %d %s\n", slices.Index([]string{"Linux"}, m[1]), m[2])
		}
	}
	return summary(&i) + abi
}
