package api

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"hookferry/shared/relay"
)

// parseQuery reads the query, whose parameters must be among those allowed: a
// misspelt filter must not answer with everything, nor a misspelt dry_run start
// a replay. A parameter without a value is
// refused: what was meant cannot be told.
func (c *call) parseQuery(allowed []string) error {
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return relay.Invalid("", "The query string is malformed.")
	}
	c.query = url.Values{}
	for name, vs := range values {
		shown := relay.Printable(cut(name, 64))
		if !slices.Contains(allowed, name) {
			if len(allowed) == 0 {
				return relay.Invalid(shown, "This call takes no query parameters.")
			}
			return relay.Invalid(shown, "The parameter %q is not known here; these are: %s.", shown, strings.Join(allowed, ", "))
		}
		if len(vs) > 1 {
			return relay.Invalid(name, "%s is given more than once.", name)
		}
		if vs[0] == "" && name != "cursor" { // an empty cursor asks for the first page
			return relay.Invalid(name, "%s has no value: give it one or leave it out.", name)
		}
		c.query[name] = vs
	}
	return nil
}

// A filters reads the filter parameters of a list and keeps them, in their
// parsed form, for the list's cursors.
type filters struct {
	c     *call
	bound url.Values
	err   error
}

func (c *call) filters() *filters { return &filters{c: c, bound: url.Values{}} }

func (f *filters) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}

// text returns a parameter that must please ok, or "".
func (f *filters) text(name, want string, ok func(string) bool) string {
	v := f.c.query.Get(name)
	if v == "" {
		return ""
	}
	if !ok(v) {
		f.fail(relay.Invalid(name, "%s must be %s.", name, want))
		return ""
	}
	f.bound.Set(name, v)
	return v
}

// word returns a parameter that must be one of a few words, or "".
func word[T ~string](f *filters, name string, words ...T) T {
	return T(f.text(name, "one of "+wordList(words), func(v string) bool { return slices.Contains(words, T(v)) }))
}

// several returns a parameter that lists things with commas between, each of which
// must please ok; none if it is not given.
func (f *filters) several(name, want string, ok func(string) bool) []string {
	v := f.text(name, want+", or several with commas", func(v string) bool {
		parts := strings.Split(v, ",")
		return len(parts) <= maxSeveral && !slices.ContainsFunc(parts, func(p string) bool { return !ok(p) })
	})
	if v == "" {
		return nil
	}
	return strings.Split(v, ",")
}

// maxSeveral is how many things a parameter may list.
const maxSeveral = 50

// words returns a parameter that lists some of a few words, each once.
func words[T ~string](f *filters, name string, of ...T) (chosen []T) {
	for _, v := range f.several(name, "one of "+wordList(of), func(v string) bool { return slices.Contains(of, T(v)) }) {
		if !slices.Contains(chosen, T(v)) {
			chosen = append(chosen, T(v))
		}
	}
	return chosen
}

// types returns the event types and prefixes that a list is asked for.
func (f *filters) types() []string {
	return f.several("type", "an event type, like generation.succeeded, or a prefix, like order.*", func(v string) bool {
		return relay.ValidEventType(v) || relay.ValidTypePrefix(v)
	})
}

// period returns the times between which a list is asked for.
func (f *filters) period() (since, until time.Time) {
	since, until = f.instant("since"), f.instant("until")
	if f.err == nil && !since.IsZero() && !until.IsZero() && !since.Before(until) {
		f.fail(relay.Invalid("until", "until must be after since."))
	}
	return since, until
}

// flag returns a parameter that is true or false, or nil.
func (f *filters) flag(name string) *bool {
	v := f.text(name, "true or false", func(v string) bool { return v == "true" || v == "false" })
	if v == "" {
		return nil
	}
	is := v == "true"
	return &is
}

// instant returns a parameter that is a time, or the zero time.
func (f *filters) instant(name string) time.Time {
	v := f.c.query.Get(name)
	if v == "" {
		return time.Time{}
	}
	t, err := parseInstant(name, v)
	if err != nil {
		f.fail(err)
		return time.Time{}
	}
	f.bound.Set(name, relay.FormatTime(t))
	return t
}

// binding is what a cursor of this list, under these filters, is good for.
func (f *filters) binding(list string) string {
	return strings.Join([]string{f.c.account(), list, f.bound.Encode()}, "\x00")
}

// page reads limit and cursor.
func (s *server) page(c *call, binding string) (relay.Page, error) {
	p := relay.Page{Limit: 20}
	if v := c.query.Get("limit"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 100 {
			return p, relay.Invalid("limit", "limit must be a whole number from 1 to 100.")
		}
		p.Limit = n
	}
	if v := c.query.Get("cursor"); v != "" {
		after, err := s.openCursor(binding, v)
		if err != nil {
			return p, err
		}
		p.After = after
	}
	return p, nil
}
