package xz

import (
	"context"
	"fmt"
	"io"
	"runtime"
)

// Options are the bounds of a decoder. The zero value works.
type Options struct {
	// Workers is how many blocks are decoded side by side, where their
	// headers tell their sizes; 0 means GOMAXPROCS.
	Workers int
	// MemLimit bounds the memory of dictionaries and of blocks in flight, in
	// bytes; 0 means 256 MiB. See the package's documentation.
	MemLimit int64
}

func (o Options) withDefaults() Options {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.MemLimit <= 0 {
		o.MemLimit = 256 << 20
	}
	return o
}

// Reader decodes a file while it is read. It works ahead in goroutines of its
// own, which end with the file, with an error, with the context or with
// Close. Its methods must not be called at the same time, save for Close.
type Reader struct {
	seq    *sequence
	stop   <-chan struct{}
	cause  func() error
	cancel context.CancelCauseFunc

	cur  *piece
	used int // how much of cur was handed out
	err  error
}

// NewReader returns a Reader of the .xz file r: one stream or several, with
// padding after each. It reads the first stream's header: input that is
// something else is an [*Error] that wraps [ErrFormat].
//
// The Reader reads r ahead, and to its end, past which nothing may follow.
// Cancelling ctx ends it; it cannot end a call of r.Read that hangs. Whoever
// does not read to the end must call Close.
func NewReader(ctx context.Context, r io.Reader, o Options) (*Reader, error) {
	in := newInput(r)
	check, err := readStreamHeader(in)
	if err != nil {
		return nil, err
	}
	return startReader(ctx, in, o, func(ctx context.Context, s *sequence) error { return s.streams(ctx, check) }), nil
}

// startReader starts to decode in with body, which sends pieces.
func startReader(ctx context.Context, in *input, o Options, body func(context.Context, *sequence) error) *Reader {
	ctx, cancel := context.WithCancelCause(ctx)
	s := newSequence(in, o.withDefaults())
	go func() {
		s.err = body(ctx, s)
		close(s.pieces)
		s.workers.Wait()
		close(s.finished)
	}()
	return &Reader{seq: s, stop: ctx.Done(), cause: func() error { return context.Cause(ctx) }, cancel: cancel}
}

// next returns plain data that were not handed out yet, all that are ready.
func (r *Reader) next() ([]byte, error) {
	for r.err == nil {
		select {
		case <-r.stop: // not even what is ready
			r.fail(r.cause())
			return nil, r.err
		default:
		}
		if r.cur == nil {
			r.nextPiece()
			continue
		}
		p, done, err := r.cur.after(r.used, r.stop)
		switch {
		case len(p) > 0:
			return p, nil
		case err != nil:
			r.fail(err)
		case !done:
			r.fail(r.cause())
		default:
			r.drop()
		}
	}
	return nil, r.err
}

// nextPiece waits for the piece behind the last one.
func (r *Reader) nextPiece() {
	var p *piece
	var more bool
	select {
	case p, more = <-r.seq.pieces:
	case <-r.stop:
		r.fail(r.cause())
		return
	}
	switch {
	case more:
		r.cur, r.used = p, 0
	case r.seq.err != nil:
		r.fail(r.seq.err)
	default:
		r.fail(io.EOF)
	}
}

// drop gives the current piece back, which was handed out to its end.
func (r *Reader) drop() {
	r.cur.release()
	r.cur = nil
}

// fail ends the Reader with err, and all that still works for it.
func (r *Reader) fail(err error) {
	r.err = err
	if err == context.Canceled || err == context.DeadlineExceeded {
		r.err = fmt.Errorf("xz: decode: %w", err)
	}
	r.cancel(err)
}

// Read reads plain data. At the end of the file, when all checks have
// matched, it returns io.EOF; before that, data may turn out wrong yet.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	q, err := r.next()
	if err != nil {
		return 0, err
	}
	n := copy(p, q)
	r.used += n
	return n, nil
}

// WriteTo writes all plain data that were not read yet to w, in the decoder's
// own buffers, so that w must not keep or change what it is given. It returns
// the number of bytes written, and nil when all checks have matched.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		p, err := r.next()
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		p = p[:min(len(p), maxWrite)]
		n, err := w.Write(p)
		total += int64(n)
		r.used += n
		if err == nil && n < len(p) {
			err = io.ErrShortWrite
		}
		if err != nil {
			return total, err
		}
	}
}

// maxWrite is the most that WriteTo hands over at once, so that it stays in
// the processor's cache for the next stage.
const maxWrite = 256 << 10

// Close ends the goroutines and waits for them, also for a call of the
// input's Read. It does not close the input. Later reads return [ErrClosed].
func (r *Reader) Close() error {
	r.cancel(ErrClosed)
	<-r.seq.finished
	return nil
}

var (
	_ io.ReadCloser = (*Reader)(nil)
	_ io.WriterTo   = (*Reader)(nil)
)
