// Package shared holds no code: it is the map of the packages below it.
//
// Start at relay: it has the words of the domain and the two ports, Store and
// Queue. Then follow an event: receiver takes a provider's call, dispatcher makes
// of it recorded events and attempts, and api shows what happened. Each of the
// three is wired in functions, for Lambda and for one process.
//
// What Hookferry does:
//
//	relay        the domain: events, endpoints, deliveries, attempts, the retry schedule, the ports
//	receiver     providers' calls: proved, made durable, answered
//	dispatcher   recording, matching, calling, retrying; its protocol folder says what is proved of it
//	api          the management API, its document, and Sivi's compatible call
//	console      the same API in a browser
//	poller       feeds the dispatcher from the queues of one process
//
// What it does it with:
//
//	signature    makes and checks Rivya's and Standard Webhooks' signatures
//	recipe       proves calls of any provider by data
//	generation   reads what known providers say of a generation
//	sivi         Sivi's side of the wire
//	body         the body that an endpoint is sent
//	filter       the event patterns of endpoints
//	egress       the only way out: the rules for addresses, and the HTTP client that keeps them
//	seal         stored secrets, encrypted
//	rawjson      single fields of a JSON text, left as it is
//
// What it stands on:
//
//	dynamo       the Store on DynamoDB
//	sqsqueue     the Queue on SQS
//	sqlite       both ports in one file
//	cache        answers of a store, for some seconds
//	disk         files that nobody sees half of
//	lambdahttp   an http.Handler behind API Gateway
//	awsruntime   what the Lambdas share
//	config       every setting, and its default
//	bounds       every bound: time, files, connections, bytes, calls
//	telemetry    log lines and metrics
//
// For those who use it:
//
//	client       the management API in Go, for the command line and other programs
//
// For those who receive deliveries:
//
//	verify       verification in Go, TypeScript and Python
//	audit        tries a receiver with right and wrong calls
//
// For tests: relay/relaytest holds adapters to the ports' promises and drives the
// dispatcher through faults; awstest starts stand-ins for DynamoDB and SQS.
package shared
