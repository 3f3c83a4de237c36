package e2e

import (
	"path/filepath"
	"testing"

	"distroless/internal/testenv"
)

// TestNode runs programs in the images of Node.js, a native addon and an
// application of Express among them. If it fails, applications in JavaScript
// do not start.
func TestNode(t *testing.T) {
	testenv.E2E(t)
	dist := langImages(t, "node", "nodejs", "nodejs20", "nodejs22", "nodejs26", testdata(t, "lang-builders/node-builder.yaml"), "--distro", "debian13")
	langImages(t, "node", "nodejs18", "nodejs24", "--distro", "debian12", "--variant", "latest")
	langImages(t, "node", "nodejs12", "--distro", "debian11", "--variant", "nonroot")
	dir := langDir(t)
	langRun(t, filepath.Join(dist, "node-builder-debian13"), "latest", mount(dir, "/job"), mount(testdata(t, "lang-node"), "/source:ro"),
		"--entrypoint=/usr/bin/g++", "--", "-shared", "-fPIC", "-Wall", "-I/usr/include/nodejs/src", "-o", "/job/addon.node", "/source/addon.cc")
	probe := mount(testdata(t, "lang-node/probe.js"), "/probe.js:ro")
	for _, c := range []struct{ image, version, distro, variant string }{
		{"nodejs20", "20", "debian13", "latest"}, {"nodejs20", "20", "debian13", "nonroot"}, {"nodejs20", "20", "debian13", "debug"},
		{"nodejs18", "18", "debian12", "latest"}, {"nodejs12", "12", "debian11", "nonroot"},
		{"nodejs22", "22", "debian13", "latest"}, {"nodejs", "24", "debian13", "nonroot"}, {"nodejs24", "24", "debian12", "latest"}, {"nodejs26", "26", "debian13", "debug"},
	} {
		t.Run(c.image+"/"+c.variant, func(t *testing.T) {
			// The addon is of Node-API, the same for all versions, but its C
			// library is that of debian13.
			args := []string{probe, mount(dir, "/job:ro"), "--", "/probe.js", c.version}
			if c.distro == "debian13" {
				args = append(args, "/job/addon.node")
			}
			allWell(t, langRun(t, filepath.Join(dist, c.image+"-"+c.distro), c.variant, args...))
		})
	}
	t.Run("other path", func(t *testing.T) {
		for image, path := range map[string]string{"nodejs20": "/nodejs/bin/node", "nodejs": "/usr/bin/node"} {
			if out := langRun(t, filepath.Join(dist, image+"-debian13"), "latest", "--entrypoint="+path, "--", "-p", "6*7"); out != "42\n" {
				t.Errorf("%s of %s says %q", path, image, out)
			}
		}
	})
	app := langDir(t)
	tool(t, app, "npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "express@4")
	for _, image := range []string{"nodejs20", "nodejs"} {
		t.Run("express/"+image, func(t *testing.T) {
			allWell(t, langRun(t, filepath.Join(dist, image+"-debian13"), "nonroot", mount(app, "/app:ro"), mount(testdata(t, "lang-node/express.js"), "/app.js:ro"), "--env=NODE_PATH=/app/node_modules", "--", "/app.js"))
		})
	}
}
