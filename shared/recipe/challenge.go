package recipe

import "encoding/json"

// MaxAnswer is the most characters that an answer to a challenge has.
const MaxAnswer = 256

// An Answer is what a challenge gets: status 200, this body, this Content-Type
// and X-Content-Type-Options: nosniff.
type Answer struct {
	ContentType string
	Body        []byte
}

// Answer returns the answer if body is a challenge under the recipe, and nil
// otherwise. It must be asked only about a body whose signature was right, as
// Verify does.
//
// An answer repeats text of the body, at most MaxAnswer printable ASCII
// characters of it, and nothing else: nothing that depends on the secret is ever
// answered, so that whoever can call learns nothing by it.
func (r *Recipe) Answer(body []byte) *Answer {
	if r.wire.Challenge == nil || checkBody(body) != nil {
		return nil
	}
	when, err := r.when.find(body)
	if err != nil {
		return nil
	}
	if text, ok := scalar(when); !ok || text == "" || text == "false" {
		return nil
	}
	raw, err := r.answer.find(body)
	if err != nil {
		return nil
	}
	text, ok := scalar(raw)
	if !ok || text == "" || len(text) > MaxAnswer || !printable(text) {
		return nil
	}
	if r.wire.Challenge.As == "text" {
		return &Answer{"text/plain; charset=utf-8", []byte(text)}
	}
	answer, err := json.Marshal(map[string]string{r.answer[len(r.answer)-1]: text})
	if err != nil {
		return nil
	}
	return &Answer{"application/json", answer}
}
