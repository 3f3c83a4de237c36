package scripts

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

func set(names string) map[string]bool {
	m := map[string]bool{}
	for _, n := range strings.Fields(names) {
		m[n] = true
	}
	return m
}

var (
	// quiet commands print or wait; they end well.
	quiet = set(`echo printf sleep sync logger tput cd pwd wait hostname locale dmesg clear getopt`)

	// query commands read. How they end is not known.
	query = set(`grep egrep fgrep zgrep cut tr head tail wc cat ls stat readlink realpath
		basename dirname expr date uname mountpoint pidof pgrep ps ischroot cmp diff md5sum sha1sum sha256sum
		dpkg-query dpkg-architecture mktemp tempfile getconf nproc tac rev seq od namei df du
		lsb_release lsattr findmnt arch tty who w runlevel kill pkill killall killall5 ldd file paste comm
		join fold fmt nl column jobs times ulimit which ypwhich ypcat
		pg_lsclusters paperconf kpsewhich ss lpstat lpinfo groups slappasswd pathfind zcat base64 phpquery`)

	// service commands speak to a service manager, the kernel or its devices,
	// or keep registers of documentation and menus. An image has none of them.
	service = set(`systemctl invoke-rc.d update-rc.d service initctl telinit deb-systemd-helper deb-systemd-invoke
		systemd-notify loginctl busctl dbus-send udevadm modprobe rmmod depmod sysctl apparmor_parser aa-enabled aa-status
		aa-remove-unknown restorecon selinuxenabled needrestart start-stop-daemon update-initramfs update-grub
		bootctl kernel-install systemd-machine-id-setup journalctl systemd-hwdb rc-update rc-service
		ucfr install-docs update-menus install-info update-info-dir mandb update-binfmts install-sgmlcatalog
		update-motd reload-rsyslog sv update-service runit-helper /usr/lib/runit-helper/runit-helper
		dpkg-maintscript-helper setupcon setfont loadkeys pycleanup py3clean pyclean update-smart-drivedb
		/usr/lib/systemd/systemd-sysctl /lib/systemd/systemd-sysctl /usr/lib/systemd/systemd-binfmt
		/lib/systemd/systemd-binfmt /usr/share/runit/meta-helper helpztags dbus-uuidgen getcap`)

	// cache commands derive files from those of packages.
	cache = set(`glib-compile-schemas update-mime-database update-desktop-database gtk-update-icon-cache
		update-icon-caches gdk-pixbuf-query-loaders fc-cache update-mime update-xmlcatalog update-catalog
		update-fonts-dir update-fonts-scale update-fonts-alias mktexlsr update-texmf update-updmap update-language
		update-fmtutil updmap-sys fmtutil-sys gio-querymodules aspell-autobuildhash ispell-autobuildhash
		update-dictcommon-aspell update-dictcommon-hunspell update-default-wordlist update-default-ispell
		update-shells ghc-pkg update-gsfontmap update-perl-sax-parsers libgvc6-config-update newaliases
		emacs-package-install emacs-install emacs-remove locale-gen iconvconfig gtk-query-immodules-3.0 update-pciids
		gtk-update-icon-cache-3.0 rebuild-security-providers octave`)
)

// regenerated are the effects whose result depends on the whole image alone:
// to bring one about once more than a script would have done changes nothing.
var regenerated = set(`ldconfig ca-certificates java-certificates py3compile cache sysusers tmpfiles php_invoke`)

// understood reports whether a command is one of the above, by its name or
// its path in a standard place.
func understood(name string) bool {
	name = tool(name)
	return quiet[name] || query[name] || service[name] || cache[name] || special(name) != nil
}

// volatile reports whether p is below a folder of which nothing stays in an
// image.
func volatile(p string) bool {
	for _, dir := range []string{"/dev", "/proc", "/sys", "/run", "/var/run", "/tmp", "/var/tmp", "/etc/apparmor.d", "/var/lib/systemd"} {
		if strings.HasPrefix(path.Clean(p), dir+"/") {
			return true
		}
	}
	return false
}

// emit notes an effect of c with the conditions that it stands under.
func (w *walker) emit(c command, kind string, args ...string) { w.emitAt(c.node, kind, args...) }

func (w *walker) emitAt(n syntax.Node, kind string, args ...string) {
	e := Effect{Package: w.script.Package, Script: w.script.Name, Kind: kind, Args: args}
	if !regenerated[kind] {
		for _, c := range w.s.conds {
			if c.Op == "" {
				w.problem(n, "%s, under a condition that is not understood", source(n))
				return
			}
			if !slices.Contains(e.If, c.Test) {
				e.If = append(e.If, c.Test)
			}
		}
	}
	if len(w.s.effects) >= maxEffects {
		w.problem(n, "more than %d effects", maxEffects)
		return
	}
	w.s.effects = append(w.s.effects, e)
}

// emitKnown notes an effect whose arguments must all be known.
func (w *walker) emitKnown(c command, kind string, drop ...string) outcome {
	args, ok := c.text()
	if !ok {
		w.problem(c.node, "%s: an argument is not known", source(c.node))
		return success
	}
	args = slices.DeleteFunc(args, func(a string) bool { return slices.Contains(drop, a) })
	w.emit(c, kind, args...)
	return success
}
