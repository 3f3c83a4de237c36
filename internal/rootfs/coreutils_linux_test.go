package rootfs_test

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"distroless/internal/rootfs"
	"distroless/internal/testenv"
)

// sandbox is what the commands of TestCoreutils find: files and folders of
// every kind, under two folders that are compared afterwards.
func sandbox() []file {
	return files(
		mode(dir("etc/x"), 0o755), mode(dir("etc/x/deep"), 0o2775), mode(dir("etc/x/empty"), 0o750), mode(dir("srv/y"), 0o755),
		mode(text("etc/x/plain", "plain"), 0o644), mode(text("etc/x/secret", "secret"), 0o600), mode(program("etc/x/suid", "#!/x"), 0o6755),
		mode(text("etc/x/.dot", "dot"), 0o640), mode(text("etc/x/deep/a", "a"), 0o664), mode(program("etc/x/deep/b", "b"), 0o755),
		symlink("etc/x/todir", "deep"), symlink("etc/x/tofile", "plain"), symlink("etc/x/nowhere", "missing"), symlink("srv/y/up", "../../etc/x/deep"),
		mode(text("srv/y/one", "linked"), 0o644), hardlink("srv/y/two", "srv/y/one"), hardlink("srv/y/three", "srv/y/one"),
	)
}

var compared = []string{"/etc/x", "/srv/y"}

// paths that commands are given: those of the sandbox, new ones, and ones behind links.
var sandboxPaths = []string{
	"/etc/x", "/etc/x/deep", "/etc/x/empty", "/etc/x/plain", "/etc/x/secret", "/etc/x/suid", "/etc/x/deep/a", "/etc/x/deep/b",
	"/etc/x/todir", "/etc/x/tofile", "/etc/x/nowhere", "/etc/x/todir/a", "/etc/x/todir/new", "/srv/y", "/srv/y/up", "/srv/y/one", "/srv/y/two",
	"/srv/y/three", "/srv/y/new", "/etc/x/new", "/etc/x/deep/new", "/srv/y/up/new", "/etc/x/empty/",
}

// commands are drawn at random: %p is a path, %m a mode, %n one in
// octal, %o an owner, %g a
// pattern of paths.
var commandForms = []string{
	"mkdir %p/made", "mkdir -p %p/far/made", "mkdir -m %n %p/made", "mkdir -pm %n %p/made", "mkdir --parents --mode=%n %p/made", "mkdir -m%n %p/made",
	"ln -s %p %p", "ln -sf %p %p", "ln -sfn %p %p", "ln -sT %p %p", "ln -s ../there %p/link", "ln -s -t %p there there2", "ln --symbolic --force here %p",
	"touch %p", "touch -c %p", "touch %p %p",
	"rm %p", "rm -f %p", "rm -rf %p", "rm -r -- %p", "rm -d %p", "rm -f %g", "rm -rf %g", "rmdir %p", "rmdir -p %p/", "rmdir --ignore-fail-on-non-empty %p",
	"chmod %m %p", "chmod -R %m %p", "chmod %m %g", "chmod --recursive %m %p %p", "chmod -f %m %p",
	"cp %p %p", "cp -p %p %p", "cp -a %p %p", "cp -r %p %p", "cp -n %p %p", "cp -d %p %p", "cp -rT %p %p", "cp -t %p %p %p", "cp -R --preserve=mode,ownership %p %p", "cp -f %p %p/",
	"mv %p %p", "mv -f %p %p", "mv -n %p %p", "mv -T %p %p", "mv -t %p %p",
	"install %p %p", "install -m %m %p %p", "install -m%m %p %p/made", "install -d %p/a/b", "install -dm %m %p/made", "install -d -m %m %p", "install -D -m %m %p %p/a/b", "install -m %m /dev/null %p", "install -t %p %p",
}

var ownerForms = []string{
	"chown %o %p", "chown -R %o %p", "chown -h %o %p", "chgrp 7 %p", "chgrp -R 8 %p", "install -o 3 -g 4 -m %m %p %p", "install -d -o 3 -m %m %p/made", "chown %o %g", "cp -a %p %p", "mv %p %p",
}

var (
	someModes    = []string{"755", "0644", "600", "2775", "4755", "1777", "00755", "u+s", "g+s", "go-rwx", "+x", "+w", "a+X", "u=rw,go=r", "=r", "ug+rwX,o-w", "+t"}
	someOwners   = []string{"3", "3:4", ":4", "0:0"}
	somePatterns = []string{"/etc/x/*", "/etc/x/.d*", "/etc/x/*/a", "/srv/y/t*", "/srv/y/?ne", "/etc/x/nothing*"}
)

// drawCommand is a command line, its words quoted but for patterns.
func drawCommand(t *rapid.T) string {
	forms := commandForms
	if os.Geteuid() == 0 {
		forms = append(forms[:len(forms):len(forms)], ownerForms...)
	}
	form := rapid.SampledFrom(forms).Draw(t, "form")
	for _, hole := range []struct {
		mark string
		from []string
	}{{"%p", sandboxPaths}, {"%m", someModes}, {"%n", someModes[:7]}, {"%o", someOwners}, {"%g", somePatterns}} {
		for strings.Contains(form, hole.mark) {
			form = strings.Replace(form, hole.mark, rapid.SampledFrom(hole.from).Draw(t, "word"), 1)
		}
	}
	return form
}

// What a maintainer script does to the tree, the image must have, as the real
// commands do it: a mode that is dropped makes a key that all can read, a folder
// that a service cannot write, a file that is not there. The real coreutils, on
// the same files, are the oracle.
func TestCoreutils(t *testing.T) {
	for _, name := range []string{"mkdir", "ln", "touch", "rm", "rmdir", "chmod", "cp", "mv", "install"} {
		testenv.Tool(t, name)
	}
	syscall.Umask(0o022)
	// The same lists each time, so that a rare difference does not stop somebody
	// else's change; -rapid.seed and -rapid.checks look for more.
	for name, value := range map[string]string{"rapid.seed": "20", "rapid.checks": "60"} {
		if f := flag.Lookup(name); f.Value.String() == f.DefValue {
			if err := f.Value.Set(value); err != nil {
				t.Fatal(err)
			}
			defer f.Value.Set(f.DefValue)
		}
	}
	refused, all := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		commands := rapid.SliceOfN(rapid.Custom(drawCommand), 1, 4).Draw(rt, "commands")
		want, commands := reallyDone(rt, commands)
		all++
		got, err := carriedOut(t, commands)
		if err != nil {
			refused++ // a build that fails and says why leaves nobody with a wrong image
			return
		}
		if got != want {
			rt.Errorf("%s\n%s", strings.Join(commands, "\n"), difference(got, want))
		}
	})
	if refused*2 > all {
		t.Errorf("%d of %d lists of commands refused", refused, all)
	}
}

// difference lists the lines that only one of two trees has.
func difference(got, want string) string {
	var b strings.Builder
	for _, side := range []struct{ sign, lines, other string }{{"got  ", got, want}, {"want ", want, got}} {
		for line := range strings.Lines(side.lines) {
			if !strings.Contains("\n"+side.other, "\n"+line) {
				b.WriteString(side.sign + line)
			}
		}
	}
	return b.String()
}

// carriedOut gives the commands to a level as a maintainer script, and lists
// the tree.
func carriedOut(t *testing.T, commands []string) (string, error) {
	script := "#!/bin/sh\n" + strings.Join(commands, " || true\n") + " || true\n"
	l, err := try(t, rootfs.Input{}, pkg{Name: "base-files", Files: sandbox()}, pkg{Name: "tool", Scripts: map[string]string{"postinst": script}})
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, p := range l.Tree.Paths() {
		if !inSandbox(p) {
			continue
		}
		e := l.Tree.Lookup(p)
		if e.Kind == rootfs.Hardlink {
			e = l.Tree.Lookup(e.Target)
		}
		switch e.Kind {
		case rootfs.Dir:
			fmt.Fprintf(&b, "%s dir %04o %d:%d\n", p, e.Mode, e.UID, e.GID)
		case rootfs.Symlink:
			fmt.Fprintf(&b, "%s -> %s %d:%d\n", p, e.Target, e.UID, e.GID)
		default:
			fmt.Fprintf(&b, "%s %.8s %04o %d:%d\n", p, e.Digest, e.Mode, e.UID, e.GID)
		}
	}
	return b.String(), nil
}

func inSandbox(p string) bool {
	for _, dir := range compared {
		if p == dir || strings.HasPrefix(p, dir+"/") {
			return true
		}
	}
	return false
}

// reallyDone runs the commands on a copy of the sandbox, and lists it and what
// was run: all up to the first that names something in a folder that is not
// there, which the program makes, since a slice may have dropped it.
func reallyDone(t *rapid.T, commands []string) (string, []string) {
	root, err := os.MkdirTemp("", "coreutils-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(root)
	for _, f := range sandbox() {
		at := filepath.Join(root, f.Path)
		if err := layOut(root, at, f); err != nil {
			t.Fatal(err)
		}
	}
	for n, c := range commands {
		words, orphan := strings.Fields(c), false
		for i, w := range words {
			if strings.HasPrefix(w, "/") && w != "/dev/null" {
				words[i] = root + w
				_, err := os.Stat(filepath.Dir(filepath.Clean(words[i])))
				orphan = orphan || err != nil
			}
		}
		if orphan && !strings.HasPrefix(c, "mkdir -p") && !strings.HasPrefix(c, "install -d") {
			commands = commands[:n]
			break
		}
		cmd := exec.Command("sh", "-c", strings.Join(words, " "))
		cmd.Dir = root
		_ = cmd.Run() // the script goes on, too
	}
	var b strings.Builder
	for _, dir := range compared {
		err := filepath.WalkDir(filepath.Join(root, dir), func(at string, d fs.DirEntry, err error) error {
			if err != nil || d == nil {
				return nil // the commands have removed it
			}
			return describeReal(&b, root, at)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.String(), commands
}

func layOut(root, at string, f file) error {
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	switch f.Type {
	case '5':
		if err := os.MkdirAll(at, 0o755); err != nil {
			return err
		}
	case '2':
		return os.Symlink(f.Target, at)
	case '1':
		return os.Link(filepath.Join(root, f.Target), at)
	default:
		if err := os.WriteFile(at, []byte(f.Data), 0o600); err != nil {
			return err
		}
	}
	return syscall.Chmod(at, uint32(f.Mode))
}

func describeReal(b *strings.Builder, root, at string) error {
	var st syscall.Stat_t
	if err := syscall.Lstat(at, &st); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		st.Uid, st.Gid = 0, 0
	}
	p := path.Clean("/" + strings.TrimPrefix(at, root))
	switch st.Mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		fmt.Fprintf(b, "%s dir %04o %d:%d\n", p, st.Mode&0o7777, st.Uid, st.Gid)
	case syscall.S_IFLNK:
		target, err := os.Readlink(at)
		if err != nil {
			return err
		}
		fmt.Fprintf(b, "%s -> %s %d:%d\n", p, strings.TrimPrefix(target, root), st.Uid, st.Gid)
	default:
		data, err := os.ReadFile(at)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		fmt.Fprintf(b, "%s %.8s %04o %d:%d\n", p, hex.EncodeToString(sum[:]), st.Mode&0o7777, st.Uid, st.Gid)
	}
	return nil
}
