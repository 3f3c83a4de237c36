package rootfs

import "testing"

// A script that says "chmod g+s" must give the bits that chmod would: a wrong
// reading makes a directory that a service cannot write, or one that all can.
func TestModeChange(t *testing.T) {
	for _, c := range []struct {
		text string
		from uint32
		dir  bool
		want uint32
	}{
		{"755", 0o600, false, 0o755},
		{"2775", 0o755, true, 0o2775},
		{"u+s", 0o755, false, 0o4755},
		{"g+s", 0o755, true, 0o2755},
		{"go-rwx", 0o755, false, 0o700},
		{"a+x", 0o644, false, 0o755},
		{"+x", 0o644, false, 0o755},
		{"u=rw,go=r", 0o777, false, 0o644},
		{"a+X", 0o644, false, 0o644},
		{"a+X", 0o644, true, 0o755},
		{"+t", 0o777, true, 0o1777},
	} {
		f, err := modeChange(c.text, newMask)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got := f(c.from, c.dir); got != c.want {
			t.Errorf("chmod %s of %04o: %04o, want %04o", c.text, c.from, got, c.want)
		}
	}
	for _, bad := range []string{"", "x", "u+q", "9", "z+x"} {
		if _, err := modeChange(bad, newMask); err == nil {
			t.Errorf("chmod %q: taken", bad)
		}
	}
}
