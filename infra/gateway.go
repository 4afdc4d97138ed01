//go:build cdk

package main

import (
	"encoding/json"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/jsii-runtime-go"

	"hookferry/shared/telemetry"
)

// A route is one of the gateway, and the function behind it. Inbound ones, where
// a call that is turned away may be an event lost, have a throttle of their own.
type route struct {
	id, key, function string
	inbound           bool
}

var routes = []route{
	{"RouteRivya", "POST /in/{source}", "receiver", true},
	{"RouteSivi", "POST /in/{source}/{token}", "receiver", true},
	{"RoutePublish", "POST /api/v1/webhook-events", "api", true},
	{"RouteApi", "ANY /api/v1/{proxy+}", "api", false},
	{"RouteKeys", "GET /.well-known/webhook-keys.json", "api", false},
	{"RouteConsoleRoot", "GET /", "api", false},
	{"RouteConsole", "GET /console", "api", false},
	{"RouteConsolePages", "GET /console/{proxy+}", "api", false},
	{"RouteUpdate", "POST /general/update-webhook", "api", false},
	{"RouteUpdateProd", "POST /api/prod/v2/general/update-webhook", "api", false},
	{"RouteUpdateStaging", "POST /api/staging/v2/general/update-webhook", "api", false},
}

// accessLine is what the gateway logs of a call: the route's key, never the
// path, which holds the token of a Sivi source. The gateway puts values into the
// line as they are, without escaping: so nothing that a caller chooses is in it,
// or a quote in a header could forge the fields after it.
var accessLine = map[string]string{
	"time":              "$context.requestTimeEpoch",
	"gatewayRequestId":  "$context.requestId",
	"routeKey":          "$context.routeKey",
	"status":            "$context.status",
	"latencyMs":         "$context.responseLatency",
	"integrationMs":     "$context.integrationLatency",
	"integrationStatus": "$context.integrationStatus",
	"responseBytes":     "$context.responseLength",
	"ip":                "$context.identity.sourceIp",
	"error":             "$context.error.responseType",
}

// refusedPattern finds the access lines of providers' calls that the gateway
// itself has turned away: by its throttle, or because no receiver answered.
const refusedPattern = `{ $.routeKey = "POST /in/*" && ($.status = "429" || ($.status = "5*" && $.error != "-")) }`

// addGateway makes the API and settles its URL, which the functions are told.
func (s *stack) addGateway() {
	s.gateway = awsapigatewayv2.NewCfnApi(s.Stack, jsii.String("Gateway"), &awsapigatewayv2.CfnApiProps{
		Name: s.name("gateway"), ProtocolType: jsii.String("HTTP"),
		Description: jsii.String("Hookferry: management, publishing and inbound calls"),
		// Tags here are a map, which the stack's tags do not reach by themselves.
		Tags: s.tagMap(),
	})
	if s.p.DomainName != "" && !s.p.KeepDefaultName {
		// Who finds the default name would pass whatever stands before the domain.
		s.gateway.SetDisableExecuteApiEndpoint(jsii.Bool(true))
	}
	s.url = jsii.Sprintf("https://%s.execute-api.%s.%s", *s.gateway.Ref(), *s.Region(), *s.UrlSuffix())
	if s.p.DomainName != "" {
		s.url = jsii.String("https://" + s.p.DomainName)
	}
}

func (s *stack) tagMap() *map[string]*string {
	tags := map[string]*string{"app": jsii.String("hookferry"), "stage": jsii.String(s.p.Stage)}
	for k, v := range s.p.Tags {
		tags[k] = jsii.String(v)
	}
	return &tags
}

func (s *stack) addRoutes() {
	integrations := map[string]awsapigatewayv2.CfnIntegration{}
	for _, n := range [][2]string{{"api", "IntegrationApi"}, {"receiver", "IntegrationReceiver"}} {
		name, id := n[0], n[1]
		integrations[name] = awsapigatewayv2.NewCfnIntegration(s.Stack, jsii.String(id), &awsapigatewayv2.CfnIntegrationProps{
			ApiId: s.gateway.Ref(), IntegrationType: jsii.String("AWS_PROXY"),
			IntegrationUri: s.functions[name].FunctionArn(), PayloadFormatVersion: jsii.String("2.0"),
		})
		awslambda.NewCfnPermission(s.Stack, jsii.String(id+"Permission"), &awslambda.CfnPermissionProps{
			Action: jsii.String("lambda:InvokeFunction"), Principal: jsii.String("apigateway.amazonaws.com"),
			FunctionName: s.functions[name].FunctionArn(),
			SourceArn: s.FormatArn(&awscdk.ArnComponents{
				Service: jsii.String("execute-api"), Resource: s.gateway.Ref(), ResourceName: jsii.String("$default/*")}),
		})
	}
	settings := map[string]any{}
	var made []awsapigatewayv2.CfnRoute
	for _, r := range routes {
		made = append(made, awsapigatewayv2.NewCfnRoute(s.Stack, jsii.String(r.id), &awsapigatewayv2.CfnRouteProps{
			ApiId: s.gateway.Ref(), RouteKey: jsii.String(r.key), AuthorizationType: jsii.String("NONE"),
			Target: jsii.Sprintf("integrations/%s", *integrations[r.function].Ref()),
		}))
		if r.inbound {
			settings[r.key] = map[string]any{"ThrottlingRateLimit": s.p.InboundRate, "ThrottlingBurstLimit": s.p.InboundBurst}
		}
	}
	// Groups under /aws/vendedlogs/ do not count against the one resource policy
	// that log delivery has.
	access := s.addLogGroup("access", "AccessLogs", "/aws/vendedlogs/hookferry/"+s.p.Stage+"/access", false)
	awslogs.NewCfnMetricFilter(s.Stack, jsii.String("GatewayRefused"), &awslogs.CfnMetricFilterProps{
		LogGroupName: access.LogGroupName(), FilterPattern: jsii.String(refusedPattern),
		// One metric for a stage: a filter's own dimensions would be fields of the line.
		MetricTransformations: &[]any{&awslogs.CfnMetricFilter_MetricTransformationProperty{
			MetricNamespace: jsii.String(gatewayNamespace), MetricName: jsii.String(s.gatewayRefused()), MetricValue: jsii.String("1")}},
	})
	format, err := json.Marshal(accessLine)
	if err != nil {
		panic(err) // a map of strings always marshals
	}
	stage := awsapigatewayv2.NewCfnStage(s.Stack, jsii.String("GatewayStage"), &awsapigatewayv2.CfnStageProps{
		ApiId: s.gateway.Ref(), StageName: jsii.String("$default"), AutoDeploy: jsii.Bool(true),
		AccessLogSettings: &awsapigatewayv2.CfnStage_AccessLogSettingsProperty{
			DestinationArn: access.LogGroupArn(), Format: jsii.String(string(format))},
		DefaultRouteSettings: &awsapigatewayv2.CfnStage_RouteSettingsProperty{
			ThrottlingRateLimit: jsii.Number(s.p.ManagementRate), ThrottlingBurstLimit: jsii.Number(s.p.ManagementBurst),
			DetailedMetricsEnabled: jsii.Bool(false)},
		RouteSettings: settings,
		Tags:          s.tagMap(),
	})
	// A stage cannot have settings for a route that is not there yet.
	for _, r := range made {
		stage.AddResourceDependency(r, nil)
	}
	if s.p.DomainName != "" {
		s.addDomain(stage)
	}
}

// gatewayNamespace and gatewayRefused name the metric that counts those calls.
const gatewayNamespace = telemetry.Namespace + "/Gateway"

func (s *stack) gatewayRefused() string { return "refused_" + s.p.Stage }

// addDomain gives the API a name of its own.
func (s *stack) addDomain(stage awsapigatewayv2.CfnStage) {
	domain := awsapigatewayv2.NewCfnDomainName(s.Stack, jsii.String("Domain"), &awsapigatewayv2.CfnDomainNameProps{
		DomainName: jsii.String(s.p.DomainName),
		DomainNameConfigurations: &[]any{&awsapigatewayv2.CfnDomainName_DomainNameConfigurationProperty{
			CertificateArn: jsii.String(s.p.CertificateARN), EndpointType: jsii.String("REGIONAL"), SecurityPolicy: jsii.String("TLS_1_2"),
		}},
		Tags: s.tagMap(),
	})
	mapping := awsapigatewayv2.NewCfnApiMapping(s.Stack, jsii.String("DomainMapping"), &awsapigatewayv2.CfnApiMappingProps{
		ApiId: s.gateway.Ref(), DomainName: domain.Ref(), Stage: jsii.String("$default"),
	})
	mapping.AddResourceDependency(stage, nil)
	awscdk.NewCfnOutput(s.Stack, jsii.String("DomainTarget"), &awscdk.CfnOutputProps{
		Value: domain.AttrRegionalDomainName(), Description: jsii.String("What a CNAME or alias record for " + s.p.DomainName + " must point to"),
	})
}
