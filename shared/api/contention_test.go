package api

import (
	"context"
	"fmt"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hookferry/shared/relay"
)

// slow is a store whose write of an endpoint takes a while, as over a network.
type slow struct{ relay.Store }

func (s slow) UpdateEndpoint(ctx context.Context, ep relay.Endpoint) error {
	time.Sleep(5 * time.Millisecond)
	return s.Store.UpdateEndpoint(ctx, ep)
}

// All read the same version, so one of them is first in each round: without a
// wait of its own for each, as many get through as there are rounds.
func TestManyChangesAtOnceAllHappen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		id := w.createEndpoint()
		w.Store, w.retryWait = slow{w.Store}, 100*time.Millisecond
		const calls = 12
		answers := make([]*httptest.ResponseRecorder, calls)
		var all sync.WaitGroup
		for i := range calls {
			answers[i] = httptest.NewRecorder()
			all.Go(func() {
				w.h.ServeHTTP(answers[i], w.request(w.key, "PATCH", "/api/v1/webhooks/"+id, fmt.Sprintf(`{"name":"name %d"}`, i)))
			})
		}
		all.Wait()
		for i, a := range answers {
			if a.Code != 200 {
				t.Errorf("call %d: %d %s", i, a.Code, a.Body)
			}
		}
	})
}
