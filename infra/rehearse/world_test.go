//go:build rehearse

package rehearse

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/signature"
)

// A world is a deployed relay, with a customer and what is around it.
type world struct {
	*emulator
	stack    string
	stage    string
	outputs  map[string]string
	template template // as deployed
	program  string   // hookferry itself
	key      string
	rivya    source
	sivi     source
}

// A source is a provider's account, and what it signs with.
type source struct {
	id, path string
	secret   relay.Secret
}

// readTemplate returns what make rehearse has synthesized.
func readTemplate(t *testing.T) template {
	t.Helper()
	path := os.Getenv("REHEARSE_TEMPLATE")
	if path == "" {
		t.Fatal("REHEARSE_TEMPLATE does not name the template: run make rehearse")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, text)
}

// bootstrapped makes what cdk bootstrap leaves in an account and the template
// asks for.
func (e *emulator) bootstrapped(t *testing.T) {
	t.Helper()
	if err := e.call(t, "ssm", "AmazonSSM.PutParameter", map[string]any{
		"Name": "/cdk-bootstrap/hnb659fds/version", "Value": "30", "Type": "String", "Overwrite": true}, nil); err != nil {
		t.Fatal(err)
	}
}

// newWorld deploys the template and makes a customer in it: an account with a
// key, made by the command of the stack's output, and two providers' sources.
func newWorld(t *testing.T, e *emulator, tpl template) *world {
	t.Helper()
	w := &world{emulator: e, stack: "hookferry-rehearse", stage: "rehearse", template: tpl}
	if st := e.change(t, "CreateStack", w.stack, tpl.encode(t)); st.Status != "CREATE_COMPLETE" {
		t.Fatalf("the deployment: %s %s\n%s", st.Status, st.Reason, e.failures(t, w.stack))
	}
	return w
}

// furnish makes the customer.
func (w *world) furnish(t *testing.T) {
	t.Helper()
	st, err := w.emulator.stack(t, w.stack)
	if err != nil {
		t.Fatal(err)
	}
	w.outputs = st.Outputs
	w.program = filepath.Join(t.TempDir(), "hookferry")
	if err := os.WriteFile(w.program, build(t, nil, "hookferry")["hookferry"], 0o755); err != nil {
		t.Fatal(err)
	}
	var made struct {
		APIKey string `json:"api_key"`
	}
	if err := json.Unmarshal(w.hookferry(t, "keys", "create", "-table", w.outputs["TableName"], "-account", "acme", "-scopes", "all", "-json"), &made); err != nil {
		t.Fatal(err)
	}
	w.key = made.APIKey
	w.rivya.secret = "whsec_of-the-provider"
	rivya := w.must(t, 201, "POST", "/api/v1/sources", map[string]any{"name": "rivya", "provider": "rivya", "signing_secret": w.rivya.secret.Reveal()})
	sivi := w.must(t, 201, "POST", "/api/v1/sources", map[string]any{"name": "sivi", "provider": "sivi"})
	for answer, s := range map[*map[string]any]*source{&rivya: &w.rivya, &sivi: &w.sivi} {
		u, err := url.Parse((*answer)["ingest_url"].(string))
		if err != nil {
			t.Fatal(err)
		}
		if "https://"+u.Host != w.outputs["ApiUrl"] {
			t.Errorf("a source is to be called at %s, the API is %s", u.Host, w.outputs["ApiUrl"])
		}
		s.id, s.path = (*answer)["id"].(string), u.Path
	}
}

// hookferry runs the program with the deployer's credentials.
func (w *world) hookferry(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(w.program, args...)
	cmd.Env = append(w.environment(), "AWS_ACCESS_KEY_ID="+rootKey, "AWS_SECRET_ACCESS_KEY="+rootKey, "HOME="+t.TempDir(),
		"EVENTS_QUEUE_URL="+w.outputs["EventsQueueUrl"], "RETRIES_QUEUE_URL="+w.outputs["RetriesQueueUrl"],
		"EVENTS_DLQ_URL="+w.outputs["EventsDeadLettersUrl"], "RETRIES_DLQ_URL="+w.outputs["RetriesDeadLettersUrl"])
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("hookferry %v: %v\n%s", args, err, stderr.Bytes())
	}
	return out
}

// gateway makes a call of the API's own name, as the outside does. The emulator
// knows the name below localhost.
func (w *world) gateway(method, path string, header map[string]string, body []byte) (int, []byte, error) {
	u, err := url.Parse(w.outputs["ApiUrl"])
	if err != nil {
		return 0, nil, err
	}
	req, err := http.NewRequestWithContext(context.Background(), method, w.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Host = strings.SplitN(u.Host, ".", 2)[0] + ".execute-api.localhost"
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

// manage makes a call of the API with the customer's key.
func (w *world) manage(method, path string, in any) (int, map[string]any, error) {
	header := map[string]string{"Authorization": "Bearer " + w.key}
	var body []byte
	if in != nil {
		header["Content-Type"] = "application/json"
		var err error
		if body, err = json.Marshal(in); err != nil {
			return 0, nil, err
		}
	}
	status, text, err := w.gateway(method, path, header, body)
	if err != nil {
		return 0, nil, err
	}
	var answer map[string]any
	if err := json.Unmarshal(text, &answer); err != nil {
		return status, nil, fmt.Errorf("%s %s: %d %s", method, path, status, text)
	}
	return status, answer, nil
}

// must is manage for a call that is answered with want.
func (w *world) must(t *testing.T, want int, method, path string, in any) map[string]any {
	t.Helper()
	status, answer, err := w.manage(method, path, in)
	if err != nil || status != want {
		t.Fatalf("%s %s: got %d %v %v, want %d", method, path, status, answer, err, want)
	}
	return answer
}

// rivyaBody is what Rivya posts for an event.
func rivyaBody(id string) []byte {
	return []byte(`{"id":"` + id + `", "type":"generation.succeeded","data":{"generation":{"id":"gen_` + id + `","status":"succeeded"},"x":"é, \"and\" more"}}`)
}

// provide makes a provider's signed call and returns the status.
func (w *world) provide(id string) (int, error) {
	body, now := rivyaBody(id), time.Now().Unix()
	sig, err := signature.SignRivya(now, body, w.rivya.secret)
	if err != nil {
		return 0, err
	}
	status, _, err := w.gateway("POST", w.rivya.path, map[string]string{"Content-Type": "application/json", "Rivya-Webhook-Id": id,
		"Rivya-Webhook-Timestamp": strconv.FormatInt(now, 10), "Rivya-Webhook-Signature": sig}, body)
	return status, err
}

// accept makes a provider's signed call that is taken.
func (w *world) accept(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if status, err := w.provide(id); status != 200 || err != nil {
			t.Fatalf("%s: the receiver answered %d %v", id, status, err)
		}
	}
}

// until waits for what check asks for; check says what is missing.
func until(t *testing.T, patience time.Duration, check func() string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		missing := check()
		if missing == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", patience, missing)
		}
	}
}

// status says whether each event has a status.
func (w *world) status(want string, ids ...string) string {
	for _, id := range ids {
		code, answer, err := w.manage("GET", "/api/v1/webhook-events/"+id, nil)
		if err != nil || code != 200 || answer["status"] != want {
			return fmt.Sprintf("%s: got %d %v %v, want %s", id, code, answer["status"], err, want)
		}
	}
	return ""
}

// A post is a call that a destination got.
type post struct {
	header http.Header
	body   string
}

// A destination takes deliveries, and answers as it is told.
type destination struct {
	*httptest.Server
	mu     sync.Mutex
	got    []post
	answer func(p post) int
}

func (w *world) destination(t *testing.T, answer func(p post) int) *destination {
	t.Helper()
	d := &destination{answer: answer}
	d.Server = httptest.NewUnstartedServer(d)
	d.TLS = &tls.Config{Certificates: []tls.Certificate{w.certificate}}
	d.Config.ErrorLog = log.New(io.Discard, "", 0)
	d.StartTLS()
	t.Cleanup(func() {
		d.CloseClientConnections()
		d.Close()
	})
	return d
}

func (d *destination) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p := post{r.Header, string(body)}
	d.mu.Lock()
	d.got = append(d.got, p)
	answer := d.answer
	d.mu.Unlock()
	if answer != nil {
		w.WriteHeader(answer(p))
	}
}

// say changes how the destination answers.
func (d *destination) say(answer func(p post) int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answer = answer
}

// posts returns what came of an event.
func (d *destination) posts(event string) (of []post) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.got {
		if p.header.Get("Rivya-Webhook-Id") == event {
			of = append(of, p)
		}
	}
	return of
}

// endpoint makes an endpoint, and returns its id and secret.
func (w *world) endpoint(t *testing.T, name, url string, more map[string]any) (string, relay.Secret) {
	t.Helper()
	in := map[string]any{"name": name, "url": url, "event_types": []string{"*"}}
	for k, v := range more {
		in[k] = v
	}
	ep := w.must(t, 201, "POST", "/api/v1/webhooks", in)
	return ep["id"].(string), relay.Secret(ep["signing_secret"].(string))
}
