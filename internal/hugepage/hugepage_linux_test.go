package hugepage

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"
)

// TestMake holds buffers of all sizes to what make gives, and asks the kernel
// whether the large ones may have large pages. If it fails, builds work and are
// slower.
func TestMake(t *testing.T) {
	for _, n := range []int{0, 1, least - 1, least, least + 1, 5*pageSize + 3} {
		buf := Make(n)
		if len(buf) != n || cap(buf) < n {
			t.Errorf("Make(%d): length %d, capacity %d", n, len(buf), cap(buf))
		}
		for i, b := range buf {
			if b != 0 {
				t.Fatalf("Make(%d): byte %d is %d, want 0", n, i, b)
			}
		}
		if n < least {
			continue
		}
		buf[0], buf[n-1] = 1, 1
		for _, i := range []int{0, n / 2, n - 1} {
			flags, err := flagsOf(uintptr(unsafe.Pointer(&buf[i])))
			if err != nil {
				t.Fatal(err)
			}
			if flags != nil && !strings.Contains(strings.Join(flags, " ")+" ", "hg ") {
				t.Errorf("Make(%d): byte %d lies in memory with the flags %v, want hg", n, i, flags)
			}
		}
	}
}

// flagsOf returns the flags of the mapping that an address is in, as
// proc_pid_smaps(5) names them; nil where the kernel has no large pages.
func flagsOf(address uintptr) ([]string, error) {
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage/enabled"); err != nil {
		return nil, nil
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	within := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var begin, end uintptr
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x ", &begin, &end); n == 2 {
			within = begin <= address && address < end
		}
		if flags, ok := strings.CutPrefix(lines.Text(), "VmFlags:"); ok && within {
			return strings.Fields(flags), nil
		}
	}
	return nil, fmt.Errorf("no mapping holds %x", address)
}
