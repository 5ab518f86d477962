package admit

import (
	"testing"

	v1 "k8s.io/api/core/v1"
)

// TestMachine: what a machine cannot enforce is refused, wherever a pod asks for it.
func TestMachine(t *testing.T) {
	able := &v1.Node{Status: v1.NodeStatus{Features: &v1.NodeFeatures{SupplementalGroupsPolicy: new(true)}}}
	profile := func(t v1.AppArmorProfileType) *v1.SecurityContext {
		return &v1.SecurityContext{AppArmorProfile: &v1.AppArmorProfile{Type: t}}
	}
	strict := v1.PodSpec{SecurityContext: &v1.PodSecurityContext{SupplementalGroupsPolicy: new(v1.SupplementalGroupsPolicyStrict)}}
	for name, c := range map[string]struct {
		spec     v1.PodSpec
		node     *v1.Node
		appArmor bool
		want     string
	}{
		"plain":                   {},
		"linux":                   {spec: v1.PodSpec{OS: &v1.PodOS{Name: v1.Linux}, NodeSelector: map[string]string{"kubernetes.io/os": "linux"}}},
		"windows":                 {spec: v1.PodSpec{OS: &v1.PodOS{Name: v1.Windows}}, want: "PodOSNotSupported"},
		"windows by selector":     {spec: v1.PodSpec{NodeSelector: map[string]string{"kubernetes.io/os": "windows"}}, want: "PodOSSelectorNodeLabelDoesNotMatch"},
		"strict groups":           {spec: strict, node: able},
		"strict groups, unknown":  {spec: strict, node: &v1.Node{}, want: "SupplementalGroupsPolicyNotSupported"},
		"strict groups, no node":  {spec: strict, want: "SupplementalGroupsPolicyNotSupported"},
		"profile, enforced":       {spec: v1.PodSpec{Containers: []v1.Container{{SecurityContext: profile("RuntimeDefault")}}}, appArmor: true},
		"no profile wanted":       {spec: v1.PodSpec{Containers: []v1.Container{{SecurityContext: profile("Unconfined")}}}},
		"profile of a container":  {spec: v1.PodSpec{Containers: []v1.Container{{}, {SecurityContext: profile("RuntimeDefault")}}}, want: "AppArmor"},
		"profile of an init":      {spec: v1.PodSpec{InitContainers: []v1.Container{{SecurityContext: profile("Localhost")}}}, want: "AppArmor"},
		"profile of an ephemeral": {spec: v1.PodSpec{EphemeralContainers: []v1.EphemeralContainer{{EphemeralContainerCommon: v1.EphemeralContainerCommon{SecurityContext: profile("Localhost")}}}}, want: "AppArmor"},
		"profile of the pod":      {spec: v1.PodSpec{SecurityContext: &v1.PodSecurityContext{AppArmorProfile: &v1.AppArmorProfile{Type: "RuntimeDefault"}}}, want: "AppArmor"},
		"unknown profile":         {spec: v1.PodSpec{Containers: []v1.Container{{SecurityContext: profile("Strict")}}}, want: "AppArmor"},
	} {
		got := ""
		if f := Machine(&v1.Pod{Spec: c.spec}, c.node, c.appArmor); f != nil {
			got = f.Reason
			if f.Phase != v1.PodFailed || f.Message == "" {
				t.Errorf("%s: %+v", name, f)
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
