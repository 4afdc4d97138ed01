package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"hookferry/shared/relay"
)

// A client calls a running Hookferry's management API.
type client struct {
	base string
	key  relay.Secret
	http *http.Client
}

// A refusal is an answer of the API that is not 2xx.
type refusal struct {
	status                     int
	what, code, message, param string
}

// Error says what was refused and why.
func (r *refusal) Error() string {
	if r.code == "" {
		return fmt.Sprintf("%s: answered %d", r.what, r.status)
	}
	return fmt.Sprintf("%s: %d %s: %s", r.what, r.status, r.code, r.message)
}

// clientFlags are the flags that say which Hookferry and as whom.
type clientFlags struct {
	api, data *string
	key       secretFlag
}

func addClientFlags(fs *pflag.FlagSet) clientFlags {
	return clientFlags{
		api:  fs.String("api", "", "the `URL` of the management API (default: what dev on the same -data wrote, else http://127.0.0.1:8080)"),
		key:  addSecretFlag(fs, "key", "HOOKFERRY_API_KEY", "the API key, before the one in DIR/dev.key"),
		data: fs.String("data", "", "the `DIR` that hookferry dev runs on, for its address and key"),
	}
}

func (f clientFlags) client(p program) (*client, error) {
	key, err := f.key.read(p)
	if err != nil {
		return nil, err
	}
	c := &client{base: "http://127.0.0.1:8080", key: key, http: &http.Client{Timeout: 30 * time.Second}}
	if *f.data != "" {
		if b, err := os.ReadFile(filepath.Join(*f.data, addressFile)); err == nil {
			c.base = strings.TrimSpace(string(b))
		}
	}
	if *f.api != "" {
		c.base = strings.TrimSuffix(*f.api, "/")
	}
	if c.key == "" && *f.data != "" {
		b, err := os.ReadFile(filepath.Join(*f.data, keyFile))
		if err != nil {
			return nil, fmt.Errorf("no API key: %w; start hookferry dev -data %s first, or give -key-file", err, *f.data)
		}
		c.key = relay.Secret(strings.TrimSpace(string(b)))
	}
	if c.key == "" {
		return nil, errors.New("no API key: give -data DIR of a running hookferry dev, or -key-file FILE, or set HOOKFERRY_API_KEY")
	}
	return c, nil
}

// call makes one call of the API. A body of nil sends none; the answer is
// decoded into answer.
func (c *client) call(ctx context.Context, method, path string, body, answer any) error {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, r)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	req.Header.Set("Authorization", "Bearer "+c.key.Reveal())
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("no answer from %s: %w; is hookferry dev running?", c.base, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode/100 != 2 {
		var refused struct {
			Error struct{ Code, Message, Param string }
		}
		said := &refusal{status: resp.StatusCode, what: method + " " + path}
		if json.Unmarshal(b, &refused) == nil {
			said.code, said.message, said.param = refused.Error.Code, refused.Error.Message, refused.Error.Param
		}
		return said
	}
	if err := json.Unmarshal(b, answer); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}
