package functions

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hookferry/shared/relay"
)

// A deployed function delivers to public addresses alone, and nothing in its
// source or its environment can change that. So the tests that need a delivery
// build it with what -overlay puts over the source: one more file of package
// egress, for which 127.0.0.1 is a public address. Everything else of the guard
// is as it is deployed: https alone, certificates checked, every other address
// refused. The tests at the end of this file hold both builds to that.
const loopbackFile = `package egress

import "net/netip"

func init() {
	for i := range special {
		if special[i].prefix == netip.MustParsePrefix("127.0.0.0/8") {
			special[i].prefix = netip.MustParsePrefix("127.0.0.0/32")
			return
		}
	}
	panic("the loopback addresses are not where they were")
}
`

// panicPath is the path of destinations for which the test build panics instead
// of calling them.
const panicPath = "/panic"

// withLoopback builds dispatcher and api so.
var withLoopback = sync.OnceValues(func() (string, error) {
	egress, err := filepath.Abs(filepath.Join("..", "shared", "egress"))
	if err != nil {
		return "", err
	}
	source, err := os.ReadFile(filepath.Join(egress, "client.go"))
	if err != nil {
		return "", err
	}
	const head = "func (c *Client) Do(req *http.Request) (*http.Response, error) {\n"
	if strings.Count(string(source), head) != 1 {
		return "", fmt.Errorf("client.go has no %q to panic in", head)
	}
	panics := strings.Replace(string(source), head, head+"\tif req.URL.Path == \""+panicPath+"\" {\n\t\tpanic(\"made by a test\")\n\t}\n", 1)
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for name, text := range map[string]string{"loopback.go": loopbackFile, "client.go": panics} {
		path := filepath.Join(workDir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return "", err
		}
		overlay.Replace[filepath.Join(egress, name)] = path
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	path := filepath.Join(workDir, "overlay.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return "", err
	}
	return build([]string{"dispatcher", "api"}, "-overlay", path)
})

// startLoopback is start with a Lambda that delivers to 127.0.0.1.
func startLoopback(tb testing.TB, name string, env []string) *instance {
	tb.Helper()
	dir, err := withLoopback()
	if err != nil {
		tb.Fatal(err)
	}
	return startFrom(tb, dir, name, env)
}

// TestTheDeployedBuildDeliversToNoPrivateAddress: the destination is there, its
// certificate is trusted, and the endpoint got past the API.
func TestTheDeployedBuildDeliversToNoPrivateAddress(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	dest := newDestination(t, nil)
	ordinary := start(t, "dispatcher", s.env)
	s.endpoint(t, "one", dest.URL+"/hook")
	s.accept(t, "evt_1")
	s.dispatcher = ordinary
	s.until(t, 10*time.Second, func() string { return s.recorded(t, "evt_1", 1) })
	for _, a := range s.attempts(t, "evt_1") {
		if a.ErrorCode != relay.CodeAddressBlocked || a.HTTPStatus != 0 || a.Status != relay.AttemptFailed {
			t.Errorf("got %+v, want an attempt that was blocked", a)
		}
	}
	if n := dest.connections.Load(); n != 0 {
		t.Errorf("the destination saw %d connections", n)
	}
}

func TestTheAPIAsDeployedRefusesPrivateURLs(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	ordinary := start(t, "api", s.env)
	for _, url := range []string{"https://127.0.0.1:8443/hook", "https://localhost/hook", "https://[::1]/", "https://169.254.169.254/latest", "http://example.com/"} {
		status, answer := s.manage(t, ordinary, "POST", "/api/v1/webhooks", map[string]any{"name": "x", "url": url, "event_types": []string{"*"}})
		if e, _ := answer["error"].(map[string]any); status != 400 || e["code"] != "webhook_url_rejected" {
			t.Errorf("%s: got %d %v", url, status, answer)
		}
	}
}

// TestTheBuildOfTheseTestsAllowsLoopbackAlone shows that what the other tests
// see of the guard is the deployed one but for 127.0.0.1.
func TestTheBuildOfTheseTestsAllowsLoopbackAlone(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	plain := httptest.NewServer(nil)
	defer plain.Close()
	urls := []string{
		"https://10.0.0.1/hook", "https://169.254.169.254/hook", "https://192.168.1.1:8443/hook", "https://[::1]:8443/hook",
		"https://127.1/hook", plain.URL + "/hook",
	}
	for i, url := range urls {
		s.putEndpoint(t, fmt.Sprintf("whend_%026d", i), url)
	}
	s.accept(t, "evt_1")
	s.until(t, 10*time.Second, func() string { return s.recorded(t, "evt_1", len(urls)) })
	for _, a := range s.attempts(t, "evt_1") {
		if a.ErrorCode != relay.CodeAddressBlocked {
			t.Errorf("%s: got %q (%s), want %q", a.EndpointID, a.ErrorCode, a.ErrorMessage, relay.CodeAddressBlocked)
		}
	}
}
