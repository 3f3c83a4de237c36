package build

import (
	"bytes"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// memo remembers results under the digest of everything that they were made
// of: the listing of a .deb, the blob of a layer, the layers of a level. Each
// file carries a checksum, so that one that was damaged or cut short counts as
// missing. Losing a memo costs time and nothing else.
type memo struct{ dir string }

// memoKey is the digest of the parts that a result depends on.
func memoKey(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s,", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (m *memo) file(kind, key string) string { return filepath.Join(m.dir, kind, key[:2], key[2:]) }

// get reads a result into v; false means that it must be made.
func (m *memo) get(kind, key string, v any) bool {
	data, err := os.ReadFile(m.file(kind, key))
	if err != nil || len(data) < sha256.Size {
		return false
	}
	sum := sha256.Sum256(data[sha256.Size:])
	if !bytes.Equal(sum[:], data[:sha256.Size]) {
		return false
	}
	return unmarshal(data[sha256.Size:], v) == nil
}

// marshal is JSON, or what the value itself says it is remembered as.
func marshal(v any) ([]byte, error) {
	if m, ok := v.(encoding.BinaryMarshaler); ok {
		return m.MarshalBinary()
	}
	return json.Marshal(v)
}

func unmarshal(data []byte, v any) error {
	if u, ok := v.(encoding.BinaryUnmarshaler); ok {
		return u.UnmarshalBinary(data)
	}
	return json.Unmarshal(data, v)
}

// put remembers a result. It appears by rename, so that no reader sees a part
// of it; two processes that write the same write the same bytes.
func (m *memo) put(kind, key string, v any) error {
	data, err := marshal(v)
	if err != nil {
		return fmt.Errorf("remember %s: %w", kind, err)
	}
	file := m.file(kind, key)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("remember %s: %w", kind, err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".tmp-*")
	if err != nil {
		return fmt.Errorf("remember %s: %w", kind, err)
	}
	defer os.Remove(tmp.Name())
	sum := sha256.Sum256(data)
	_, err = tmp.Write(sum[:])
	if err == nil {
		_, err = tmp.Write(data)
	}
	if err != nil {
		tmp.Close()
		return fmt.Errorf("remember %s: %w", kind, err)
	}
	if err := tmp.Close(); err != nil {
		return fmt.Errorf("remember %s: %w", kind, err)
	}
	return os.Rename(tmp.Name(), file)
}
