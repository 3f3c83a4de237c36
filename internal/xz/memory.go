package xz

import (
	"context"
	"sync"

	"distroless/internal/hugepage"
)

// memory hands out buffers within a limit and takes them back for reuse.
type memory struct {
	limit int64

	mu    sync.Mutex
	held  int64    // bytes of all buffers, idle ones too
	idle  [][]byte // given back
	freed chan struct{}
}

func newMemory(limit int64) *memory {
	return &memory{limit: limit, freed: make(chan struct{}, 1)}
}

// get returns a buffer of n bytes, which must be within the limit. It waits
// until others have given back enough, or until ctx ends.
func (m *memory) get(ctx context.Context, n int) ([]byte, error) {
	for {
		if buf := m.tryGet(n); buf != nil {
			return buf, nil
		}
		select {
		case <-m.freed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// tryGet returns nil where the limit does not allow for a buffer now.
func (m *memory) tryGet(n int) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, buf := range m.idle {
		if cap(buf) >= n {
			last := len(m.idle) - 1
			m.idle[i] = m.idle[last]
			m.idle = m.idle[:last]
			return buf[:n]
		}
	}
	// Idle buffers that are too small only stand in the way.
	for _, buf := range m.idle {
		m.held -= int64(cap(buf))
	}
	m.idle = nil
	if m.held+int64(n) > m.limit {
		return nil
	}
	m.held += int64(n)
	return hugepage.Make(n)[:n:n]
}

// put takes back a buffer that get returned.
func (m *memory) put(buf []byte) {
	m.mu.Lock()
	m.idle = append(m.idle, buf)
	m.mu.Unlock()
	select {
	case m.freed <- struct{}{}:
	default:
	}
}
