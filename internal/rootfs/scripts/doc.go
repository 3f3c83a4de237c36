// Package scripts accounts for the maintainer scripts of packages without
// running any of them: it says what a fresh installation in an image would do.
//
// preinst, config and postinst count, and triggers; prerm and postrm never,
// because nothing is removed from an image. A script is parsed as shell and
// evaluated statically for a first installation: "$1" is configure (install
// for preinst), "$2" is empty, no service manager runs, and the only files are
// those of the packages. Branches that cannot be taken then are left out. Each
// command that remains is known to do nothing that an image keeps, or is an
// [Effect] that the caller has to bring about, or is not understood.
//
// Nothing is guessed: one command that is not understood makes its script
// unknown, and then a [Pin], a digest of the script's text with the effect or
// the reason why there is none, is the only way to account for it.
//
// It is not for applying effects, nor for reading packages or definitions; it
// touches no file. Start reading at [Account]; walk.go has the evaluation,
// commands.go what each command means.
package scripts
