package inventory

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
)

// LayerVersion changes with the form of [Layer.MarshalBinary] and with what is
// read of a layer; what was remembered under another is not to be used.
const LayerVersion = "1"

// MarshalBinary is the layer as it is remembered: numbers as varints, strings
// with their length before them. Images have thousands of files and megabytes of
// texts, which as JSON would take longer to read than the layer.
func (l *Layer) MarshalBinary() ([]byte, error) {
	n := 64
	for _, t := range l.Texts {
		n += len(t) + 128
	}
	w := writer{make([]byte, 0, n+256*len(l.Files))}
	w.string(l.DiffID)
	w.number(len(l.Files))
	for i := range l.Files {
		f := &l.Files[i]
		for _, n := range []int64{int64(f.Kind), int64(f.Mode), int64(f.UID), int64(f.GID), f.Size} {
			w.data = binary.AppendVarint(w.data, n)
		}
		for _, s := range []string{f.Path, f.SHA1, f.SHA256, f.MD5, f.Target, f.Link} {
			w.string(s)
		}
	}
	w.number(len(l.Texts))
	for _, p := range slices.Sorted(maps.Keys(l.Texts)) {
		w.string(p)
		w.number(len(l.Texts[p]))
		w.data = append(w.data, l.Texts[p]...)
	}
	return w.data, nil
}

type writer struct{ data []byte }

func (w *writer) number(n int) { w.data = binary.AppendVarint(w.data, int64(n)) }

func (w *writer) string(s string) {
	w.number(len(s))
	w.data = append(w.data, s...)
}

// UnmarshalBinary reads what MarshalBinary wrote. The layer keeps parts of data.
func (l *Layer) UnmarshalBinary(data []byte) error {
	r := reader{data: data, text: string(data)}
	*l = Layer{DiffID: r.string(), Texts: map[string][]byte{}}
	n := r.count(11) // a file's least
	l.Files = make([]File, n)
	for i := range l.Files {
		f := &l.Files[i]
		f.Kind, f.Mode = Kind(r.number()), uint32(r.number())
		f.UID, f.GID, f.Size = int(r.number()), int(r.number()), r.number()
		for _, s := range []*string{&f.Path, &f.SHA1, &f.SHA256, &f.MD5, &f.Target, &f.Link} {
			*s = r.string()
		}
	}
	for range r.count(2) {
		p := r.string()
		n := r.count(1)
		if r.bad {
			break
		}
		l.Texts[p] = r.data[r.at : r.at+n : r.at+n]
		r.at += n
	}
	if r.bad || r.at != len(data) {
		*l = Layer{}
		return errors.New("read what is remembered of a layer: it is cut or damaged: remove the cache's folder memo")
	}
	return nil
}

// reader takes parts off data; text is the same bytes, for strings that share
// them. Once something does not fit it is bad, and gives nothing.
type reader struct {
	data []byte
	text string
	at   int
	bad  bool
}

func (r *reader) number() int64 {
	if r.bad {
		return 0
	}
	n, size := binary.Varint(r.data[r.at:])
	if size <= 0 {
		r.bad = true
		return 0
	}
	r.at += size
	return n
}

// count is a number of things that take up at least size bytes each.
func (r *reader) count(size int) int {
	n := r.number()
	if n < 0 || n > int64((len(r.data)-r.at)/size) {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *reader) string() string {
	n := r.count(1)
	if r.bad {
		return ""
	}
	r.at += n
	return r.text[r.at-n : r.at]
}
