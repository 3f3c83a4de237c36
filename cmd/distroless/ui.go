package main

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"distroless/internal/fetch"
)

// ui is what a person sees while a command works: bars for transfers on a
// terminal, plain lines otherwise, all on standard error. Results go to
// standard output.
type ui struct {
	out, err       io.Writer
	quiet, verbose bool
	json           bool
	bars           *mpb.Progress // on a terminal
	mu             sync.Mutex
}

func newUI(s *surroundings, quiet, verbose, asJSON bool) *ui {
	u := &ui{out: s.stdout, err: s.stderr, quiet: quiet, verbose: verbose, json: asJSON}
	if s.terminal && !quiet {
		u.bars = mpb.New(mpb.WithOutput(s.stderr), mpb.WithWidth(64))
	}
	return u
}

// step tells of work that begins, with --verbose.
func (u *ui) step(text string) {
	if u.verbose && !u.quiet {
		u.note("%s", text)
	}
}

// note tells of something that a user should know.
func (u *ui) note(format string, args ...any) {
	if u.quiet {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	w := u.err
	if u.bars != nil {
		w = u.bars // above the bars
	}
	fmt.Fprintf(w, format+"\n", args...)
}

// printf writes a result, unless results are JSON.
func (u *ui) printf(format string, args ...any) {
	if !u.json && !u.quiet {
		fmt.Fprintf(u.out, format, args...)
	}
}

// result writes a result as JSON where that was asked for.
func (u *ui) result(v any) error {
	if !u.json {
		return nil
	}
	enc := json.NewEncoder(u.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// close ends the bars.
func (u *ui) close() {
	if u.bars != nil {
		u.bars.Shutdown()
	}
}

func (u *ui) progress() fetch.Progress {
	if u.quiet {
		return nil
	}
	return (*transfers)(u)
}

// transfers shows downloads.
type transfers ui

var _ fetch.Progress = (*transfers)(nil)

// smallest is the size in bytes below which a transfer gets no bar: it would
// be gone before it was read.
const smallest = 256 << 10

// Start begins a bar, or on no terminal nothing until the end.
func (t *transfers) Start(name string, size int64) fetch.Transfer {
	tr := &transfer{ui: (*ui)(t), name: name}
	if t.bars != nil && size >= smallest {
		tr.bar = t.bars.AddBar(size,
			mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(decor.Name(shorten(name, 40), decor.WCSyncSpaceR)),
			mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f", decor.WCSyncSpace), decor.AverageSpeed(decor.SizeB1024(0), " % .1f", decor.WCSyncSpace)))
	}
	return tr
}

type transfer struct {
	*ui
	name string
	bar  *mpb.Bar
	n    int64
	sync.Mutex
}

func (t *transfer) Add(n int64) {
	t.Lock()
	t.n += n
	t.Unlock()
	if t.bar != nil {
		t.bar.IncrInt64(n)
	}
}

func (t *transfer) Done(err error) {
	if t.bar != nil {
		t.bar.Abort(true)
		return
	}
	if err == nil && t.bars == nil {
		t.step(fmt.Sprintf("fetched %s, %s", t.name, size(t.n)))
	}
}

func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n-1] + "…"
}

// size writes bytes as people read them: "9.05 MB", decimal, as registries do.
func size(n int64) string {
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%.2f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}
