//go:build cdk

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// recorded are lines as Lambda, our functions and the gateway write them, by what
// they are about.
var recorded = map[string]string{
	"a function out of time": `{"time":"2026-05-11T00:01:00.000Z","type":"platform.report","record":{"requestId":"8d1c","metrics":{"durationMs":60000.0,"billedDurationMs":60000,"memorySizeMB":512,"maxMemoryUsedMB":40},"status":"timeout"}}`,
	"a crash":                `{"time":"2026-05-11T00:01:00.000Z","type":"platform.report","record":{"requestId":"8d1c","metrics":{"durationMs":12.0},"status":"error","errorType":"Runtime.ExitError"}}`,
	"an error of ours":       `{"time":"2026-05-11T00:01:00.000Z","level":"ERROR","msg":"message failed","error":"put event evt_1: throttled","kind":"event"}`,
	"a returned error":       `{"errorMessage":"list overdue deliveries: throttled","errorType":"wrapError"}`,
	"a walk":                 `{"time":"2026-05-11T00:01:00.000Z","level":"WARN","msg":"repair","duration_ms":12.5,"overdue":3,"repair_walks":1}`,
	"a busy receiver":        `{"time":"2026-05-11T00:01:00.000Z","level":"INFO","msg":"receive","status":503,"reason":"busy","rejected":1}`,
	"a success":              `{"time":"2026-05-11T00:01:00.000Z","level":"INFO","msg":"dispatch","delivered":10}`,
	"a throttled call":       `{"routeKey":"POST /in/{source}/{token}","status":"429","error":"THROTTLED","ip":"203.0.113.7"}`,
	"an unanswered call":     `{"routeKey":"POST /in/{source}","status":"503","error":"INTEGRATION_FAILURE","integrationStatus":"-"}`,
	"a receiver's 503":       `{"routeKey":"POST /in/{source}","status":"503","error":"-","integrationStatus":"200"}`,
	"an accepted call":       `{"routeKey":"POST /in/{source}","status":"200","error":"-","integrationStatus":"200"}`,
	"a management 429":       `{"routeKey":"ANY /api/v1/{proxy+}","status":"429","error":"THROTTLED"}`,
}

// finds lists what each filter of the runbook is for, by a part of its command,
// and what it must leave out.
var finds = []struct {
	command string
	yes, no []string
}{
	{"/dispatcher --since 1h", []string{"a function out of time", "a crash", "an error of ours", "a returned error"}, []string{"a success"}},
	{"/receiver --since 1h", []string{"a function out of time", "a crash", "an error of ours"}, []string{"a busy receiver", "a success"}},
	{"/api --since 1h", []string{"a function out of time", "a crash", "an error of ours"}, []string{"a success"}},
	{"/repair --since 30m --filter-pattern '{ $.msg", []string{"a walk"}, []string{"a success"}},
	{"/repair --since 30m --filter-pattern '{ $.level", []string{"a walk", "a function out of time", "a returned error"}, []string{"a success"}},
	{"/receiver --since 15m", []string{"an error of ours", "a busy receiver"}, []string{"a success"}},
	{`/access --since 15m --filter-pattern '{ $.routeKey`, []string{"a throttled call", "an unanswered call", "a receiver's 503"}, []string{"an accepted call", "a management 429"}},
	{`/access --since 15m --filter-pattern '{ $.status`, []string{"an unanswered call", "a receiver's 503"}, []string{"an accepted call"}},
}

func TestEachFilterOfTheRunbookFindsWhatItIsFor(t *testing.T) {
	b, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile(`(?m)^aws logs tail (\S+.*) --filter-pattern '([^']+)'$`).FindAllStringSubmatch(string(b), -1)
	if len(commands) != len(finds) {
		t.Errorf("%d commands, and %d are tried", len(commands), len(finds))
	}
	for _, f := range finds {
		seen := false
		for _, c := range commands {
			if !strings.Contains(c[0], f.command) {
				continue
			}
			seen = true
			for _, name := range f.yes {
				if !matches(t, c[2], recorded[name]) {
					t.Errorf("%s does not find %s", c[2], name)
				}
			}
			for _, name := range f.no {
				if matches(t, c[2], recorded[name]) {
					t.Errorf("%s finds %s", c[2], name)
				}
			}
		}
		if !seen {
			t.Errorf("the runbook has no command %s", f.command)
		}
	}
	for name, want := range map[string]bool{"a throttled call": true, "an unanswered call": true, "a receiver's 503": false, "an accepted call": false, "a management 429": false} {
		if got := matches(t, refusedPattern, recorded[name]); got != want {
			t.Errorf("the metric counts %s: %t, want %t", name, got, want)
		}
	}
}

// matches evaluates a filter pattern of CloudWatch Logs for JSON lines, as far as
// we use it: comparisons of one field with a quoted text, in which * stands for
// anything, joined by && and ||, with parentheses.
func matches(t *testing.T, pattern, line string) bool {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal([]byte(line), &fields); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	p := filterParser{t: t, fields: fields, tokens: regexp.MustCompile(`\(|\)|&&|\|\||!=|=|\$[.\w]+|"[^"]*"`).FindAllString(strings.Trim(pattern, "{} "), -1)}
	v := p.or()
	if len(p.tokens) > 0 {
		t.Fatalf("%s: %v is left over", pattern, p.tokens)
	}
	return v
}

type filterParser struct {
	t      *testing.T
	fields map[string]any
	tokens []string
}

func (p *filterParser) take() string {
	if len(p.tokens) == 0 {
		p.t.Fatal("the pattern ends too early")
	}
	next := p.tokens[0]
	p.tokens = p.tokens[1:]
	return next
}

func (p *filterParser) or() bool {
	v := p.and()
	for len(p.tokens) > 0 && p.tokens[0] == "||" {
		p.take()
		right := p.and()
		v = v || right
	}
	return v
}

func (p *filterParser) and() bool {
	v := p.term()
	for len(p.tokens) > 0 && p.tokens[0] == "&&" {
		p.take()
		right := p.term()
		v = v && right
	}
	return v
}

func (p *filterParser) term() bool {
	field := p.take()
	if field == "(" {
		v := p.or()
		if p.take() != ")" {
			p.t.Fatal("a parenthesis is not closed")
		}
		return v
	}
	operator, want := p.take(), strings.Trim(p.take(), `"`)
	value := at(p.fields, strings.TrimPrefix(field, "$."))
	if value == nil {
		return false // a field that is not there matches nothing
	}
	text, ok := value.(string)
	if f, number := value.(float64); number {
		text, ok = strconv.FormatFloat(f, 'f', -1, 64), true
	}
	equal := ok && regexp.MustCompile(`^`+strings.ReplaceAll(regexp.QuoteMeta(want), `\*`, `.*`)+`$`).MatchString(text)
	return equal == (operator == "=")
}

func TestThePreflightSaysWhatTheAccountCannotGive(t *testing.T) {
	dir := t.TempDir()
	for name, raw := range map[string][]byte{"defaults": synthDefaultsRaw(t), "full": synthFull.raw} {
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		template, limit string
		fails           bool
		says            string
	}{
		{"defaults", "1000", false, "70 dispatchers and 0 reserved of 1000"},
		{"defaults", "10", true, "together are 70"}, // a new account
		{"full", "1000", false, "600 dispatchers and 250 reserved of 1000"},
		{"full", "300", true, "can reserve 200"},
	} {
		out, err := exec.Command("node", "preflight.mjs", filepath.Join(dir, c.template), c.limit).CombinedOutput()
		if (err != nil) != c.fails || !strings.Contains(string(out), c.says) {
			t.Errorf("%s of %s: %v %s", c.template, c.limit, err, out)
		}
	}
}
