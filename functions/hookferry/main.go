// Command hookferry runs the relay in one process and does an operator's work
// on it: first keys, dead letters, overdue deliveries, sealed secrets; and it
// has the two ends of a try-out, a receiver that checks signatures and a sender
// of signed sample calls.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"hookferry/shared/config"
)

// A command is one word after hookferry. run parses its own flags. One without
// a summary is for this program itself.
type command struct {
	name, args, summary string
	run                 func(ctx context.Context, p program, args []string) error
}

// A program is what a command may touch of the process it runs in.
type program struct {
	out    io.Writer // results, for people and pipes
	err    io.Writer // progress and logs
	lookup func(string) (string, bool)
	// environ lists the environment, to find settings that are misspelt.
	environ func() []string
}

var commands = []command{
	{"try", "", "see a relay at work, start to end, in a few seconds; needs nothing", runTry},
	{"dev", "", "run the relay on this machine, to try it; prints a ready API key", runDev},
	{"serve", "", "run the relay on this machine, for production on one node", runServe},
	{"listen", "", "receive deliveries, print each one and whether its signature is right", runListen},
	{"send", "rivya|sivi", "send a sample call as the provider would", runSend},
	{"audit", "URL", "try a receiver with right and wrong calls, and say what to mend", runAudit},
	{"keys", "create|list|revoke", "make, list and revoke API keys", runKeys},
	{"dead", "list|show|redrive|drop", "look at dead letters, put them back or drop them", runDead},
	{"repair", "", "send again every delivery whose next attempt is overdue", runRepair},
	{"reseal", "", "seal every stored secret under the newest key", runReseal},
	{"bench", "", "measure the relay on this machine", runBench},
	{bareCommand, "", "", runBare},
}

// exitSignal is the exit code of a process that was told twice to stop.
const exitSignal = 130

// errUsage means that the message has been printed and the exit code is 2.
var errUsage = errors.New("usage")

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
	p := program{out: os.Stdout, err: os.Stderr, lookup: os.LookupEnv, environ: os.Environ}
	switch err := run(ctx, p, os.Args[1:]); {
	case err == nil:
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(2)
	default:
		fmt.Fprintln(p.err, "hookferry:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, p program, args []string) error {
	if len(args) == 0 {
		usage(p.err)
		return errUsage
	}
	switch args[0] {
	case "-h", "-help", "--help", "help":
		usage(p.out)
		return nil
	}
	for _, c := range commands {
		if c.name == args[0] {
			return c.run(ctx, p, args[1:])
		}
	}
	fmt.Fprintf(p.err, "hookferry: there is no command %q\n\n", args[0])
	usage(p.err)
	return errUsage
}

func usage(w io.Writer) {
	fmt.Fprint(w, "Hookferry receives webhooks, makes them durable, and delivers each one, signed, to every endpoint.\n\nUsage: hookferry COMMAND [flags]\n\n")
	for _, c := range commands {
		if c.summary == "" {
			continue
		}
		fmt.Fprintf(w, "  %-30s %s\n", c.name+" "+c.args, c.summary)
	}
	fmt.Fprint(w, `
hookferry COMMAND -h explains a command.

To see it work: hookferry try. To try it yourself, in three terminals:
  hookferry dev -data .hookferry
  hookferry listen -data .hookferry
  hookferry send rivya -data .hookferry
`)
}

// newFlags returns a flag set that explains itself with about and, on a mistake,
// says what to do.
func newFlags(p program, name, about string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(p.err)
	fs.Usage = func() {
		fmt.Fprintf(fs.Output(), "%s\n\nUsage: hookferry %s [flags]\n\n", about, name)
		fs.PrintDefaults()
	}
	return fs
}

// settings adds the environment variables to what -h says.
func settings(fs *flag.FlagSet) {
	flags := fs.Usage
	fs.Usage = func() {
		flags()
		fmt.Fprint(fs.Output(), "\nSettings, from the environment:\n\n")
		_ = config.WriteHelp(fs.Output()) // the same place as the flags
	}
}

// parse reads the flags and refuses what is left over.
func parse(fs *flag.FlagSet, args []string) error {
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if fs.NArg() > 0 {
		fmt.Fprintf(fs.Output(), "hookferry %s: %q is not expected here; hookferry %s -h explains the flags\n", fs.Name(), fs.Arg(0), fs.Name())
		return errUsage
	}
	return nil
}

// pick takes the first argument, which must be one of the words.
func pick(p program, name string, args []string, words ...string) (string, []string, error) {
	if len(args) > 0 {
		for _, w := range words {
			if args[0] == w {
				return w, args[1:], nil
			}
		}
	}
	fmt.Fprintf(p.err, "hookferry %s: say one of %v, like: hookferry %s %s -h\n", name, words, name, words[0])
	if len(args) > 0 && (args[0] == "-h" || args[0] == "--help" || args[0] == "-help") {
		return "", nil, flag.ErrHelp
	}
	return "", nil, errUsage
}
