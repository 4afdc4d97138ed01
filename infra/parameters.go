//go:build cdk

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"hookferry/shared/config"
)

// Parameters is what differs between deployments. The zero value is not valid;
// ReadParameters fills in the defaults.
type Parameters struct {
	Stage              string
	DomainName         string // with CertificateARN, or both empty
	CertificateARN     string
	KeepDefaultName    bool // beside DomainName
	BudgetUSD          int  // a month; 0: none
	LogRetentionDays   int
	AlarmEmail         string // empty: no subscription
	EventsConcurrency  int
	RetriesConcurrency int
	EventsWindow       int // seconds
	DispatcherMemory   int // MB
	Watch              string
	InboundRate        int
	InboundBurst       int
	ManagementRate     int
	ManagementBurst    int
	DeletionProtection bool
	FirstDeployment    bool
	TableName          string // empty: the stack's own
	ReceiverReserved   int    // 0: none
	APIReserved        int    // 0: none
	WarmWrites         int    // 0: as a new table comes
	WarmReads          int
	TraceRate          float64
	Tags               map[string]string
	Revision           string
	Assets             string

	// Settings are what the functions read from their environment, by its
	// names. package config has judged them.
	Settings map[string]string
}

// A parameter is one that a deployer can set.
type parameter struct {
	name     string
	standard string // the default, as it would be written
	doc      string // for people; README.md has the table
	set      func(p *Parameters, value string) error
}

// parameters lists them all, in the order of README.md.
var parameters = []parameter{
	{"stage", "dev", "names the deployment and everything in it; lower-case letters and digits, at most 12", matching(func(p *Parameters) *string { return &p.Stage }, `^[a-z][a-z0-9]{0,11}$`, "lower-case letters and digits, a letter first, at most 12")},
	{"domainName", "", "a name of your own for the API; needs certificateArn", matching(func(p *Parameters) *string { return &p.DomainName }, `^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$|^$`, "a host name in lower case, like hooks.example.com")},
	{"certificateArn", "", "its ACM certificate, in the stack's region", matching(func(p *Parameters) *string { return &p.CertificateARN }, `^arn:aws[a-z-]*:acm:[a-z0-9-]+:\d{12}:certificate/[A-Za-z0-9-]+$|^$`, "the ARN of an ACM certificate")},
	{"keepDefaultName", "false", "true keeps the gateway's own name working beside domainName, while providers that were told it move", truth(func(p *Parameters) *bool { return &p.KeepDefaultName })},
	{"alarmEmail", "", "gets a mail for every alarm, once it has confirmed the subscription", matching(func(p *Parameters) *string { return &p.AlarmEmail }, `^[^@\s]+@[^@\s]+\.[^@\s]+$|^$`, "a mail address")},
	setting("retentionDays", "RETENTION_DAYS"),
	setting("retrySchedule", "RETRY_SCHEDULE"),
	setting("deliveryTimeout", "DELIVERY_TIMEOUT"),
	setting("connectTimeout", "CONNECT_TIMEOUT"),
	setting("headerPrefix", "HEADER_PREFIX"),
	setting("siviBaseUrl", "SIVI_BASE_URL"),
	setting("failingAfter", "FAILING_AFTER"),
	setting("expectFirst", "EXPECT_FIRST"),
	setting("expectGiveUp", "EXPECT_GIVE_UP"),
	setting("endpointLimit", "ENDPOINT_LIMIT"),
	setting("shards", "SHARDS"),
	setting("logLevel", "LOG_LEVEL"),
	setting("subjectLookup", "SUBJECT_LOOKUP"),
	{"logRetentionDays", "30", "how long logs are kept, one of the periods that CloudWatch has; audit lines stay 400 days", logDays},
	{"eventsConcurrency", "50", "dispatchers for first attempts at a time, 2 to 1,000", whole(func(p *Parameters) *int { return &p.EventsConcurrency }, 2, 1000)},
	{"retriesConcurrency", "20", "dispatchers for retries at a time, 2 to 1,000", whole(func(p *Parameters) *int { return &p.RetriesConcurrency }, 2, 1000)},
	{"eventsWindow", "0", "seconds for which the events lane gathers a batch, 0 to 5: fewer and fuller invocations, and each first attempt up to so much later", whole(func(p *Parameters) *int { return &p.EventsWindow }, 0, 5)},
	{"dispatcherMemory", "512", "MB of the dispatcher, 256 to 3008: half of them halve what waiting for endpoints costs, and leave less for many calls at once", whole(func(p *Parameters) *int { return &p.DispatcherMemory }, 256, 3008)},
	{"watch", watchFull, "full: all alarms, the dashboard and the insight rule; loss: the alarms that mean loss alone, so that lateness and failing endpoints ring no more", watching},
	{"inboundRate", "2000", "provider calls and publishes a second", whole(func(p *Parameters) *int { return &p.InboundRate }, 1, 1_000_000)},
	{"inboundBurst", "2000", "and at once", whole(func(p *Parameters) *int { return &p.InboundBurst }, 1, 1_000_000)},
	{"managementRate", "100", "management calls a second; never more than inboundRate", whole(func(p *Parameters) *int { return &p.ManagementRate }, 1, 1_000_000)},
	{"managementBurst", "200", "and at once; never more than inboundBurst", whole(func(p *Parameters) *int { return &p.ManagementBurst }, 1, 1_000_000)},
	{"deletionProtection", "auto", "of table, keyring, queues, audit log and stack: true, false, or auto: where the stage begins with prod", protection},
	{"budgetUSD", "0", "dollars a month of the whole account, at 80 % of which, or of a forecast of it, alarmEmail gets a mail; 0 for none", whole(func(p *Parameters) *int { return &p.BudgetUSD }, 0, 10_000_000)},
	{"firstDeployment", "false", "true while the stack is not there yet, which make deploy finds out: nothing is locked then, so that a deployment that fails can be undone and tried again", truth(func(p *Parameters) *bool { return &p.FirstDeployment })},
	{"tableName", "", "a table that was restored beside the stack's own, to work with instead", matching(func(p *Parameters) *string { return &p.TableName }, `^([A-Za-z0-9_.-]{3,255})?$`, "a table's name")},
	{"receiverReserved", "0", "receivers at a time that no other function can take the place of; 0, or from 1 on: the account keeps 100 for all others (10 where its limit is that low)", whole(func(p *Parameters) *int { return &p.ReceiverReserved }, 0, 10_000)},
	{"apiReserved", "0", "APIs at a time, reserved and at most; 0 for no bound", whole(func(p *Parameters) *int { return &p.APIReserved }, 0, 10_000)},
	{"warmWrites", "0", "writes a second that the table takes from the start; 0 or from 4,000 on", warm(func(p *Parameters) *int { return &p.WarmWrites }, 4000)},
	{"warmReads", "0", "reads a second that it takes from the start; 0 or from 12,000 on", warm(func(p *Parameters) *int { return &p.WarmReads }, 12000)},
	{"traceRate", "0.01", "share of invocations that X-Ray traces, 0 to 1", rate},
	{"tags", "", "more tags on everything: team=relay,cost=42", tags},
	{"revision", "", "any text; a new one replaces all running functions", matching(func(p *Parameters) *string { return &p.Revision }, `^[A-Za-z0-9._:-]{0,64}$`, "at most 64 letters, digits and . _ : -")},
	{"assets", "../build", "where the built functions are", matching(func(p *Parameters) *string { return &p.Assets }, `.`, "a directory")},
}

// setting is a parameter that becomes a variable of the functions' environment,
// with the default and the meaning that it has there.
func setting(name, variable string) parameter {
	all := config.Variables()
	v := all[slices.IndexFunc(all, func(v config.Variable) bool { return v.Name == variable })]
	return parameter{name, v.Default, v.Meaning, func(p *Parameters, value string) error {
		if value == "" {
			return errors.New("must not be empty")
		}
		p.Settings[variable] = value
		settingNames[variable] = name
		return nil
	}}
}

// settingNames are the parameters' names, by those of their variables.
var settingNames = map[string]string{}

// checkSettings lets the functions' own reader judge the settings, so that what
// is deployed starts.
func checkSettings(settings map[string]string) error {
	_, err := config.Load(func(name string) (string, bool) { v, ok := settings[name]; return v, ok })
	if err == nil {
		return nil
	}
	text := err.Error()
	for variable, name := range settingNames {
		text = strings.ReplaceAll(text, variable, name)
	}
	return fmt.Errorf("parameter %s", strings.ReplaceAll(text, "\n", "\nparameter "))
}

// ReadParameters reads the parameters from the app's context. Those of the file
// stages/STAGE.json, if there is one, come before the defaults and after what
// the context says. The error names everything that is wrong.
func ReadParameters(context map[string]any, readFile func(string) ([]byte, error)) (Parameters, error) {
	values := map[string]string{}
	for _, par := range parameters {
		values[par.name] = par.standard
	}
	given := func(m map[string]any) error {
		var errs []error
		for _, name := range slices.Sorted(maps.Keys(m)) {
			// What CDK itself keeps in the context has such a name.
			if strings.ContainsAny(name, ":/@") {
				continue
			}
			if _, ok := values[name]; !ok {
				errs = append(errs, fmt.Errorf("there is no parameter %s; there are %s", name, names()))
				continue
			}
			switch v := m[name].(type) {
			case string, bool, json.Number:
				values[name] = fmt.Sprint(v)
			case float64:
				values[name] = strconv.FormatFloat(v, 'f', -1, 64)
			default:
				errs = append(errs, fmt.Errorf("parameter %s: want a text, a number, true or false", name))
			}
		}
		return errors.Join(errs...)
	}
	stage := values["stage"]
	if v, ok := context["stage"].(string); ok {
		stage = v
	}
	if err := parameters[0].set(new(Parameters), stage); err != nil {
		return Parameters{}, fmt.Errorf("parameter stage: %w", err)
	}
	file := "stages/" + stage + ".json"
	kept, err := stageFile(file, readFile)
	if err != nil {
		return Parameters{}, err
	}
	if v, ok := kept["stage"]; ok && v != stage {
		return Parameters{}, fmt.Errorf("%s is of another stage, %v", file, v)
	}
	if err := errors.Join(given(kept), given(context)); err != nil {
		return Parameters{}, err
	}
	p := Parameters{Settings: map[string]string{}}
	var errs []error
	for _, par := range parameters {
		if err := par.set(&p, values[par.name]); err != nil {
			errs = append(errs, fmt.Errorf("parameter %s: %w", par.name, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return Parameters{}, err
	}
	return p, errors.Join(p.check(), checkSettings(p.Settings))
}

// check holds parameters against each other.
func (p Parameters) check() error {
	var errs []error
	if (p.DomainName == "") != (p.CertificateARN == "") {
		errs = append(errs, errors.New("parameters domainName and certificateArn: both or neither"))
	}
	if p.BudgetUSD > 0 && p.AlarmEmail == "" {
		errs = append(errs, errors.New("parameter budgetUSD: needs alarmEmail, who is told"))
	}
	if p.ManagementRate > p.InboundRate || p.ManagementBurst > p.InboundBurst {
		errs = append(errs, fmt.Errorf("parameters inboundRate (%d) and inboundBurst (%d) must not be tighter than managementRate (%d) and managementBurst (%d): an event that is turned away may be lost, a management call is made again",
			p.InboundRate, p.InboundBurst, p.ManagementRate, p.ManagementBurst))
	}
	return errors.Join(errs...)
}

func stageFile(name string, readFile func(string) ([]byte, error)) (map[string]any, error) {
	b, err := readFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

func names() string {
	var all []string
	for _, par := range parameters {
		all = append(all, par.name)
	}
	return strings.Join(all, ", ")
}

func matching(field func(*Parameters) *string, pattern, want string) func(*Parameters, string) error {
	re := regexp.MustCompile(pattern)
	return func(p *Parameters, v string) error {
		if !re.MatchString(v) {
			return fmt.Errorf("%q is not %s", v, want)
		}
		*field(p) = v
		return nil
	}
}

func whole(field func(*Parameters) *int, least, most int) func(*Parameters, string) error {
	return func(p *Parameters, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < least || n > most {
			return fmt.Errorf("%q is not a whole number from %d to %d", v, least, most)
		}
		*field(p) = n
		return nil
	}
}

func warm(field func(*Parameters) *int, least int) func(*Parameters, string) error {
	return func(p *Parameters, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n != 0 && (n < least || n > 10_000_000) {
			return fmt.Errorf("%q is neither 0 nor a whole number from %d, which every table takes, to 10000000", v, least)
		}
		*field(p) = n
		return nil
	}
}

// logPeriods are the retention periods that CloudWatch has, in days.
var logPeriods = []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

func logDays(p *Parameters, v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || !slices.Contains(logPeriods, n) {
		return fmt.Errorf("%q is not one of %v", v, logPeriods)
	}
	p.LogRetentionDays = n
	return nil
}

func protection(p *Parameters, v string) error {
	switch v {
	case "auto":
		p.DeletionProtection = strings.HasPrefix(p.Stage, "prod")
	case "true", "false":
		p.DeletionProtection = v == "true"
	default:
		return fmt.Errorf("%q is not true, false or auto", v)
	}
	return nil
}

// The values of the parameter watch.
const (
	watchFull = "full"
	watchLoss = "loss"
)

func watching(p *Parameters, v string) error {
	if v != watchFull && v != watchLoss {
		return fmt.Errorf("%q is neither %s nor %s", v, watchFull, watchLoss)
	}
	p.Watch = v
	return nil
}

func truth(field func(*Parameters) *bool) func(*Parameters, string) error {
	return func(p *Parameters, v string) error {
		b, err := strconv.ParseBool(v)
		if err != nil || v != "true" && v != "false" {
			return fmt.Errorf("%q is not true or false", v)
		}
		*field(p) = b
		return nil
	}
}

func rate(p *Parameters, v string) error {
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || !(f >= 0 && f <= 1) {
		return fmt.Errorf("%q is not a number from 0 to 1", v)
	}
	p.TraceRate = f
	return nil
}

var tagPattern = regexp.MustCompile(`^([A-Za-z0-9 +\-._:/@]{1,128})=([A-Za-z0-9 +\-._:/@]{0,256})$`)

func tags(p *Parameters, v string) error {
	p.Tags = map[string]string{}
	if v == "" {
		return nil
	}
	for part := range strings.SplitSeq(v, ",") {
		m := tagPattern.FindStringSubmatch(part)
		if m == nil || strings.HasPrefix(strings.ToLower(m[1]), "aws:") {
			return fmt.Errorf("%q is not a list like team=relay,cost=42", v)
		}
		p.Tags[m[1]] = m[2]
	}
	return nil
}
