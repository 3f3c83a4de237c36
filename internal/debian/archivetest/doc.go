// Package archivetest makes Debian archives for tests: .deb files from a few
// fields and files, and a signed apt repository of them, main and security,
// served on loopback, with faults to switch on.
//
//	r := archivetest.New(t, archivetest.Options{})
//	r.Add("trixie", archivetest.Package{Name: "libx1", Version: "1.0-1",
//		Files: []archivetest.File{archivetest.Text("usr/share/doc/libx1/copyright", "free")}})
//	r.Add("trixie-security", archivetest.Package{Name: "libx1", Version: "1.0-1+deb13u1"})
//	suite := r.Suite("trixie") // an archive.Suite: addresses and keyring
//
// Start reading at [New]; [Package] says what a .deb can be made of,
// [Repo.Fault] what can go wrong on the way.
//
// It is imported by tests only, and needs no tool and no network.
package archivetest
