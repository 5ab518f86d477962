package cri

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"

	"hyperkube/internal/bounds"
)

// doubling is an environment whose every value is the one before it, twice.
func doubling(times int) []v1.EnvVar {
	env := []v1.EnvVar{{Name: "V0", Value: "0123456789"}}
	for i := range times {
		env = append(env, v1.EnvVar{Name: fmt.Sprintf("V%d", i+1), Value: fmt.Sprintf("$(V%d)$(V%d)", i, i)})
	}
	return env
}

// TestExpansionIsBounded: what grows with each reference is refused while it grows, wherever references are expanded.
func TestExpansionIsBounded(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c := &v1.Container{Name: "c", Env: doubling(40)}
	_, _, err := Env(&v1.Pod{}, c, EnvSource{})
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("more than %d bytes once variables are expanded", bounds.Environment)) {
		t.Errorf("40 doublings: %v", err)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 16*bounds.Environment {
		t.Errorf("refused after %d bytes", grown)
	}
	c.Env = doubling(16)
	env, vars, err := Env(&v1.Pod{}, c, EnvSource{})
	if err != nil || len(vars["V16"]) != 10<<16 {
		t.Fatalf("16 doublings: %v, %d", err, len(vars["V16"]))
	}
	in := ContainerInput{Env: env, Vars: vars}
	for name, c := range map[string]*v1.Container{
		"one argument":   {Args: []string{strings.Repeat("$(V16)", 100_000)}},
		"many arguments": {Command: []string{"$(V16)"}, Args: strings.Split(strings.Repeat("$(V16) ", 10_000), " ")},
		"empty ones":     {Args: make([]string, bounds.Environment+1)},
	} {
		if _, err := (&Renderer{}).Container(&v1.Pod{}, c, in); err == nil || !strings.Contains(err.Error(), "command and args: more than") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := (&Renderer{}).Container(&v1.Pod{}, &v1.Container{Args: []string{"$(V2)"}}, in); err != nil || len(got.Args[0]) != 40 {
		t.Errorf("a command that fits: %v, %v", got.GetArgs(), err)
	}
	if _, err := ExpandPath("$(V16)", vars, bounds.Path); err == nil {
		t.Error("a path of 640 KiB is taken")
	}
	if _, err := ExpandPath("a/$(NOPE)/$(V0)", vars, bounds.Path); err == nil || err.Error() != `missing value for "NOPE"` {
		t.Errorf("a path without a value: %v", err)
	}
	if got, err := ExpandPath("a/$(V0)/$$(V0)", vars, bounds.Path); err != nil || got != "a/0123456789/$(V0)" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestSourcesAreBounded: config maps and secrets that are named many times count many times.
func TestSourcesAreBounded(t *testing.T) {
	big := strings.Repeat("x", 900<<10)
	src := EnvSource{
		ConfigMap: func(string) (*v1.ConfigMap, error) { return &v1.ConfigMap{Data: map[string]string{"k": big}}, nil },
		Secret:    func(string) (*v1.Secret, error) { return &v1.Secret{Data: map[string][]byte{"k": []byte(big)}}, nil },
	}
	c := &v1.Container{Name: "c"}
	for i := range 3 {
		c.EnvFrom = append(c.EnvFrom, v1.EnvFromSource{Prefix: fmt.Sprint("P", i), SecretRef: &v1.SecretEnvSource{}})
	}
	if _, _, err := Env(&v1.Pod{}, c, src); err == nil {
		t.Error("2.7 MB of secrets are taken")
	}
	c = &v1.Container{Name: "c"}
	for i := range 3 {
		c.Env = append(c.Env, v1.EnvVar{Name: fmt.Sprint("E", i), ValueFrom: &v1.EnvVarSource{ConfigMapKeyRef: &v1.ConfigMapKeySelector{Key: "k"}}})
	}
	if _, _, err := Env(&v1.Pod{}, c, src); err == nil {
		t.Error("2.7 MB of config maps are taken")
	}
}
