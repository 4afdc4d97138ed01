package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hookferry/shared/awstest"
	"hookferry/shared/relay"
	"hookferry/shared/sqlite"
	"hookferry/shared/sqsqueue"
)

// openStore opens a folder's database beside the relay, as the keys command
// does. Now is the clock of what it writes.
func openStore(t *testing.T, dir string, now func() time.Time) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(context.Background(), sqlite.Config{
		Path: filepath.Join(dir, databaseFile), Retention: 30 * 24 * time.Hour, Now: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// eventsQueue opens the events queue of a relay that was started with -data dir.
func (b testBackend) eventsQueue(t *testing.T, dir string) relay.Queue {
	t.Helper()
	if !b.aws {
		return openStore(t, dir, time.Now).Queue("events")
	}
	vars := map[string]string{}
	for _, v := range b.env {
		name, value, _ := strings.Cut(v, "=")
		vars[name] = value
	}
	return sqsqueue.New(awstest.SQS(vars["AWS_ENDPOINT_URL_SQS"]), sqsqueue.Config{
		URL: vars["EVENTS_QUEUE_URL"], DeadURL: vars["EVENTS_DLQ_URL"], Now: time.Now,
	})
}

func TestAPoisonedMessageIsADeadLetterThatCanBePutBackAndDropped(t *testing.T) {
	onEachBackend(t, deadLetters)
}

func deadLetters(t *testing.T, b testBackend) {
	dir := dataDir(t)
	dev(t, b.start("-data", dir))
	queue := b.eventsQueue(t, dir)
	if err := queue.Send(context.Background(), relay.Outgoing{Body: []byte(`{"v":-1,"k":"nonsense","mid":"m","acc":"a"}`)}); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string { return output(t, b.env, b.where(dir, args...)...) }
	dead := func() string { return run("dead", "list") }
	eventually(t, 20*time.Second, func() string {
		if out := dead(); !strings.Contains(out, `version -1 is not known`) || !strings.Contains(out, "1 dead letters") {
			return out
		}
		return ""
	})
	id := func() string { return strings.Fields(strings.Split(dead(), "\n")[1])[1] }
	if out := run("dead", "show", "-id", id()); !strings.Contains(out, `"k": "nonsense"`) {
		t.Errorf("show: %s", out)
	}
	if out := run("dead", "redrive", "-id", id()); !strings.Contains(out, "1 dead letters put back") {
		t.Errorf("redrive: %s", out)
	}
	eventually(t, 20*time.Second, func() string { // it dies again
		if out := dead(); !strings.Contains(out, `version -1 is not known`) || !strings.Contains(out, "1 dead letters") {
			return out
		}
		return ""
	})
	if out := run("dead", "drop", "-all"); !strings.Contains(out, "1 dead letters dropped") {
		t.Errorf("drop: %s", out)
	}
	if out := dead(); !strings.Contains(out, "0 dead letters") {
		t.Errorf("after the drop: %s", out)
	}
	for _, args := range [][]string{{"dead", "drop"}, {"dead", "show", "-all"}, {"dead", "redrive", "-id", "x"}} {
		refused(t, b.env, b.where(dir, args...)...)
	}
}

func TestRepairSendsAgainWhatWasLost(t *testing.T) {
	dir := dataDir(t)
	s := start{args: []string{"-data", dir}}
	first := dev(t, s)
	dest := newDestination(t, nil)
	endpoint, _ := first.endpoint(dest.URL)
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	// An event whose second attempt was due half an hour ago, and no message for
	// it: what a fault that swallowed a message would leave.
	past := relay.Millis(time.Now().Add(-time.Hour))
	db := openStore(t, dir, func() time.Time { return past })
	ctx := context.Background()
	ev := relay.Event{
		ID: "evt_lost", Account: first.Account, Type: "order.paid", Format: relay.FormatRivya, VerifiedBy: relay.VerifiedByKey,
		CreatedAt: past, Payload: relay.NewPayload([]byte(`{"id":"evt_lost"}`)),
	}
	if _, err := db.PutEvent(ctx, relay.EventRecord{Event: ev, MID: "m", ClaimedUntil: past, Matched: []string{endpoint}}); err != nil {
		t.Fatal(err)
	}
	if err := db.ListEvent(ctx, ev, []relay.Delivery{{
		EndpointID: endpoint, Attempts: 1, Status: relay.DeliveryRetrying, NextAttemptAt: past.Add(30 * time.Minute),
	}}); err != nil {
		t.Fatal(err)
	}
	db.Close()
	if out := output(t, nil, "repair", "-data", dir); !strings.Contains(out, "1 overdue deliveries sent again") {
		t.Errorf("repair: %s", out)
	}
	second := dev(t, s)
	got := dest.wait(t, 1, 10*time.Second)
	if a := got[0].header.Get("Rivya-Webhook-Attempt"); a != "2" {
		t.Errorf("got attempt %s, want 2", a)
	}
	settled(t, second, 1, 10*time.Second)
	if out := output(t, nil, "repair", "-data", dir); !strings.Contains(out, "0 overdue deliveries") {
		t.Errorf("repair again: %s", out)
	}
}

func TestResealMovesEverySecretToANewKey(t *testing.T) {
	onEachBackend(t, reseal)
}

func reseal(t *testing.T, b testBackend) {
	dir := dataDir(t)
	s := b.start("-data", dir)
	r := dev(t, s)
	dest := newDestination(t, nil)
	r.endpoint(dest.URL)
	r.rivyaSource()
	sivi := r.call(201, "POST", "/api/v1/sources", map[string]any{"name": "sivi", "provider": "sivi", "sivi_api_key": "k-of-sivi"})
	again := []string{"reseal", "-data", dir}
	if b.aws {
		again = []string{"reseal", "-table", "hookferry-dev", "-keyring", filepath.Join(dir, keyringFile)}
	}
	restart := func() {
		t.Helper()
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		r = dev(t, s)
	}
	if out := output(t, nil, "reseal", "-data", dir, "-rotate"); !strings.Contains(out, "version [1 2]") {
		t.Errorf("rotate: %s", out)
	}
	restart()
	if out := output(t, b.env, again...); !strings.Contains(out, "3 endpoints and sources sealed under version 2, 0 were already") {
		t.Errorf("reseal: %s", out)
	}
	if out := output(t, b.env, again...); !strings.Contains(out, "0 endpoints and sources sealed under version 2, 3 were already") {
		t.Errorf("reseal again: %s", out)
	}
	// Without the old key everything is still readable.
	path := filepath.Join(dir, keyringFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var ring map[string]any
	if err := json.Unmarshal(text, &ring); err != nil {
		t.Fatal(err)
	}
	delete(ring["keys"].(map[string]any), "1")
	if text, err = json.Marshal(ring); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	restart()
	r.call(202, "POST", "/api/v1/webhook-events", map[string]any{"type": "order.paid", "data": map[string]any{}})
	dest.wait(t, 1, b.settle) // a server may give the message to the poll of the stopped process first
	if got := r.call(200, "GET", "/api/v1/sources/"+sivi["id"].(string), nil); pathOf(got["ingest_url"]) != pathOf(sivi["ingest_url"]) {
		t.Errorf("the Sivi URL changed from %v to %v", sivi["ingest_url"], got["ingest_url"])
	}
}

// pathOf cuts the address off an ingest URL: each start has a port of its own.
func pathOf(url any) string {
	s := url.(string)
	return s[strings.Index(s, "/in/"):]
}

func TestAFolderWithoutItsKeyringIsRefused(t *testing.T) {
	dir := dataDir(t)
	s := start{args: []string{"-data", dir}}
	if err := dev(t, s).stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, keyringFile)); err != nil {
		t.Fatal(err)
	}
	if said := refused(t, nil, "dev", "-addr", "127.0.0.1:0", "-data", dir); !strings.Contains(said, "restore it") {
		t.Errorf("says %q", said)
	}
}

func TestADamagedFileIsRefusedAndLeftAsItIs(t *testing.T) {
	dir := dataDir(t)
	s := start{args: []string{"-data", dir}}
	if err := dev(t, s).stop(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, databaseFile)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(b[len(b)/2:], strings.Repeat("damage", 1000))
	copy(b[100:], strings.Repeat("x", 200))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	said := refused(t, nil, "dev", "-addr", "127.0.0.1:0", "-data", dir)
	if !strings.Contains(said, "damaged") {
		t.Errorf("says %q", said)
	}
	after, err := os.ReadFile(path)
	if err != nil || string(after) != string(b) {
		t.Errorf("the damaged file was changed (%v)", err)
	}
}
