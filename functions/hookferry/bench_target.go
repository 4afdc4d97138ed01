package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"hookferry/shared/relay"
)

// A benchTarget is another system that the same load is put on: one that takes
// events by an HTTP call and delivers them to the address that -listen names.
type benchTarget struct {
	URL      string   `json:"target,omitempty"` // empty: hookferry itself
	listen   string   // where deliveries come
	headers  []string // of the call, "Name: value"
	template string   // file of the call's body
	scheme   string   // of the deliveries' signatures
	pids     []int    // what its CPU time is taken of
	key      secretFlag
	secret   secretFlag
}

// defaultHeaders are sent unless -header has one of the same name.
var defaultHeaders = []string{"Authorization: Bearer {{key}}", "Content-Type: application/json"}

// defaultTemplate is the body of a call of hookferry's own.
const defaultTemplate = `{"type":"order.paid","data":{{data}}}`

func (t *benchTarget) flags(fs *pflag.FlagSet) {
	fs.StringVar(&t.URL, "target", "", "`URL` of another system's publish call, to put the same load on it")
	fs.StringVar(&t.listen, "listen", "127.0.0.1:9999", "-target: loopback `address` that the other system delivers to, set up there before")
	fs.StringArrayVar(&t.headers, "header", nil, "-target: a `header` of the call, like 'X-Api-Key: {{key}}'; {{key}} is the key, {{id}} a new id; may be\n"+
		"repeated (default: "+strings.Join(defaultHeaders, ", ")+")")
	fs.StringVar(&t.template, "template", "", "-target: `FILE` with the call's body; {{data}} is the event's data, a JSON object, {{id}} the id\n(default: "+defaultTemplate+")")
	fs.StringVar(&t.scheme, "scheme", "rivya", "-target: how deliveries are signed: rivya, standard, none")
	fs.IntSliceVar(&t.pids, "pid", nil, "-target: a `process` of the other system, its stores' too, whose CPU time counts; may be repeated")
	t.key = addSecretFlag(fs, "key", "HOOKFERRY_BENCH_KEY", "the key of the other system")
	t.secret = addSecretFlag(fs, "secret", "HOOKFERRY_BENCH_SECRET", "the signing secret of its deliveries")
}

func (t *benchTarget) check() error {
	if t.URL == "" {
		return nil
	}
	if u, err := url.Parse(t.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("-target: want an http or https URL, not %q", t.URL)
	}
	if t.scheme != "rivya" && t.scheme != "standard" && t.scheme != "none" {
		return errors.New("-scheme: want rivya, standard or none")
	}
	for _, h := range t.headers {
		if name, _, ok := strings.Cut(h, ":"); !ok || strings.TrimSpace(name) == "" {
			return fmt.Errorf("-header: want Name: value, not %q", h)
		}
	}
	return nil
}

// throughTarget runs the load through the other system, which must know where to
// deliver already. That it arrives, and is signed right, is all that can be told.
func (l *load) throughTarget(ctx context.Context, p program) (m measured, err error) {
	t := l.target
	key, err := t.key.read(p)
	if err != nil {
		return m, err
	}
	if l.secret, err = t.secret.read(p); err != nil {
		return m, err
	}
	if l.scheme = t.scheme; l.scheme != "none" && l.secret == "" {
		return m, usagef("-secret-file FILE: the signing secret of the deliveries; or -scheme none, which checks no signature")
	}
	body := defaultTemplate
	if t.template != "" {
		b, err := readBounded(t.template)
		if err != nil {
			return m, fmt.Errorf("-template: %w", err)
		}
		body = string(b)
	}
	if !strings.Contains(body, "{{data}}") {
		return m, usagef("-template: {{data}} must stand in it")
	}
	_, stop, err := l.reset(ctx, t.listen)
	if err != nil {
		return m, err
	}
	defer stop()
	before, err := cpuOf(t.pids)
	if err != nil {
		return m, err
	}
	if m, err = l.run(ctx, p, l.templated(key, body)); err != nil {
		return m, err
	}
	after, err := cpuOf(t.pids)
	if err != nil {
		return m, err
	}
	m.CPU = (after - before).Seconds() / float64(l.Events) * 1000
	m.Repeats = int(l.repeats.Load())
	return m, nil
}

// templated makes calls as a template says.
func (l *load) templated(key relay.Secret, template string) caller {
	before, after, _ := strings.Cut(template, "{{data}}")
	run := strings.TrimPrefix(relay.NewID(relay.EventPrefix, time.Now()), relay.EventPrefix)
	return func(ctx context.Context, _ *http.Client, i int) (*http.Request, error) {
		id := run + "-" + strconv.Itoa(i)
		fill := strings.NewReplacer("{{id}}", id, "{{key}}", key.Reveal())
		var body bytes.Buffer
		body.WriteString(strings.ReplaceAll(before, "{{id}}", id))
		body.Write(l.data(i))
		body.WriteString(strings.ReplaceAll(after, "{{id}}", id))
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.target.URL, &body)
		if err != nil {
			return nil, err
		}
		for _, h := range slices.Concat(defaultHeaders, l.target.headers) {
			name, value, _ := strings.Cut(h, ":")
			req.Header.Set(strings.TrimSpace(name), fill.Replace(strings.TrimSpace(value)))
		}
		return req, nil
	}
}

// cpuOf returns the CPU time that processes have used so far, user and system.
func cpuOf(pids []int) (sum time.Duration, err error) {
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, fmt.Errorf("-pid %d: its CPU time cannot be read here: %w", pid, err)
		}
		// The name, in parentheses, may hold anything; behind it the 12th and 13th are
		// user and system time in hundredths of a second.
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if len(fields) < 13 {
			return 0, fmt.Errorf("-pid %d: its CPU time cannot be read here", pid)
		}
		for _, f := range fields[11:13] {
			ticks, err := strconv.ParseInt(f, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("-pid %d: %w", pid, err)
			}
			sum += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return sum, nil
}
