package lock_test

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"distroless/internal/plan/lock"
)

// Tools read locks by docs/lock.schema.json: a field that it does not know, or
// that it wrongly asks for, makes them refuse a good lock.
func TestSchema(t *testing.T) {
	data, err := os.ReadFile("../../../docs/lock.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	type object struct {
		Properties           map[string]any `json:"properties"`
		Required             []string       `json:"required"`
		AdditionalProperties any            `json:"additionalProperties"`
	}
	var schema struct {
		object
		Defs map[string]object `json:"$defs"`
	}
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	if v, ok := schema.Properties["version"].(map[string]any); !ok || v["const"] != float64(lock.Version) {
		t.Errorf("version: %v, want %d", schema.Properties["version"], lock.Version)
	}
	for name, v := range map[string]any{
		"cell": lock.Cell{}, "suite": lock.Suite{}, "package": lock.Package{}, "waiver": lock.Waiver{}, "upstream": lock.Upstream{},
	} {
		def := schema.Defs[name]
		var all, always []string
		for f := range reflect.TypeOf(v).Fields() {
			tag, option, _ := strings.Cut(f.Tag.Get("json"), ",")
			all = append(all, tag)
			if option == "" {
				always = append(always, tag)
			}
		}
		var described []string
		for p := range def.Properties {
			described = append(described, p)
		}
		for _, list := range [][]string{all, always, described, def.Required} {
			slices.Sort(list)
		}
		if !slices.Equal(all, described) {
			t.Errorf("%s: the lock has %v, the schema %v", name, all, described)
		}
		if !slices.Equal(always, def.Required) {
			t.Errorf("%s: the lock always has %v, the schema requires %v", name, always, def.Required)
		}
		if def.AdditionalProperties != false {
			t.Errorf("%s: the schema allows unknown fields, which the program refuses", name)
		}
	}
}
