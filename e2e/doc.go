// Package e2e holds the tests of whole images: built by the program itself
// from Debian's archive, run in podman, held against other tools.
//
// All but [TestImports] need root, the network, and the tools that .ci/run
// installs, and run with DISTROLESS_E2E=1 only. They build the program once,
// and write nothing outside a temporary folder: podman gets a storage and a
// containers.conf of its own. DISTROLESS_E2E_CACHE names a folder in which
// downloads are kept from one run to the next.
//
// Start reading at main_test.go, which says what tests share; image_test.go
// is the main one.
package e2e
