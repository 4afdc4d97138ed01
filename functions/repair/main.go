// Command repair is the Lambda that looks for deliveries whose next attempt is
// late and sends their messages again. It is called on a schedule. It needs
// TABLE_NAME and RETRIES_QUEUE_URL, and no key: it opens no secret and makes no
// call but to the table and the queue.
package main

import (
	"context"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"hookferry/shared/awsruntime"
	"hookferry/shared/bounds"
	"hookferry/shared/dispatcher"
)

func main() {
	// The keyring is not this function's, whatever its environment says.
	lookup := func(name string) (string, bool) {
		if name == "SEALING_KEYRING_SECRET" {
			return "", false
		}
		return os.LookupEnv(name)
	}
	rt, err := awsruntime.Start(context.Background(), lookup, "RETRIES_QUEUE_URL")
	if err != nil {
		awsruntime.Fail(err)
	}
	d := dispatcher.New(dispatcher.Config{Store: rt.Store, Retries: rt.Retries, Now: time.Now, Log: rt.Log})
	lambda.Start(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, bounds.RepairWalk)
		defer cancel()
		_, err := d.Repair(ctx)
		return err
	})
}
