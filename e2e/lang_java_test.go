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
				sharesClasses(t, langRun(t, layout, "latest", sharing()...))
			} else {
				makeShared(t, layout)
			}
			out := langRun(t, layout, "debug", "--entrypoint=/usr/bin/jcmd", "--", "-l")
			if !strings.Contains(out, "JCmd") {
				t.Errorf("jcmd -l says %q", out)
			}
			langRun(t, layout, "debug", "--entrypoint=/usr/bin/jstack", "--", "-h")
		})
	}
}

// sharing are arguments for langRun with which Java ends unless it has an archive
// of shared classes that fits it, and says where it takes each class from.
func sharing() []string {
	return []string{"--entrypoint=/usr/bin/java", "--", "-Xshare:on", "-Xlog:class+load", "-version"}
}

// sharesClasses fails unless Java has said that it took classes from an archive.
func sharesClasses(t *testing.T, out string) {
	t.Helper()
	shared := strings.Count(out, "source: shared objects file")
	if !strings.Contains(out, "java.lang.Object source: shared objects file") || shared < 300 {
		t.Errorf("%d classes come from the archive of shared classes; Java says\n%.2000s", shared, out)
	}
}

// makeShared does what docs/guide.md says of an image whose package has no
// archive of shared classes: Java makes one as an image is built on it. The
// image itself must start without.
func makeShared(t *testing.T, layout string) {
	t.Helper()
	out := langRun(t, layout, "latest", "--entrypoint=/usr/bin/java", "--", "-Xlog:class+load", "-version")
	if !strings.Contains(out, "java.lang.Object source: jrt:/java.base") {
		t.Errorf("without an archive Java says\n%.2000s", out)
	}
	dir := t.TempDir()
	file := "FROM oci:" + layout + ":latest\nRUN [\"/usr/bin/java\", \"-Xshare:dump\"]\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	const name = "localhost/shared-classes:latest"
	podman(t, all.dir, "build", "-q", "-t", name, dir)
	args := sharing()
	sharesClasses(t, podman(t, all.dir, append([]string{"run", "--rm", args[0], name}, args[2:]...)...))
}

// TestJavaEmulated runs Java for another architecture.
func TestJavaEmulated(t *testing.T) {
	testenv.E2E(t)
	runs(t, "arm64")
	dist := langImages(t, "java-arm64", "java21", "--arch", "arm64", "--variant", "latest")
	out := langRun(t, filepath.Join(dist, "java21-debian13"), "latest-arm64", mount(helloJar(t), "/job"), "--", "/job/hello.jar")
	if out != "hello from aarch64\n" {
		t.Errorf("Java says %q", out)
	}
	sharesClasses(t, langRun(t, filepath.Join(dist, "java21-debian13"), "latest-arm64", sharing()...))
}

// helloJar makes a folder with hello.jar, which says what it runs on, and runs it
// on this machine.
func helloJar(t *testing.T) string {
	t.Helper()
	layout := filepath.Join(langImages(t, "java", "java21", "--variant", "latest", "--variant", "nonroot", "--variant", "debug"), "java21-debian13")
	dir := langDir(t)
	makeJar(t, layout, dir, "debug")
	langRun(t, layout, "latest", mount(dir, "/job"), "--entrypoint=/usr/bin/jexec", "--", "/job/hello.jar")
	return dir
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
