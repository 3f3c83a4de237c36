package closure_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"distroless/internal/rootfs/closure"
	"distroless/internal/rootfs/closure/closuretest"
	"distroless/internal/testenv"
)

// ld.so itself must load the same files for the machine's own programs: where
// it differs, an image would pass the check and not start, or the reverse.
func TestOracleLoader(t *testing.T) {
	ldd := testenv.Tool(t, "ldd")
	most := 12
	if testenv.Required() {
		most = 400
	}
	tree := closuretest.NewDisk(t, "")
	o := closure.Options{Cache: machineCache(t)}
	seen := 0
	for _, name := range machinePrograms(t, most) {
		n, err := closure.Resolve(tree, name)
		if err != nil || n.ELF == nil || !strings.HasPrefix(filepath.Base(n.ELF.Interp), "ld-linux") || len(n.ELF.Needed) == 0 {
			continue
		}
		want, ok := lddOutput(ldd, n.Path)
		if !ok {
			continue // made for another machine
		}
		seen++
		if got := closure.Loaded(tree, o, n); !maps.Equal(got, want) {
			t.Errorf("%s:\nours  %s\nld.so %s", n.Path, listing(got), listing(want))
		}
	}
	t.Logf("%d programs compared", seen)
	if testenv.Required() && seen < 50 {
		t.Errorf("only %d programs were found to compare", seen)
	}
}

func listing(m map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fmt.Sprintf("%s %s", k, m[k]))
	}
	return strings.Join(out, ", ")
}

// machinePrograms is an even sample of the machine's programs.
func machinePrograms(t *testing.T, most int) []string {
	var all []string
	for _, glob := range []string{"/usr/bin/*", "/usr/sbin/*", "/usr/lib/*/*", "/usr/libexec/*", "/usr/lib/jvm/*/bin/*"} {
		names, err := filepath.Glob(glob)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if st, err := os.Stat(name); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
				all = append(all, name)
			}
		}
	}
	var out []string
	for i := 0; i < len(all); i += 1 + len(all)/most {
		out = append(out, all[i])
	}
	return out
}

var (
	lddFound   = regexp.MustCompile(`(?:=> )?(/\S+) \(0x`)
	lddMissing = regexp.MustCompile(`(\S+) => not found`)
)

// lddOutput lists what ld.so loads for a program, links followed.
func lddOutput(ldd, p string) (map[string]string, bool) {
	out, err := exec.Command(ldd, p).Output()
	if err != nil {
		return nil, false
	}
	m := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if f := lddMissing.FindStringSubmatch(line); f != nil {
			m[f[1]] = "not found"
		} else if f := lddFound.FindStringSubmatch(line); f != nil {
			real, err := filepath.EvalSymlinks(f[1])
			if err != nil {
				return nil, false
			}
			m[real] = "loaded"
		}
	}
	return m, true
}

var cacheRE = regexp.MustCompile(`^\t(\S+) \(libc6,x86-64\) => (\S+)$`)

// machineCache is what ldconfig says of the machine's cache.
func machineCache(t *testing.T) map[string][]string {
	out, err := exec.Command(testenv.Tool(t, "ldconfig"), "-p").Output()
	if err != nil {
		t.Fatal(err)
	}
	m := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		if f := cacheRE.FindStringSubmatch(strings.TrimSuffix(line, "\n")); f != nil {
			m[f[1]] = append(m[f[1]], f[2])
		}
	}
	return m
}
