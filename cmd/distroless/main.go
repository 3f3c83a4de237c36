// Command distroless turns Debian packages into minimal, reproducible OCI
// images. This folder holds what belongs to a command line and nothing else:
// flags, environment, clock, terminal, exit codes. The work is in
// internal/build.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// rarely is how far the heap grows, in percent, before it is collected: most
// commands end before a few megabytes are worth it.
const rarely = 400

// saveMemory collects at half the usual growth: the heap of a build is mostly
// files' bytes, which stay until they are written.
func saveMemory() { debug.SetGCPercent(50) }

// spendMemory is for all else, and for what follows a build.
func spendMemory() { debug.SetGCPercent(rarely) }

func main() { os.Exit(mainCode()) }

// memoryGoal is the heap in bytes from which the collector works harder: what
// the largest image of the catalogue needs, and not a limit.
const memoryGoal = 300 << 20

// mainCode runs the command with the process's own surroundings. An interrupt
// ends the work in order, so that temporary files are removed; a second one
// ends the process at once.
func mainCode() int {
	spendMemory()
	debug.SetMemoryLimit(memoryGoal)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return run(ctx, os.Args[1:], surroundings{
		environ: os.LookupEnv, stdout: os.Stdout, stderr: os.Stderr,
		terminal: isTerminal(os.Stderr), machine: os.DirFS("/"),
	})
}
