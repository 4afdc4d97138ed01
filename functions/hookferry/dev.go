package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hookferry/shared/config"
	"hookferry/shared/console"
	"hookferry/shared/disk"
	"hookferry/shared/relay"
	"hookferry/shared/seal"
)

// devAccount is the name of the account that dev makes.
const devAccount = "dev"

func devCommand(p program) *cobra.Command {
	c := withSettings(verb("dev", "run the relay on this machine, to try it; prints a ready API key", `Run the relay on this machine, to try it.

When it is ready it prints one line of JSON with its address, an API key that has
every scope, and a link that opens the console signed in with it. Events may go
to plain http and private addresses, unless ALLOW_PRIVATE_DESTINATIONS is false.
Logs go to standard error.`,
		"hookferry dev -data .hookferry", "RETRY_SCHEDULE=0s,2s,5s hookferry dev -data .hookferry"))
	flags := c.Flags()
	addr := flags.String("addr", "127.0.0.1:8080", "loopback `address` to answer on; port 0: any free one")
	data := flags.String("data", "", "`DIR` to keep everything in (default: a temporary one, removed at the end)")
	kind := flags.String("backend", "sqlite", "sqlite, or aws: DynamoDB and SQS where the SDK's variables point")
	c.RunE = func(cmd *cobra.Command, _ []string) error { return runDev(cmd.Context(), p, *addr, *data, *kind) }
	return c
}

// runDev runs the relay for trying it out: private destinations and plain http
// are allowed, and a key with every scope is ready. It keeps everything in dir, or
// in a temporary folder if that is empty.
func runDev(ctx context.Context, p program, addr, dir, kind string) error {
	cfg, err := config.LoadDev(p.lookup)
	if err != nil {
		return err
	}
	if dir == "" {
		if dir, err = os.MkdirTemp("", "hookferry-dev-"); err != nil {
			return fmt.Errorf("temporary data folder: %w", err)
		}
		defer os.RemoveAll(dir)
	}
	keys, err := openKeyring(dir)
	if err != nil {
		return err
	}
	ln, err := listenLoopback(ctx, addr)
	if err != nil {
		return err
	}
	defer ln.Close()
	logger, audit := newLogger(p, cfg.LogLevel)
	var b backend
	switch kind {
	case "sqlite":
		b, err = openData(ctx, dir, cfg.Retention, true)
	case "aws":
		b, err = makeAWS(ctx, "hookferry-dev", cfg.Shards, cfg.Retention)
	default:
		return usagef("-backend %q: want sqlite or aws", kind)
	}
	if err != nil {
		return err
	}
	account, key, err := devKey(ctx, b.store, filepath.Join(dir, keyFile))
	if err != nil {
		return errors.Join(err, b.close())
	}
	if cfg.PublicURL == "" {
		cfg.PublicURL = baseURL(ln)
	}
	saySettings(p, cfg, logger)
	return newNode(cfg, b, keys, logger, audit).run(ctx, ln, func() error {
		if err := disk.Replace(filepath.Join(dir, addressFile), []byte(baseURL(ln)+"\n")); err != nil {
			return err
		}
		return json.NewEncoder(p.out).Encode(struct {
			Ready   bool   `json:"ready"`
			API     string `json:"api"`
			Account string `json:"account"`
			APIKey  string `json:"api_key"`
			Console string `json:"console"`
		}{true, baseURL(ln), account, key.Reveal(), console.Link(baseURL(ln), key)})
	})
}

// devKey returns the key that the last start left in path if it still works,
// else makes one and leaves it there.
func devKey(ctx context.Context, store relay.Store, path string) (account string, key relay.Secret, err error) {
	b, err := readBounded(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", "", err
	}
	if key = relay.Secret(strings.TrimSpace(string(b))); key != "" {
		have, err := store.KeyByHash(ctx, relay.HashSecret(key))
		if err == nil && have.Check(time.Now()) == nil {
			return have.Account, key, nil
		}
		if err != nil && !errors.Is(err, relay.ErrNotFound) {
			return "", "", err
		}
	}
	acct, err := ensureAccount(ctx, store, devAccount)
	if err != nil {
		return "", "", err
	}
	_, key, err = newKey(ctx, store, acct.ID, "hookferry dev", relay.Scopes(), 0)
	if err != nil {
		return "", "", err
	}
	return acct.ID, key, disk.Replace(path, []byte(key.Reveal()+"\n"))
}

func serveCommand(p program) *cobra.Command {
	c := withSettings(verb("serve", "run the relay on this machine, for production on one node", `Run the relay on this machine, for production on one node.

PUBLIC_URL must say where providers reach it; put a TLS-terminating proxy in
front. Events go to public https addresses only. Make the first key with
hookferry keys create -data DIR -account NAME.`,
		"PUBLIC_URL=https://hooks.example.com hookferry serve -data /var/lib/hookferry"))
	flags := c.Flags()
	addr := flags.String("addr", "127.0.0.1:8080", "`address` to answer on")
	data := flags.String("data", "", "`DIR` to keep everything in; required")
	metricsAddr := flags.String("metrics", "", "`address` to show metrics on, as Prometheus reads them, like 127.0.0.1:9090 (default: nowhere)")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		return runServe(cmd.Context(), p, *addr, *data, *metricsAddr)
	}
	return c
}

// runServe runs the relay for production on one node.
func runServe(ctx context.Context, p program, addr, data, metricsAddr string) error {
	cfg, err := config.Load(p.lookup)
	if err == nil {
		err = cfg.Require("PUBLIC_URL")
	}
	if err != nil {
		return err
	}
	if data == "" {
		return usagef("serve needs -data DIR: the folder that keeps everything")
	}
	if !strings.HasPrefix(cfg.PublicURL, "https://") {
		return fmt.Errorf("PUBLIC_URL: %s is not https: providers would send their secrets in the clear; put a proxy that terminates TLS in front and give its URL", cfg.PublicURL)
	}
	if err := checkPrivate(data); err != nil {
		return err
	}
	keys, err := openKeyring(data)
	if err != nil {
		return err
	}
	logger, audit := newLogger(p, cfg.LogLevel)
	b, err := openData(ctx, data, cfg.Retention, true)
	if err != nil {
		return err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return errors.Join(err, b.close())
	}
	shown, err := startMetrics(ctx, metricsAddr, b)
	if err != nil {
		return errors.Join(err, ln.Close(), b.close())
	}
	defer shown.close()
	saySettings(p, cfg, logger)
	return newMeasuredNode(cfg, b, keys, logger, audit, shown).run(ctx, ln, func() error {
		logger.Info("ready", "address", baseURL(ln), "public_url", cfg.PublicURL, "metrics", shown.address())
		return nil
	})
}

// openSealed opens what the commands that handle sealed secrets need.
func openSealed(dir string) (*seal.Keyring, error) {
	if dir == "" {
		return nil, errors.New("say where: -data DIR")
	}
	return openKeyring(dir)
}

// saySettings logs what is in force, and what was perhaps meant to be.
func saySettings(p program, cfg config.Config, logger *slog.Logger) {
	logger.Info("settings", "version", thisBuild().String(), "effective", strings.Join(cfg.Effective, " "))
	if p.environ == nil {
		return
	}
	for _, sentence := range config.Unknown(p.environ()) {
		logger.Warn(sentence)
	}
}
