package egress

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"time"
)

// Why the exchange is our own and not net/http's Transport: that one puts a
// request on any kept connection and takes whatever is read next for its answer,
// also what the server had written before; and it repeats a request on one dead
// connection after the other, as many as it has kept. Both are right for a
// browser. Here the first would put down as delivered what nobody took, and the
// second would make calls that no record shows.

var (
	errHeaderSize = fmt.Errorf("the answer's header is over %d bytes", MaxHeaderBytes)
	errEarly      = errors.New("the endpoint answered before it was asked")
	errInterim    = errors.New("too many interim answers")
	errNoRepeat   = errors.New("the connection was dead, and the request cannot be sent again")
)

// maxInterim is how many answers of status 1xx may come before the real one.
const maxInterim = 5

// exchange sends the request and reads the answer up to its body. It uses a kept
// connection if there is one. If that turns out to be dead before any byte of an
// answer came, the request is sent once more, on a connection made for it: never
// more than two requests are written for one call.
func (c *Client) exchange(ctx context.Context, key connKey, req *http.Request) (*http.Response, error) {
	now := c.wall()
	if kept := c.pool.take(key, now, c.cfg.MaxConnAge); kept != nil {
		resp, answered, err := c.on(ctx, kept, req)
		if err == nil {
			return resp, nil
		}
		if answered || ctx.Err() != nil || isTimeout(err) {
			return nil, err
		}
		if req.Body != nil && req.Body != http.NoBody {
			if req.GetBody == nil {
				return nil, fmt.Errorf("%w: %w", errNoRepeat, err)
			}
			if req.Body, err = req.GetBody(); err != nil {
				return nil, fmt.Errorf("%w: %w", errNoRepeat, err)
			}
		}
	}
	fresh, err := c.open(ctx, key, now)
	if err != nil {
		return nil, err
	}
	resp, _, err := c.on(ctx, fresh, req)
	return resp, err
}

// wall returns the wall clock's time: the monotonic clock stands still in a
// frozen process.
func (c *Client) wall() time.Time { return c.cfg.Now().Round(0) }

// open makes a connection.
func (c *Client) open(ctx context.Context, key connKey, now time.Time) (*conn, error) {
	gen := c.pool.generation()
	ctx, cancel := context.WithTimeout(ctx, c.cfg.ConnectTimeout)
	defer cancel()
	var nc, raw net.Conn
	var err error
	if key.scheme == "https" {
		nc, raw, err = c.dialTLS(ctx, key.hostport)
	} else {
		nc, err = c.connect(ctx, key.hostport)
		raw = nc
	}
	if err != nil {
		return nil, err
	}
	in := &io.LimitedReader{R: nc, N: MaxHeaderBytes}
	return &conn{Conn: nc, raw: raw, key: key, br: bufio.NewReader(in), in: in, born: now, gen: gen}, nil
}

// on makes the exchange on one connection, which it closes unless it succeeds.
// answered reports whether anything of an answer has come.
func (c *Client) on(ctx context.Context, cn *conn, req *http.Request) (resp *http.Response, answered bool, err error) {
	deadline, _ := ctx.Deadline()
	if err := cn.SetDeadline(deadline); err != nil {
		cn.Close()
		return nil, false, err
	}
	stop := context.AfterFunc(ctx, func() { cn.Close() })
	fail := func(err error) (*http.Response, bool, error) {
		stop()
		cn.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, answered, err
	}
	if !cn.reused {
		// A server that speaks first is not speaking to this request.
		if state, _ := peek(cn.raw); state == peekData && cn.key.scheme == "http" {
			answered = true
			return fail(errEarly)
		}
	}
	wrote := cn.send(req)
	cn.in.N = MaxHeaderBytes
	if _, err := cn.br.Peek(1); err != nil {
		if wrote != nil {
			err = wrote
		}
		return fail(err)
	}
	answered = true
	resp, err = cn.answer(req)
	if err != nil {
		return fail(err)
	}
	if wrote != nil && resp.StatusCode/100 == 2 {
		// It cannot have taken what it was not sent.
		return fail(wrote)
	}
	resp.Body = &body{
		ReadCloser: resp.Body, ctx: ctx, ended: resp.Body == http.NoBody,
		done: func(ended bool) {
			age := c.wall().Sub(cn.born)
			if !stop() || !ended || wrote != nil || !cn.reusable(resp) || age >= c.cfg.MaxConnAge || age < 0 {
				cn.Close()
				return
			}
			c.pool.put(cn)
		},
	}
	return resp, true, nil
}

// send writes the request in one piece if it is small.
func (cn *conn) send(req *http.Request) error {
	var buf bytes.Buffer
	if req.ContentLength > 0 {
		buf.Grow(int(min(req.ContentLength, 1<<20)) + 1024)
	}
	if err := req.Write(&buf); err != nil {
		return err
	}
	_, err := cn.Write(buf.Bytes())
	return err
}

// answer reads an answer up to its body, past the interim ones.
func (cn *conn) answer(req *http.Request) (*http.Response, error) {
	for range maxInterim + 1 {
		resp, err := http.ReadResponse(cn.br, req)
		if err != nil {
			if cn.in.N <= 0 {
				return nil, errHeaderSize
			}
			return nil, err
		}
		if resp.StatusCode/100 != 1 || resp.StatusCode == http.StatusSwitchingProtocols {
			cn.in.N = math.MaxInt64
			return resp, nil
		}
	}
	return nil, errInterim
}

// reusable reports whether the connection may be kept after an answer whose body
// was read to its end: only after a 2xx that says where it ends, and with nothing
// read beyond it. After anything else there is no telling what comes next.
func (cn *conn) reusable(resp *http.Response) bool {
	ends := resp.ContentLength >= 0 || len(resp.TransferEncoding) == 1 && resp.TransferEncoding[0] == "chunked"
	return resp.StatusCode/100 == 2 && ends && !resp.Close && !resp.Request.Close && cn.br.Buffered() == 0
}

// body tells done, once, when it is closed, whether it was read to its end.
type body struct {
	io.ReadCloser
	ctx    context.Context // the call's
	ended  bool
	closed bool
	done   func(ended bool)
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || errors.Is(err, io.EOF)
	if err != nil && !b.ended && b.ctx.Err() != nil {
		err = b.ctx.Err()
	}
	return n, err
}

// Close does not read on, as that of http.ReadResponse's body would: the
// connection is kept or closed instead.
func (b *body) Close() error {
	if !b.closed {
		b.closed = true
		b.done(b.ended)
	}
	return nil
}
