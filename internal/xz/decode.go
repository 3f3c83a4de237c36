package xz

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
)

// Decode appends the plain data of the .xz file src to dst and returns the
// extended slice. On an error it returns dst as it was. MemLimit does not
// count the result.
func Decode(ctx context.Context, dst, src []byte, o Options) ([]byte, error) {
	r, err := NewReader(ctx, bytes.NewReader(src), o)
	if err != nil {
		return dst, err
	}
	defer r.Close()
	out := bytes.NewBuffer(slices.Grow(dst, plainSize(src)))
	if _, err := r.WriteTo(out); err != nil {
		return dst, err
	}
	return out.Bytes(), nil
}

// plainSize guesses what a file expands to from the index of its last stream.
// That is outside data not yet verified: the guess may be wrong, but is no
// more than twenty times the file.
func plainSize(src []byte) int {
	const most = 20
	end := len(src) - streamHeaderSize
	if end < 0 {
		return 0
	}
	at := int64(end) - (int64(binary.LittleEndian.Uint32(src[end+4:]))+1)*4
	if at < 0 || src[at] != 0 {
		return len(src)
	}
	index := src[at+1 : end]
	count, n := vli(index)
	var total uint64
	for ; count > 0 && n > 0; count-- {
		index = index[n:]
		_, skip := vli(index)
		if skip <= 0 {
			break
		}
		var plain uint64
		if plain, n = vli(index[skip:]); n > 0 {
			total += min(plain, uint64(most*len(src)))
		}
		n += skip
	}
	return int(min(total, uint64(most*len(src))))
}
