package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"hookferry/shared/audit"
)

func auditCommand(p program) *cobra.Command {
	c := verb("audit URL", "try a receiver with right and wrong calls, and say what to mend", `Try a receiver of deliveries: send it right calls and wrong, stale, repeated,
re-encoded, oversized, truncated and unsigned ones, and say which of them it
wrongly took or wrongly refused, and what to change. Every call is a webhook.test
event. The exit code is 1 if the receiver did something wrong. The endpoint's
signing secret stands in HOOKFERRY_SECRET or in a file.`,
		"hookferry audit http://localhost:3000/hook",
		"hookferry audit -secret-file secret.txt -standard https://example.com/hook")
	c.Args = argument("URL", "http://localhost:3000/hook")
	fs := c.Flags()
	secretOf := addSecretFlag(fs, "secret", "HOOKFERRY_SECRET", "the endpoint's signing secret, which the receiver knows")
	standard := fs.Bool("standard", false, "sign as Standard Webhooks says, instead of Rivya's way")
	prefix := fs.String("prefix", "Rivya", "header `prefix` of the deployment")
	timeout := fs.Duration("timeout", 10*time.Second, "how long one call may take")
	asJSON := fs.Bool("json", false, "print the report as JSON")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		secret, err := secretOf.read(p)
		if err != nil {
			return err
		}
		if secret == "" {
			return usagef("no signing secret: put it in HOOKFERRY_SECRET, or in a file that -secret-file names")
		}
		return runAudit(cmd.Context(), p, *asJSON, audit.Config{URL: args[0], Secret: secret, Standard: *standard, Prefix: *prefix, Timeout: *timeout})
	}
	return c
}

// runAudit tries a receiver with calls that it must take and calls that it must
// refuse. It fails if the receiver did otherwise with one of them.
func runAudit(ctx context.Context, p program, asJSON bool, cfg audit.Config) error {
	report, err := audit.Run(ctx, cfg)
	if err != nil {
		return err
	}
	if asJSON {
		if err := printPretty(p.out, report); err != nil {
			return err
		}
	} else {
		printAudit(p.out, report)
	}
	if n := report.Failed(); n > 0 {
		return fmt.Errorf("%d of %d calls went wrong", n, len(report.Results))
	}
	return nil
}

func printAudit(w io.Writer, report audit.Report) {
	if report.Framework != "" {
		fmt.Fprintf(w, "The receiver looks like %s.\n\n", report.Framework)
	}
	for _, r := range report.Results {
		mark, got := "ok  ", fmt.Sprint(r.Status)
		if !r.OK {
			mark = "FAIL"
		}
		if r.Status == 0 {
			got = printable(r.Error)
		}
		fmt.Fprintf(w, "%s  %-16s %-6s  %-3s  %s\n", mark, r.Name, r.Want, got, r.What)
		if r.Advice != "" {
			fmt.Fprintf(w, "      → %s\n", r.Advice)
		}
	}
	if report.Failed() == 0 {
		fmt.Fprintf(w, "\nAll %d calls went as they must: the receiver is sound.\n", len(report.Results))
	}
}
