package inventory

import "testing"

// FuzzPackages reads metadata as anybody's image may have it.
func FuzzPackages(f *testing.F) {
	f.Add([]byte("Package: a\nVersion: 1\nArchitecture: all\nSource: b (2)\nConffiles:\n /etc/a 0123\n"), []byte("0123  usr/a\n"), []byte("ID=debian\nVERSION_ID=\"13\"\n"))
	f.Add([]byte("Package: a\nStatus: install ok installed\nVersion: 1\n\nPackage: a\nVersion: 2\n"), []byte("x\n *y\n"), []byte("ID"))
	f.Fuzz(func(t *testing.T, status, sums, release []byte) {
		texts := map[string][]byte{statusFile: status, statusDir + "a.md5sums": sums, "/usr/lib/os-release": release}
		list, err := packages(texts)
		distro(texts)
		if err != nil {
			return
		}
		for i, p := range list {
			if p.Name == "" || p.Version == "" || i > 0 && p.Name == list[i-1].Name && p.Arch == list[i-1].Arch {
				t.Errorf("package %d of %+v", i, list)
			}
		}
	})
}

// FuzzRemembered reads what may be left of a memory.
func FuzzRemembered(f *testing.F) {
	data, err := (&Layer{DiffID: "sha256:x", Files: []File{{Path: "/a", SHA1: "b", Size: 3}}, Texts: map[string][]byte{"/t": []byte("text")}}).MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		l := new(Layer)
		if l.UnmarshalBinary(data) != nil {
			return
		}
		again, err := l.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		back := new(Layer)
		if err := back.UnmarshalBinary(again); err != nil || len(back.Files) != len(l.Files) || len(back.Texts) != len(l.Texts) {
			t.Errorf("%v: %+v, read again %+v", err, l, back)
		}
	})
}
