package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"hookferry/shared/relay"
)

// A secretFlag is a secret that a command needs. It comes from a file, from
// standard input, or from the environment. It may still be given as an argument,
// which everybody on the machine can read in the list of processes; so that is
// warned about.
type secretFlag struct {
	name, env string
	arg, file *string
}

// addSecretFlag adds -NAME-file and -NAME; about says what the secret is.
func addSecretFlag(fs *pflag.FlagSet, name, env, about string) secretFlag {
	flag := secretFlag{
		name: name, env: env,
		file: fs.String(name+"-file", "", "`FILE` that holds "+about+"; - is standard input (default: the variable "+env+")"),
		arg:  fs.String(name, "", "the same as an argument, which others on this machine can see: better not"),
	}
	_ = fs.MarkHidden(name) // it works, and nobody is to learn it; the flag is there
	return flag
}

// given reports whether a flag names the secret.
func (f secretFlag) given() bool { return *f.arg != "" || *f.file != "" }

// read returns the secret, or an empty one if none was given.
func (f secretFlag) read(p program) (relay.Secret, error) {
	switch {
	case *f.arg != "" && *f.file != "":
		return "", usagef("-%s and -%s-file: give one of them", f.name, f.name)
	case *f.arg != "":
		fmt.Fprintf(p.err, "hookferry: warning: -%s stands in the list of processes, where others can read it; use -%s-file or %s\n", f.name, f.name, f.env)
		return relay.Secret(*f.arg), nil
	case *f.file == "":
		v, _ := p.lookup(f.env)
		return relay.Secret(strings.TrimSpace(v)), nil
	}
	b, err := readInput(p, *f.file)
	if err != nil {
		return "", fmt.Errorf("-%s-file: %w", f.name, err)
	}
	text := strings.TrimSpace(string(b))
	if text == "" {
		return "", errors.New("-" + f.name + "-file: it is empty")
	}
	return relay.Secret(text), nil
}

// readInput reads a file, or standard input if it is called -; at most 1 MiB. No
// name reads nothing.
func readInput(p program, name string) ([]byte, error) {
	switch name {
	case "":
		return nil, nil
	case "-":
		return io.ReadAll(io.LimitReader(p.in, 1<<20))
	}
	return readBounded(name)
}
