package api

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/seal"
)

func (w *world) storedSource(id string) relay.Source {
	w.t.Helper()
	src, err := w.Store.Source(context.Background(), w.account, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return src
}

func (w *world) opened(s relay.Sealed, object, field string) string {
	w.t.Helper()
	secret, err := w.Keys.Open(s, seal.Place{Account: w.account, Object: object, Field: field})
	if err != nil {
		w.t.Fatal(err)
	}
	return secret.Reveal()
}

func TestARivyaSourceIsMadeBeforeItsSecretIsKnown(t *testing.T) {
	w := newWorld(t, func(cfg *Config) { cfg.PublicURL = "https://hooks.example.com/" })
	a := w.call("POST", "/api/v1/sources", `{"provider":"rivya","name":"Rivya"}`).is(201)
	id, at := a.text("id"), relay.FormatTime(w.clock.Now())
	want := `{"id":"` + id + `","object":"webhook_source","provider":"rivya","name":"Rivya","status":"active","ingest_url":"https://hooks.example.com/in/` + id +
		`","created_at":"` + at + `","updated_at":"` + at + `","signing_secret_set":false}`
	if a.raw != want {
		t.Errorf("got %s, want %s", a.raw, want)
	}
	path := "/api/v1/sources/" + id
	w.call("PATCH", path, `{"signing_secret":"whsec_one not base64!"}`).is(200).equal(map[string]any{"signing_secret_set": true})
	if src := w.storedSource(id); w.opened(src.Secret, id, "signing_secret") != "whsec_one not base64!" || src.OldSecret != "" {
		t.Errorf("stored %+v", src)
	}
	w.call("PATCH", path, `{"signing_secret":"whsec_second","overlap_seconds":60}`).is(200)
	src := w.storedSource(id)
	if w.opened(src.Secret, id, "signing_secret") != "whsec_second" || w.opened(src.OldSecret, id, "old_signing_secret") != "whsec_one not base64!" ||
		!src.OldSecretUntil.Equal(w.clock.Now().Add(time.Minute)) {
		t.Errorf("stored %+v", src)
	}
	// The same secret again does not push out the one before it.
	w.clock.Advance(time.Second)
	w.call("PATCH", path, `{"signing_secret":"whsec_second"}`).is(200)
	if again := w.storedSource(id); again.Version != src.Version {
		t.Errorf("the same secret was written again: %+v", again)
	}
	w.call("PATCH", path, `{"signing_secret":"whsec_third","overlap_seconds":0}`).is(200)
	if src := w.storedSource(id); src.OldSecret != "" || !src.OldSecretUntil.IsZero() {
		t.Errorf("with no overlap the old secret is kept: %+v", src)
	}
	w.call("PATCH", path, `{"signing_secret":"whsec_fourth"}`).is(200)
	if src := w.storedSource(id); !src.OldSecretUntil.Equal(w.clock.Now().Add(24 * time.Hour)) {
		t.Errorf("the default overlap ends %v", src.OldSecretUntil)
	}
}

func TestASiviSourceHasATokenInItsURL(t *testing.T) {
	w := newWorld(t)
	r := w.request(w.key, "POST", "/api/v1/sources", `{"provider":"sivi","name":"Sivi","sivi_api_key":"the-key-at-Sivi","sivi_api":"enterprise","confirm":"prefer"}`)
	r.Host = "relay.example.net:8080"
	a := w.send(r).is(201).equal(map[string]any{"sivi_api_key_set": true, "sivi_api": "enterprise", "confirm": "prefer", "status": "active"})
	id := a.text("id")
	token, ok := strings.CutPrefix(a.text("ingest_url"), "http://relay.example.net:8080/in/"+id+"/")
	if raw, err := base64.RawURLEncoding.DecodeString(token); !ok || err != nil || len(raw) != 32 {
		t.Errorf("ingest_url is %s", a.text("ingest_url"))
	}
	if strings.Contains(a.raw, "the-key-at-Sivi") {
		t.Errorf("the answer shows the key: %s", a.raw)
	}
	src := w.storedSource(id)
	if src.TokenHash != relay.HashSecret(relay.Secret(token)) || w.opened(src.APIKey, id, "sivi_api_key") != "the-key-at-Sivi" {
		t.Errorf("stored %+v", src)
	}
	r = w.request(w.key, "GET", "/api/v1/sources/"+id, "")
	r.Header.Set("X-Forwarded-Proto", "https")
	if got := w.send(r).text("ingest_url"); !strings.HasPrefix(got, "https://relay.example.org/in/"+id+"/"+token) {
		t.Errorf("behind a gateway the ingest_url is %s", got)
	}
	w.call("GET", "/api/v1/sources", "").is(200).equal(map[string]any{"data.0.ingest_url": "http://relay.example.org/in/" + id + "/" + token})

	for body, overlap := range map[string]time.Duration{`{"overlap_seconds":60}`: time.Minute, "": 24 * time.Hour, `{"overlap_seconds":0}`: 0} {
		before := w.storedSource(id)
		url := w.call("POST", "/api/v1/sources/"+id+"/rotate-token", body).is(200).text("ingest_url")
		src := w.storedSource(id)
		if src.TokenHash == before.TokenHash || src.TokenHash != relay.HashSecret(relay.Secret(url[strings.LastIndex(url, "/")+1:])) {
			t.Errorf("%s: the URL does not hold the new token", body)
		}
		if overlap > 0 && (src.OldTokenHash != before.TokenHash || !src.OldTokenUntil.Equal(w.clock.Now().Add(overlap))) ||
			overlap == 0 && (src.OldTokenHash != relay.KeyHash{} || !src.OldTokenUntil.IsZero()) {
			t.Errorf("%s: the old token is good until %v", body, src.OldTokenUntil)
		}
	}
}

func TestATokenRotationThatIsReportedAsAConflictHappensOnce(t *testing.T) {
	w, b := newBroken(t)
	id := w.call("POST", "/api/v1/sources", `{"provider":"sivi","name":"s"}`).is(201).text("id")
	before := w.storedSource(id)
	b.fail["UpdateSource"] = relay.ErrConflict
	w.call("POST", "/api/v1/sources/"+id+"/rotate-token", "").is(200)
	if src := w.storedSource(id); src.OldTokenHash != before.TokenHash {
		t.Error("the token before was lost")
	}
	rivya := w.call("POST", "/api/v1/sources", `{"provider":"rivya","name":"r","signing_secret":"the-first-one"}`).is(201).text("id")
	b.fail["UpdateSource"] = relay.ErrConflict
	w.call("PATCH", "/api/v1/sources/"+rivya, `{"signing_secret":"the-second-one"}`).is(200)
	if src := w.storedSource(rivya); w.opened(src.OldSecret, rivya, "old_signing_secret") != "the-first-one" {
		t.Error("the signing secret before was lost")
	}
}

func TestSourceFieldsThatAreRefused(t *testing.T) {
	w := newWorld(t)
	rivya := w.call("POST", "/api/v1/sources", `{"provider":"rivya","name":"r"}`).is(201).text("id")
	sivi := w.call("POST", "/api/v1/sources", `{"provider":"sivi","name":"s"}`).is(201).text("id")
	for _, c := range []struct{ method, id, body, param string }{
		{"POST", "", `{"name":"x"}`, "provider"},
		{"POST", "", `{"provider":"stripe","name":"x"}`, "provider"},
		{"POST", "", `{"provider":"rivya"}`, "name"},
		{"POST", "", `{"provider":"rivya","name":"x","sivi_api_key":"k"}`, "sivi_api_key"},
		{"POST", "", `{"provider":"rivya","name":"x","sivi_api":"general"}`, "sivi_api"},
		{"POST", "", `{"provider":"rivya","name":"x","confirm":"off"}`, "confirm"},
		{"POST", "", `{"provider":"sivi","name":"x","signing_secret":"12345678"}`, "signing_secret"},
		{"POST", "", `{"provider":"rivya","name":"x","signing_secret":"1234567"}`, "signing_secret"},
		{"POST", "", `{"provider":"rivya","name":"x","signing_secret":"` + strings.Repeat("x", 257) + `"}`, "signing_secret"},
		{"POST", "", `{"provider":"rivya","name":"x","signing_secret":"12345678é"}`, "signing_secret"},
		{"POST", "", `{"provider":"rivya","name":"x","signing_secret":"1234\t5678"}`, "signing_secret"},
		{"POST", "", `{"provider":"rivya","name":"x","signing_secret":null}`, "signing_secret"},
		{"POST", "", `{"provider":"rivya","name":"x","overlap_seconds":1}`, "overlap_seconds"},
		{"POST", "", `{"provider":"sivi","name":"x","confirm":"require"}`, "confirm"},
		{"POST", "", `{"provider":"sivi","name":"x","sivi_api":"beta","sivi_api_key":"k"}`, "sivi_api"},
		{"POST", "", `{"provider":"sivi","name":"x","sivi_api_key":"a b"}`, "sivi_api_key"},
		{"POST", "", `{"provider":"sivi","name":"x","sivi_api_key":""}`, "sivi_api_key"},
		{"PATCH", rivya, `{"provider":"sivi"}`, "provider"},
		{"PATCH", rivya, `{"confirm":"off"}`, "confirm"},
		{"PATCH", rivya, `{"overlap_seconds":60}`, "overlap_seconds"},
		{"PATCH", rivya, `{"signing_secret":"12345678","overlap_seconds":604801}`, "overlap_seconds"},
		{"PATCH", rivya, `{"ingest_url":"https://example.com"}`, "ingest_url"},
		{"PATCH", sivi, `{"signing_secret":"12345678"}`, "signing_secret"},
		{"PATCH", sivi, `{"confirm":"prefer"}`, "confirm"},
		{"PATCH", sivi, `{"status":"deleted"}`, "status"},
	} {
		w.call(c.method, strings.TrimSuffix("/api/v1/sources/"+c.id, "/"), c.body).refused(relay.KindValidation, c.param)
	}
	w.call("POST", "/api/v1/sources/"+rivya+"/rotate-token", "").refused(relay.KindValidation, "")
	// The key that confirm needs cannot be taken away from under it.
	w.call("PATCH", "/api/v1/sources/"+sivi, `{"sivi_api_key":"k","confirm":"require"}`).is(200)
	w.call("PATCH", "/api/v1/sources/"+sivi, `{"sivi_api_key":null}`).refused(relay.KindValidation, "confirm")
	w.call("PATCH", "/api/v1/sources/"+sivi, `{"sivi_api_key":null,"confirm":"off"}`).is(200).equal(map[string]any{"sivi_api_key_set": false, "confirm": "off"})
}

func TestSourcesAreChangedAndDeleted(t *testing.T) {
	w := newWorld(t)
	id := w.call("POST", "/api/v1/sources", `{"provider":"rivya","name":"r","status":"disabled","signing_secret":"`+strings.Repeat("~", 256)+`"}`).is(201).
		equal(map[string]any{"status": "disabled", "signing_secret_set": true}).text("id")
	path := "/api/v1/sources/" + id
	w.clock.Advance(time.Second)
	w.call("PATCH", path, `{"name":"R","status":"active"}`).is(200).equal(map[string]any{"name": "R", "status": "active", "updated_at": relay.FormatTime(w.clock.Now())})
	w.call("DELETE", path, "").is(200).equal(map[string]any{"id": id, "object": "webhook_source", "deleted": true})
	w.call("DELETE", path, "").refused(relay.KindNotFound, "")
	w.call("GET", path, "").refused(relay.KindNotFound, "")
	w.call("PATCH", path, `{"name":"x"}`).refused(relay.KindNotFound, "")
	if _, err := w.Store.IngestSource(context.Background(), id); err == nil {
		t.Error("calls of a deleted source are still taken")
	}
}

func TestTheLimitOfSources(t *testing.T) {
	w := newWorld(t)
	for i := range 100 {
		w.call("POST", "/api/v1/sources", fmt.Sprintf(`{"provider":"rivya","name":"%d"}`, i)).is(201)
	}
	w.call("POST", "/api/v1/sources", `{"provider":"rivya","name":"x"}`).refused(relay.KindLimitExceeded, "")
}
