// Package buildtest makes the packages that the catalogue names, small and with
// the files that matter, so that whole images can be built in tests from an
// archive on loopback.
//
//	r := buildtest.Archive(t) // trixie and bookworm, main, updates and security
//
// It is imported by tests only.
package buildtest

import (
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"distroless/internal/debian/archivetest"
)

// Arches are the architectures that the packages are made for.
func Arches() []string { return []string{"amd64", "arm64", "riscv64"} }

// Archive serves debian13 and debian12: every package of [Packages] in main,
// updates and security without any.
func Archive(t testing.TB) *archivetest.Repo {
	t.Helper()
	r := archivetest.New(t, archivetest.Options{Indices: []string{".xz"}})
	for _, codename := range []string{"trixie", "bookworm"} {
		r.Add(codename, Packages(codename)...)
		r.Add(codename + "-updates")
		r.Add(codename + "-security")
	}
	return r
}

// Packages are those of the catalogue's images for a release.
func Packages(codename string) []archivetest.Package {
	out := []archivetest.Package{netbase(), mediaTypes(), caCertificates(), tzdata(codename)}
	for _, arch := range Arches() {
		out = append(out, baseFiles(codename, arch), busybox(codename, arch))
		out = append(out, libraries(codename, arch)...)
	}
	if codename == "trixie" {
		out = append(out, archivetest.Package{
			Name: "tzdata-legacy", Source: "tzdata", Version: "2025b-4", Arch: "all", Depends: "tzdata (= 2025b-4)",
			Files: files("tzdata-legacy", "", archivetest.Symlink("usr/share/zoneinfo/US/Eastern", "../America/New_York")),
		})
	}
	if codename == "bookworm" { // another build of the same sources
		for i := range out {
			out[i].Version += "+deb12u1"
		}
	}
	return out
}

// Noise is text that does not compress, the same for the same name.
func Noise(name string, n int) string {
	var seed [32]byte
	copy(seed[:], name)
	b := make([]byte, n)
	if _, err := io.ReadFull(rand.NewChaCha8(seed), b); err != nil {
		panic(err) // it never ends
	}
	return string(b)
}

// files adds what every package has: a copyright file, that may name a licence,
// a changelog and a manual page.
func files(name, licence string, more ...archivetest.File) []archivetest.File {
	text := "Copyright: the authors of " + name + "\n"
	if licence != "" {
		text += "On Debian systems the full text is in /usr/share/common-licenses/" + licence + ".\n"
	}
	return append([]archivetest.File{
		archivetest.Text("usr/share/doc/"+name+"/copyright", text),
		archivetest.Text("usr/share/doc/"+name+"/changelog.Debian.gz", Noise(name, 100)),
		archivetest.Text("usr/share/man/man7/"+name+".7.gz", Noise(name, 120)),
	}, more...)
}

func baseFiles(codename, arch string) archivetest.Package {
	number := map[string]string{"trixie": "13", "bookworm": "12"}[codename]
	sticky := func(p string) archivetest.File { return archivetest.File{Path: p, Type: '5', Mode: 0o1777} }
	list := []archivetest.File{
		archivetest.Text("etc/debian_version", number+".1\n"),
		archivetest.Text("etc/host.conf", "multi on\n"),
		archivetest.Text("etc/profile.d/nothing.sh", "true\n"),
		archivetest.Symlink("etc/os-release", "../usr/lib/os-release"),
		archivetest.Text("usr/lib/os-release", fmt.Sprintf("ID=debian\nVERSION_ID=%q\n", number)),
		archivetest.Text("usr/share/common-licenses/GPL-2", strings.Repeat("the licence, version 2\n", 50)),
		archivetest.Text("usr/share/common-licenses/GPL-3", strings.Repeat("the licence, version 3\n", 50)),
		archivetest.Symlink("usr/share/common-licenses/GPL", "GPL-3"),
		archivetest.Text("usr/share/base-files/motd", "welcome\n"),
		{Path: "root", Type: '5', Mode: 0o700},
		sticky("tmp"), sticky("var/tmp"),
	}
	for _, d := range []string{"boot", "dev", "home", "proc", "run", "sys", "usr/bin", "usr/sbin", "usr/share/misc", "var/log", "var/cache", "var/lib/misc", "var/spool"} {
		list = append(list, archivetest.Dir(d))
	}
	for _, d := range []string{"bin", "sbin", "lib", "lib64"} {
		switch {
		case d == "lib64" && arch != "amd64":
		case codename == "trixie":
			list = append(list, archivetest.Dir("usr/"+d), archivetest.Symlink(d, "usr/"+d))
		default:
			list = append(list, archivetest.Dir(d))
		}
	}
	return archivetest.Package{Name: "base-files", Version: number + ".8", Arch: arch, Depends: "awk", Files: files("base-files", "", list...)}
}

func netbase() archivetest.Package {
	return archivetest.Package{Name: "netbase", Version: "6.5", Arch: "all", Files: files("netbase", "GPL-2",
		archivetest.Text("etc/protocols", "tcp 6 TCP\n"), archivetest.Text("etc/services", "http 80/tcp\n"))}
}

func mediaTypes() archivetest.Package {
	return archivetest.Package{Name: "media-types", Version: "13.0.0", Arch: "all", Files: files("media-types", "",
		archivetest.Text("etc/mime.types", "text/html html htm\n"))}
}

// zone is the shape of a zone file: tzfile(5).
func zone(name, rule string) string { return "TZif2" + Noise(name, 400) + "\n" + rule + "\n" }

func tzdata(codename string) archivetest.Package {
	const at = "usr/share/zoneinfo/"
	return archivetest.Package{Name: "tzdata", Version: "2025b-4", Arch: "all", Depends: "debconf (>= 0.5) | debconf-2.0", Files: files("tzdata", "",
		archivetest.Text(at+"Etc/UTC", zone("utc", "UTC0")),
		archivetest.Text(at+"America/New_York", zone("ny", "EST5EDT,M3.2.0,M11.1.0")),
		archivetest.Text(at+"Europe/Berlin", zone("berlin", "CET-1CEST,M3.5.0,M10.5.0/3")),
		archivetest.Symlink(at+"UTC", "Etc/UTC"),
		archivetest.Text(at+"right/Etc/UTC", zone("right", "UTC0")),
		archivetest.Symlink(at+"posix/UTC", "../UTC"),
		archivetest.Symlink(at+"localtime", "/etc/localtime"),
	)}
}

func caCertificates() archivetest.Package {
	const at = "usr/share/ca-certificates/mozilla/"
	return archivetest.Package{Name: "ca-certificates", Version: "20250419", Arch: "all", Depends: "openssl (>= 1.1.1), debconf", Files: files("ca-certificates", "GPL-2",
		archivetest.Text(at+"Second.crt", string(Certificate("Second"))),
		archivetest.Text(at+"First.crt", string(Certificate("First"))),
		archivetest.Exec("usr/sbin/update-ca-certificates", "#!/bin/sh\n"),
	)}
}

// Certificate is a self-signed authority as PEM, the same for the same name.
func Certificate(name string) []byte {
	der, _ := certificate(name)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// PrivateKey is the key of [Certificate] as PEM.
func PrivateKey(name string) []byte {
	_, key := certificate(name)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err) // an ed25519 key can be written
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func certificate(name string) ([]byte, ed25519.PrivateKey) {
	key := ed25519.NewKeyFromSeed([]byte(Noise(name, ed25519.SeedSize)))
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Unix(1.6e9, 0), NotAfter: time.Unix(2.6e9, 0),
	}
	der, err := x509.CreateCertificate(nil, c, c, key.Public(), key)
	if err != nil {
		panic(err) // the template above is a right one
	}
	return der, key
}

// BusyboxNames are the applets of the busybox of the tests.
func BusyboxNames() []string {
	return []string{"[", "[[", "ash", "busybox", "cat", "cp", "echo", "ls", "mv", "rm", "sh", "wget"}
}

func busybox(codename, arch string) archivetest.Package {
	at := map[string]string{"trixie": "usr/bin/busybox", "bookworm": "bin/busybox"}[codename]
	binary := "machine code\x00" + strings.Join(BusyboxNames(), "\x00") + "\x00\x00more code"
	return archivetest.Package{Name: "busybox-static", Source: "busybox", Version: "1:1.37.0-6", Arch: arch, Files: files("busybox-static", "GPL-2",
		archivetest.Exec(at, binary),
		archivetest.Text("usr/share/initramfs-tools/hooks/zz-busybox", "true\n"),
	)}
}

func libraries(codename, arch string) []archivetest.Package {
	gcc, ssl := "gcc-14", "libssl3t64"
	if codename == "bookworm" {
		gcc, ssl = "gcc-12", "libssl3"
	}
	lib := func(name, source, version, depends string, more ...archivetest.File) archivetest.Package {
		return archivetest.Package{Name: name, Source: source, Version: version, Arch: arch, MultiArch: "same", Depends: depends, Files: files(name, "GPL-3", more...)}
	}
	data := func(name string, n int) archivetest.File {
		return archivetest.Text("usr/lib/x/"+name, Noise(name+arch, n))
	}
	return []archivetest.Package{
		lib("libc6", "glibc", "2.41-12", "libgcc-s1", data("libc.so.6", 3<<19)),
		lib("libc-bin", "glibc", "2.41-12", "libc6 (>= 2.41)",
			archivetest.Text("usr/lib/locale/C.utf8/LC_CTYPE", Noise("ctype", 500)), archivetest.Exec("usr/bin/ldd", "#!/bin/bash\n"), archivetest.Text("etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n")),
		lib("libgcc-s1", gcc, "14.2.0-19", gcc+"-base (>= 14.2), libc6", data("libgcc_s.so.1", 2000)),
		lib(gcc+"-base", "", "14.2.0-19", ""),
		lib("libstdc++6", gcc, "14.2.0-19", gcc+"-base, libc6, libgcc-s1", data("libstdc++.so.6", 3000)),
		lib("libgomp1", gcc, "14.2.0-19", gcc+"-base, libc6", data("libgomp.so.1", 2000)),
		lib(ssl, "openssl", "3.5.1-1", "libc6", data("libssl.so.3", 4000)),
	}
}
