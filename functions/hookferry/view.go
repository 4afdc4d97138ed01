package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"hookferry/shared/relay"
)

// A view is how a command shows what it has found: as tables and text for people,
// in colour and fitting the line where that is a terminal, or as lines of JSON for
// programs.
type view struct {
	out      io.Writer
	style    style
	width    int  // of a line; 0: no limit
	terminal bool // a person looks at it
	json     bool
	now      func() time.Time
}

// viewFlags are the flags of a command that shows something.
type viewFlags struct {
	json, watch *bool
}

func addViewFlags(fs *pflag.FlagSet, watch bool) viewFlags {
	f := viewFlags{json: fs.Bool("json", false, "print JSON, an object a line, for programs"), watch: new(bool)}
	if watch {
		f.watch = fs.Bool("watch", false, "show it again every 2 seconds, until Ctrl-C")
	}
	return f
}

func newView(p program, f viewFlags) view {
	return view{
		out: p.out, style: styleOf(p.out, p.lookup), width: columns(p.out, p.lookup, 0),
		terminal: isTerminal(p.out), json: *f.json, now: time.Now,
	}
}

// watchEvery is how often -watch looks.
const watchEvery = 2 * time.Second

// show draws once, or with -watch again and again until ctx ends: on a terminal in
// place, elsewhere what has changed. A look that fails later is said, and tried
// again.
func (v view) show(ctx context.Context, f viewFlags, draw func(v view) error) error {
	if !*f.watch {
		return draw(v)
	}
	last := ""
	for first := true; first || pause(ctx, watchEvery) == nil; first = false {
		var buf bytes.Buffer
		at := v
		at.out = &buf
		err := draw(at)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it was told to stop, and that is why the look failed
		case err != nil && first:
			return err
		case err != nil:
			fmt.Fprintf(&buf, "%s %s\n", v.style.red("✗"), printable(err.Error()))
		}
		switch text := buf.String(); {
		case v.terminal && !v.json:
			fmt.Fprintf(v.out, "\x1b[H\x1b[2J%s\n\n%s", v.style.dim("every 2 s, Ctrl-C ends it; "+v.now().Format(time.TimeOnly)), text)
		case text != last:
			fmt.Fprint(v.out, text)
			last = text
		}
	}
	return nil
}

// line prints an answer of the API as one line of JSON.
func (v view) line(raw json.RawMessage) error {
	text, err := harmlessJSON(raw)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(v.out, "%s\n", text)
	return err
}

// printJSON prints a value as one line of JSON.
func printJSON(w io.Writer, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return view{out: w}.line(raw)
}

// printPretty prints a value as JSON on many lines, for people.
func printPretty(w io.Writer, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	harmless, err := harmlessJSON(raw)
	if err != nil {
		return err
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, harmless, "", "  "); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", &pretty)
	return err
}

// harmlessJSON writes JSON on one line, with every character escaped that could
// steer a terminal: the value is the same, and nothing of it acts.
func harmlessJSON(raw []byte) ([]byte, error) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return nil, fmt.Errorf("the answer is not JSON: %w", err)
	}
	var out bytes.Buffer
	for text := compact.Bytes(); len(text) > 0; {
		r, size := utf8.DecodeRune(text)
		if s := string(text[:size]); r != utf8.RuneError && relay.Printable(s) != s {
			fmt.Fprintf(&out, `\u%04x`, r) // all of them are below U+10000
		} else if r == utf8.RuneError {
			out.WriteString(`\ufffd`)
		} else {
			out.Write(text[:size])
		}
		text = text[size:]
	}
	return out.Bytes(), nil
}

// when writes a time: how long ago on a terminal, whole elsewhere.
func (v view) when(t *time.Time) string {
	switch {
	case t == nil || t.IsZero():
		return "-"
	case !v.terminal:
		return relay.FormatTime(*t)
	}
	if d := v.now().Sub(*t); d >= 0 {
		return rough(d) + " ago"
	}
	return "in " + rough(t.Sub(v.now()))
}

// rough writes a duration with its largest unit.
func rough(d time.Duration) string {
	switch {
	case d < 100*time.Second:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 100*time.Minute:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}

// status colours the word for how something stands.
func (s style) status(word string) string {
	switch word {
	case "delivered", "succeeded", "active", "healthy", "completed", "live":
		return s.green(word)
	case "failed", "rejected", "failing", "revoked", "expired":
		return s.red(word)
	case "pending", "retrying", "skipped", "unmatched", "disabled", "degraded", "running", "draining", "cancelled":
		return s.yellow(word)
	default:
		return word
	}
}

// oneLine makes any text a cell of a table.
func oneLine(s string) string { return relay.Printable(strings.TrimSpace(s)) }

// deref is what a pointer points to, or a dash.
func deref(s *string) string {
	if s == nil || *s == "" {
		return "-"
	}
	return *s
}

// parseWhen reads a time of a flag: a time, a date, or how long ago.
func parseWhen(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef("-%s %q: want a time like 2026-05-11T08:00:00Z, a date like 2026-05-11, or how long ago, like 90m or 24h", flag, text)
}
