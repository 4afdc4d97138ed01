// Command hookferry runs the relay in one process, and is the hand with which a
// person works on any relay: it shows events, deliveries and endpoints, makes
// first keys, puts dead letters back, and has the two ends of a try-out, a
// receiver that checks signatures and a sender of signed sample calls.
//
// Each verb has a file of its own; cli.go puts them together.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"hookferry/shared/client"
)

// A program is what a command may touch of the process it runs in.
type program struct {
	in     io.Reader // where a secret can come from
	out    io.Writer // results, for people and pipes
	err    io.Writer // progress and logs
	lookup func(string) (string, bool)
	// environ lists the environment, to find settings that are misspelt.
	environ func() []string
}

// The exit codes.
const (
	exitFailed   = 1   // it did not work
	exitUsage    = 2   // the command line says something that means nothing
	exitNotFound = 3   // the relay has no such thing
	exitDenied   = 4   // the relay does not take the key, or not for this
	exitSignal   = 130 // told twice to stop
)

func main() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-signals
		stop() // cleanly
		<-signals
		os.Exit(exitSignal)
	}()
	p := program{in: os.Stdin, out: os.Stdout, err: os.Stderr, lookup: os.LookupEnv, environ: os.Environ}
	if code := run(ctx, p, os.Args[1:]); code != 0 {
		os.Exit(code)
	}
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, p program, args []string) int {
	root := newRoot(p)
	root.SetArgs(longFlags(root, args))
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(p.err, "hookferry:", printable(err.Error()))
	return exitCode(err)
}

func exitCode(err error) int {
	var usage usageError
	var refused *client.Error
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &refused) && refused.Status == 404:
		return exitNotFound
	case errors.As(err, &refused) && (refused.Status == 401 || refused.Status == 403):
		return exitDenied
	default:
		return exitFailed
	}
}
