package verify

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
)

// Once runs handle unless the event of that key was handled before. It is how a
// receiver drops duplicates: a delivery comes at least once.
//
// An implementation remembers the key only if handle returned nil, best in the
// same database transaction as what handle writes: then a crash between the two
// cannot lose the event or handle it twice. If handle returns an error, Once
// returns it and forgets the key, so that the next attempt is handled. While one
// call handles a key, another of the same key waits for it.
type Once interface {
	Once(ctx context.Context, key string, handle func() error) error
}

type deliveryKey struct{}

// From returns the delivery that Handler verified, from the request's context.
func From(ctx context.Context) (Delivery, bool) {
	d, ok := ctx.Value(deliveryKey{}).(Delivery)
	return d, ok
}

// errRefused says that the wrapped handler answered something else than 2xx.
var errRefused = errors.New("the handler did not take the delivery")

// Handler returns a handler that passes on to next what is verified and new.
// next reads the body as usual and finds the delivery with From. If next answers
// 2xx the event counts as handled; after any other answer, or a panic, the next
// attempt is handled again.
//
// What is not passed on is answered here: 200 for a duplicate, 401 where the
// proof is missing or wrong, 413 for a body over MaxBody, 400 for a body that
// ends early, 405 for another method than POST, 500 for a Verifier without a
// usable secret and 503 where once fails. once may be nil: then duplicates are
// passed on, too.
func (v *Verifier) Handler(once Once, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, "want POST", http.StatusMethodNotAllowed)
			return
		}
		body, ok := v.body(w, r)
		if !ok {
			return
		}
		d, err := v.Verify(r.Header, body)
		if err != nil {
			status := http.StatusUnauthorized
			if errors.Is(err, ErrConfig) {
				status = http.StatusInternalServerError
			}
			http.Error(w, err.Error(), status)
			return
		}
		r = r.WithContext(context.WithValue(r.Context(), deliveryKey{}, d))
		r.Body = io.NopCloser(bytes.NewReader(body))
		if once == nil {
			next.ServeHTTP(w, r)
			return
		}
		answer := &answer{ResponseWriter: w}
		err = once.Once(r.Context(), d.Key(), func() error {
			next.ServeHTTP(answer, r)
			if answer.status/100 > 2 {
				return errRefused
			}
			answer.ran = true
			return nil
		})
		switch {
		case err == nil && !answer.ran:
			w.WriteHeader(http.StatusOK) // a duplicate: handled before
		case err != nil && answer.status == 0:
			http.Error(w, "try again", http.StatusServiceUnavailable)
		}
	})
}

// body reads the raw body, or answers why it cannot.
func (v *Verifier) body(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	limit := v.MaxBody
	if limit == 0 {
		limit = DefaultMaxBody
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		http.Error(w, "the body is too long", http.StatusRequestEntityTooLarge)
	case err != nil:
		http.Error(w, "the body ended early", http.StatusBadRequest)
	}
	return body, err == nil
}

// An answer notes what status the wrapped handler answers.
type answer struct {
	http.ResponseWriter
	status int
	ran    bool
}

func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= 200 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the writer underneath.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
