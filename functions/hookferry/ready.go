package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

func readyCommand(p program) *cobra.Command {
	c := verb("ready", "ask a relay on this machine whether it can work", `Ask a relay on this machine whether it can work: it exits with 0 if so. It is for
the health check of a container, where there is no curl.`, "hookferry ready", "hookferry ready -addr 127.0.0.1:9000")
	addr := c.Flags().String("addr", "127.0.0.1:8080", "`address` that the relay answers on")
	c.RunE = func(cmd *cobra.Command, _ []string) error { return runReady(cmd.Context(), p, *addr) }
	return c
}

func runReady(ctx context.Context, p program, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
	if err != nil {
		return usagef("-addr %q: want HOST:PORT, like 127.0.0.1:8080", addr)
	}
	resp, err := (&http.Client{Transport: &http.Transport{}}).Do(req)
	if err != nil {
		return fmt.Errorf("no answer from %s", addr)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return fmt.Errorf("the answer of %s broke off: %w", addr, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %d: %s", addr, resp.StatusCode, bytes.TrimSpace(said))
	}
	_, err = fmt.Fprintln(p.out, "ready")
	return err
}
