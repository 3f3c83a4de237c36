package xz

import "sync"

// piece is a run of plain data on its way to the reader. Pieces stand in the
// order of the file. One that is a whole block may be handed on while a
// worker still fills it: what is ready of it can be read.
type piece struct {
	release func() // gives buf back

	mu    sync.Mutex
	buf   []byte // what is ready
	done  bool   // no more will come
	err   error  // why, if the block did not decode
	grown chan struct{}
}

// finishedPiece is a piece that was filled before it is handed on.
func finishedPiece(buf []byte, release func()) *piece {
	return &piece{buf: buf, done: true, release: release}
}

// newPiece is a piece that a worker will fill.
func newPiece(release func()) *piece {
	return &piece{grown: make(chan struct{}, 1), release: release}
}

// publish makes buf, which begins with all that was published before, ready.
func (p *piece) publish(buf []byte) {
	p.mu.Lock()
	p.buf = buf
	p.mu.Unlock()
	p.signal()
}

// finish says that no more will come.
func (p *piece) finish(err error) {
	p.mu.Lock()
	p.done, p.err = true, err
	p.mu.Unlock()
	p.signal()
}

func (p *piece) signal() {
	select {
	case p.grown <- struct{}{}:
	default: // the reader has not yet seen the last signal
	}
}

// after returns what is ready behind the first n bytes. It waits for more
// than nothing, or for the end.
func (p *piece) after(n int, stop <-chan struct{}) (more []byte, done bool, err error) {
	for {
		p.mu.Lock()
		more, done, err = p.buf[n:], p.done, p.err
		p.mu.Unlock()
		if len(more) > 0 || done {
			return more, done, err
		}
		select {
		case <-p.grown:
		case <-stop:
			return nil, false, nil
		}
	}
}
