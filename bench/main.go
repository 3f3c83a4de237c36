// Command bench measures a cold build of an image against two floors, side by
// side in one run on the same .debs, two at a time:
//
//	F1  dpkg-deb --fsys-tarfile | gzip -6n, for each .deb
//	F2  dpkg-deb --fsys-tarfile alone: decompression in C and nothing else
//
// and a rebuild whose layers are cached. It needs dpkg-deb and gzip, and the
// archive once, to fetch the packages.
//
//	go run ./bench [-image cc] [-distro debian13] [-rounds 7]
//
// With -distro all it builds for every distro and architecture that the archive
// proves, the whole catalogue where -image is empty, and leaves the floors out:
//
//	go run ./bench -distro all -image "" [-cache folder] [-rounds 3]
//	go run ./bench -distro all -image static,base-nossl,base,cc
package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	image := flag.String("image", "cc", "image to build, several with commas, all where empty")
	distro := flag.String("distro", "debian13", "distro to build for, or all")
	rounds := flag.Int("rounds", 7, "counted rounds, after one that is not")
	packages := flag.String("cache", "", "folder that keeps packages between runs; what was made of them is removed")
	flag.Parse()
	if err := run(*image, *distro, *packages, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// sample is one finished command.
type sample struct {
	wall, cpu time.Duration
	peak      int64 // resident bytes of the largest process
}

func run(image, distro, packages string, rounds int) error {
	dir, err := os.MkdirTemp("", "distroless-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "distroless")
	if out, err := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "./cmd/distroless").CombinedOutput(); err != nil {
		return fmt.Errorf("build the program: %w\n%s", err, out)
	}
	cache, lock := cmp.Or(packages, filepath.Join(dir, "cache")), filepath.Join(dir, "lock")
	args := []string{"build", "--distro", distro, "--cache", cache, "--lock", lock, "--output", filepath.Join(dir, "dist"), "--quiet"}
	if image != "" {
		args = append(args, strings.Split(image, ",")...)
	}
	whole := distro == "all"
	if whole {
		args = append(args, "--arch", "all", "--keep-going")
	}
	if out, err := exec.Command(program, args...).CombinedOutput(); !built(err, whole) {
		return fmt.Errorf("first build: %w\n%s", err, out)
	}
	if err := dropMissing(lock, cache); err != nil {
		return err
	}
	build := func() *exec.Cmd { return exec.Command(program, append(args, "--locked")...) }
	debs, err := lockedDebs(lock, cache)
	if err != nil {
		return err
	}
	floor := func(pipe string) func() *exec.Cmd {
		return func() *exec.Cmd {
			c := exec.Command("xargs", "-P", "2", "-n", "1", "sh", "-c", `dpkg-deb --fsys-tarfile "$0" `+pipe+` >/dev/null`)
			c.Stdin = strings.NewReader(strings.Join(debs, "\n") + "\n")
			return c
		}
	}
	cold := func() *exec.Cmd {
		os.RemoveAll(filepath.Join(cache, "memo")) // .debs stay, what was made of them goes
		return build()
	}
	type kind struct {
		name    string
		command func() *exec.Cmd
	}
	kinds := []kind{{"F1", floor("| gzip -6n")}, {"F2", floor("")}, {"cold", cold}, {"warm", build}}
	if whole {
		kinds = kinds[2:]
	}
	samples := map[string][]sample{}
	for round := range rounds + 1 {
		for _, k := range kinds {
			s, err := measure(k.command(), whole)
			if err != nil {
				return fmt.Errorf("%s: %w", k.name, err)
			}
			if round > 0 {
				samples[k.name] = append(samples[k.name], s)
			}
		}
	}
	fmt.Printf("%s %s, %d .debs, median of %d rounds\n", image, distro, len(debs), rounds)
	fmt.Printf("%-6s %9s %9s %9s\n", "", "wall", "cpu", "peak")
	for _, k := range kinds {
		s := samples[k.name]
		fmt.Printf("%-6s %7.0f ms %6.0f ms %6.0f MB\n", k.name,
			ms(median(s, func(s sample) time.Duration { return s.wall })), ms(median(s, func(s sample) time.Duration { return s.cpu })),
			float64(median(s, func(s sample) int64 { return s.peak }))/1e6)
	}
	for _, f := range []string{"F1", "F2"} {
		if whole {
			break
		}
		fmt.Printf("cold / %s: wall %.2f, cpu %.2f (medians of the rounds' ratios)\n", f,
			ratio(samples["cold"], samples[f], func(s sample) time.Duration { return s.wall }),
			ratio(samples["cold"], samples[f], func(s sample) time.Duration { return s.cpu }))
	}
	return nil
}

// built reports whether a build ended well: where architectures are asked for
// that the archive may not prove, exit code 3 says that the others were built.
func built(err error, some bool) bool {
	var exit *exec.ExitError
	return err == nil || some && errors.As(err, &exit) && exit.ExitCode() == 3
}

func measure(c *exec.Cmd, some bool) (sample, error) {
	start := time.Now()
	out, err := c.CombinedOutput()
	if !built(err, some) {
		return sample{}, fmt.Errorf("%w\n%s", err, out)
	}
	s := sample{wall: time.Since(start), cpu: c.ProcessState.UserTime() + c.ProcessState.SystemTime()}
	if ru, ok := c.ProcessState.SysUsage().(*syscall.Rusage); ok {
		s.peak = ru.Maxrss * 1024
	}
	return s, nil
}

// dropMissing takes the cells out of the lock of which the archive does not have
// every package: to ask it for them each time is not what is measured.
func dropMissing(lock, cache string) error {
	data, err := os.ReadFile(lock)
	if err != nil {
		return err
	}
	var top, cells map[string]json.RawMessage
	if err := json.Unmarshal(data, &top); err != nil {
		return err
	}
	if err := json.Unmarshal(top["cells"], &cells); err != nil {
		return err
	}
	for key, text := range cells {
		var c struct{ Packages, Debug, Upstream []struct{ SHA256 string } }
		if err := json.Unmarshal(text, &c); err != nil {
			return err
		}
		for _, p := range slices.Concat(c.Packages, c.Debug, c.Upstream) {
			if _, err := os.Stat(filepath.Join(cache, "sha256", p.SHA256)); err != nil {
				fmt.Printf("without %s: the archive lacks a package\n", key)
				delete(cells, key)
				break
			}
		}
	}
	if top["cells"], err = json.Marshal(cells); err != nil {
		return err
	}
	if data, err = json.Marshal(top); err != nil {
		return err
	}
	return os.WriteFile(lock, data, 0o644)
}

// lockedDebs lists the cached files of every package in the lock, the largest
// first, as the build reads them.
func lockedDebs(lock, cache string) ([]string, error) {
	data, err := os.ReadFile(lock)
	if err != nil {
		return nil, err
	}
	var l struct {
		Cells map[string]struct {
			Packages, Debug []struct {
				SHA256 string
				Size   int64
			}
		}
	}
	if err := json.Unmarshal(data, &l); err != nil {
		return nil, err
	}
	size := map[string]int64{}
	for _, c := range l.Cells {
		for _, p := range append(c.Packages, c.Debug...) {
			size[filepath.Join(cache, "sha256", p.SHA256)] = p.Size
		}
	}
	var out []string
	for f := range size {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(cmp.Compare(size[b], size[a]), cmp.Compare(a, b)) })
	return out, nil
}

func median[T cmp.Ordered](s []sample, f func(sample) T) T {
	var v []T
	for _, x := range s {
		v = append(v, f(x))
	}
	slices.Sort(v)
	return v[len(v)/2]
}

func ratio(a, b []sample, f func(sample) time.Duration) float64 {
	var v []float64
	for i := range a {
		v = append(v, float64(f(a[i]))/float64(f(b[i])))
	}
	slices.Sort(v)
	return v[len(v)/2]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
