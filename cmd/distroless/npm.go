package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"distroless/internal/upstream"
)

// npmConfig reads the machine's npm configuration: the environment, the .npmrc
// of this folder, the user's and the machine's, and where none of them names a
// registry, what the npm client says it would use.
func npmConfig(s *surroundings) (*upstream.NpmConfig, error) {
	files := []upstream.NpmFile{{FS: os.DirFS("."), Path: ".npmrc"}}
	if home, ok := s.environ("HOME"); ok && strings.HasPrefix(home, "/") {
		files = append(files, upstream.NpmFile{FS: s.machine, Path: strings.TrimPrefix(home, "/") + "/.npmrc"})
	}
	for _, p := range []string{"usr/local/etc/npmrc", "usr/etc/npmrc", "etc/npmrc"} {
		files = append(files, upstream.NpmFile{FS: s.machine, Path: p})
	}
	return upstream.ReadNpmConfig(s.environ, files, askNpm)
}

// askNpm asks the npm client for its registry; a machine without npm has none.
func askNpm() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "npm", "config", "get", "registry").Output()
	if errors.Is(err, exec.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("run npm config get registry: %w", err)
	}
	return string(out), nil
}
