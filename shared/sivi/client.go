package sivi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"hookferry/shared/egress"
	"hookferry/shared/rawjson"
	"hookferry/shared/relay"
)

// MaxAnswer is the most bytes of an answer that are read.
const MaxAnswer = 1 << 20

// Why a status question has no answer. All of them may pass, and none says
// anything about the request.
var (
	// ErrUnreachable: Sivi was not reached, took too long, or answered that it
	// cannot serve now (5xx, 408, 429, a redirect).
	ErrUnreachable = errors.New("cannot reach Sivi")
	// ErrKeyRefused: Sivi does not take the API key (401, 403). It will not
	// until someone changes the source.
	ErrKeyRefused = errors.New("API key refused by Sivi")
	// ErrUnclear: an answer came, and it is not one about this request that can
	// be understood.
	ErrUnclear = errors.New("answer of Sivi cannot be understood")
)

// A Client asks Sivi for the status of requests. It is safe for concurrent use.
type Client struct {
	base string
	http *egress.Client
}

// NewClient returns a Client that calls Sivi at base, the setting SIVI_BASE_URL,
// through c, whose policy and timeouts hold.
func NewClient(base string, c *egress.Client) *Client {
	return &Client{base: strings.TrimRight(base, "/"), http: c}
}

// A StatusAnswer is what Sivi says about a request.
type StatusAnswer struct {
	// Found: Sivi knows the request, and Call and Body say what of it. False:
	// Sivi itself answered that it has no such request under this key (400, 404,
	// 422). That denies an event, but Sivi may also be behind its own webhook: it
	// should be believed only when asked again, later, it says the same.
	Found bool
	// Call is about the request that was asked for.
	Call Call
	// Body is the answer as it came, in the form of a webhook call's body. It
	// can be larger than relay.MaxPayload.
	Body []byte
	// HTTPStatus is the answer's status.
	HTTPStatus int
}

// Status asks for the status of a request, in the API "general" or "enterprise";
// empty means general. An error wraps one of this package's, unless the API or
// the base is none, and carries neither the key nor an address.
func (c *Client) Status(ctx context.Context, apiKey relay.Secret, api, requestID string) (StatusAnswer, error) {
	switch api {
	case "":
		api = "general"
	case "general", "enterprise":
	default:
		return StatusAnswer{}, fmt.Errorf("ask Sivi: there is no API %q", api)
	}
	params, err := json.Marshal(map[string]string{"requestId": requestID})
	if err != nil {
		panic(err) // strings always marshal
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/"+api+"/get-request-status?queryParams="+url.QueryEscape(string(params)), nil)
	if err != nil {
		return StatusAnswer{}, errors.New("ask Sivi: the base URL is malformed")
	}
	req.Header.Set("sivi-api-key", apiKey.Reveal())
	req.Header.Set("Accept", "application/json")

	resp, err := c.http.Do(req)
	if err != nil {
		return StatusAnswer{}, outOfReach(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxAnswer+1))
	if err != nil {
		return StatusAnswer{}, outOfReach(err)
	}
	if len(body) > MaxAnswer {
		return StatusAnswer{}, fmt.Errorf("%w: larger than %d bytes", ErrUnclear, MaxAnswer)
	}
	return judge(resp.StatusCode, body, requestID)
}

// outOfReach keeps of a transport's error what says nothing about our network.
func outOfReach(err error) error {
	if errors.Is(err, egress.ErrShortage) {
		return err // says nothing about Sivi
	}
	_, message := egress.Classify(err)
	return fmt.Errorf("%w: %s", ErrUnreachable, message)
}

// judge tells what an answer says about a request. Sivi repeats the status in
// the body, and a gateway before it may not: the worse one counts.
func judge(httpStatus int, body []byte, requestID string) (StatusAnswer, error) {
	answer := StatusAnswer{HTTPStatus: httpStatus, Body: body}
	status := httpStatus
	if status == http.StatusOK {
		status = statedStatus(body)
	}
	switch {
	case status == http.StatusOK:
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return StatusAnswer{}, fmt.Errorf("%w: status %d", ErrKeyRefused, status)
	case status == http.StatusBadRequest || status == http.StatusNotFound || status == http.StatusUnprocessableEntity:
		if !spoken(body) {
			return StatusAnswer{}, fmt.Errorf("%w: status %d without Sivi's body", ErrUnclear, status)
		}
		return answer, nil
	case status >= 500 || status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= 300 && status < 400:
		return StatusAnswer{}, fmt.Errorf("%w: status %d", ErrUnreachable, status)
	default:
		return StatusAnswer{}, fmt.Errorf("%w: status %d", ErrUnclear, status)
	}
	call, err := Parse(body)
	if err != nil {
		return StatusAnswer{}, fmt.Errorf("%w: %w", ErrUnclear, err)
	}
	if call.RequestID != requestID {
		return StatusAnswer{}, fmt.Errorf("%w: about another request", ErrUnclear)
	}
	answer.Found, answer.Call = true, call
	return answer, nil
}

// statedStatus returns the status within a body; 200 if it states none.
func statedStatus(body []byte) int {
	if !rawjson.Valid(body) {
		return http.StatusOK
	}
	fields, err := rawjson.Fields(body, "status")
	if err != nil {
		return http.StatusOK
	}
	n, err := strconv.Atoi(string(bytes.Trim(fields[0], `"`)))
	if err != nil || n < 100 || n > 599 {
		return http.StatusOK
	}
	return n
}

// spoken reports whether a refusal is Sivi's own: an object that states its
// status. A proxy's 404 page says nothing about a request.
func spoken(body []byte) bool {
	if !rawjson.Valid(body) {
		return false
	}
	fields, err := rawjson.Fields(body, "status")
	return err == nil && fields[0] != nil
}
