package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"hookferry/shared/client"
	"hookferry/shared/relay"
	"hookferry/shared/signature"
	"hookferry/shared/sqlite"
)

// reset begins a run and starts its destination; secret signs what arrives.
func (l *load) reset(ctx context.Context, addr string) (url string, stop func(), err error) {
	l.began, l.took = make([]time.Time, l.Events), make([]atomic.Int64, l.Events)
	l.left = make(chan struct{})
	for _, n := range []*atomic.Int64{&l.arrived, &l.repeats, &l.answered, &l.last} {
		n.Store(0)
	}
	ln, err := listenLoopback(ctx, addr)
	if err != nil {
		return "", nil, err
	}
	srv := &http.Server{Handler: l, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = srv.Serve(ln) }() // the run sees that nothing arrives
	return baseURL(ln) + "/", func() { srv.Close() }, nil
}

// throughRelay runs the load through hookferry dev.
func (l *load) throughRelay(ctx context.Context, p program) (m measured, err error) {
	dir, err := os.MkdirTemp(l.dir, "hookferry-bench-")
	if err != nil {
		return m, fmt.Errorf("temporary data folder: %w", err)
	}
	defer os.RemoveAll(dir)
	url, stop, err := l.reset(ctx, "127.0.0.1:0")
	if err != nil {
		return m, err
	}
	defer stop()
	level, ok := p.lookup("LOG_LEVEL")
	if !ok {
		level = "warn"
	}
	proc, err := startSelf(ctx, []string{"LOG_LEVEL=" + level, "ALLOW_PRIVATE_DESTINATIONS=true", "HEADER_PREFIX=Rivya"},
		"dev", "-addr", "127.0.0.1:0", "-data", dir)
	if err != nil {
		return m, err
	}
	defer proc.kill()
	c, err := client.New(proc.API, relay.Secret(proc.Key))
	if err != nil {
		return m, err
	}
	ep, _, err := c.CreateEndpoint(ctx, client.Change{"name": "hookferry bench", "url": url, "event_types": []string{"*"}})
	if err != nil {
		return m, err
	}
	l.secret = relay.Secret(ep.SigningSecret)
	call, err := l.ingest(ctx, c, relay.Secret(proc.Key))
	if err != nil {
		return m, err
	}
	if m, err = l.run(ctx, p, call); err != nil {
		return m, err
	}
	if err := l.used(proc, &m); err != nil {
		return m, err
	}
	return m, l.recorded(ctx, dir, proc.Account)
}

// throughBare runs the load through the program that only signs and forwards.
func (l *load) throughBare(ctx context.Context, p program) (m measured, err error) {
	url, stop, err := l.reset(ctx, "127.0.0.1:0")
	if err != nil {
		return m, err
	}
	defer stop()
	l.secret, l.scheme = relay.NewSigningSecret(), "rivya"
	proc, err := startSelf(ctx, nil, bareName, "-to", url, "-secret", l.secret.Reveal())
	if err != nil {
		return m, err
	}
	defer proc.kill()
	call := l.published(proc.API, "")
	if m, err = l.run(ctx, p, call); err != nil {
		return m, err
	}
	return m, l.used(proc, &m)
}

// used stops the process and adds what it has used.
func (l *load) used(proc *self, m *measured) error {
	state, err := proc.stop()
	if err != nil {
		return err
	}
	m.CPU = (state.UserTime() + state.SystemTime()).Seconds() / float64(l.Events) * 1000
	m.Memory = peakMemory(state)
	m.Repeats = int(l.repeats.Load())
	return nil
}

// recorded looks whether the data folder has each event as delivered.
func (l *load) recorded(ctx context.Context, dir, account string) (err error) {
	db, err := sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(dir, databaseFile), Now: time.Now})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	delivered := 0
	page := relay.Page{Limit: 100}
	for {
		evs, next, err := db.Events(ctx, account, relay.EventFilter{Statuses: []relay.EventStatus{relay.EventDelivered}}, page)
		if err != nil {
			return err
		}
		if delivered += len(evs); next == "" {
			break
		}
		page.After = next
	}
	if delivered != l.Events {
		return fmt.Errorf("%d of %d events are on record as delivered", delivered, l.Events)
	}
	return nil
}

// A self is this program in a process of its own.
type self struct {
	cmd     *exec.Cmd
	said    *bytes.Buffer // on standard error, for an error
	API     string        `json:"api"`
	Account string        `json:"account"`
	Key     string        `json:"api_key"`
}

// startSelf starts this program and waits for the line that says it is ready.
func startSelf(ctx context.Context, env []string, args ...string) (*self, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("this program's file: %w", err)
	}
	s := &self{cmd: exec.CommandContext(ctx, exe, args...), said: new(bytes.Buffer)}
	s.cmd.Env = append(os.Environ(), env...)
	s.cmd.Stderr = &bounded{w: s.said, left: 64 << 10}
	s.cmd.WaitDelay = 5 * time.Second
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	line, err := bufio.NewReader(io.LimitReader(out, 64<<10)).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, s)
	}
	if err != nil {
		s.kill()
		return nil, fmt.Errorf("%s did not get ready: %w\n%s", args[0], err, s.said)
	}
	return s, nil
}

// kill ends it if it still runs.
func (s *self) kill() {
	if s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
}

// stop asks it to end, and waits.
func (s *self) stop() (*os.ProcessState, error) {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return nil, fmt.Errorf("stop: %w", err)
	}
	limit := time.AfterFunc(30*time.Second, func() { _ = s.cmd.Process.Kill() })
	defer limit.Stop()
	if err := s.cmd.Wait(); err != nil {
		return nil, fmt.Errorf("it ended badly: %w\n%s", err, s.said)
	}
	return s.cmd.ProcessState, nil
}

// bounded keeps the first bytes that are written to it, and takes the others.
type bounded struct {
	w    io.Writer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	n := min(len(p), b.left)
	b.left -= n
	if _, err := b.w.Write(p[:n]); err != nil {
		return 0, err
	}
	return len(p), nil
}

// bareName is the command that is for bench alone, and in no list of commands.
const bareName = "bench-bare"

func bareCommand(p program) *cobra.Command {
	c := verb(bareName, "sign and forward, for hookferry bench", "")
	c.Hidden = true
	to := c.Flags().String("to", "", "`URL` to forward to")
	secret := c.Flags().String("secret", "", "signing secret")
	c.RunE = func(cmd *cobra.Command, _ []string) error { return runBare(cmd.Context(), p, *to, *secret) }
	return c
}

// runBare signs and forwards each call's body, and answers what the destination
// did: the least that any relay does.
func runBare(ctx context.Context, p program, to, secret string) error {
	sender := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: maxConcurrency}}
	forward := func(r *http.Request, w http.ResponseWriter) error {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, relay.MaxPayload))
		if err != nil {
			return err
		}
		now := time.Now().Unix()
		sum, err := signature.SignRivya(now, body, relay.Secret(secret))
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, to, bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header["Content-Type"] = []string{"application/json"}
		req.Header["Rivya-Webhook-Timestamp"] = []string{strconv.FormatInt(now, 10)}
		req.Header["Rivya-Webhook-Signature"] = []string{sum}
		resp, err := sender.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 16<<10)); err != nil {
			return err
		}
		w.WriteHeader(resp.StatusCode)
		return nil
	}
	srv := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := forward(r, w); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	})}
	ln, err := listenLoopback(ctx, "127.0.0.1:0")
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	fmt.Fprintf(p.out, "{\"api\":%q}\n", baseURL(ln))
	select {
	case <-ctx.Done():
	case err := <-failed:
		return err
	}
	return srv.Close()
}
