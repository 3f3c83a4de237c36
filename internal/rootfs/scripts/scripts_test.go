package scripts

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// describe writes effects a line each, as the tables below have them.
func describe(effects []Effect) string {
	var b strings.Builder
	for _, e := range effects {
		fmt.Fprintf(&b, "%s %s", e.Kind, strings.Join(e.Args, " "))
		for _, t := range e.If {
			fmt.Fprintf(&b, " if %s", t)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func postinst(text string) Script {
	return Script{Package: "hello", Version: "1:2.10-3", Arch: "amd64", Name: "postinst", Text: []byte("#!/bin/sh\nset -e\n" + text)}
}

// What a package's script would have done is missing from an image, or is
// there although it would not have been done, if one of these fails.
func TestRecognised(t *testing.T) {
	for _, c := range []struct{ name, script, want string }{
		{"nothing", `exit 0`, ""},
		{"usual frame", `case "$1" in
			configure) ;;
			abort-upgrade|abort-remove|abort-deconfigure) ;;
			*) echo "unknown argument \$1" >&2; exit 1 ;;
			esac`, ""},
		{"upgrade alone", `if [ "$1" = configure ] && [ -n "$2" ]; then rm -rf /var/lib/hello; fi`, ""},
		{"older versions", `if dpkg --compare-versions "$2" lt-nl 1.2; then frobnicate; fi`, ""},
		{"no version is older than any", `if dpkg --compare-versions "$2" lt 1.2; then ldconfig; fi`, "ldconfig \n"},
		{"newer versions", `dpkg --compare-versions "$2" ge 1.2 && frobnicate || true`, ""},
		{"failure ends the script", `if ! mountpoint -q /proc; then echo no >&2; exit 1; fi; touch /etc/x`, "touch /etc/x\n"},
		{"exit ends it well", `[ "$1" = configure ] || exit 0; ldconfig; exit 0; frobnicate`, "ldconfig \n"},
		{"alternatives", `update-alternatives --quiet --install /usr/bin/awk awk /usr/bin/mawk 5 --slave /usr/share/man/man1/awk.1.gz awk.1.gz /usr/share/man/man1/mawk.1.gz`,
			"update-alternatives --install /usr/bin/awk awk /usr/bin/mawk 5 --slave /usr/share/man/man1/awk.1.gz awk.1.gz /usr/share/man/man1/mawk.1.gz\n"},
		{"alternatives in a loop", `for i in java keytool; do update-alternatives --install /usr/bin/$i $i /usr/lib/jvm/bin/$i 2111 $slave; done`,
			"update-alternatives --install /usr/bin/java java /usr/lib/jvm/bin/java 2111\nupdate-alternatives --install /usr/bin/keytool keytool /usr/lib/jvm/bin/keytool 2111\n"},
		{"manual pages are not there", `if [ -e /usr/share/man/man1/x.1.gz ]; then s="--slave $(cat /etc/y)"; fi
			update-alternatives --install /usr/bin/x x /usr/bin/y 1 $s`, "update-alternatives --install /usr/bin/x x /usr/bin/y 1\n"},
		{"python", `if command -v py3compile >/dev/null; then py3compile -p hello; fi`, "py3compile -p hello\n"},
		{"service manager", `if [ -z "${DPKG_ROOT:-}" ] && [ -d /run/systemd/system ]; then frobnicate; fi
			deb-systemd-helper unmask hello.service >/dev/null || true
			if deb-systemd-helper --quiet was-enabled hello.service; then deb-systemd-helper enable hello.service; fi
			if [ -x /etc/init.d/hello ]; then update-rc.d hello defaults >/dev/null; invoke-rc.d hello start || exit 1; fi`, ""},
		{"tmpfiles", `if [ -x "$(command -v systemd-tmpfiles)" ]; then systemd-tmpfiles ${DPKG_ROOT:+--root="$DPKG_ROOT"} --create hello.conf || true; fi`, "tmpfiles hello.conf\n"},
		{"sysusers", `systemd-sysusers ${DPKG_ROOT:+--root="$DPKG_ROOT"} hello.conf`, "sysusers hello.conf\n"},
		{"menu", "if [ -x \"`command -v update-menus`\" ] && [ -x \"$DPKG_ROOT`command -v update-menus`\" ]; then update-menus; fi", ""},
		{"maintscript helper", `dpkg-maintscript-helper rm_conffile /etc/hello 1.0~ -- "$@"`, ""},
		{"account", `if ! getent passwd hello >/dev/null; then adduser --quiet --system --group hello; fi
			if getent passwd hello >/dev/null; then chown hello: /var/lib/hello; fi`,
			"adduser --system --group hello\nchown hello: /var/lib/hello\n"},
		{"account by output", "if [ -z \"`id -u hello 2>/dev/null`\" ]; then useradd -r hello; fi", "useradd -r hello\n"},
		{"account of base-passwd", `getent group mail >/dev/null || frobnicate`, ""},
		{"overrides", `if ! dpkg-statoverride --list /usr/bin/x >/dev/null; then chmod 4755 /usr/bin/x; fi`, "chmod 4755 /usr/bin/x\n"},
		{"conditions on the tree", `if [ ! -e /etc/hello ] && [ -d /usr/share/hello ]; then cp -p /usr/share/hello/conf /etc/hello; else echo; fi`,
			"cp -p /usr/share/hello/conf /etc/hello if [ ! -e /etc/hello ] if [ -d /usr/share/hello ]\n"},
		{"or", `[ -d /var/lib/x ] || mkdir -p /var/lib/x`, "mkdir -p /var/lib/x if [ ! -d /var/lib/x ]\n"},
		{"leaving early on a test", `f() { if [ -e /etc/x ]; then return; fi; touch /etc/x; }; f; touch /etc/y`,
			"touch /etc/x if [ ! -e /etc/x ]\ntouch /etc/y\n"},
		{"exit in a branch holds for the rest", `if [ -e /etc/x ]; then exit 0; fi; touch /etc/y`, "touch /etc/y if [ ! -e /etc/x ]\n"},
		{"function as condition", `first() { if [ "$1" = configure ] && [ -z "$2" ]; then return 0; fi; return 1; }
			if first "$@"; then touch /etc/x; else frobnicate; fi`, "touch /etc/x\n"},
		{"here-document", "while read d m; do [ -n \"$m\" ] || m=755; mkdir -m $m /usr/local/$d; done <<E\nshare\nbin 700\nE",
			"mkdir -m 755 /usr/local/share\nmkdir -m 700 /usr/local/bin\n"},
		{"written text", "cat > /etc/hello <<-EOF\n\tone\n\ttwo\n\tEOF\necho three >> /etc/hello", "write /etc/hello one\ntwo\n\nappend /etc/hello three\n\n"},
		{"made empty", `if [ ! -f /etc/x ]; then : > /etc/x; fi; true >> /etc/y`, "touch /etc/x if [ ! -f /etc/x ]\nappend /etc/y \n"},
		{"diversions", `dpkg-divert --package hello --add --rename --divert /bin/x.real /bin/x
			dpkg-divert --package hello --add --no-rename --divert "/lib/$(uname -m)/x.usr-is-merged" "/lib/$(uname -m)/x"`,
			"divert --package hello --add --rename --divert /bin/x.real /bin/x\n"},
		{"mask", `(umask 077; touch /etc/x); touch /etc/y`, "touch /etc/x\nchmod 600 /etc/x\ntouch /etc/y\n"},
		{"mask in a branch", `if ! [ -f /etc/x ]; then umask 066; touch /etc/x; umask 022; fi; touch /etc/y`, "touch /etc/x if [ ! -f /etc/x ]\nchmod 600 /etc/x if [ ! -f /etc/x ]\ntouch /etc/y\n"},
		{"ucf", `ucf --three-way --debconf-ok /usr/share/hello/conf /etc/hello.conf; ucfr hello /etc/hello.conf`, "cp --no-clobber /usr/share/hello/conf /etc/hello.conf\n"},
		{"what no image keeps", `t=$(mktemp); echo x > "$t"; rm -f "$t"; mkdir -p /run/hello; echo hello > /dev/null`, ""},
		{"patterns", `chmod 600 /etc/hello/*.key`, "chmod 600 /etc/hello/*.key\n"},
		{"debconf", `. /usr/share/debconf/confmodule; db_version 2.0; db_get hello/x || true; if [ "$RET" = true ]; then echo yes; fi; db_stop`, ""},
		{"architecture", `if [ "$(dpkg --print-architecture)" = amd64 ]; then ldconfig; else frobnicate; fi`, "ldconfig \n"},
		{"triggers", `dpkg-trigger --no-await ldconfig; dpkg-trigger --no-await libc-upgrade`, "ldconfig \n"},
		{"package's own name", `touch /etc/$DPKG_MAINTSCRIPT_PACKAGE`, "touch /etc/hello\n"},
		{"parameter expansion", `x=a/b/c; mkdir /var/${x##*/} /var/${x%%/*} /var/${y:-d}`, "mkdir /var/c /var/a /var/d\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := Account([]Script{postinst(c.script)}, nil)
			if len(res.Unknown) > 0 {
				t.Fatalf("not understood: %v", res.Unknown[0].Why)
			}
			if got := describe(res.Effects); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}

// A script that is taken for understood and is not leaves an image broken
// without a word. Each of these must be reported.
func TestUnknown(t *testing.T) {
	for _, c := range []struct{ name, script, want string }{
		{"command", `frobnicate --all`, "frobnicate --all"},
		{"command in a condition", `if frobnicate; then :; fi`, "frobnicate"},
		{"command in a substitution", `x=$(frobnicate)`, "frobnicate"},
		{"command in a pipe", `echo x | frobnicate`, "frobnicate"},
		{"command in a here-document", "cat >/dev/null <<E\n$(frobnicate)\nE", "frobnicate"},
		{"command in an argument of nothing", `: $(frobnicate)`, "frobnicate"},
		{"command under test", `[ -e /etc/x ] && frobnicate`, "frobnicate"},
		{"command in the background", `frobnicate &`, "frobnicate"},
		{"command behind command", `command frobnicate`, "frobnicate"},
		{"command behind env", `env X=1 frobnicate`, "frobnicate"},
		{"command behind xargs", `echo x | xargs frobnicate`, "xargs"},
		{"command in a trap", `trap frobnicate EXIT`, "frobnicate"},
		{"command of find", `find /etc -name x -exec frobnicate {} \;`, "find"},
		{"command from a variable", `$(cat /etc/x) y`, "a command whose name is not known"},
		{"command in a loop over anything", `for f in /etc/*; do frobnicate; done`, "frobnicate"},
		{"function that hides one", `echo() { frobnicate; }; echo`, "frobnicate"},
		{"eval", `eval "$x"`, "eval"},
		{"exec", `exec frobnicate`, "exec frobnicate"},
		{"another language", `python3 -c 'x'`, "python3"},
		{"perl", `perl -e 'unlink "/etc/x"'`, "perl"},
		{"awk that writes", `awk '{print > "/etc/x"}' /etc/y`, "awk"},
		{"awk that runs", `awk '{system("x")}' /etc/y`, "awk"},
		{"sed that writes", `sed -n 'w /etc/x' /etc/y`, "sed"},
		{"sort that writes", `sort -o /etc/x /etc/y`, "sort"},
		{"temporary file", `t=$(mktemp); grep x /etc/y > $t; mv $t /etc/y`, "from a file that the script has written"},
		{"function by condition", `if [ -e /etc/x ]; then f() { touch /etc/y; }; else f() { :; }; fi; f`, "defined twice"},
		{"not debconf", `db_upgrade /var/lib/x`, "db_upgrade"},
		{"sed in place", `sed -ri s/a/b/ /etc/x`, "sed"},
		{"output to a file", `grep x /etc/passwd > /etc/y`, "writes to /etc/y"},
		{"output of a block", `{ echo a; } > /etc/y`, "writes to /etc/y"},
		{"unknown argument", `rm -rf "$(cat /etc/x)"`, "an argument is not known"},
		{"unknown condition", `if grep -q x /etc/y; then touch /etc/x; fi`, "under a condition that is not understood"},
		{"unknown condition, then leaving", `grep -q x /etc/y || exit 0; touch /etc/x`, "under a condition that is not understood"},
		{"unknown condition, then breaking", `for i in 1 2; do grep -q $i /etc/x && break; touch /etc/$i; done`, "under a condition that is not understood"},
		{"alternative of a condition", `if [ -e /etc/a ] || grep -q x /etc/y; then touch /etc/x; fi`, "under a condition that is not understood"},
		{"test of what was changed", `rm -f /etc/a; if [ -e /etc/a ]; then touch /etc/x; fi`, "under a condition that is not understood"},
		{"relative path", `cd /etc; touch x`, "want absolute paths"},
		{"settings", `. /etc/default/x; touch $FILE`, "an argument is not known"},
		{"unknown file", `. /usr/lib/hello/functions`, "/usr/lib/hello/functions"},
		{"mask", `umask "$(cat /etc/y)"; touch /etc/x`, "umask"},
		{"mask and options", `umask 077; mkdir -p /etc/x/y`, "umask"},
		{"changed once", `x=/etc/a; if grep -q x /etc/y; then x=/etc/b; fi; touch $x`, "an argument is not known"},
		{"changed in a loop", `x=/etc/a; while read l; do x=$l; done < /etc/y; touch $x`, "an argument is not known"},
		{"endless recursion", `f() { f; }; f`, "deep"},
		{"endless loop", `while true; do touch /etc/x; done`, "turns"},
		{"syntax", `if then`, "parse"},
		{"arithmetic loop", `for ((i=0;i<3;i++)); do touch /etc/$i; done`, "arithmetic"},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := Account([]Script{postinst(c.script)}, nil)
			if len(res.Unknown) != 1 {
				t.Fatalf("recognised, with effects %q; want a problem with %q", describe(res.Effects), c.want)
			}
			if !slices.ContainsFunc(res.Unknown[0].Why, func(p Problem) bool { return strings.Contains(p.Text, c.want) && p.Line > 0 }) {
				t.Errorf("got %v; want a problem with %q", res.Unknown[0].Why, c.want)
			}
			if len(res.Effects) > 0 {
				t.Errorf("effects %q of a script that is not understood", describe(res.Effects))
			}
		})
	}
}

// Which scripts count, and how they are called.
func TestKinds(t *testing.T) {
	script := func(name, text string) Script {
		return Script{Package: "p", Version: "1", Arch: "arm64", Name: name, Text: []byte(text)}
	}
	res := Account([]Script{
		script("prerm", "#!/bin/sh\nfrobnicate"),
		script("postrm", "#!/bin/sh\nfrobnicate"),
		script("preinst", "#!/bin/sh\n[ \"$1\" = install ] && [ $# = 1 ] && touch /etc/preinst"),
		script("config", "#!/bin/sh\n[ \"$1\" = configure ] && [ $# = 2 ] && touch /etc/config"),
		script("postinst", "#!/bin/sh\nif [ \"$1\" = triggered ]; then touch /etc/triggered; fi"),
		script("triggers", "# comment\ninterest-noawait /usr/share/p\nactivate-noawait ldconfig\n"),
	}, nil)
	want := "touch /etc/preinst\ntouch /etc/config\ntouch /etc/triggered\nldconfig \n"
	if got := describe(res.Effects); got != want || len(res.Unknown) > 0 || len(res.Found) != 4 {
		t.Errorf("effects\n%swant\n%sunknown %v, found %d", got, want, res.Unknown, len(res.Found))
	}
	for _, s := range []Script{script("preinst", "#!/bin/sh\n[ -e /usr/bin/p ] || touch /etc/p"), script("postinst", "#!/usr/bin/perl\n"), script("postinst", ""), script("triggers", "interest\n"), script("triggers", "frobnicate x\n")} {
		if res := Account([]Script{s}, nil); len(res.Unknown) != 1 {
			t.Errorf("%s %q: recognised", s.Name, s.Text)
		}
	}
}

// A pin accounts for one text; for another it does not, and says so.
func TestPins(t *testing.T) {
	s := postinst("frobnicate 1:2.10-3\n")
	pins := []Pin{
		{Package: "hello", Script: "postinst", Digest: Digest(s), Effect: "ca-certificates", Reason: "why"},
		{Package: "hello", Script: "preinst", Digest: Digest(s), Effect: "none", Reason: "why"},
	}
	res := Account([]Script{s}, pins)
	if len(res.Unknown) != 0 || describe(res.Effects) != "ca-certificates \n" || res.Effects[0].Reason != "why" || res.Found[0].How != Pinned {
		t.Errorf("pinned: %+v", res)
	}
	if len(res.Unused) != 1 || res.Unused[0].Script != "preinst" {
		t.Errorf("unused: %+v", res.Unused)
	}
	changed := postinst("frobnicate --more\n")
	res = Account([]Script{changed}, pins)
	if len(res.Unknown) != 1 || res.Unknown[0].Pinned == nil || res.Unknown[0].Digest != Digest(changed) || len(res.Unused) != 2 {
		t.Errorf("changed: %+v", res)
	}
}

// A digest that changes with every release makes people pin without reading;
// one that does not change with the behaviour makes pins worthless.
func TestNormalise(t *testing.T) {
	base := postinst("# Automatically added by dh_x/13.2\nif  dpkg --compare-versions \"$2\" lt 1.0~; then\n\techo x86_64-linux-gnu libx:amd64 2.10-3 2.10\nfi\n")
	same := base
	same.Version, same.Arch = "1:2.11-1", "arm64"
	same.Text = []byte("#!/bin/sh\nset -e\n# Automatically added by dh_x/14\n\nif dpkg --compare-versions \"$2\" lt 1.1~; then\n  echo aarch64-linux-gnu libx:arm64 2.11-1 2.10\n\nfi")
	if Digest(base) != Digest(same) {
		t.Errorf("digests differ:\n%s\n%s", Normalise(base), Normalise(same))
	}
	for _, text := range []string{
		"#!/bin/sh\nset -e\nif dpkg --compare-versions \"$2\" gt 1.0~; then\n\techo x86_64-linux-gnu libx:amd64 2.10-3 2.10\nfi\n",
		"#!/bin/sh -x\nset -e\nif dpkg --compare-versions \"$2\" lt 1.0~; then\n\techo x86_64-linux-gnu libx:amd64 2.10-3 2.10\nfi\n",
		"#!/bin/sh\nset -e\nif dpkg --compare-versions \"$2\" lt 1.0~; then\n\techo x86_64-linux-gnu libx:amd64 2.10-3 2.11\nfi\n",
	} {
		s := base
		s.Text = []byte(text)
		if Digest(s) == Digest(base) {
			t.Errorf("same digest for %s", text)
		}
	}
	a, b := postinst("cat > /etc/x <<EOF\n# one\nEOF\n"), postinst("cat > /etc/x <<EOF\n# two\nEOF\n")
	if Digest(a) == Digest(b) {
		t.Error("a here-document's lines are not comments")
	}
}

func TestParseAlternative(t *testing.T) {
	a, err := ParseAlternative(strings.Fields("--install /usr/bin/x x /usr/bin/y 10 --slave /m/x xm /m/y"))
	if err != nil || a.Link != "/usr/bin/x" || a.Name != "x" || a.Path != "/usr/bin/y" || a.Priority != "10" || len(a.Slaves) != 1 || a.Slaves[0].Path != "/m/y" {
		t.Errorf("%+v, %v", a, err)
	}
	for _, bad := range []string{"", "--install a b c", "--install a b c 1 --slave x", "--install a b c 1 --other x y z"} {
		if _, err := ParseAlternative(strings.Fields(bad)); err == nil {
			t.Errorf("%q accepted", bad)
		}
	}
}

// FuzzAccount: no script panics, hangs or takes more than its share.
func FuzzAccount(f *testing.F) {
	for _, seed := range []string{
		"set -e\ncase \"$1\" in configure) ldconfig;; esac\n",
		"f() { local x=$1; [ -e \"$x\" ] || return 1; touch $x; }; for i in a b; do f /etc/$i && break; done\n",
		"while read a b; do mkdir /x/$a; done <<E\n1 2\nE\nif ! getent passwd x; then adduser x; fi",
		"()\xc4",
		"x=${1%%c*}; y=$((1+2)); trap 'rm -f $x' EXIT; echo \"$@\" > /etc/$y",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := postinst(text)
		res := Account([]Script{s, {Package: "hello", Name: "triggers", Text: []byte("interest x\n")}}, nil)
		again := Account([]Script{s, {Package: "hello", Name: "triggers", Text: []byte("interest x\n")}}, nil)
		if describe(res.Effects) != describe(again.Effects) || len(res.Unknown) != len(again.Unknown) {
			t.Error("not the same twice")
		}
		for _, u := range res.Unknown {
			if len(u.Why) == 0 {
				t.Error("unknown without a reason")
			}
		}
	})
}
