//go:build cdk

// Command infra is the CDK app that deploys Hookferry: an HTTP API, three
// functions, two queues, a table, and what it takes to watch them.
//
// It is built with the tag cdk, so that nobody else waits for the CDK to
// compile. Everything that differs between deployments is a parameter, see
// Parameters: given on the command line (-c stage=prod) or kept in
// stages/STAGE.json. README.md says how to deploy and what to do at an alarm.
package main

import (
	"fmt"
	"os"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
)

func main() {
	defer jsii.Close()
	app := awscdk.NewApp(nil)
	if err := compose(app); err != nil {
		fmt.Fprintln(os.Stderr, err)
		jsii.Close()
		os.Exit(1)
	}
	app.Synth(nil)
}

// compose reads the app's context and adds the stack.
func compose(app awscdk.App) error {
	context, _ := app.Node().GetAllContext(nil).(map[string]any)
	p, err := ReadParameters(context, os.ReadFile)
	if err != nil {
		return err
	}
	NewStack(app, p)
	return nil
}
