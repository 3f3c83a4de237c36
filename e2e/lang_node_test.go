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
	dist := langImages(t, "node", "nodejs20", testdata(t, "lang-builders/node-builder.yaml"), "--distro", "debian13")
	langImages(t, "node", "nodejs18", "--distro", "debian12")
	langImages(t, "node", "nodejs12", "--distro", "debian11")
	newest := filepath.Join(dist, "nodejs20-debian13")
	dir := langDir(t)
	langRun(t, filepath.Join(dist, "node-builder-debian13"), "latest", mount(dir, "/job"), mount(testdata(t, "lang-node"), "/source:ro"),
		"--entrypoint=/usr/bin/g++", "--", "-shared", "-fPIC", "-Wall", "-I/usr/include/nodejs/src", "-o", "/job/addon.node", "/source/addon.cc")
	probe := mount(testdata(t, "lang-node/probe.js"), "/probe.js:ro")
	for _, c := range []struct{ version, distro, variant string }{
		{"20", "debian13", "latest"}, {"20", "debian13", "nonroot"}, {"20", "debian13", "debug"}, {"18", "debian12", "latest"}, {"12", "debian11", "nonroot"},
	} {
		t.Run(c.version+"/"+c.variant, func(t *testing.T) {
			// The addon is of Node-API, the same for all versions, but its C
			// library is that of debian13.
			args := []string{probe, mount(dir, "/job:ro"), "--", "/probe.js", c.version}
			if c.distro == "debian13" {
				args = append(args, "/job/addon.node")
			}
			allWell(t, langRun(t, filepath.Join(dist, "nodejs"+c.version+"-"+c.distro), c.variant, args...))
		})
	}
	t.Run("other path", func(t *testing.T) {
		if out := langRun(t, newest, "latest", "--entrypoint=/nodejs/bin/node", "--", "-p", "6*7"); out != "42\n" {
			t.Errorf("/nodejs/bin/node says %q", out)
		}
	})
	t.Run("express", func(t *testing.T) {
		app := langDir(t)
		tool(t, app, "npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "express@4")
		allWell(t, langRun(t, newest, "nonroot", mount(app, "/app:ro"), mount(testdata(t, "lang-node/express.js"), "/app.js:ro"), "--env=NODE_PATH=/app/node_modules", "--", "/app.js"))
	})
}
