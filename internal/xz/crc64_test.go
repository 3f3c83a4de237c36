package xz

import (
	"hash/crc64"
	"math/rand/v2"
	"testing"
)

// A wrong CRC64 would refuse nearly every .xz file there is.
func TestCRC64(t *testing.T) {
	table := crc64.MakeTable(crc64.ECMA)
	random := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 5*crcLane)
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	for range 2000 {
		from := random.IntN(len(data))
		to := from + random.IntN(len(data)-from+1)
		start := random.Uint64()
		if got, want := crc64Table().update(start, data[from:to]), crc64.Update(start, table, data[from:to]); got != want {
			t.Fatalf("CRC64 of %d bytes on top of %x: %x, the standard library has %x", to-from, start, got, want)
		}
	}
}

func BenchmarkCRC64(b *testing.B) {
	data := make([]byte, 64<<10)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		crc64Table().update(0, data)
	}
}

func BenchmarkCRC64Standard(b *testing.B) {
	data := make([]byte, 64<<10)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		crc64.Update(0, crc64.MakeTable(crc64.ECMA), data)
	}
}
