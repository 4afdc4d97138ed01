package egress

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"hookferry/shared/relay"
)

// A server that answers 101 has the connection to itself, as far as net/http is
// concerned: no deadline holds for what is read of it.
func TestASwitchOfProtocolsDoesNotHoldACall(t *testing.T) {
	gone := make(chan struct{})
	addr := rawServer(t, func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return
		}
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		io.Copy(io.Discard, conn) // until the client goes
		close(gone)
	})
	c := New(Config{Policy: Policy{AllowPrivate: true}, Timeout: 200 * time.Millisecond})
	done := make(chan error, 1)
	go func() {
		resp, text, err := post(t, c, "http://"+addr.String()+"/", "hello")
		if err == nil && (resp.StatusCode != http.StatusSwitchingProtocols || text != "") {
			err = fmt.Errorf("got %d and %q, want 101 without a body", resp.StatusCode, text)
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the call does not end")
	}
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Error("the connection stays open")
	}
}

// net/http takes any three digits.
func TestAStatusThatIsNoneIsNoAnswer(t *testing.T) {
	for _, status := range []string{"000", "042", "099"} {
		addr := rawServer(t, answer("HTTP/1.1 "+status+" X\r\nContent-Length: 0\r\n\r\n"))
		c := New(Config{Policy: Policy{AllowPrivate: true}})
		resp, _, err := post(t, c, "http://"+addr.String()+"/", "hello")
		if code, _ := Classify(err); resp != nil || code != relay.CodeConnectionFailed {
			t.Errorf("%s: got %v, %s, %v", status, resp, code, err)
		}
	}
}
