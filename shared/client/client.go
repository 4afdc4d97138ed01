// Package client calls a relay's management API, here or anywhere, with an API
// key. It has a method for each call that a person makes from a terminal, and
// types that decode what is answered; what is answered byte for byte is kept
// beside them, for programs.
//
// It is written by hand. A generator was tried on the OpenAPI document and made
// 18,000 lines, with a union type for each list of event types, to be made again
// at each change of the document. Instead document_test.go holds every call and
// every field here to the document.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"hookferry/shared/relay"
)

// maxAnswer is the largest answer that is read: a page of a hundred items is far
// below it.
const maxAnswer = 16 << 20

// A Client calls the API at one address as one key. It is safe for concurrent use.
type Client struct {
	base string
	key  relay.Secret
	http *http.Client
}

// New returns a client of the API at base, a URL without a path or with the prefix
// that a proxy puts before /api/v1. It is an error to send a key in the clear to
// another machine. No redirect is followed: it would take the key along.
func New(base string, key relay.Secret) (*Client, error) {
	u, err := url.Parse(strings.TrimRight(base, "/"))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q is not the URL of an API, like https://hooks.example.com or http://127.0.0.1:8080", base)
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return nil, fmt.Errorf("%s would get the API key in the clear: use https", u.Host)
	}
	if strings.ContainsAny(key.Reveal(), "\r\n\t ") {
		return nil, errors.New("the API key has blanks in it")
	}
	return &Client{base: u.String(), key: key, http: &http.Client{
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Base is the URL that the client calls.
func (c *Client) Base() string { return c.base }

// An Error is an answer that is not 2xx.
type Error struct {
	Call      string // method and path
	Status    int
	Code      string // as in the contract; empty if something else than a relay answered
	Message   string
	Param     string // the field or parameter that is wrong, or empty
	RequestID string
}

// Error says what was refused and why.
func (e *Error) Error() string {
	if e.Code == "" {
		return fmt.Sprintf("%s: answered %d %s", e.Call, e.Status, strings.ToLower(http.StatusText(e.Status)))
	}
	s := fmt.Sprintf("%s: %d %s: %s", e.Call, e.Status, e.Code, e.Message)
	if e.Param != "" && !strings.Contains(e.Message, e.Param) {
		s += " (" + e.Param + ")"
	}
	return s
}

// An operation is a call of the document: its method, and its path with names in
// braces.
type operation struct{ method, path string }

// fill puts values in the place of the names of the path, in order.
func (o operation) fill(values []string) string {
	path := o.path
	for _, v := range values {
		from, to := strings.Index(path, "{"), strings.Index(path, "}")
		path = path[:from] + url.PathEscape(v) + path[to+1:]
	}
	return path
}

// call makes one call. A body of nil sends none. The answer is decoded into
// answer, unless that is nil, and returned as it came.
func (c *Client) call(ctx context.Context, op operation, ids []string, query url.Values, body, answer any) (json.RawMessage, error) {
	path := op.fill(ids)
	said := op.method + " " + path
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", said, err)
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, op.method, c.base+path, r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", said, err)
	}
	req.Header.Set("Authorization", "Bearer "+c.key.Reveal())
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var cause *url.Error
		if errors.As(err, &cause) {
			err = cause.Err // the URL is in the sentence already
		}
		return nil, fmt.Errorf("no answer from %s: %w", c.base, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", said, err)
	}
	if len(raw) > maxAnswer {
		return nil, fmt.Errorf("%s: the answer is over %d MiB", said, maxAnswer>>20)
	}
	if resp.StatusCode/100 != 2 {
		return nil, refusal(said, resp, raw)
	}
	if answer != nil {
		if err := json.Unmarshal(raw, answer); err != nil {
			return nil, fmt.Errorf("%s: the answer is not that of a relay: %w", said, err)
		}
	}
	return raw, nil
}

func refusal(call string, resp *http.Response, raw []byte) error {
	e := &Error{Call: call, Status: resp.StatusCode, RequestID: resp.Header.Get("X-Request-Id")}
	var body struct {
		Error struct{ Code, Message, Param string }
	}
	if json.Unmarshal(raw, &body) == nil {
		e.Code, e.Message, e.Param = body.Error.Code, body.Error.Message, body.Error.Param
	}
	return e
}

// A Page is one page of a list, the newest first. Raw are the items as they came.
type Page[T any] struct {
	Items []T
	Raw   []json.RawMessage
	// Next is the cursor of the page after, or empty.
	Next string
}

// list reads one page.
func list[T any](ctx context.Context, c *Client, op operation, ids []string, query url.Values, limit int, cursor string) (Page[T], error) {
	if query == nil {
		query = url.Values{}
	}
	if limit > 0 {
		query.Set("limit", fmt.Sprint(limit))
	}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	var body struct {
		Data       []json.RawMessage `json:"data"`
		NextCursor *string           `json:"next_cursor"`
	}
	if _, err := c.call(ctx, op, ids, query, nil, &body); err != nil {
		return Page[T]{}, err
	}
	page := Page[T]{Items: make([]T, len(body.Data)), Raw: body.Data}
	for i, raw := range body.Data {
		if err := json.Unmarshal(raw, &page.Items[i]); err != nil {
			return Page[T]{}, fmt.Errorf("%s %s: the answer is not that of a relay: %w", op.method, op.path, err)
		}
	}
	if body.NextCursor != nil {
		page.Next = *body.NextCursor
	}
	return page, nil
}

// Collect reads pages until most items have come or there are no more, and reports
// whether there are more. Read is asked for a page of at most limit after cursor.
func Collect[T any](most int, read func(limit int, cursor string) (Page[T], error)) (all Page[T], more bool, err error) {
	for {
		page, err := read(min(most-len(all.Items), 100), all.Next)
		if err != nil {
			return all, false, err
		}
		all.Items, all.Raw, all.Next = append(all.Items, page.Items...), append(all.Raw, page.Raw...), page.Next
		if page.Next == "" || len(all.Items) >= most {
			return all, page.Next != "", nil
		}
	}
}

// set puts a parameter into a query unless it says nothing.
func set(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

// setTime does the same for a time.
func setTime(q url.Values, name string, t time.Time) {
	if !t.IsZero() {
		q.Set(name, relay.FormatTime(t))
	}
}
