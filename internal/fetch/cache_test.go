package fetch_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"distroless/internal/fetch"
)

func openCache(t *testing.T, dir string) *fetch.Cache {
	t.Helper()
	c, err := fetch.OpenCache(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func object(data string, urls ...string) fetch.Object {
	sum := sha256.Sum256([]byte(data))
	return fetch.Object{Name: "x_1_amd64.deb", SHA256: hex.EncodeToString(sum[:]), Size: int64(len(data)), URLs: urls}
}

func TestCache(t *testing.T) {
	c := openCache(t, filepath.Join(t.TempDir(), "a", "b"))
	o := object("hello")
	if _, err := c.ReadFile(o); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("empty cache: %v, want fs.ErrNotExist", err)
	}
	sum, err := c.Put([]byte("hello"))
	if err != nil || sum != o.SHA256 {
		t.Fatalf("Put: %s, %v", sum, err)
	}
	for _, size := range []int64{-1, 5} {
		o.Size = size
		if got, err := c.ReadFile(o); err != nil || string(got) != "hello" {
			t.Errorf("size %d: %q, %v", size, got, err)
		}
	}
	if err := c.Remove(sum); err != nil || c.Has(o) {
		t.Errorf("removed: %v, still there: %v", err, c.Has(o))
	}
	if err := c.Remove(sum); err != nil {
		t.Errorf("removed twice: %v", err)
	}
}

// A file whose bytes went bad on disk is not used, and not there afterwards.
func TestCacheDamaged(t *testing.T) {
	whole := strings.Repeat("0123456789", 20_000)
	for name, bad := range map[string]string{
		"altered": "x" + whole[1:], "cut off": whole[:100], "empty": "", "longer": whole + "x", "last byte": whole[:len(whole)-1] + "x",
	} {
		for _, size := range []int64{-1, int64(len(whole))} {
			c := openCache(t, t.TempDir())
			o := object(whole)
			o.Size = size
			file := filepath.Join(c.Dir(), "sha256", o.SHA256)
			if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := c.ReadFile(o)
			if !errors.Is(err, fetch.ErrChecksum) || !errors.Is(err, fs.ErrNotExist) || got != nil {
				t.Errorf("%s, size %d: %d bytes, error %v", name, size, len(got), err)
			}
			if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: still there", name)
			}
		}
	}
}

// A decoder that streams must learn of wrong bytes before it trusts its
// result, even when it stopped reading early.
func TestReader(t *testing.T) {
	c := openCache(t, t.TempDir())
	o := object(strings.Repeat("a", 100_000))
	if _, err := c.Put([]byte(strings.Repeat("a", 100_000))); err != nil {
		t.Fatal(err)
	}
	read := func() error {
		r, err := c.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
			return err
		}
		return r.Verify()
	}
	if err := read(); err != nil {
		t.Errorf("right bytes: %v", err)
	}
	bad := append(bytes.Repeat([]byte("a"), 99_999), 'b')
	if err := os.WriteFile(filepath.Join(c.Dir(), "sha256", o.SHA256), bad, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := read(); !errors.Is(err, fetch.ErrChecksum) {
		t.Errorf("wrong bytes: %v, want ErrChecksum", err)
	}
}

// Digests become file names.
func TestCacheRefusesNames(t *testing.T) {
	c := openCache(t, t.TempDir())
	for _, sum := range []string{"", "../../../etc/passwd", strings.Repeat("A", 64), strings.Repeat("/", 64), strings.Repeat("a", 63)} {
		if _, err := c.ReadFile(fetch.Object{SHA256: sum, Size: -1}); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", sum, err)
		}
		if c.Has(fetch.Object{SHA256: sum, Size: -1}) || c.Remove(sum) == nil {
			t.Errorf("%q: taken for a digest", sum)
		}
	}
}

// What killed runs left is removed when it is old; what another process is
// writing is not.
func TestCacheSweep(t *testing.T) {
	c := openCache(t, t.TempDir())
	old, fresh := filepath.Join(c.Dir(), "tmp", "old"), filepath.Join(c.Dir(), "tmp", "fresh")
	for _, name := range []string{old, fresh} {
		if err := os.WriteFile(name, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	openCache(t, c.Dir())
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("old file: %v", err)
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Errorf("fresh file: %v", err)
	}
}

// A cache folder that somebody cleans while the program runs is made again.
func TestCacheFolderRemoved(t *testing.T) {
	c := openCache(t, filepath.Join(t.TempDir(), "cache"))
	w, err := c.Create()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := os.RemoveAll(filepath.Join(c.Dir(), "sha256")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.Commit(); err != nil {
		t.Errorf("Commit: %v", err)
	}
	if err := os.RemoveAll(c.Dir()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put([]byte("hello")); err != nil {
		t.Errorf("Put: %v", err)
	}
}

// TestMain lets the test binary be the other process of the tests below.
func TestMain(m *testing.M) {
	if dir := os.Getenv("FETCH_TEST_CACHE"); dir != "" {
		os.Exit(otherProcess(dir, os.Getenv("FETCH_TEST_DO")))
	}
	os.Exit(m.Run())
}

func otherProcess(dir, do string) int {
	c, err := fetch.OpenCache(dir)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	switch do {
	case "share":
		for i := range 200 {
			data := bytes.Repeat([]byte{byte(i % 20)}, 10_000+i%20)
			o := object(string(data))
			if _, err := c.Put(data); err != nil {
				fmt.Println("put:", err)
				return 1
			}
			if got, err := c.ReadFile(o); err != nil || !bytes.Equal(got, data) {
				fmt.Println("read:", err)
				return 1
			}
		}
	case "proxy":
		client := &fetch.Client{Cache: c, Tries: 1}
		if _, err := client.Get(context.Background(), object(text, "http://mirror.example.org/x.deb")); err != nil {
			fmt.Println(err)
			return 1
		}
	case "die":
		w, err := c.Create()
		if err != nil {
			return 1
		}
		_, _ = w.Write([]byte("half of a file"))
		fmt.Println("wrote")
		select {} // until killed
	}
	return 0
}

func other(dir, do string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "FETCH_TEST_CACHE="+dir, "FETCH_TEST_DO="+do)
	return cmd
}

// Two builds on one machine share the cache.
func TestTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if out, err := other(dir, "share").CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wg.Wait()
}

// A run killed in the middle of a write leaves nothing that counts.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	cmd := other(dir, "die")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 5)); err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
	files, err := os.ReadDir(filepath.Join(dir, "sha256"))
	if err != nil || len(files) != 0 {
		t.Errorf("left in the cache: %v, %v", files, err)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "tmp")); len(left) != 1 {
		t.Errorf("%d unfinished files, the test expected one", len(left))
	}
}
