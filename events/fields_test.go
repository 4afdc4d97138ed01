package events

import (
	"reflect"
	"testing"

	"hookferry/shared/relay"
)

// nonZero returns the paths of the fields of a message that are set.
func nonZero(t *testing.T, m relay.Message) map[string]bool {
	t.Helper()
	set := map[string]bool{}
	walkFields("Message", reflect.ValueOf(m), func(path string, v reflect.Value) {
		if !v.IsZero() {
			set[path] = true
		}
	})
	return set
}

// allFields returns the paths of all fields that a message can have.
func allFields() map[string]bool {
	all := map[string]bool{}
	walkFields("Message", reflect.ValueOf(relay.Message{Event: &relay.Event{}, Attempt: &relay.Attempt{}}),
		func(path string, _ reflect.Value) { all[path] = true })
	return all
}

func walkFields(path string, v reflect.Value, visit func(string, reflect.Value)) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct || v.Type().PkgPath() != reflect.TypeFor[relay.Message]().PkgPath() || v.Type() == reflect.TypeFor[relay.Payload]() {
		visit(path, v)
		return
	}
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() {
			walkFields(path+"."+f.Name, v.Field(i), visit)
		}
	}
}
