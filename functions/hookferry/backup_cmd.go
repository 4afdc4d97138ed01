package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

func backupCommand(p program) *cobra.Command {
	c, plan, asJSON := backupVerb("backup", "copy the database of a data folder, also while a relay runs on it", backupAbout,
		"the keyring is copied to", "hookferry backup /backups/monday.db -data DIR")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		plan.file = args[0]
		done, err := plan.backup(cmd.Context())
		if err != nil {
			return err
		}
		return done.print(p, plan.dir, *asJSON)
	}
	return c
}

func restoreCommand(p program) *cobra.Command {
	c, plan, asJSON := backupVerb("restore", "make a data folder, or replace its database, from a backup", restoreAbout,
		"has the keyring (default: the one in the data folder)", "hookferry restore /backups/monday.db -data DIR -keyring /safe/keyring.json")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		plan.file = args[0]
		aside, err := plan.restore(cmd.Context())
		if err != nil {
			return errors.Join(err, plan.sayAside(p, aside))
		}
		return plan.printRestored(p, aside, *asJSON)
	}
	return c
}

// backupVerb returns a command that takes the file of a backup and a data folder.
func backupVerb(name, short, long, keyring, example string) (c *cobra.Command, plan *backupPlan, asJSON *bool) {
	c, plan = verb(name+" FILE", short, long, example), &backupPlan{}
	c.Args = argument("file of the backup", "/backups/monday.db -data DIR")
	flags := c.Flags()
	flags.StringVar(&plan.dir, "data", "", "data folder `DIR` of serve or dev")
	flags.StringVar(&plan.keyring, "keyring", "", "`FILE` that "+keyring)
	flags.BoolVar(&plan.force, "force", false, "replace what is there")
	return c, plan, flags.Bool("json", false, "print one line of JSON")
}

// print says what was backed up, and what was not.
func (b backedUp) print(p program, dir string, asJSON bool) error {
	if asJSON {
		return printJSON(p.out, b)
	}
	fmt.Fprintf(p.out, "%s: %.1f MB, complete up to %s\n", b.File, float64(b.Bytes)/1e6, b.UpTo)
	if b.Keyring != "" {
		fmt.Fprintf(p.out, "%s: the keyring; keep it apart from the backup\n", b.Keyring)
		return nil
	}
	fmt.Fprintf(p.out, "not in it: %s/%s, without which the secrets in it cannot be opened; keep a copy of it apart (-keyring FILE)\n", dir, keyringFile)
	return nil
}

func (b backupPlan) printRestored(p program, aside []string, asJSON bool) error {
	if asJSON {
		return printJSON(p.out, struct {
			Data  string   `json:"data"`
			Aside []string `json:"moved_aside"`
		}{b.dir, append([]string{}, aside...)})
	}
	fmt.Fprintf(p.out, "%s is restored from %s\n", b.dir, b.file)
	return b.sayAside(p, aside)
}

func (b backupPlan) sayAside(p program, aside []string) error {
	for _, name := range aside {
		if _, err := fmt.Fprintf(p.out, "moved aside: %s\n", name); err != nil {
			return err
		}
	}
	return nil
}
