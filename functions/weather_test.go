package functions

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A fault is what happens to one request of a running function to AWS.
type fault int

const (
	none    fault = iota
	refused       // it is throttled; nothing is done
	stalled       // no answer comes until the caller hangs up; nothing is done
	lost          // it is done, and the connection breaks instead of an answer
	broken        // the connection breaks before anything is done
)

// A weather stands between functions and the servers that stand in for AWS. In
// processes as they are deployed it does what an SDK middleware does in a test's
// own.
type weather struct {
	env    []string // for the functions that are to have it
	decide atomic.Pointer[func(op, body string) fault]
	count  [broken + 1]atomic.Int64

	mu  sync.Mutex
	sum bill
}

// newWeather puts a weather, a fair one, before a deployment's DynamoDB and SQS.
func newWeather(tb testing.TB, d deployment) *weather {
	tb.Helper()
	w := &weather{}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	for service, url := range map[string]string{"DYNAMODB": d.dynamoURL, "SQS": d.sqsURL} {
		srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.forward(rw, r, client, url) }))
		tb.Cleanup(func() {
			srv.CloseClientConnections()
			srv.Close()
		})
		w.env = append(w.env, "AWS_ENDPOINT_URL_"+service+"="+srv.URL)
	}
	tb.Cleanup(client.CloseIdleConnections)
	return w
}

// set changes the weather. decide gets the operation, as its header names it,
// and the request's body; nil is fair.
func (w *weather) set(decide func(op, body string) fault) {
	if decide == nil {
		w.decide.Store(nil)
		return
	}
	w.decide.Store(&decide)
}

// take returns what the requests since the last take have cost.
func (w *weather) take() bill {
	w.mu.Lock()
	defer w.mu.Unlock()
	sum := w.sum
	w.sum = bill{}
	return sum
}

func (w *weather) String() string {
	return fmt.Sprintf("%d requests: %d refused, %d stalled, %d done without an answer, %d broken", w.count[none].Load()+w.count[refused].Load()+
		w.count[stalled].Load()+w.count[lost].Load()+w.count[broken].Load(), w.count[refused].Load(), w.count[stalled].Load(), w.count[lost].Load(), w.count[broken].Load())
}

func (w *weather) forward(rw http.ResponseWriter, r *http.Request, client *http.Client, url string) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the function has been killed
	}
	f := none
	if decide := w.decide.Load(); decide != nil {
		f = (*decide)(r.Header.Get("X-Amz-Target"), string(body))
	}
	w.count[f].Add(1)
	switch f {
	case refused:
		rw.Header().Set("Content-Type", "application/x-amz-json-1.0")
		rw.WriteHeader(http.StatusBadRequest)
		io.WriteString(rw, `{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"made by a test"}`)
		return
	case stalled:
		select {
		case <-r.Context().Done():
		case <-time.After(10 * time.Second):
		}
		panic(http.ErrAbortHandler)
	case broken:
		panic(http.ErrAbortHandler)
	}
	sent := body
	if strings.HasPrefix(r.Header.Get("X-Amz-Target"), "DynamoDB_") {
		sent = append([]byte(`{"ReturnConsumedCapacity":"TOTAL",`), bytes.TrimPrefix(body, []byte("{"))...)
	}
	// What has been sent is done, also when its sender dies meanwhile.
	req, err := http.NewRequest(r.Method, url+r.URL.RequestURI(), bytes.NewReader(sent))
	if err != nil {
		panic(err)
	}
	req.Header = r.Header.Clone()
	resp, err := client.Do(req)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || f == lost {
		panic(http.ErrAbortHandler)
	}
	cost := itemise(r.Header.Get("X-Amz-Target"), body, answer)
	w.mu.Lock()
	w.sum = w.sum.add(cost)
	w.mu.Unlock()
	for name, values := range resp.Header {
		rw.Header()[name] = values
	}
	rw.WriteHeader(resp.StatusCode)
	rw.Write(answer)
}
