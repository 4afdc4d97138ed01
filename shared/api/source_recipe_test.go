package api

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"hookferry/shared/generation"
	"hookferry/shared/relay"
)

const (
	standardSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	publicKey      = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
)

func TestAPresetIsShownWholeAndASecretNever(t *testing.T) {
	w := newWorld(t)
	a := w.call("POST", "/api/v1/sources", `{"provider":"hmac","name":"GitHub","preset":"github","signing_secret":"my very own secret"}`).is(201).equal(map[string]any{
		"provider": "hmac", "signing_secret_set": true, "recipe.preset": "github", "recipe.signature.header": "X-Hub-Signature-256",
		"recipe.signature.prefix": "sha256=", "recipe.secret_encoding": "text", "recipe.signed": "{body}", "recipe.id": "{header:X-GitHub-Delivery}",
		"recipe.unsigned.0": "id", "sample.type": "github.sample",
	})
	id := a.text("id")
	if strings.Contains(a.raw, "my very own secret") || !strings.HasSuffix(a.text("ingest_url"), "/in/"+id) {
		t.Errorf("the answer is %s", a.raw)
	}
	src := w.storedSource(id)
	if w.opened(src.Secret, id, "signing_secret") != "my very own secret" || !strings.Contains(src.Recipe, "X-Hub-Signature-256") {
		t.Errorf("stored %+v", src)
	}
	list := w.call("GET", "/api/v1/sources", "").is(200).equal(map[string]any{"data.0.recipe.preset": "github"})
	if strings.Contains(list.raw, "sample") {
		t.Errorf("the list has a sample: %s", list.raw)
	}
	// What is shown can be given back.
	w.call("PATCH", "/api/v1/sources/"+id, `{"recipe":`+recipeIn(t, a.raw)+`}`).is(200)
	if again := w.storedSource(id); again.Version != src.Version {
		t.Error("the same recipe was written again")
	}
}

// recipeIn cuts the recipe out of an answer.
func recipeIn(t *testing.T, raw string) string {
	t.Helper()
	_, rest, ok := strings.Cut(raw, `"recipe":`)
	text, _, more := strings.Cut(rest, `,"sample"`)
	if !ok || !more {
		t.Fatalf("no recipe in %s", raw)
	}
	return text
}

func TestAStandardSourceTakesSecretAndPublicKeys(t *testing.T) {
	w := newWorld(t)
	a := w.call("POST", "/api/v1/sources", `{"provider":"standard","name":"OpenAI"}`).is(201).equal(map[string]any{
		"signing_secret_set": false, "recipe.preset": "standard", "recipe.id": "{header:webhook-id}", "recipe.type": "{/type}",
	})
	path := "/api/v1/sources/" + a.text("id")
	w.call("PATCH", path, `{"signing_secret":"`+standardSecret+`","public_keys":["whpk_`+publicKey+`"],"recipe":{"type":"{/kind}.x","subject":"{/id}"}}`).is(200).
		equal(map[string]any{"signing_secret_set": true, "public_keys.0": "whpk_" + publicKey, "recipe.type": "{/kind}.x", "recipe.subject": "{/id}"})
	// A new secret leaves the old one good for a while, as everywhere.
	w.call("PATCH", path, `{"signing_secret":"whsec_`+strings.Repeat("A", 32)+`","overlap_seconds":60}`).is(200)
	src := w.storedSource(a.text("id"))
	if w.opened(src.OldSecret, src.ID, "old_signing_secret") != standardSecret || !src.OldSecretUntil.Equal(w.clock.Now().Add(time.Minute)) {
		t.Errorf("stored %+v", src)
	}
	w.call("PATCH", path, `{"public_keys":[]}`).is(200)
	if src := w.storedSource(src.ID); len(src.PublicKeys) != 0 {
		t.Errorf("stored %+v", src)
	}
}

// A change of the way calls are signed keeps nothing that could not be used, or
// every call would be refused.
func TestARecipeThatChangesKeepsOnlyWhatFits(t *testing.T) {
	w := newWorld(t)
	a := w.call("POST", "/api/v1/sources", `{"provider":"hmac","name":"x","preset":"stripe","signing_secret":"not hex at all"}`).is(201)
	id, path := a.text("id"), "/api/v1/sources/"+a.text("id")
	hex := `{"preset":"stripe","secret_encoding":"hex"}`
	w.call("PATCH", path, `{"recipe":`+hex+`}`).refused(relay.KindValidation, "recipe")
	w.call("PATCH", path, `{"recipe":`+hex+`,"signing_secret":"`+strings.Repeat("ab", 16)+`"}`).is(200)
	if src := w.storedSource(id); src.OldSecret != "" || w.opened(src.Secret, id, "signing_secret") != strings.Repeat("ab", 16) {
		t.Errorf("stored %+v", src)
	}
	w.call("PATCH", path, `{"preset":"fal","public_keys":["`+publicKey+`"]}`).is(200).equal(map[string]any{"signing_secret_set": false})
	w.call("PATCH", path, `{"preset":"stripe"}`).is(200).equal(map[string]any{"signing_secret_set": false})
	if src := w.storedSource(id); len(src.PublicKeys) != 0 || src.Secret != "" {
		t.Errorf("stored %+v", src)
	}
}

// A fault of a recipe names the field by its path, and what the recipe would sign.
func TestRecipeFieldsThatAreRefused(t *testing.T) {
	w := newWorld(t)
	create := func(rest string) string { return `{"provider":"hmac","name":"x",` + rest + `}` }
	const good = `"signature":{"header":"X-Sig","scheme":"hmac-sha256","encoding":"hex"},"id":"{/id}","type":"{/type}"`
	for _, c := range []struct{ body, param, says string }{
		{`{"provider":"hmac","name":"x"}`, "recipe", "preset"},
		{create(`"preset":"nobody"`), "preset", "github"},
		{create(`"recipe":{"preset":"nobody"}`), "recipe.preset", "github"},
		{create(`"preset":"stripe","recipe":{"preset":"github"}`), "preset", "twice"},
		{create(`"preset":3`), "preset", ""},
		{create(`"recipe":null`), "recipe", ""},
		{create(`"recipe":[]`), "recipe", ""},
		{create(`"recipe":{}`), "recipe.signature", ""},
		{create(`"recipe":{` + good + `,"signed":"{timestamp}."}`), "recipe.signed", `\"1700000000.\"`},
		{create(`"recipe":{` + good + `,"signed":"{body}","colour":1}`), "recipe.colour", ""},
		{create(`"recipe":{` + good + `,"signed":"{body}","unsigned":["id"]}`), "recipe.unsigned", `would sign \"{`},
		{create(`"recipe":{` + good + `,"signed":"{url}.{body}"}`), "recipe.signed", "PUBLIC_URL"},
		{create(`"recipe":{"signature":{"header":"Host","scheme":"hmac-sha256","encoding":"hex"},"signed":"{body}","id":"{/id}","type":"{/type}"}`), "recipe.signature.header", "Host"},
		{create(`"preset":"stripe","recipe":{"timestamp":{"header":"X","tolerance_seconds":3601}}`), "recipe.timestamp.tolerance_seconds", "3600"},
		{create(`"preset":"stripe","signing_secret":" with blanks "`), "signing_secret", "blanks"},
		{create(`"preset":"replicate","signing_secret":"whsec_not base64"`), "signing_secret", "base64"},
		{create(`"preset":"stripe","signing_secret":"` + strings.Repeat("x", 1025) + `"`), "signing_secret", ""},
		{create(`"preset":"stripe","public_keys":["` + publicKey + `"]`), "public_keys", "signing_secret"},
		{create(`"preset":"fal","signing_secret":"12345678"`), "signing_secret", "public_keys"},
		{create(`"preset":"fal","public_keys":["` + publicKey + `","AAAA"]`), "public_keys[1]", "32 bytes"},
		{create(`"preset":"fal","public_keys":["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]`), "public_keys[0]", ""},
		{create(`"preset":"fal","public_keys":["1","2","3","4","5","6","7","8","9"]`), "public_keys", ""},
		{create(`"preset":"stripe","confirm":"off"`), "confirm", ""},
		{`{"provider":"rivya","name":"x","preset":"stripe"}`, "preset", ""},
		{`{"provider":"sivi","name":"x","recipe":{}}`, "recipe", ""},
		{`{"provider":"rivya","name":"x","public_keys":[]}`, "public_keys", ""},
		{`{"provider":"standard","name":"x","preset":"openai"}`, "preset", ""},
		{`{"provider":"standard","name":"x","recipe":{"signed":"{body}"}}`, "recipe.signed", ""},
		{`{"provider":"standard","name":"x","recipe":{"type":"{header:X}"}}`, "recipe.type", ""},
		{`{"provider":"standard","name":"x","signing_secret":"no prefix at all"}`, "signing_secret", ""},
		{`{"provider":"standard","name":"x","signing_secret":"whpk_` + publicKey + `"}`, "signing_secret", ""},
		{`{"provider":"standard","name":"x","public_keys":["` + standardSecret + `"]}`, "public_keys[0]", ""},
	} {
		if a := w.call("POST", "/api/v1/sources", c.body).refused(relay.KindValidation, c.param); !strings.Contains(a.raw, c.says) {
			t.Errorf("%s: %s says nothing of %s", c.body, a.raw, c.says)
		}
	}
	w = newWorld(t, func(cfg *Config) { cfg.PublicURL = "https://hooks.example.com" })
	w.call("POST", "/api/v1/sources", create(`"recipe":{`+good+`,"signed":"{url}.{body}"}`)).is(201)
	a := w.call("POST", "/api/v1/sources", create(`"preset":"stripe"`)).is(201)
	w.call("POST", "/api/v1/sources/"+a.text("id")+"/rotate-token", "").refused(relay.KindValidation, "")
	w.call("PATCH", "/api/v1/sources/"+a.text("id"), `{"sivi_api":"general"}`).refused(relay.KindValidation, "sivi_api")
}

// A test of an endpoint in format verbatim has no provider's bytes: it has ours.
func TestAVerbatimEndpointGetsATestInOurOwnForm(t *testing.T) {
	w := newWorld(t)
	id := w.call("POST", "/api/v1/webhooks", `{"name":"x","url":"https://hooks.example.com/x","event_types":["*"],"format":"verbatim"}`).is(201).
		equal(map[string]any{"format": "verbatim"}).text("id")
	w.call("POST", "/api/v1/webhooks/"+id+"/test", "").is(202)
	if m := queued(t, w.Events); len(m) != 1 || m[0].Event.Format != relay.FormatRivya || !m[0].Event.Test {
		t.Errorf("sent %+v", m)
	}
}

// What the document says of recipes is what the package takes.
func TestTheDocumentKnowsEveryProviderOfGenerations(t *testing.T) {
	var doc struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]struct{ Enum []any }
			}
		}
	}
	if err := json.Unmarshal(openAPIDocument, &doc); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range doc.Components.Schemas["Recipe"].Properties["generation"].Enum {
		got = append(got, v.(string))
	}
	if want := generation.Providers(); !slices.Equal(got, want) {
		t.Errorf("the document has %v, want %v", got, want)
	}
}

func TestFieldsThatAreSetAtCreationOrLater(t *testing.T) {
	w := newWorld(t)
	w.call("POST", "/api/v1/sources", `{"provider":"hmac","name":"f","preset":"fal","public_keys":["`+publicKey+`"]}`).is(201).
		equal(map[string]any{"public_keys.0": publicKey})
	src := w.call("POST", "/api/v1/sources", `{"provider":"sivi","name":"s","sivi_api_key":"the-key-at-Sivi"}`).is(201)
	w.call("PATCH", "/api/v1/sources/"+src.text("id"), `{"sivi_api":"enterprise"}`).is(200).equal(map[string]any{"sivi_api": "enterprise"})
	// An event of a source is named by both, where an id alone may be another's.
	id := src.text("id")
	ev := relay.Event{
		ID: "evt_of_source", Key: relay.EventKey(id, "evt_of_source"), Account: w.account, SourceID: id, Type: "generation.succeeded",
		Format: relay.FormatRivya, VerifiedBy: relay.VerifiedBySignature, CreatedAt: w.clock.Now(), Payload: relay.NewPayload([]byte(`{}`)),
	}
	_, err1 := w.Store.PutEvent(context.Background(), relay.EventRecord{Event: ev, MID: relay.NewMID()})
	err2 := w.Store.ListEvent(context.Background(), ev, nil)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	w.call("POST", "/api/v1/webhooks/"+w.createEndpoint()+"/deliver", `{"event_id":"evt_of_source","source_id":"`+id+`"}`).is(202)
}
