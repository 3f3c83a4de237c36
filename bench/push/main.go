// Command push measures how long it takes to push layouts to an empty registry
// on loopback, by `distroless push`, `crane push` and `skopeo copy --all`, in
// turn, several times. The registry is CNCF's, of version 3; it and crane are
// built from tools/registry.
//
//	go run ./bench/push -dist DIR [-rounds 5] [NAME...]
//
// Of each layout crane pushes all as one index under one tag, and skopeo an
// index for each variant; distroless pushes those with all tags that a release
// has.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

func main() {
	dist := flag.String("dist", "dist", "folder of the layouts")
	rounds := flag.Int("rounds", 5, "rounds, after one that does not count")
	flag.Parse()
	if err := run(*dist, flag.Args(), *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "push:", err)
		os.Exit(1)
	}
}

// bench is one measurement: the programs and the layouts.
type bench struct {
	dir                         string // for programs and registries
	distroless, registry, crane string
	dist                        string
	names                       []string // of layouts below dist
}

// sample is what one tool took for all layouts.
type sample struct{ wall, cpu time.Duration }

func (s sample) seconds() float64    { return s.wall.Seconds() }
func (s sample) cpuSeconds() float64 { return s.cpu.Seconds() }

// tool is one way to push all layouts: its commands, one after the other.
type tool struct {
	name string
	push func(to string) []*exec.Cmd
}

func run(dist string, names []string, rounds int) error {
	dir, err := os.MkdirTemp("", "distroless-push-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{dir: dir, dist: dist, names: names}
	if err := b.find(); err != nil {
		return err
	}
	if err := b.build(); err != nil {
		return err
	}
	tools := []tool{{"distroless", b.ours}, {"crane", b.byCrane}, {"skopeo", b.bySkopeo}}
	samples := map[string][]sample{}
	for round := range rounds + 1 {
		for _, t := range tools {
			s, err := b.measure(t.push)
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			if round > 0 {
				samples[t.name] = append(samples[t.name], s)
			}
		}
	}
	fmt.Printf("%d layouts, median of %d rounds\n%-10s %10s %10s\n", len(b.names), rounds, "", "wall", "cpu")
	for _, t := range tools {
		fmt.Printf("%-10s %8.2f s %8.2f s\n", t.name, median(each(samples[t.name], sample.seconds)), median(each(samples[t.name], sample.cpuSeconds)))
	}
	var ratios []float64
	for i, s := range samples["distroless"] {
		ratios = append(ratios, s.seconds()/min(samples["crane"][i].seconds(), samples["skopeo"][i].seconds()))
	}
	fmt.Printf("distroless / the faster of the others: %.2f, median of %.2f\n", median(ratios), ratios)
	return nil
}

func each(s []sample, f func(sample) float64) []float64 {
	var v []float64
	for _, x := range s {
		v = append(v, f(x))
	}
	return v
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// find names all layouts where none was named.
func (b *bench) find() error {
	if len(b.names) > 0 {
		return nil
	}
	all, err := filepath.Glob(filepath.Join(b.dist, "*", "index.json"))
	if err != nil {
		return err
	}
	for _, p := range all {
		b.names = append(b.names, filepath.Base(filepath.Dir(p)))
	}
	if len(all) == 0 {
		return fmt.Errorf("no layout in %s: name another folder with -dist", b.dist)
	}
	return nil
}

// build compiles the programs.
func (b *bench) build() error {
	b.distroless, b.registry, b.crane = filepath.Join(b.dir, "distroless"), filepath.Join(b.dir, "registry"), filepath.Join(b.dir, "crane")
	for _, p := range []struct{ in, out, from string }{
		{".", b.distroless, "./cmd/distroless"},
		{"tools/registry", b.registry, "github.com/distribution/distribution/v3/cmd/registry"},
		{"tools/registry", b.crane, "github.com/google/go-containerregistry/cmd/crane"},
	} {
		c := exec.Command("go", "build", "-o", p.out, p.from)
		c.Dir = p.in
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", c, err, out)
		}
	}
	return nil
}

// measure pushes by one tool to a registry that has nothing.
func (b *bench) measure(push func(to string) []*exec.Cmd) (s sample, err error) {
	data, err := os.MkdirTemp(b.dir, "data-*")
	if err != nil {
		return s, err
	}
	defer os.RemoveAll(data)
	host, stop, err := b.serve(data)
	if err != nil {
		return s, err
	}
	defer stop()
	list := push(host + "/team")
	syscall.Sync() // what others have written is not this one's to wait for
	begin := time.Now()
	for _, c := range list {
		if out, err := c.CombinedOutput(); err != nil {
			return s, fmt.Errorf("%s: %w\n%s", c, err, out)
		}
		s.cpu += c.ProcessState.UserTime() + c.ProcessState.SystemTime()
	}
	s.wall = time.Since(begin)
	return s, nil
}

// serve runs a registry until stop is called.
func (b *bench) serve(data string) (host string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	host = l.Addr().String()
	if err := l.Close(); err != nil {
		return "", nil, err
	}
	conf := filepath.Join(data, "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: %q}\n", data, host)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return "", nil, err
	}
	c := exec.Command(b.registry, "serve", conf)
	c.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	if err := c.Start(); err != nil {
		return "", nil, err
	}
	stop = func() { c.Process.Kill(); c.Wait() } // it ends by a signal, which is no news
	for range 200 {
		if conn, err := net.Dial("tcp", host); err == nil {
			return host, stop, conn.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	stop()
	return "", nil, fmt.Errorf("the registry does not come up")
}

func (b *bench) ours(to string) []*exec.Cmd {
	return []*exec.Cmd{exec.Command(b.distroless, append([]string{"push", "--quiet", "--dist", b.dist, "--to", to}, b.names...)...)}
}

func (b *bench) byCrane(to string) (list []*exec.Cmd) {
	for _, n := range b.names {
		list = append(list, exec.Command(b.crane, "push", "--index", filepath.Join(b.dist, n), to+"/"+n+":latest"))
	}
	return list
}

func (b *bench) bySkopeo(to string) (list []*exec.Cmd) {
	for _, n := range b.names {
		for _, v := range []string{"latest", "nonroot", "debug", "debug-nonroot"} {
			list = append(list, exec.Command("skopeo", "copy", "-q", "--all", "--dest-tls-verify=false", "oci:"+filepath.Join(b.dist, n)+":"+v, "docker://"+to+"/"+n+":"+v))
		}
	}
	return list
}
