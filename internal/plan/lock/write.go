package lock

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Write writes the lock to a file by way of a temporary one beside it, so that
// a reader sees the old lock or the new one. A file that is the same already
// is not touched.
func (l *Lock) Write(file string) error {
	data := l.Bytes()
	if old, err := os.ReadFile(file); err == nil && bytes.Equal(old, data) {
		return nil
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".lock-*")
	if err != nil {
		return fmt.Errorf("write lock %s: %w", file, err)
	}
	defer os.Remove(tmp.Name())
	if _, err := tmp.Write(data); err != nil {
		tmp.Close()
		return fmt.Errorf("write lock %s: %w", file, err)
	}
	if err := tmp.Chmod(0o644); err != nil {
		tmp.Close()
		return fmt.Errorf("write lock %s: %w", file, err)
	}
	if err := tmp.Close(); err != nil {
		return fmt.Errorf("write lock %s: %w", file, err)
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return fmt.Errorf("write lock %s: %w", file, err)
	}
	return nil
}

// Bytes is the text of the lock file: always the same for the same lock.
func (l *Lock) Bytes() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\n \"version\": %d,\n \"cells\": {", Version)
	for i, k := range l.Keys() {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "\n  %s: ", text(k.String()))
		writeCell(&b, l.Cells[k])
	}
	b.WriteString("\n }\n}\n")
	return b.Bytes()
}

func writeCell(b *bytes.Buffer, c *Cell) {
	fmt.Fprintf(b, "{\n   \"definition\": %s", text(c.Definition))
	if c.From != "" {
		fmt.Fprintf(b, ",\n   \"from\": %s", text(c.From))
	}
	if c.SourceDateEpoch != nil {
		fmt.Fprintf(b, ",\n   \"source-date-epoch\": %d", *c.SourceDateEpoch)
	}
	writeList(b, "archive", c.Archive, true)
	writeList(b, "packages", c.Packages, true)
	writeList(b, "debug", c.Debug, false)
	writeList(b, "upstream", c.Upstream, false)
	writeList(b, "waivers", c.Waivers, false)
	if len(c.Layers) > 0 {
		fmt.Fprintf(b, ",\n   \"layers\": %s", text(c.Layers))
	}
	b.WriteString("\n  }")
}

// writeList writes a list with one item a line.
func writeList[T any](b *bytes.Buffer, name string, items []T, always bool) {
	if len(items) == 0 {
		if always {
			fmt.Fprintf(b, ",\n   %q: []", name)
		}
		return
	}
	fmt.Fprintf(b, ",\n   %q: [", name)
	for i := range items {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(b, "\n    %s", text(items[i]))
	}
	b.WriteString("\n   ]")
}

// text is v as JSON on one line, without HTML escapes ("<<" in relations).
func text(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("marshal lock: %v", err)) // strings and numbers only: cannot happen
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}
