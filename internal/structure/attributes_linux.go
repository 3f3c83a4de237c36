package structure

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// setAttributes sets a file's extended attributes, capabilities above all. What
// the file system has no room for, or this user may not set, is left out.
func setAttributes(root *os.Root, name string, list map[string]string) error {
	if len(list) == 0 {
		return nil
	}
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	for k, v := range list {
		switch err := unix.Fsetxattr(int(f.Fd()), k, []byte(v), 0); err {
		case nil, unix.EPERM, unix.ENOTSUP:
		default:
			return fmt.Errorf("attribute %s: %w", k, err)
		}
	}
	return nil
}
