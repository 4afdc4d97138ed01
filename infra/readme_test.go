//go:build cdk

package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// table writes rows as Markdown; all columns but the first are to the right.
func table(head []string, rows [][]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s |\n|---%s|\n", strings.Join(head, " | "), strings.Repeat("|---:", len(head)-1))
	for _, row := range rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
	}
	return b.String()
}

func dollars(v float64) string { return fmt.Sprintf("%.2f", v) }

// number writes a whole number with commas.
func number(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// alarmMetrics counts the metrics that the alarms of a template look at, as they
// are billed.
func alarmMetrics(tpl template) int {
	n := 0
	for _, a := range tpl.of("AWS::CloudWatch::Alarm") {
		metrics, ok := a.at("Metrics").([]any)
		if !ok {
			n++
			continue
		}
		for _, m := range metrics {
			if at(m, "MetricStat") != nil {
				n++
			}
		}
	}
	return n
}

// generated returns the parts of README.md that are computed.
func generated(t *testing.T) map[string]string {
	t.Helper()
	parts := map[string]string{}

	var rows [][]string
	for _, par := range parameters {
		standard := "`" + par.standard + "`"
		if par.standard == "" {
			standard = "none"
		}
		rows = append(rows, []string{"`" + par.name + "`", standard, par.doc})
	}
	parts["parameters"] = strings.Replace(table([]string{"parameter", "default", "what it is"}, rows), "|---|---:|---:|", "|---|---|---|", 1)

	rows = nil
	all, loss := templates(t)["defaults"], lossTemplate(t)
	full, few := idle(alarmMetrics(all), watchFull), idle(alarmMetrics(loss), watchLoss)
	for i, c := range full {
		name := c.part
		if name == "Alarms" {
			name = fmt.Sprintf("Alarms (%d on %d metrics; %d on %d)", len(all.of("AWS::CloudWatch::Alarm")), alarmMetrics(all), len(loss.of("AWS::CloudWatch::Alarm")), alarmMetrics(loss))
		}
		rows = append(rows, []string{name, dollars(c.dollars), dollars(few[i].dollars)})
	}
	rows = append(rows, []string{"**Together**", "**" + dollars(total(full)) + "**", "**" + dollars(total(few)) + "**"})
	parts["idle"] = table([]string{"a month without an event, $", "`watch=full`", "`watch=loss`"}, rows)
	parts["metrics"] = fmt.Sprintf("In a month in which traffic never stops, the metrics add up to %d × $%.2f = **$%.2f** whatever the volume.\n",
		len(liveMetrics), price.metric, float64(len(liveMetrics))*price.metric)

	small, large := sizesOf(sample(2048)), sizesOf(sample(16384))
	for name, size := range map[string]sizes{"events": small, "large": large} {
		var columns [][]cost
		head := []string{"a million events, $"}
		for _, p := range []plan{defaultPlan, leanPlan} {
			for _, rate := range rates {
				columns = append(columns, perMillion(size, p, rate))
				head = append(head, p.name+", "+number(rate)+"/s")
			}
		}
		rows = nil
		for i := range columns[0] {
			row := []string{columns[0][i].part}
			for _, c := range columns {
				row = append(row, dollars(c[i].dollars))
			}
			rows = append(rows, row)
		}
		sum := []string{"**Together**"}
		for _, c := range columns {
			sum = append(sum, "**"+dollars(total(c))+"**")
		}
		parts[name] = table(head, append(rows, sum))
	}
	parts["hanging"] = fmt.Sprintf("An endpoint that hangs until the delivery timeout costs the dispatcher's waiting besides: $%.2f for a million such attempts in full batches, $%.2f for each alone. The repair walk reads what was not delivered at once, at each walk: $%.1f a month for each million of such events that are kept.\n",
		hanging(10), hanging(1), walked())
	parts["sizes"] = fmt.Sprintf("The 2 KB body is %s bytes, %s as a message and %s write units with its row and attempt; the 16 KB body %s, %s and %s. An accepted event's metrics line is %s bytes, a dispatcher's line for ten %s.\n",
		number(small.body), number(small.message), number(small.writes()), number(large.body), number(large.message), number(large.writes()), number(acceptLine()), number(dispatchLine(10)))

	rows = nil
	for _, c := range perMillionFailures() {
		rows = append(rows, []string{c.part, dollars(c.dollars)})
	}
	rows = append(rows, []string{"**Together**", "**" + dollars(total(perMillionFailures())) + "**"})
	parts["failures"] = table([]string{"a million failed attempts, besides", "$"}, rows)

	p, err := ReadParameters(map[string]any{}, func(string) ([]byte, error) { return nil, os.ErrNotExist })
	if err != nil {
		t.Fatal(err)
	}
	const defaultShards = 8
	rows = nil
	a, b := limits(small, p, defaultShards), limits(large, p, defaultShards)
	order := make([]int, len(a))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return int(a[i].perSecond - a[j].perSecond) })
	for _, i := range order {
		rows = append(rows, []string{a[i].name, number(a[i].perSecond), number(b[i].perSecond), a[i].moves})
	}
	parts["limits"] = strings.Replace(table([]string{"what bounds it", "2 KB events/s", "16 KB events/s", "what moves it"}, rows), "|---:|---:|---:|", "|---:|---:|---|", 1)

	rows = nil
	for _, rate := range []float64{10, 1000, 100_000} {
		row := []string{number(rate)}
		for _, list := range [][]limit{a, b} {
			var bind []limit
			for _, l := range list {
				if l.perSecond <= rate { // at the bound there is no headroom
					bind = append(bind, l)
				}
			}
			if len(bind) == 0 {
				row = append(row, "none", "nothing")
				continue
			}
			first := slices.MinFunc(bind, func(x, y limit) int { return int(x.perSecond - y.perSecond) })
			var moves []string
			slices.SortFunc(bind, func(x, y limit) int { return int(x.perSecond - y.perSecond) })
			for _, l := range bind {
				moves = append(moves, l.moves)
			}
			row = append(row, fmt.Sprintf("%s (%s)", first.name, number(first.perSecond)), strings.Join(moves, "; "))
		}
		month := rate * 3600 * 24 * 30.4 / 1e6
		row = append(row, number(month*total(perMillion(small, defaultPlan, rate))))
		rows = append(rows, row)
	}
	parts["scale"] = strings.Replace(table([]string{"events/s", "first bound at 2 KB", "what to move, in order", "first bound at 16 KB", "what to move, in order", "$ a month at 2 KB"}, rows), "|---:|---:|---:|---:|---:|", "|---|---|---|---|---:|", 1)
	return parts
}

const readme = "README.md"

// rates are the columns of the tables, in events a second.
var rates = []float64{1, 10, 100, 1000}

// lossTemplate is the deployment that watches for loss alone.
func lossTemplate(t *testing.T) template {
	t.Helper()
	_, tpl, err := synth(t, map[string]any{"watch": watchLoss})
	if err != nil {
		t.Fatal(err)
	}
	return tpl
}

// TestTheBillDoesNotGrow holds what a 2 KB event to one endpoint costs, by the
// requests, units and bytes that are counted from the code.
func TestTheBillDoesNotGrow(t *testing.T) {
	small := sizesOf(sample(2048))
	for _, c := range []struct {
		p    plan
		rate float64
		most float64
	}{{defaultPlan, 100, 8.70}, {defaultPlan, 1, 10.90}, {leanPlan, 100, 5.55}, {leanPlan, 1, 7.90}} {
		if got := total(perMillion(small, c.p, c.rate)); got > c.most {
			t.Errorf("%s at %v a second: $%.2f, want at most $%.2f", c.p.name, c.rate, got, c.most)
		}
	}
	if loads := [4]float64{defaultPlan.at(1).batch, defaultPlan.at(100).batch, defaultPlan.at(1000).batch, leanPlan.at(100).batch}; loads != [4]float64{1, 2, 10, 10} {
		t.Errorf("batches: %v", loads)
	}
}

func TestWatchingForLossLeavesTheAlarmsThatMeanLoss(t *testing.T) {
	loss := lossTemplate(t)
	got := map[string]bool{}
	for _, a := range loss.of("AWS::CloudWatch::Alarm") {
		got[strings.TrimPrefix(a.at("AlarmName").(string), "hookferry-dev-")] = true
	}
	want := map[string]bool{"events-dead-letters": true, "retries-dead-letters": true, "repair-silent": true, "provider-refused": true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("alarms (-want +got):\n%s", diff)
	}
	if n := len(loss.of("AWS::CloudWatch::Dashboard")) + len(loss.of("AWS::CloudWatch::InsightRule")); n != 0 {
		t.Errorf("%d of dashboard and insight rule", n)
	}
}

func part(name string) *regexp.Regexp {
	return regexp.MustCompile(`(?s)(<!-- computed: ` + name + ` -->\n).*?(<!-- end -->)`)
}

func TestTheNumbersOfTheReadmeAreThoseOfTheModel(t *testing.T) {
	b, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	want := string(b)
	for name, body := range generated(t) {
		if !part(name).MatchString(want) {
			t.Errorf("%s has no place for %s", readme, name)
		}
		want = part(name).ReplaceAllString(want, "${1}\n"+strings.ReplaceAll(body, "$", "$$")+"\n${2}")
	}
	if *update {
		if err := os.WriteFile(readme, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Errorf("%s (-model +text; -update writes it):\n%s", readme, diff)
	}
}

func TestTheBusyPathKeepsItsBudget(t *testing.T) {
	s := sizesOf(sample(1024))
	if s.writes() != 3 {
		t.Errorf("a 1 KB event takes %v write units, want 3", s.writes())
	}
	for _, size := range []int{2048, 16384} {
		body := sample(size)
		if len(body) < size || len(body) > size+200 {
			t.Errorf("the sample of %d bytes has %d", size, len(body))
		}
		// A sample that compresses to nothing would flatter the model.
		if s := sizesOf(body); s.item < 0.35*s.body {
			t.Errorf("%d bytes are stored as %v", len(body), s.item)
		}
	}
}

// section returns the text of a section of the README, by its heading.
func sections(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for i, text := range regexp.MustCompile(`(?m)^#{2,4} `).Split(string(b), -1) {
		if i == 0 {
			continue
		}
		heading, body, _ := strings.Cut(text, "\n")
		if _, twice := all[heading]; twice {
			t.Errorf("two sections are called %s", heading)
		}
		all[heading] = body
	}
	return all
}

func TestEveryAlarmHasItsSectionAndTheReverse(t *testing.T) {
	all := sections(t)
	alarms := map[string]bool{}
	for _, a := range templates(t)["defaults"].of("AWS::CloudWatch::Alarm") {
		name := strings.TrimPrefix(a.at("AlarmName").(string), "hookferry-dev-")
		alarms[name] = true
		body, ok := all["`"+name+"`"]
		if !ok {
			t.Errorf("%s has no section for the alarm %s", readme, name)
			continue
		}
		for _, word := range []string{"**Means**", "**Look**", "**Do**"} {
			if !strings.Contains(body, word) {
				t.Errorf("section %s has no %s", name, word)
			}
		}
		if !strings.Contains(body, "```sh\n") {
			t.Errorf("section %s has no command", name)
		}
		if !strings.HasSuffix(a.at("AlarmDescription").(string), "infra/README.md, section "+name) {
			t.Errorf("the alarm %s does not say where to read on", name)
		}
	}
	for heading := range all {
		if name := strings.Trim(heading, "`"); heading == "`"+name+"`" && !alarms[name] {
			t.Errorf("section %s is of no alarm", name)
		}
	}
}

func TestAlarmsReachTheTopicAndTheMail(t *testing.T) {
	both(t, func(t *testing.T, tpl template) {
		for id, a := range tpl.of("AWS::CloudWatch::Alarm") {
			for _, list := range []string{"AlarmActions", "OKActions"} {
				topic, _ := at(a.at(list), "0.Ref").(string)
				if tpl.Resources[topic].Type != "AWS::SNS::Topic" {
					t.Errorf("%s: %s: %v", id, list, a.at(list))
				}
			}
			below := a.at("ComparisonOperator") == "LessThanThreshold"
			if want := map[bool]string{true: "breaching", false: "notBreaching"}[below]; a.at("TreatMissingData") != want {
				t.Errorf("%s: missing data: %v, want %s", id, a.at("TreatMissingData"), want)
			}
		}
		mails := tpl.of("AWS::SNS::Subscription")
		if (len(mails) == 1) != (stageOf(tpl) == "prod") {
			t.Errorf("%d subscriptions", len(mails))
		}
		for _, m := range mails {
			if m.at("Endpoint") != "oncall@example.com" || m.at("Protocol") != "email" {
				t.Errorf("got %v", m.Properties)
			}
		}
	})
}

func TestTheCommandsOfTheReadmeAreThere(t *testing.T) {
	b, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	mk, err := os.ReadFile("infra.mk")
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	targets := string(mk) + string(root)
	for _, m := range regexp.MustCompile("(?m)(?:^|`)make ([a-z][a-z-]*)").FindAllStringSubmatch(string(b), -1) {
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(m[1]) + `:`).MatchString(targets) {
			t.Errorf("there is no target %s", m[1])
		}
	}
	// Flags of our own program.
	var source strings.Builder
	for _, f := range []string{"main", "keys", "dead", "backend", "maintain", "dev"} {
		text, err := os.ReadFile("../functions/hookferry/" + f + ".go")
		if err != nil {
			t.Fatal(err)
		}
		source.Write(text)
	}
	calls := regexp.MustCompile(`(?m)(?:bin/hookferry|\./functions/hookferry) ([a-z]+)([^\n|]*)`).FindAllStringSubmatch(string(b), -1)
	calls = append(calls, regexp.MustCompile(`functions/hookferry ([a-z]+)([^\n|]*)`).FindAllStringSubmatch(text(templates(t)["defaults"].Outputs["FirstKey"]["Value"]), -1)...)
	if len(calls) < 4 {
		t.Fatalf("%d calls of hookferry", len(calls))
	}
	for _, c := range calls {
		if !strings.Contains(source.String(), `("`+c[1]+`", `) {
			t.Errorf("hookferry has no command %s", c[1])
		}
		for _, flag := range regexp.MustCompile(` -([a-z-]+)`).FindAllStringSubmatch(c[2], -1) {
			if !strings.Contains(source.String(), `"`+flag[1]+`", `) {
				t.Errorf("hookferry %s has no flag -%s", c[1], flag[1])
			}
		}
	}
}
