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
package main

import (
	"cmp"
	"encoding/json"
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
	image := flag.String("image", "cc", "image to build")
	distro := flag.String("distro", "debian13", "distro to build for")
	rounds := flag.Int("rounds", 7, "counted rounds, after one that is not")
	flag.Parse()
	if err := run(*image, *distro, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// sample is one finished command.
type sample struct {
	wall, cpu time.Duration
	peak      int64 // resident bytes of the largest process
}

func run(image, distro string, rounds int) error {
	dir, err := os.MkdirTemp("", "distroless-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "distroless")
	if out, err := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "./cmd/distroless").CombinedOutput(); err != nil {
		return fmt.Errorf("build the program: %w\n%s", err, out)
	}
	cache, lock := filepath.Join(dir, "cache"), filepath.Join(dir, "lock")
	args := []string{"build", image, "--distro", distro, "--cache", cache, "--lock", lock, "--output", filepath.Join(dir, "dist"), "--quiet"}
	build := func() *exec.Cmd { return exec.Command(program, append(args, "--locked")...) }
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("first build: %w\n%s", err, out)
	}
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
	kinds := []struct {
		name    string
		command func() *exec.Cmd
	}{{"F1", floor("| gzip -6n")}, {"F2", floor("")}, {"cold", cold}, {"warm", build}}
	samples := map[string][]sample{}
	for round := range rounds + 1 {
		for _, k := range kinds {
			s, err := measure(k.command())
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
		fmt.Printf("cold / %s: wall %.2f, cpu %.2f (medians of the rounds' ratios)\n", f,
			ratio(samples["cold"], samples[f], func(s sample) time.Duration { return s.wall }),
			ratio(samples["cold"], samples[f], func(s sample) time.Duration { return s.cpu }))
	}
	return nil
}

func measure(c *exec.Cmd) (sample, error) {
	start := time.Now()
	out, err := c.CombinedOutput()
	if err != nil {
		return sample{}, fmt.Errorf("%w\n%s", err, out)
	}
	s := sample{wall: time.Since(start), cpu: c.ProcessState.UserTime() + c.ProcessState.SystemTime()}
	if ru, ok := c.ProcessState.SysUsage().(*syscall.Rusage); ok {
		s.peak = ru.Maxrss * 1024
	}
	return s, nil
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
