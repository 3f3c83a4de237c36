package deb

import (
	"bufio"
	"compress/bzip2"
	"context"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"distroless/internal/gunzip"
	"distroless/internal/xz"
)

// maxWindow bounds the memory that a decoder takes for what it has already
// written: xz -9 wants 64 MiB, zstd --ultra -22 128 MiB.
const maxWindow = 128 << 20

// decompress returns the unpacked bytes of r, which is compressed as the
// member name's ending says, and a function that frees the decoder.
func decompress(ctx context.Context, r io.Reader, ending string, workers int) (io.Reader, func(), error) {
	none := func() {}
	switch ending {
	case "":
		return r, none, nil
	case ".gz":
		z, err := gunzip.NewReader(r)
		if err != nil {
			return nil, nil, err
		}
		return z, none, nil
	case ".zst":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(min(workers, 2)),
			zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, nil, fmt.Errorf("zstd: %w", unexpected(err))
		}
		return named{z, "zstd"}, z.Close, nil
	case ".bz2":
		return named{bzip2.NewReader(bufio.NewReader(r)), "bzip2"}, none, nil
	case ".xz":
		z, err := xz.NewReader(ctx, r, xz.Options{Workers: workers})
		if err != nil {
			return nil, nil, err
		}
		return z, func() { z.Close() }, nil
	case ".lzma":
		z, err := xz.NewLZMAReader(ctx, r, xz.Options{})
		if err != nil {
			return nil, nil, err
		}
		return z, func() { z.Close() }, nil
	}
	return nil, nil, fmt.Errorf("compressed as %q: want none, .gz, .xz, .zst, .bz2 or .lzma", ending)
}

// named puts the format's name before a decoder's errors; some of them
// ("unexpected EOF") do not say whose they are.
type named struct {
	io.Reader
	format string
}

func (n named) Read(p []byte) (int, error) {
	c, err := n.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%s: %w", n.format, err)
	}
	return c, err
}

// member is an unpacked tar member: it counts, holds the limits, and looks
// out for the two zero blocks that end a tar archive, which archive/tar does
// not insist on.
type member struct {
	ar      *arReader
	z       io.Reader
	close   func()
	size    int64 // compressed bytes, as ar says
	out     int64 // bytes unpacked so far
	most    int64
	ratio   int64
	zeros   int // consecutive zero blocks read last
	limited error
}

func openMember(ctx context.Context, ar *arReader, ending string, most, ratio int64, workers int) (*member, error) {
	m := &member{ar: ar, size: ar.left.Load(), most: most, ratio: ratio}
	z, done, err := decompress(ctx, ar, ending, workers)
	if err != nil {
		return nil, err
	}
	m.z, m.close = z, done
	return m, nil
}

func (m *member) Read(p []byte) (int, error) {
	if m.limited != nil {
		return 0, m.limited
	}
	n, err := m.read(p)
	m.out += int64(n)
	if m.out > m.most {
		m.limited = fmt.Errorf("unpacks to more than %d bytes", m.most)
	} else if in := m.size - m.ar.left.Load(); m.out > ratioSlack && m.out-ratioSlack > in*m.ratio {
		m.limited = fmt.Errorf("unpacks to %d bytes from %d, more than %d times as many: a decompression bomb", m.out, in, m.ratio)
	}
	if m.limited != nil {
		return 0, m.limited
	}
	if n == tarBlock && len(p) == tarBlock && allZero(p) {
		m.zeros++
	} else if n > 0 {
		m.zeros = 0
	}
	return n, err
}

// read reads whole blocks where archive/tar asks for one, as it does for
// headers, so that Read sees each of them in one piece.
func (m *member) read(p []byte) (int, error) {
	if len(p) != tarBlock {
		return m.z.Read(p)
	}
	n, err := io.ReadFull(m.z, p)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF // of m.z, whose own unexpected ends are wrapped
	}
	return n, err
}

const (
	tarBlock   = 512
	tarPadding = 1 << 20 // the most zeros after the end; GNU tar writes up to 10 KiB
)

// finish checks what follows the last entry: the two zero blocks were there,
// then only zeros, and the compressed stream ends where the member does.
func (m *member) finish() error {
	if m.zeros < 2 {
		return fmt.Errorf("tar archive ends without two zero blocks: cut short: %w", io.ErrUnexpectedEOF)
	}
	var buf [8 << 10]byte
	for total := 0; ; {
		n, err := m.Read(buf[:])
		if !allZero(buf[:n]) {
			return fmt.Errorf("data after the end of the tar archive")
		}
		if total += n; total > tarPadding {
			return fmt.Errorf("more than %d bytes of padding after the end of the tar archive", tarPadding)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if left := m.ar.left.Load(); left > 0 {
		return fmt.Errorf("%d bytes after the end of the compressed data", left)
	}
	return nil
}

func allZero(p []byte) bool {
	for _, c := range p {
		if c != 0 {
			return false
		}
	}
	return true
}
