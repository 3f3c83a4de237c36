// Command xzbench compares the speed of this module's xz decoder with the xz
// program and with github.com/mikelolasagasti/xz, side by side in one run.
//
//	xzbench [-rounds n] file.xz...
//
// Each decodes each file, in a process of its own, in turns; the best of the
// rounds counts. A process decodes a small file several times, so that its
// start does not weigh. It prints the user time on one core, where the decoders are
// compared by the work that they do, and the time that passes with two
// workers. Start with main; bench/xz fetches the packages that it is run on.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	other "github.com/mikelolasagasti/xz"

	"distroless/internal/xz"
)

func main() {
	rounds := flag.Int("rounds", 7, "how often each file is decoded, of which the best counts")
	decode := flag.String("decode", "", "decode the file with `ours` or `other`, and nothing else")
	workers := flag.Int("workers", 1, "how many workers decode")
	flag.Parse()
	var err error
	switch {
	case flag.NArg() == 0:
		err = errors.New("read arguments: no file: name some .xz files")
	case *decode != "":
		for _, name := range flag.Args() {
			if err = decodeFile(*decode, name, *workers); err != nil {
				break
			}
		}
	default:
		err = compare(os.Stdout, flag.Args(), *rounds)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "xzbench:", err)
		os.Exit(1)
	}
}

// nowhere is like io.Discard, but nothing is read for it in small pieces.
type nowhere struct{ n int64 }

func (w *nowhere) Write(p []byte) (int, error) {
	w.n += int64(len(p))
	return len(p), nil
}

// decodeFile is what is measured. It prints the plain size in bytes.
func decodeFile(decoder, name string, workers int) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	var out nowhere
	if decoder == "ours" {
		r, err := xz.NewReader(context.Background(), f, xz.Options{Workers: workers})
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = r.WriteTo(&out)
		fmt.Println(out.n)
		return err
	}
	r, err := other.NewReader(bufio.NewReaderSize(f, 1<<20), 0)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(&out, struct{ io.Reader }{r}, make([]byte, 256<<10))
	fmt.Println(out.n)
	return err
}

// timing is the best of some rounds.
type timing struct{ user, wall time.Duration }

// enough is how many packed bytes a process decodes, at least about.
const enough = 16 << 20

// measure runs a decoder on a file so many times in one process, and keeps the
// times that one of them took where they are better than before.
func (t *timing) measure(file string, times int64, args ...string) (output string, err error) {
	for range times {
		args = append(args, file)
	}
	cmd := exec.Command(args[0], args[1:]...)
	var stdout strings.Builder
	if args[0] != "xz" {
		cmd.Stdout = &stdout
	}
	cmd.Stderr = os.Stderr
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("run %s: %w", strings.Join(args, " "), err)
	}
	wall, user := time.Since(start)/time.Duration(times), cmd.ProcessState.UserTime()/time.Duration(times)
	if t.wall == 0 || wall < t.wall {
		t.wall = wall
	}
	if t.user == 0 || user < t.user {
		t.user = user
	}
	return stdout.String(), nil
}

// compare measures all decoders on all files and prints a table.
func compare(w io.Writer, files []string, rounds int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "one worker: MB/s of plain data by user time; two workers: seconds that pass")
	fmt.Fprintf(w, "%-28s %7s %7s %7s %8s %8s | %7s %7s %8s\n", "file", "ours", "xz", "Go lib", "ours/xz", "ours/lib", "ours -2", "xz -T2", "ours/xz")
	for _, file := range files {
		var one, two, xzOne, xzTwo, lib timing
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		times := max(1, enough/info.Size())
		var plain float64
		for range rounds {
			sizes, err := one.measure(file, times, self, "-decode", "ours")
			if err != nil {
				return err
			}
			if _, err := fmt.Sscan(sizes, &plain); err != nil {
				return fmt.Errorf("read plain size %q: %w", sizes, err)
			}
			_, err2 := xzOne.measure(file, times, "xz", "-T1", "-dc")
			_, err3 := lib.measure(file, times, self, "-decode", "other")
			_, err4 := two.measure(file, times, self, "-decode", "ours", "-workers", "2")
			_, err5 := xzTwo.measure(file, times, "xz", "-T2", "-dc")
			if err := errors.Join(err2, err3, err4, err5); err != nil {
				return err
			}
		}
		speed := func(t timing) float64 { return plain / 1e6 / t.user.Seconds() }
		fmt.Fprintf(w, "%-28s %7.1f %7.1f %7.1f %8.2f %8.2f | %7.3f %7.3f %8.2f\n", filepath.Base(file),
			speed(one), speed(xzOne), speed(lib), speed(one)/speed(xzOne), speed(one)/speed(lib),
			two.wall.Seconds(), xzTwo.wall.Seconds(), xzTwo.wall.Seconds()/two.wall.Seconds())
	}
	return nil
}
