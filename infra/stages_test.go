//go:build cdk

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParametersSayWhatIsWrong(t *testing.T) {
	none := func(string) ([]byte, error) { return nil, fs.ErrNotExist }
	for says, context := range map[string]map[string]any{
		"there is no parameter alarmMail; there are stage":  {"alarmMail": "a@example.com"},
		`parameter stage: "Prod" is not lower-case letters`: {"stage": "Prod"},
		"both or neither":                                       {"domainName": "hooks.example.com"},
		"parameter certificateArn":                              {"certificateArn": "arn:x", "domainName": "hooks.example.com"},
		"must not be tighter than managementRate (300)":         {"inboundRate": "200", "managementRate": "300"},
		`parameter eventsConcurrency: "1" is not a whole`:       {"eventsConcurrency": "1"},
		`parameter retriesConcurrency: "1001" is not a whole`:   {"retriesConcurrency": "1001"},
		"parameter logRetentionDays: \"31\" is not one of":      {"logRetentionDays": "31"},
		"parameter retentionDays:":                              {"retentionDays": "0"},
		"parameter retrySchedule:":                              {"retrySchedule": "0s,soon"},
		"parameter deliveryTimeout:":                            {"deliveryTimeout": "31s"},
		"parameter expectFirst:":                                {"expectFirst": "20h", "expectGiveUp": "10h"},
		"parameter shards:":                                     {"shards": "12"},
		"parameter headerPrefix:":                               {"headerPrefix": "X"},
		"parameter siviBaseUrl:":                                {"siviBaseUrl": "https://127.0.0.1"},
		"parameter logLevel:":                                   {"logLevel": "loud"},
		"parameter alarmEmail:":                                 {"alarmEmail": "nobody"},
		"parameter deletionProtection:":                         {"deletionProtection": "perhaps"},
		`parameter warmWrites: "3999" is neither 0 nor`:         {"warmWrites": "3999"},
		"parameter traceRate:":                                  {"traceRate": "2"},
		"parameter tags:":                                       {"tags": "team"},
		"parameter revision:":                                   {"revision": "a b"},
		"parameter stage: want a text, a number, true or false": {"stage": []any{"dev"}},
	} {
		if _, err := ReadParameters(context, none); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: got %v, want %q", context, err, says)
		}
	}
	// All that is wrong is said at once.
	_, err := ReadParameters(map[string]any{"shards": "12", "alarmEmail": "x", "traceRate": "2"}, none)
	if err == nil || strings.Count(err.Error(), "parameter ") != 2 {
		t.Errorf("got %v", err)
	}
	if p, err := ReadParameters(map[string]any{"@aws-cdk/x": true, "aws:cdk:y": 1}, none); err != nil || p.Stage != "dev" || p.DeletionProtection {
		t.Errorf("defaults: %+v, %v", p, err)
	}
}

func TestAStageKeepsItsParametersInAFile(t *testing.T) {
	files := map[string]string{
		"stages/prod.json":  `{"alarmEmail":"oncall@example.com","eventsConcurrency":200,"deletionProtection":false}`,
		"stages/other.json": `{"stage":"prod"}`, "stages/typo.json": `{"alarmMail":"x"}`, "stages/bad.json": `{`,
	}
	read := func(name string) ([]byte, error) {
		if text, ok := files[name]; ok {
			return []byte(text), nil
		}
		return nil, fs.ErrNotExist
	}
	p, err := ReadParameters(map[string]any{"stage": "prod", "eventsConcurrency": "300"}, read)
	if err != nil || p.AlarmEmail != "oncall@example.com" || p.EventsConcurrency != 300 || p.DeletionProtection {
		t.Errorf("got %+v, %v", p, err)
	}
	for _, stage := range []string{"other", "typo", "bad"} {
		if _, err := ReadParameters(map[string]any{"stage": stage}, read); err == nil {
			t.Errorf("stages/%s.json is taken", stage)
		}
	}
}

func TestEveryStageFileIsValid(t *testing.T) {
	files, err := filepath.Glob("stages/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		stage := strings.TrimSuffix(filepath.Base(file), ".json")
		if _, err := ReadParameters(map[string]any{"stage": stage}, os.ReadFile); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}
