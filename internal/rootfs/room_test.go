package rootfs

import (
	"bytes"
	"testing"
)

// TestRoom takes memory for files of many sizes and writes each full: none may
// reach into another's. If it fails, files of an image hold each other's bytes.
func TestRoom(t *testing.T) {
	var r room
	var taken [][]byte
	for i, size := range []int64{0, 1, 3, firstRoom - 4, 1, firstRoom, firstRoom + 1, mostShare, 7, mostShare, mostShare, mostShare, mostShare, mostShare - 1, 2} {
		p := r.take(size)
		if int64(len(p)) != size || cap(p) != len(p) {
			t.Fatalf("take(%d): length %d, capacity %d", size, len(p), cap(p))
		}
		for j := range p {
			p[j] = byte(i + 1)
		}
		taken = append(taken, p)
	}
	for i, p := range taken {
		if want := bytes.Repeat([]byte{byte(i + 1)}, len(p)); !bytes.Equal(p, want) {
			t.Errorf("the %dth, of %d bytes, was written over", i, len(p))
		}
	}
	if p := r.take(mostShare + 1); p != nil {
		t.Errorf("take of a large file: %d bytes, want none", len(p))
	}
}

// TestRoomClear takes the same memory again and again, as files that are not
// kept do: it must not grow with their number.
func TestRoomClear(t *testing.T) {
	var r room
	first := r.take(1000)
	for range 1000 {
		r.clear()
		if p := r.take(1000); &p[0] != &first[0] {
			t.Fatal("memory that was given back is not taken again")
		}
	}
}
