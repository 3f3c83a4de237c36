// Command static is run inside images and says what is wrong with them. It is
// linked statically and uses what Go's own library reads from a system.
package main

import (
	"fmt"
	"io/fs"
	"mime"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

var wrong int

func bad(format string, args ...any) {
	wrong++
	fmt.Printf("wrong: "+format+"\n", args...)
}

// want compares, and reports the difference.
func want[T comparable](what string, got, want T) {
	if got != want {
		bad("%s is %v, want %v", what, got, want)
	}
}

func main() {
	variant, release := os.Args[1], os.Args[2]
	accounts()
	network()
	zones()
	names()
	files(release)
	switch variant {
	case "nonroot":
		process("65532", "/home/nonroot")
		writable()
	default:
		process("0", "/")
	}
	if wrong > 0 {
		os.Exit(1)
	}
	fmt.Println("all well")
}

func accounts() {
	for _, w := range []struct{ name, uid, gid, home string }{
		{"root", "0", "0", "/root"},
		{"nobody", "65534", "65534", "/nonexistent"},
		{"nonroot", "65532", "65532", "/home/nonroot"},
	} {
		u, err := user.Lookup(w.name)
		if err != nil {
			bad("user %s: %v", w.name, err)
			continue
		}
		want("uid of "+w.name, u.Uid, w.uid)
		want("gid of "+w.name, u.Gid, w.gid)
		want("home of "+w.name, u.HomeDir, w.home)
	}
	for name, gid := range map[string]string{"root": "0", "tty": "5", "staff": "50", "nonroot": "65532", "nobody": "65534"} {
		g, err := user.LookupGroup(name)
		if err != nil {
			bad("group %s: %v", name, err)
			continue
		}
		want("gid of group "+name, g.Gid, gid)
	}
}

func zones() {
	summer := time.Date(2026, time.July, 1, 12, 0, 0, 0, time.UTC)
	for name, offset := range map[string]int{"America/New_York": -4 * 3600, "US/Eastern": -4 * 3600, "Europe/Berlin": 2 * 3600, "Etc/UTC": 0} {
		l, err := time.LoadLocation(name)
		if err != nil {
			bad("zone %s: %v", name, err)
			continue
		}
		_, got := summer.In(l).Zone()
		want("offset of "+name, got, offset)
	}
	name, offset := summer.Local().Zone()
	want("local zone", name, "UTC")
	want("local offset", offset, 0)
	to, err := os.Readlink("/etc/localtime")
	if err != nil {
		bad("localtime: %v", err)
	}
	want("/etc/localtime", to, "/usr/share/zoneinfo/Etc/UTC")
}

func names() {
	// .epub is in none of Go's own tables.
	for ext, w := range map[string]string{".webp": "image/webp", ".epub": "application/epub+zip"} {
		want("MIME type of "+ext, mime.TypeByExtension(ext), w)
	}
}

func files(release string) {
	info, err := os.Stat("/tmp")
	if err != nil {
		bad("%v", err)
	} else {
		want("/tmp", info.Mode().String(), "dtrwxrwxrwx")
	}
	touch("/tmp")
	data, err := os.ReadFile("/etc/os-release")
	if err != nil {
		bad("%v", err)
	}
	if !strings.Contains(string(data), "\nVERSION_ID=\""+release+"\"\n") {
		bad("os-release is not of %s: %s", release, data)
	}
	link, err := os.Readlink("/etc/os-release")
	if err != nil {
		bad("%v", err)
	}
	want("/etc/os-release", link, "../usr/lib/os-release")
	data, err = os.ReadFile("/etc/debian_version")
	if err != nil || !strings.HasPrefix(string(data), release+".") {
		bad("debian_version: %q, %v", data, err)
	}
}

func touch(dir string) {
	f, err := os.CreateTemp(dir, "")
	if err != nil {
		bad("write to %s: %v", dir, err)
		return
	}
	f.Close()
	os.Remove(f.Name())
}

func process(id, dir string) {
	want("uid", fmt.Sprint(os.Getuid()), id)
	want("gid", fmt.Sprint(os.Getgid()), id)
	got, err := os.Getwd()
	if err != nil {
		bad("%v", err)
	}
	want("working folder", got, dir)
	home := dir
	if id == "0" {
		home = "/root"
	}
	want("HOME", os.Getenv("HOME"), home)
	touch(home)
}

// writable looks for what a user should not be able to change. The kernel's
// own folders are the runtime's.
func writable() {
	allowed := []string{"/home/nonroot", "/tmp", "/var/tmp", "/run/lock"}
	err := filepath.WalkDir("/", func(p string, d fs.DirEntry, err error) error {
		if slices.Contains([]string{"/proc", "/sys", "/dev"}, p) {
			return fs.SkipDir
		}
		if err != nil {
			if d != nil && d.IsDir() {
				return fs.SkipDir // not even readable
			}
			return err
		}
		const mayWrite = 2
		if d.Type()&fs.ModeSymlink == 0 && !slices.Contains(allowed, p) && syscall.Access(p, mayWrite) == nil {
			bad("%s can be written", p)
		}
		return nil
	})
	if err != nil {
		bad("%v", err)
	}
}
