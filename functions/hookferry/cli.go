package main

import (
	"errors"
	"fmt"
	"strings"

	"hookferry/shared/config"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The groups of commands, in the order in which help shows them.
var groups = []*cobra.Group{
	{ID: "try", Title: "To try it:"},
	{ID: "run", Title: "To run a relay:"},
	{ID: "use", Title: "To use a relay, here or anywhere, through its API:"},
	{ID: "operate", Title: "To operate one, on its data folder or table:"},
}

// newRoot puts the commands together. A new verb is one line here and one file.
func newRoot(p program) *cobra.Command {
	cobra.EnableCommandSorting = false // the order below says what comes first
	root := &cobra.Command{
		Use:  "hookferry",
		Long: "Hookferry receives webhooks, makes them durable, and delivers each one,\nsigned, to every endpoint.",
		Example: `hookferry try
hookferry dev -data .hookferry
hookferry events show evt_…`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,
		RunE:          oneOf,

		SuggestionsMinimumDistance: 2,
	}
	root.SetOut(p.out)
	root.SetErr(p.err)
	root.SetFlagErrorFunc(flagError)
	root.SetHelpFunc(func(c *cobra.Command, _ []string) { writeHelp(p, c) })
	root.AddGroup(groups...)
	in := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	in("try", tryCommand(p), devCommand(p), listenCommand(p), sendCommand(p), auditCommand(p))
	in("run", serveCommand(p), readyCommand(p), benchCommand(p))
	in("use", eventsCommand(p), deliveriesCommand(p), endpointsCommand(p), sourcesCommand(p), replaysCommand(p))
	in("operate", accountsCommand(p), keysCommand(p), deadCommand(p), repairCommand(p), resealCommand(p), backupCommand(p), restoreCommand(p))
	root.AddCommand(bareCommand(p), keeperCommand(p), versionCommand(p))
	root.SetHelpCommandGroupID("try")
	return root
}

// verb returns a command that takes no arguments but flags. Long is what -h says
// of it; its first line should stand for itself.
func verb(name, short, long string, examples ...string) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Long: long, Example: strings.Join(examples, "\n"),
		Args: noArguments, DisableFlagsInUseLine: true,
	}
}

// family returns a command that only holds others: keys create, keys list.
func family(name, short, long string, members ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: name, Short: short, Long: long, Args: cobra.ArbitraryArgs, RunE: oneOf, SuggestionsMinimumDistance: 2}
	c.AddCommand(members...)
	return c
}

// A usageError is a mistake in the command line.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// oneOf is what a command does that only holds others: it says which there are.
func oneOf(c *cobra.Command, args []string) error {
	var names []string
	for _, sub := range c.Commands() {
		if !sub.Hidden && sub.Name() != "help" {
			names = append(names, sub.Name())
		}
	}
	switch {
	case len(args) > 0 && len(c.SuggestionsFor(args[0])) > 0:
		return usagef("there is no command %q; is %s meant?", c.CommandPath()+" "+args[0], strings.Join(c.SuggestionsFor(args[0]), " or "))
	case len(args) > 0 && c.HasParent():
		return usagef("there is no command %q; say one of: %s", c.CommandPath()+" "+args[0], strings.Join(names, ", "))
	case len(args) > 0:
		return usagef("there is no command %q; hookferry -h lists them", args[0])
	case c.HasParent():
		return usagef("%s: say one of: %s; like: %s %s -h", c.CommandPath(), strings.Join(names, ", "), c.CommandPath(), names[0])
	default:
		_ = c.Help()
		return usagef("say what to do; hookferry try is a good first command")
	}
}

// noArguments refuses what is left over after the flags.
func noArguments(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s: %q is not expected here; %[1]s -h explains the flags", c.CommandPath(), args[0])
	}
	return nil
}

// argument returns a check that there is exactly one argument: what it is called
// in the message, and one as an example.
func argument(what, example string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == 1 && args[0] != "" {
			return nil
		}
		said := fmt.Sprintf("%s: want one %s, like: %[1]s %s", c.CommandPath(), what, example)
		if len(args) > 1 {
			return usagef("%s; %q is one more", said, args[1])
		}
		return usagef("%s", said)
	}
}

// flagError says what is wrong with a flag, and what to type instead.
func flagError(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var missing *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return err
	case errors.As(err, &unknown):
		name := unknown.GetSpecifiedName()
		if near := nearestFlag(c, name); near != "" {
			return usagef("%s has no flag -%s; is -%s meant?", c.CommandPath(), name, near)
		}
		return usagef("%s has no flag -%s; %[1]s -h lists those that it has", c.CommandPath(), name)
	case errors.As(err, &missing):
		return usagef("-%s needs a value, like: -%[1]s %s", missing.GetSpecifiedName(), valueName(missing.GetFlag()))
	case errors.As(err, &invalid):
		return usagef("-%s: %q is not a %s", invalid.GetFlag().Name, invalid.GetValue(), typeName(invalid.GetFlag()))
	default:
		return usageError{err}
	}
}

// nearestFlag returns the flag of c that a mistyped name is closest to, if one is
// close.
func nearestFlag(c *cobra.Command, name string) string {
	best, least := "", 3
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if d := config.Distance(f.Name, name); !f.Hidden && d < least && d < len(f.Name) {
			best, least = f.Name, d
		}
	})
	return best
}

func typeName(f *pflag.Flag) string {
	switch f.Value.Type() {
	case "int":
		return "whole number"
	case "bool":
		return "yes or no: say true or false"
	case "duration":
		return "duration, like 30s, 5m or 2h"
	default:
		return f.Value.Type()
	}
}

// longFlags lets every flag be written with one dash, as in -data DIR, or with
// two; pflag alone would read -data as the flags -d, -a, -t and -a. What stands
// where a flag's value stands is left as it is.
func longFlags(root *cobra.Command, args []string) []string {
	if len(args) > 0 && strings.HasPrefix(args[0], "__complete") {
		return args // a shell asks, and writes flags with two
	}
	c, out := root, make([]string, 0, len(args))
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "--" {
			return append(out, args[i:]...)
		}
		if len(a) < 2 || a[0] != '-' {
			if i == len(out) { // only words so far
				for _, sub := range c.Commands() {
					if sub.Name() == a {
						c = sub
						break
					}
				}
			}
			out = append(out, a)
			continue
		}
		name, value, given := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(a, "-"), "-"), "=")
		if name == "h" || name == "help" {
			out = append(out, "--help")
			continue
		}
		if given {
			name += "=" + value
		}
		out = append(out, "--"+name)
		f := c.Flags().Lookup(name)
		if f == nil {
			f = c.PersistentFlags().Lookup(name)
		}
		if f != nil && f.NoOptDefVal == "" && i+1 < len(args) {
			i++
			out = append(out, args[i])
		}
	}
	return out
}
