package mirroring

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// TestScenarios runs testdata: Endpoints that somebody writes, and their mirror. Commands:
//
//	endpoints     their new state as YAML; "gone" for none to mirror
//	spoil         somebody changes the labels of all slices
//	plan          plan and apply; show what was done and the slices
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var ep *corev1.Endpoints
		var slicesHave []*discoveryv1.EndpointSlice
		made := 0
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "endpoints":
				ep = nil
				if strings.TrimSpace(d.Input) == "gone" {
					return ""
				}
				ep = &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: "e", Namespace: "n", UID: "e"}}
				if err := yaml.Unmarshal([]byte(d.Input), ep); err != nil {
					d.Fatalf(t, "%v", err)
				}
				return ""
			case "spoil":
				for _, s := range slicesHave {
					s.Labels = nil
				}
				return ""
			}
			var b strings.Builder
			p := planSlices(ep, slices.Clone(slicesHave))
			for _, s := range p.remove {
				fmt.Fprintf(&b, "remove %s\n", s.Name)
				slicesHave = slices.DeleteFunc(slicesHave, func(x *discoveryv1.EndpointSlice) bool { return x.Name == s.Name })
			}
			for _, s := range p.update {
				fmt.Fprintf(&b, "update %s\n", s.Name)
				slicesHave[slices.IndexFunc(slicesHave, func(x *discoveryv1.EndpointSlice) bool { return x.Name == s.Name })] = s
			}
			for _, s := range p.create {
				made++
				s.Name = fmt.Sprint("s", made)
				fmt.Fprintf(&b, "create %s\n", s.Name)
				slicesHave = append(slicesHave, s)
			}
			for _, s := range slicesHave {
				draw(&b, s)
			}
			return b.String()
		})
	})
}

func draw(b *strings.Builder, s *discoveryv1.EndpointSlice) {
	fmt.Fprintf(b, "%s %s labels %v annotations %v\n", s.Name, key(s.AddressType, s.Ports), s.Labels, s.Annotations)
	for _, e := range s.Endpoints {
		fmt.Fprintf(b, "  %s ready %t\n", e.Addresses[0], *e.Conditions.Ready)
	}
}
