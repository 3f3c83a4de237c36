package main

import (
	"errors"
	"fmt"
	"testing"
)

// TestIncompleteOnly tells runs that left architectures out from those in which
// something else failed too. If it fails, a script that takes the one for good
// enough goes on after the other.
func TestIncompleteOnly(t *testing.T) {
	missing := incompleteError{errors.Join(errors.New("base of riscv64: not found"), errors.New("base of s390x: not found"))}
	other := errors.New("attach to dist: no space left")
	for _, c := range []struct {
		err  error
		want bool
	}{
		{missing, true},
		{errors.Join(missing, nil), true},
		{errors.Join(errors.Join(missing, nil), missing), true},
		{other, false},
		{errors.Join(missing, other), false},
		{errors.Join(other, errors.Join(missing)), false},
		{fmt.Errorf("write: %w", other), false},
	} {
		if got := incompleteOnly(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}
