package xz

import (
	"context"
	"io"
	"strings"
	"sync"
)

// sequence follows a file from block to block, in a goroutine of its own, and
// sends its plain data in order.
type sequence struct {
	in       *input
	mem      *memory
	pieces   chan *piece
	err      error // set before pieces is closed
	finished chan struct{}

	workers sync.WaitGroup
	running chan struct{} // a token for each block that is being decoded
	flying  chan struct{} // a token for each whole block that is not yet read

	spare    chan []byte // pieces' buffers that were given back
	decoders chan *lzma2
}

func newSequence(in *input, o Options) *sequence {
	return &sequence{
		in:       in,
		mem:      newMemory(o.MemLimit),
		pieces:   make(chan *piece, 4),
		finished: make(chan struct{}),
		running:  make(chan struct{}, max(o.Workers, 2)),
		flying:   make(chan struct{}, max(o.Workers, 2)),
		spare:    make(chan []byte, 6),
		decoders: make(chan *lzma2, o.Workers+1),
	}
}

func (s *sequence) takePiece() []byte {
	select {
	case buf := <-s.spare:
		return buf[:0]
	default:
		return make([]byte, 0, pieceSize)
	}
}

func (s *sequence) givePiece(buf []byte) {
	select {
	case s.spare <- buf:
	default:
	}
}

func (s *sequence) takeDecoder() *lzma2 {
	select {
	case d := <-s.decoders:
		return d
	default:
		return new(lzma2)
	}
}

func (s *sequence) giveDecoder(d *lzma2) {
	d.buf = nil
	select {
	case s.decoders <- d:
	default:
	}
}

func (s *sequence) send(ctx context.Context, p *piece) error {
	select {
	case s.pieces <- p:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// takeToken waits for room in tokens, which <-tokens makes again.
func takeToken(ctx context.Context, tokens chan struct{}) error {
	select {
	case tokens <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// readStreamHeader reads the header of a stream.
func readStreamHeader(in *input) (checkType, error) {
	at := in.offset()
	p, err := in.take(streamHeaderSize)
	if err == io.EOF && len(in.rest()) > 0 && !strings.HasPrefix(headerMagic, string(in.rest()[:min(6, len(in.rest()))])) {
		err = ErrFormat
	}
	if err != nil {
		return 0, errAt(at, "stream header", err)
	}
	check, err := parseStreamHeader(p)
	return check, errAt(at, "stream header", err)
}

// streams reads the first stream behind its header, and those that follow.
func (s *sequence) streams(ctx context.Context, check checkType) error {
	for {
		if err := s.stream(ctx, check); err != nil {
			return err
		}
		if more, err := s.skipPadding(); !more {
			return err
		}
		var err error
		if check, err = readStreamHeader(s.in); err != nil {
			return err
		}
	}
}

// skipPadding skips zeros, four by four, and reports whether more follows.
func (s *sequence) skipPadding() (more bool, err error) {
	for {
		err := s.in.want(4)
		if err == io.EOF && len(s.in.rest()) == 0 {
			return false, nil
		}
		if err != nil {
			return false, errAt(s.in.offset(), "stream padding", err)
		}
		if string(s.in.rest()[:4]) != "\x00\x00\x00\x00" {
			return true, nil
		}
		s.in.pos += 4
	}
}

// stream reads a stream behind its header: blocks, index, footer.
func (s *sequence) stream(ctx context.Context, check checkType) error {
	blocks := newBlockList()
	for {
		at := s.in.offset()
		size, err := s.in.byte()
		if err != nil {
			return errAt(at, "block header", err)
		}
		if size == 0 {
			break
		}
		sizes, err := s.block(ctx, at, (int(size)+1)*4, check)
		if err != nil {
			return err
		}
		blocks.add(sizes)
	}
	at := s.in.offset() - 1
	indexSize, err := readIndex(s.in, blocks)
	if err != nil {
		return errAt(at, "index", err)
	}
	at = s.in.offset()
	footer, err := s.in.take(streamHeaderSize)
	if err == nil {
		err = parseStreamFooter(footer, check, indexSize)
	}
	return errAt(at, "stream footer", err)
}

// block reads a block at the offset at, behind the first byte of its header,
// which told the header's size.
func (s *sequence) block(ctx context.Context, at int64, headerSize int, check checkType) (blockSizes, error) {
	var none blockSizes
	s.in.pos--
	p, err := s.in.take(headerSize)
	if err != nil {
		return none, errAt(at, "block header", err)
	}
	h, err := parseBlockHeader(p)
	if err != nil {
		return none, errAt(at, "block header", err)
	}
	if err := takeToken(ctx, s.running); err != nil {
		return none, err
	}
	if s.fitsWhole(h) {
		if err := s.startWhole(ctx, h, check); err != nil {
			return none, err
		}
	} else {
		out := &output{seq: s, check: newBlockCheck(check)}
		start := s.in.offset()
		plain, err := s.streamBlock(ctx, h, out)
		<-s.running
		if err != nil {
			return none, errAt(at, "block", err)
		}
		compressed := s.in.offset() - start
		if h.compressed != unknownSize && h.compressed != compressed || h.uncompressed != unknownSize && h.uncompressed != plain {
			return none, errAt(at, "block", corrupt("%d bytes expand to %d, its header says otherwise", compressed, plain))
		}
		h.compressed, h.uncompressed = compressed, plain
		var want [64]byte
		n, err := s.blockEnd(h, check, want[:])
		if err != nil {
			return none, err
		}
		if err := out.check.verify(want[:n], s.in.offset()-int64(n)); err != nil {
			return none, err
		}
	}
	return blockSizes{int64(h.size) + h.compressed + int64(check.size()), h.uncompressed}, nil
}

// blockEnd reads a block's padding and copies its check's value into want.
// It returns the value's size.
func (s *sequence) blockEnd(h blockHeader, check checkType, want []byte) (int, error) {
	at := s.in.offset()
	padding := int(-h.compressed & 3)
	p, err := s.in.take(padding + check.size())
	if err != nil {
		return 0, errAt(at, "block check", err)
	}
	for _, b := range p[:padding] {
		if b != 0 {
			return 0, errAt(at, "block padding", corrupt("it is not zero"))
		}
	}
	return copy(want, p[padding:]), nil
}

// maxExpansion is more than LZMA2 can expand anything by: the longest match
// takes at least a 32nd of a bit for each of its 14 decisions.
const maxExpansion = 8192

// fitsWhole reports whether a block is to be decoded in one piece: its sizes
// are known and possible, and there is room for another one beside it.
func (s *sequence) fitsWhole(h blockHeader) bool {
	if h.compressed == unknownSize || h.uncompressed == unknownSize {
		return false
	}
	limit := s.mem.limit / 2
	return h.compressed <= limit && h.uncompressed <= limit && h.uncompressed/maxExpansion <= h.compressed &&
		h.compressed+h.uncompressed+matchSlack <= min(limit, 1<<30)
}

// startWhole reads a block and lets a worker decode it. The worker inherits
// the token in running.
func (s *sequence) startWhole(ctx context.Context, h blockHeader, check checkType) error {
	if err := takeToken(ctx, s.flying); err != nil {
		return err
	}
	plain := int(h.uncompressed) + matchSlack
	buf, err := s.mem.get(ctx, plain+int(h.compressed))
	if err != nil {
		return err
	}
	b := &wholeBlock{header: h, offset: s.in.offset(), buf: buf[:plain], packed: buf[plain:], check: newBlockCheck(check)}
	if err := s.in.full(b.packed); err != nil {
		return errAt(b.offset, "block", err)
	}
	if _, err := s.blockEnd(h, check, b.want[:]); err != nil {
		return err
	}
	out := newPiece(func() { s.mem.put(buf); <-s.flying })
	if err := s.send(ctx, out); err != nil {
		return err
	}
	s.workers.Go(func() {
		d := s.takeDecoder()
		out.finish(b.decode(ctx, d, out))
		s.giveDecoder(d)
		<-s.running
	})
	return nil
}
