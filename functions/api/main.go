// Command api is the Lambda of the management calls and of the console. It needs TABLE_NAME,
// EVENTS_QUEUE_URL, RETRIES_QUEUE_URL and SEALING_KEYRING_SECRET.
package main

import (
	"context"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"hookferry/shared/api"
	"hookferry/shared/awsruntime"
	"hookferry/shared/console"
	"hookferry/shared/egress"
	"hookferry/shared/lambdahttp"
)

func main() {
	rt, err := awsruntime.Start(context.Background(), os.LookupEnv, "EVENTS_QUEUE_URL", "RETRIES_QUEUE_URL", "SEALING_KEYRING_SECRET")
	if err != nil {
		awsruntime.Fail(err)
	}
	keys, err := rt.Keys.Ring() // its cursors and links are of it
	if err != nil {
		awsruntime.Fail(err)
	}
	lambda.Start(lambdahttp.Wrap(console.Handler(api.New(api.Config{
		Store:         rt.Store,
		Events:        rt.Events,
		Retries:       rt.Retries,
		Keys:          keys,
		Now:           time.Now,
		URLs:          egress.Policy{}, // the strict one, always
		PublicURL:     rt.Config.PublicURL,
		EndpointLimit: rt.Config.EndpointLimit,
		FailingAfter:  rt.Config.FailingAfter,
		ExpectFirst:   rt.Config.ExpectFirst,
		ExpectGiveUp:  rt.Config.ExpectGiveUp,
		Log:           rt.Log,
		Audit:         rt.Audit,
	})), rt.Log))
}
