package recipe_test

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"hookferry/shared/recipe"
	"hookferry/shared/relay"
)

// A provider that no preset knows is a recipe and nothing more.
func ExampleParse() {
	r, err := recipe.Parse([]byte(`{
		"signature": {"header": "X-Acme-Signature", "scheme": "hmac-sha256", "encoding": "hex", "prefix": "sha256="},
		"signed": "{body}",
		"id": "{/delivery}", "type": "{/event}"
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := r.Compute(r.Sample())
	fmt.Println(c.Signed, c.ID, c.Type, err)
	// Output: {"delivery":"sample","event":"sample"} sample sample.sample <nil>
}

// A fault names its field and shows what the recipe gives on a sample.
func ExampleFieldError() {
	_, err := recipe.Parse([]byte(`{"preset": "stripe", "signed": "{timestamp}."}`))
	var fault *recipe.FieldError
	fmt.Println(errors.As(err, &fault), fault.Field)
	fmt.Println(err)
	// Output:
	// true signed
	// signed must hold {body} or {body:sha256:hex}, or the signature would not prove the body; of a sample call it would sign "1700000000.".
}

func ExampleRecipe_Verify() {
	r, err := recipe.Parse([]byte(`{"preset": "stripe"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	call := recipe.Request{
		Header: http.Header{"Stripe-Signature": {"t=1770000000,v1=0000000000000000000000000000000000000000000000000000000000000000"}},
		Body:   []byte(`{"id":"evt_1","type":"payment_intent.succeeded"}`),
	}
	_, err = r.Verify(call, time.Unix(1770000000, 0), relay.Secret("whsec_of_an_example"))
	fmt.Println(err)
	_, err = r.Verify(call, time.Unix(1770000301, 0), relay.Secret("whsec_of_an_example"))
	fmt.Println(err)
	// Output:
	// signature does not match
	// signature timestamp is too far from now
}

func ExampleStandard() {
	r, err := recipe.Standard(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.CheckSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
	fmt.Println(r.CheckSecret("whsec_"))
	// Output:
	// <nil>
	// no usable signing secret: want 8 to 512 bytes as base64
}
