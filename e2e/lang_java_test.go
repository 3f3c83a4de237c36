package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"distroless/internal/testenv"
)

// javas are the images of Java: version, distro, and whether Debian ships an
// archive of shared classes (openjdk-11's maintainer script makes it).
func javas() []struct {
	version, distro string
	shared          bool
} {
	return []struct {
		version, distro string
		shared          bool
	}{
		{"21", "debian13", true}, {"25", "debian13", true}, {"17", "debian12", true}, {"17", "debian11", true}, {"11", "debian11", false},
	}
}

// TestJava compiles a program with the tools of each debug image, and runs it
// as a jar by the default entrypoint. If it fails, programs in Java miss a
// library, a font, an authority or a helper.
func TestJava(t *testing.T) {
	testenv.E2E(t)
	for _, j := range javas() {
		t.Run(j.version+"/"+j.distro, func(t *testing.T) {
			dist := langImages(t, "java", "java"+j.version, "--distro", j.distro, "--variant", "latest", "--variant", "nonroot", "--variant", "debug")
			layout := filepath.Join(dist, "java"+j.version+"-"+j.distro)
			dir := langDir(t)
			work := mount(dir, "/job")
			makeJar(t, layout, dir, "debug")
			langRun(t, layout, "latest", work, "--entrypoint=/usr/bin/keytool", "--", "-genkeypair", "-alias", "key", "-keyalg", "EC",
				"-dname", "CN=localhost", "-ext", "san=ip:127.0.0.1", "-storepass", "changeit", "-keypass", "changeit", "-keystore", "/job/keys")
			chmod(t, filepath.Join(dir, "keys"), 0o644)
			variant := "latest"
			if j.version == "21" {
				variant = "nonroot"
			}
			allWell(t, langRun(t, layout, variant, work, "--", "/job/probe.jar", j.version, "/job/keys"))
			if j.shared {
				langRun(t, layout, "latest", "--entrypoint=/usr/bin/java", "--", "-Xshare:on", "-version")
			}
			out := langRun(t, layout, "debug", "--entrypoint=/usr/bin/jcmd", "--", "-l")
			if !strings.Contains(out, "JCmd") {
				t.Errorf("jcmd -l says %q", out)
			}
			langRun(t, layout, "debug", "--entrypoint=/usr/bin/jstack", "--", "-h")
		})
	}
}

// TestJavaEmulated runs Java for another architecture.
func TestJavaEmulated(t *testing.T) {
	testenv.E2E(t)
	runs(t, "arm64")
	native := langImages(t, "java", "java21", "--variant", "latest", "--variant", "nonroot", "--variant", "debug")
	dist := langImages(t, "java-arm64", "java21", "--arch", "arm64", "--variant", "latest")
	dir := langDir(t)
	makeJar(t, filepath.Join(native, "java21-debian13"), dir, "debug")
	langRun(t, filepath.Join(native, "java21-debian13"), "latest", mount(dir, "/job"), "--entrypoint=/usr/bin/jexec", "--", "/job/hello.jar")
	out := langRun(t, filepath.Join(dist, "java21-debian13"), "latest-arm64", mount(dir, "/job"), "--", "/job/hello.jar")
	if out != "hello from aarch64\n" {
		t.Errorf("Java says %q", out)
	}
}

// makeJar compiles the test's programs into probe.jar and hello.jar in dir.
func makeJar(t *testing.T, layout, dir, tag string) {
	t.Helper()
	files := map[string]string{
		"probe.txt": "Main-Class: Probe\n", "hello.txt": "Main-Class: Hello\n",
		"Hello.java": `class Hello { public static void main(String[] a) { System.out.println("hello from " + System.getProperty("os.arch")); } }`,
	}
	source, err := os.ReadFile(testdata(t, "lang-java/Probe.java"))
	if err != nil {
		t.Fatal(err)
	}
	files["Probe.java"] = string(source)
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	work := []string{mount(dir, "/job"), "--workdir=/job"}
	langRun(t, layout, tag, append(work, "--entrypoint=/usr/bin/javac", "--", "-encoding", "UTF-8", "-d", "classes", "Probe.java", "Hello.java")...)
	for _, name := range []string{"probe", "hello"} {
		langRun(t, layout, tag, append(work, "--entrypoint=/usr/bin/jar", "--", "cfm", name+".jar", name+".txt", "-C", "classes", ".")...)
	}
}

func chmod(t *testing.T, file string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(file, mode); err != nil {
		t.Fatal(err)
	}
}
