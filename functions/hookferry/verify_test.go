package main

import (
	"strings"
	"testing"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/verify/verifytest"
)

// Each verifier takes what the running relay delivers, in both styles, before,
// during and after a rotation; and refuses it under another secret.
func TestVerifiersTakeLiveDeliveries(t *testing.T) {
	t.Parallel()
	r := dev(t, start{})
	url, sourceSecret := r.rivyaSource()
	type receiver struct{ name, endpoint string }
	var receivers []receiver
	for _, language := range verifytest.Languages {
		for _, style := range []string{"rivya", "standard", "stranger"} {
			e := r.call(201, "POST", "/api/v1/webhooks", map[string]any{
				"name": language + " " + style, "url": "http://127.0.0.1:1/", "event_types": []string{"generation.succeeded"}, "signatures": []string{"rivya", "standard"},
			})
			id, secret := e["id"].(string), e["signing_secret"].(string)
			if style == "stranger" {
				secret = relay.NewSigningSecret().Reveal()
			}
			t.Run(language+"/"+style, func(st *testing.T) {
				if why := verifytest.Missing(language); why != "" {
					st.Skip(why)
				}
				at := verifytest.Start(t, language, style == "standard", secret)
				r.call(200, "PATCH", "/api/v1/webhooks/"+id, map[string]any{"url": at})
				receivers = append(receivers, receiver{language + "/" + style, id})
			})
		}
	}
	deliver := func(event string) {
		t.Helper()
		body := strings.Replace(seedEvent, "evt_seed", event, 1)
		if status, answer := sendRivya(t, url, sourceSecret, event, []byte(body)); status != 200 {
			t.Fatalf("accept: got %d %s", status, answer)
		}
		for _, rc := range receivers {
			want := "succeeded"
			if strings.HasSuffix(rc.name, "stranger") {
				want = "failed"
			}
			eventually(t, 20*time.Second, func() string {
				for _, a := range r.list("/api/v1/webhooks/" + rc.endpoint + "/deliveries?event_id=" + event) {
					if a["status"] == want {
						return ""
					}
					if a["status"] != "pending" {
						t.Fatalf("%s: %s: got %v %v", event, rc.name, a["status"], a["http_status"])
					}
				}
				return rc.name + ": no attempt on record"
			})
		}
	}
	deliver("evt_before")
	for _, rc := range receivers {
		r.call(200, "POST", "/api/v1/webhooks/"+rc.endpoint+"/rotate-secret", map[string]any{"overlap_seconds": 3600})
	}
	deliver("evt_during")
}

func TestAuditCommand(t *testing.T) {
	t.Parallel()
	secret := relay.NewSigningSecret()
	sound := verifytest.Start(t, "go", false, secret.Reveal())
	env := []string{"HOOKFERRY_SECRET=" + secret.Reveal()}
	if got := output(t, env, "audit", sound); !strings.Contains(got, "the receiver is sound") {
		t.Errorf("got %s", got)
	}
	everything := newDestination(t, nil)
	got := refused(t, env, "audit", "-json", everything.URL)
	if !strings.Contains(got, "calls went wrong") || strings.Contains(got, secret.Reveal()) {
		t.Errorf("got %s", got)
	}
	for want, args := range map[string][]string{
		"want one URL":          {"audit"},
		"url: want http":        {"audit", "localhost:3000/hook"},
		"no signing secret":     {"audit", sound, "-secret-file", ""},
		"-secret-file: it is e": {"audit", sound, "-secret-file", "/dev/null"},
	} {
		env := env
		if strings.HasPrefix(want, "no ") {
			env = []string{"HOOKFERRY_SECRET="}
		}
		if got := refused(t, env, args...); !strings.Contains(got, want) {
			t.Errorf("%v: want %q, got %s", args, want, got)
		}
	}
}
