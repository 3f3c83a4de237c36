package inventory

import "io"

const (
	// aheadSize is the length of a piece that is read ahead, in bytes, and
	// aheadPieces how many of them there are of a layer.
	aheadSize   = 128 << 10
	aheadPieces = 8
)

// ahead reads from another goroutine, a few pieces before what is asked for.
type ahead struct {
	full, free chan []byte
	stopped    chan struct{}
	ended      chan struct{}
	err        error  // of the source; read once full is closed
	piece      []byte // the whole piece that rest is the end of
	rest       []byte
}

// readAhead begins to read r into the pieces of a room. stop must be called before
// either is used for anything else.
func readAhead(r io.Reader, in *room) *ahead {
	a := &ahead{full: make(chan []byte, aheadPieces), free: make(chan []byte, aheadPieces), stopped: make(chan struct{}), ended: make(chan struct{})}
	for i := range in.pieces {
		a.free <- in.pieces[i]
	}
	go a.run(r)
	return a
}

func (a *ahead) run(r io.Reader) {
	defer close(a.ended)
	defer close(a.full)
	for {
		var piece []byte
		select {
		case piece = <-a.free:
		case <-a.stopped:
			return
		}
		piece = piece[:aheadSize]
		n := 0
		for n < aheadSize && a.err == nil {
			var m int
			m, a.err = r.Read(piece[n:aheadSize])
			n += m
		}
		if n > 0 {
			a.full <- piece[:n] // there is room for all pieces
		}
		if a.err != nil {
			return
		}
	}
}

// Read implements [io.Reader].
func (a *ahead) Read(p []byte) (int, error) {
	if len(a.rest) == 0 {
		if a.piece != nil {
			a.free <- a.piece
			a.piece = nil
		}
		piece, ok := <-a.full
		if !ok {
			return 0, a.err
		}
		a.piece, a.rest = piece, piece
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// stop ends the reading and waits for it.
func (a *ahead) stop() {
	close(a.stopped)
	<-a.ended
}
