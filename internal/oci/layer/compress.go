package layer

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
)

// Compression is how layers are compressed. The zero value is gzip at the
// default level.
type Compression struct {
	Kind  string // "gzip" (also when empty), "zstd" or "none"
	Level int    // 0 is the default: gzip 6, zstd 19
}

// ParseCompression reads "gzip", "zstd", "none", or one of the first two with
// a level: "gzip:9", "zstd:19".
func ParseCompression(s string) (Compression, error) {
	kind, level, has := strings.Cut(s, ":")
	c := Compression{Kind: kind}
	top := map[string]int{"gzip": 9, "zstd": 22, "none": 0}
	most, ok := top[kind]
	if !ok {
		return c, fmt.Errorf("compression %q: expected gzip, zstd or none, with a level after a colon: gzip:9", s)
	}
	if has {
		n, err := strconv.Atoi(level)
		if err != nil || n < 1 || n > most {
			return c, fmt.Errorf("compression %q: level %q, expected 1 to %d", s, level, most)
		}
		c.Level = n
	}
	return c, nil
}

func (c Compression) String() string {
	if c.Level == 0 {
		return c.kind()
	}
	return fmt.Sprintf("%s:%d", c.kind(), c.Level)
}

func (c Compression) kind() string {
	if c.Kind == "" {
		return "gzip"
	}
	return c.Kind
}

func (c Compression) level() int {
	switch {
	case c.Level != 0:
		return c.Level
	case c.kind() == "zstd":
		return 19
	}
	return 6
}

// encoder is the level of the module that a level of zstd's own means. It has
// four: 1 and 2, 3 to 5, 6 to 9, 10 and more. The last is the default: whoever
// asks for zstd wants small images, and a layer is compressed once. See
// docs/performance.md for what each costs.
func (c Compression) encoder() zstd.EncoderLevel { return zstd.EncoderLevelFromZstd(c.level()) }

// MediaType of a layer compressed so, as the OCI image specification names it.
func (c Compression) MediaType() string {
	base := "application/vnd.oci.image.layer.v1.tar"
	switch c.kind() {
	case "gzip":
		return base + "+gzip"
	case "zstd":
		return base + "+zstd"
	}
	return base
}

// version names the compressor and everything that its bytes depend on. The
// numbers change with the module's version where its output changes; a test
// over fixed input finds that.
func (c Compression) version() string {
	if c.kind() == "zstd" {
		return fmt.Sprintf("zstd %s version 2", c.encoder())
	}
	return fmt.Sprintf("%s level %d version 2 parallel over %d", c.kind(), c.level(), parallelOver)
}

const (
	// parallelOver is the size of an archive, in bytes, over which gzip works
	// in blocks on several cores. It hangs on the entries alone, so that the
	// bytes are the same for any number of cores.
	parallelOver = 8 << 20
	gzipBlock    = 1 << 20
	gzipBlocks   = 4 // blocks under way at most
)

func (c Compression) writer(w io.Writer, size int64) (io.WriteCloser, error) {
	switch c.kind() {
	case "zstd":
		return zstd.NewWriter(w, zstd.WithEncoderLevel(c.encoder()), zstd.WithEncoderConcurrency(2))
	case "none":
		return nopCloser{w}, nil
	}
	// Without a time both modules write that of the year 1, cut to 32 bits:
	// 2042. RFC 1952 has 0 for none.
	if size <= parallelOver {
		z, err := gzip.NewWriterLevel(w, c.level())
		if err == nil {
			z.ModTime = time.Unix(0, 0)
		}
		return z, err
	}
	z, err := pgzip.NewWriterLevel(w, c.level())
	if err != nil {
		return nil, err
	}
	z.ModTime = time.Unix(0, 0)
	return z, z.SetConcurrency(gzipBlock, gzipBlocks)
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
