// Command receiver is the Lambda that takes the providers' calls. It needs
// TABLE_NAME, EVENTS_QUEUE_URL and SEALING_KEYRING_SECRET.
package main

import (
	"context"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"hookferry/shared/awsruntime"
	"hookferry/shared/lambdahttp"
	"hookferry/shared/receiver"
)

func main() {
	rt, err := awsruntime.Start(context.Background(), os.LookupEnv, "EVENTS_QUEUE_URL", "SEALING_KEYRING_SECRET")
	if err != nil {
		awsruntime.Fail(err)
	}
	lambda.Start(lambdahttp.Wrap(receiver.New(receiver.Config{
		Sources:   rt.Store,
		Events:    rt.Events,
		Keys:      rt.Keys,
		Refusals:  receiver.NewRefusals(rt.Store),
		PublicURL: rt.Config.PublicURL,
		Now:       time.Now,
		Log:       rt.Log,
	}), rt.Log))
}
