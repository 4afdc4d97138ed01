package dynamo_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"hookferry/shared/awstest"
	"hookferry/shared/dynamo"
	"hookferry/shared/relay"
)

// randomText returns n random letters and digits, which deflate little.
func randomText(r *rand.Rand, n int) string {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	var b strings.Builder
	for range n {
		b.WriteByte(alphabet[r.IntN(len(alphabet))])
	}
	return b.String()
}

// providerBody returns a call of Rivya's of exactly size bytes, whose model,
// prompt and URLs are random text.
func providerBody(r *rand.Rand, size int) []byte {
	head := fmt.Sprintf(`{"id":"evt_%s","type":"generation.succeeded","api_version":"2026-05-11","created_at":"2026-05-11T00:00:00.000Z",`+
		`"data":{"generation":{"id":"gen_%s","status":"succeeded","model":%q,"reserved_credits":%d,"final_credits":%d,`+
		`"created_at":"2026-05-11T00:00:00.000Z","updated_at":"2026-05-11T00:00:07.000Z","result":{"primary_url":"https://cdn.rivya.example/%s.png","urls":["`,
		randomText(r, 26), randomText(r, 26), randomText(r, 12), r.IntN(1000), r.IntN(1000), randomText(r, 40))
	tail := `"]},"error":null}}}`
	return []byte(head + randomText(r, size-len(head)-len(tail)) + tail)
}

// delivered puts an event to n endpoints on the store as the dispatcher does:
// it is put, each first attempt recorded, and listed. failed of them fail.
func delivered(t *testing.T, s *dynamo.Store, account string, now time.Time, body []byte, n, failed int) {
	t.Helper()
	ctx := t.Context()
	ev := relay.Event{
		ID: relay.NewID(relay.EventPrefix, now), Account: account, Type: "generation.succeeded",
		Format: relay.FormatRivya, SourceID: relay.NewID(relay.SourcePrefix, now), VerifiedBy: relay.VerifiedBySignature,
		CreatedAt: now, RequestID: relay.NewID(relay.RequestPrefix, now), Payload: relay.NewPayload(body),
	}
	r := relay.EventRecord{Event: ev, MID: relay.NewMID(), RecordedAt: now.Add(123456 * time.Millisecond), ClaimedUntil: now.Add(time.Minute)}
	for range n {
		r.Matched = append(r.Matched, relay.NewID(relay.EndpointPrefix, now))
	}
	if existing, err := s.PutEvent(ctx, r); err != nil || existing != nil {
		t.Fatalf("put event: %v, %v", existing, err)
	}
	var ds []relay.Delivery
	for i, endpoint := range r.Matched {
		a := attempt(r, endpoint, now, i < failed)
		if existing, err := s.RecordAttempt(ctx, a); err != nil || existing != nil {
			t.Fatalf("record attempt: %v, %v", existing, err)
		}
		ds = append(ds, a.Delivery())
	}
	if err := s.ListEvent(ctx, ev, ds); err != nil {
		t.Fatal(err)
	}
}

// attempt returns a first attempt. Its answer is as long as a success's may be,
// or a common error page.
func attempt(r relay.EventRecord, endpoint string, now time.Time, fails bool) relay.Attempt {
	a := relay.Attempt{
		Account: r.Account, EventID: r.ID, EventType: r.Type, EndpointID: endpoint, Number: 1,
		Status: relay.AttemptSucceeded, Final: true, HTTPStatus: 200, RequestID: relay.NewID(relay.RequestPrefix, now),
		Duration: 123456789, Snippet: strings.Repeat("The webhook was received. ", 10)[:relay.MaxSuccessSnippet], DueAt: now,
		CreatedAt: now, MID: r.MID, EventCreatedAt: r.CreatedAt,
		URL:        "https://" + strings.Repeat("hooks.example.com/", 20)[:relay.MaxRecordedURL-8],
		Signatures: "Rivya-Webhook-Signature: v1=" + strings.Repeat("0123456789abcdef", 4) + "\nWebhook-Signature: v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
	}
	if fails {
		a.Status, a.Final, a.HTTPStatus = relay.AttemptFailed, false, 500
		a.ErrorCode, a.ErrorMessage = relay.CodeHTTPError, "The endpoint answered 500 Internal Server Error."
		a.Snippet = strings.Repeat("<p>We are sorry, but something went wrong. If you are the owner of this site, look into the log.</p>\n", 11)[:relay.MaxSnippet]
		a.NextAttemptAt = now.Add(time.Minute)
	}
	a.ID = relay.AttemptID(a.Account, a.EventID, endpoint, 0, 1, now)
	return a
}

func TestAnEventOfOneKilobyteCostsThreeWriteUnits(t *testing.T) {
	url := newTable(t)
	now := time.Now().UTC().Truncate(time.Millisecond)
	var meter awstest.Meter
	s := open(url, func() time.Time { return now }, with(meter.AddTo))
	account := relay.NewID(relay.AccountPrefix, now)
	random := rand.New(rand.NewPCG(1, 2))

	// The account's first open event registers it, once a day and process.
	delivered(t, s, account, now, providerBody(random, 1024), 1, 1)
	meter.Take()

	deflated := 0
	for range 200 {
		body := providerBody(random, 1024)
		deflated = max(deflated, len(relay.NewPayload(body).Deflated()))
		delivered(t, s, account, now, body, 1, 0)
		got := meter.Take()
		if got.WriteUnits > 3 || got.Consistent > 0 || got.Calls["PutItem"] != 3 || len(got.Calls) != 1 {
			t.Fatalf("an event of 1 KB (%d B deflated) to one endpoint cost %v, want 3 write units in 3 puts and no consistent read",
				len(relay.NewPayload(body).Deflated()), got)
		}
	}
	t.Logf("1 KB to one endpoint: 3 write units, payloads deflated to %d B at most", deflated)

	print := func(what string, size, n, failed int) {
		delivered(t, s, account, now, providerBody(random, size), n, failed)
		t.Logf("%s: %v", what, meter.Take())
	}
	print("1 KB to one endpoint, first attempt failed", 1024, 1, 1)
	print("1 KB to two endpoints", 1024, 2, 0)
	print("1 KB to two endpoints, one attempt failed", 1024, 2, 1)
	print("1 KB to 100 endpoints", 1024, 100, 0)
	print("16 KB to one endpoint", 16<<10, 1, 0)

	// A retry: the look-up before the POST, the record of its failure, the state.
	ev := relay.Event{
		ID: relay.NewID(relay.EventPrefix, now), Account: account, Type: "generation.succeeded", CreatedAt: now,
		Payload: relay.NewPayload(providerBody(random, 1024)),
	}
	r := relay.EventRecord{Event: ev, MID: relay.NewMID(), Matched: []string{relay.NewID(relay.EndpointPrefix, now)}}
	a := attempt(r, r.Matched[0], now, true)
	if _, err := s.PutEvent(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := s.ListEvent(t.Context(), ev, []relay.Delivery{a.Delivery()}); err != nil {
		t.Fatal(err)
	}
	meter.Take()
	a.Number, a.DueAt = 2, now.Add(time.Minute)
	a.ID = relay.AttemptID(a.Account, a.EventID, a.EndpointID, 0, 2, a.DueAt)
	if _, err := s.Attempt(t.Context(), account, a.EndpointID, a.ID); err == nil {
		t.Fatal("an attempt that was not made is on record")
	}
	if _, err := s.RecordAttempt(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveDelivery(t.Context(), ev.Ref(), a.Delivery()); err != nil {
		t.Fatal(err)
	}
	failed := meter.Take()
	t.Logf("a failed retry: %v", failed)
	if failed.WriteUnits > 3 {
		t.Errorf("a failed retry cost %v, want 3 write units", failed)
	}
}

func TestASubjectCostsOneWriteUnitAndItsLookUpOneQuery(t *testing.T) {
	url := newTable(t)
	now := time.Now().UTC().Truncate(time.Millisecond)
	var meter awstest.Meter
	s := open(url, func() time.Time { return now }, with(meter.AddTo))
	account := relay.NewID(relay.AccountPrefix, now)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 30 {
		ev := relay.Event{
			ID: relay.NewID(relay.EventPrefix, now), Account: account, Type: "generation.succeeded",
			Format: relay.FormatRivya, SourceID: relay.NewID(relay.SourcePrefix, now), VerifiedBy: relay.VerifiedBySignature,
			CreatedAt: now.Add(time.Duration(i) * time.Millisecond), RequestID: relay.NewID(relay.RequestPrefix, now),
			Payload: relay.NewPayload(providerBody(random, 1024)), Subject: "gen_" + randomText(random, 26),
		}
		if i%10 == 0 {
			ev.Subject = "gen_the_same"
		}
		r := relay.EventRecord{Event: ev, MID: relay.NewMID(), Matched: []string{relay.NewID(relay.EndpointPrefix, now)}}
		a := attempt(r, r.Matched[0], now, false)
		_, err1 := s.PutEvent(t.Context(), r)
		_, err2 := s.RecordAttempt(t.Context(), a)
		err3 := s.ListEvent(t.Context(), ev, []relay.Delivery{a.Delivery()})
		if err1 != nil || err2 != nil || err3 != nil {
			t.Fatal(err1, err2, err3)
		}
		if got := meter.Take(); got.WriteUnits > 4 || len(got.Calls) != 1 {
			t.Fatalf("an event with a subject cost %v, want 4 write units", got)
		}
	}
	evs, next, err := s.Events(t.Context(), account, relay.EventFilter{Subject: "gen_the_same"}, relay.Page{Limit: 20})
	if err != nil || next != "" || len(evs) != 3 {
		t.Fatalf("found %d events, %q, %v", len(evs), next, err)
	}
	got := meter.Take()
	t.Logf("3 events by their subject: %v", got)
	if got.Calls["Query"] != 1 {
		t.Errorf("the look-up cost %v, want one query", got)
	}
}
