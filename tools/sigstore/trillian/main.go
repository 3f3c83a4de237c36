// Trillian serves a Trillian that keeps its trees in memory, for the Rekor of
// version 1 that the end-to-end tests run.
//
// Trillian's own programs, a server and a signer, meet in a database server,
// which would have to be installed and set up for each run, and drag the
// clients of five databases, etcd and Kubernetes into the build. What a log
// says of its entries is the same here: only the storage differs, and it is
// Trillian's own, made for tests. It does not notice an entry that it has.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/google/trillian"
	"github.com/google/trillian/extension"
	"github.com/google/trillian/log"
	"github.com/google/trillian/quota"
	"github.com/google/trillian/server"
	"github.com/google/trillian/server/admin"
	"github.com/google/trillian/server/interceptor"
	"github.com/google/trillian/storage/memory"
	"github.com/google/trillian/util/clock"
	"github.com/google/trillian/util/election2"
	"google.golang.org/grpc"
	"k8s.io/klog/v2"
)

func main() {
	address := flag.String("address", "127.0.0.1:8090", "host and port to listen on")
	interval := flag.Duration("interval", 50*time.Millisecond, "time between looks for new entries")
	flag.Parse()
	// Each look that finds nothing is a warning of the storage. Errors go to
	// standard error all the same.
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := serve(ctx, *address, *interval)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serve answers as Trillian's log server does, and puts entries into trees as
// its signer does, until ctx ends.
func serve(ctx context.Context, address string, interval time.Duration) error {
	trees := memory.NewTreeStorage()
	registry := extension.Registry{
		AdminStorage: memory.NewAdminStorage(trees), LogStorage: memory.NewLogStorage(trees, nil),
		QuotaManager: quota.Noop(), ElectionFactory: election2.NoopFactory{},
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	// Without it clients get errors that they do not know.
	s := grpc.NewServer(grpc.UnaryInterceptor(interceptor.ErrorWrapper))
	trillian.RegisterTrillianAdminServer(s, admin.New(registry, nil))
	trillian.RegisterTrillianLogServer(s, server.NewTrillianLogRPCServer(registry, clock.System))
	signer := log.NewOperationManager(log.OperationInfo{
		Registry: registry, BatchSize: 100, NumWorkers: 1, RunInterval: interval, TimeSource: clock.System,
	}, log.NewSequencerManager(registry, 0))
	go signer.OperationLoop(ctx)
	context.AfterFunc(ctx, s.Stop)
	return s.Serve(listener)
}
