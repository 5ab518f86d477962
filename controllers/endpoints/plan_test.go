package endpoints

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// TestScenarios runs testdata: a service, its pods and the Endpoints made of them. Commands:
//
//	service       its spec as YAML
//	pods          a line each: name ip[,ip] [ready] [deleted] [phase=P] [port=name:N]
//	many n=N      that many ready pods
//	plan          plan and apply; show the Endpoints
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := snapshot{service: &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "n"}}, trigger: time.Unix(1e9, 0)}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "service":
				s.service.Spec = corev1.ServiceSpec{}
				if err := yaml.Unmarshal([]byte(d.Input), &s.service.Spec); err != nil {
					d.Fatalf(t, "%v", err)
				}
				return ""
			case "pods":
				s.pods = nil
				for line := range strings.Lines(d.Input) {
					s.pods = append(s.pods, podFrom(line))
				}
				return ""
			case "many":
				var n int
				d.ScanArgs(t, "n", &n)
				s.pods = nil
				for i := range n {
					s.pods = append(s.pods, podFrom(fmt.Sprintf("p%d 10.1.%d.%d ready", i, i/250, i%250)))
				}
				return ""
			}
			next := planEndpoints(s)
			if next == nil {
				return "nothing to do\n"
			}
			s.have = next
			return draw(next)
		})
	})
}

func podFrom(line string) *corev1.Pod {
	words := strings.Fields(line)
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: words[0], Namespace: "n"}, Status: corev1.PodStatus{Phase: corev1.PodRunning}}
	for ip := range strings.SplitSeq(words[1], ",") {
		p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: ip})
	}
	for _, w := range words[2:] {
		k, v, _ := strings.Cut(w, "=")
		switch k {
		case "ready":
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		case "deleted":
			p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1e9, 0)}
		case "phase":
			p.Status.Phase = corev1.PodPhase(v)
		case "port":
			name, number, _ := strings.Cut(v, ":")
			var n int32
			fmt.Sscan(number, &n)
			p.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{{Name: name, ContainerPort: n, Protocol: corev1.ProtocolTCP}}}}
		}
	}
	return p
}

func draw(e *corev1.Endpoints) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(e.Labels)) {
		fmt.Fprintf(&b, "label %s=%s\n", k, e.Labels[k])
	}
	if v := e.Annotations[corev1.EndpointsOverCapacity]; v != "" {
		fmt.Fprintf(&b, "over capacity: %s\n", v)
	}
	for _, s := range e.Subsets {
		fmt.Fprintf(&b, "ports %s\n", portsKey(s.Ports))
		show := func(what string, list []corev1.EndpointAddress) {
			if len(list) > 5 {
				fmt.Fprintf(&b, "  %s: %d\n", what, len(list))
				return
			}
			for _, a := range list {
				fmt.Fprintf(&b, "  %s %s of %s\n", what, a.IP, a.TargetRef.Name)
			}
		}
		show("ready", s.Addresses)
		show("not ready", s.NotReadyAddresses)
	}
	return b.String()
}

// TestTruncationIsStable: informers list in no order; what is left out must not change with it.
func TestTruncationIsStable(t *testing.T) {
	s := snapshot{service: &corev1.Service{}}
	for i := range maxAddresses + 50 {
		line := fmt.Sprintf("p%d 10.1.%d.%d", i, i/250, i%250)
		if i%2 == 0 {
			line += " ready"
		}
		s.pods = append(s.pods, podFrom(line))
	}
	s.have = planEndpoints(s)
	slices.Reverse(s.pods)
	if planEndpoints(s) != nil {
		t.Error("another order of the pods changes the endpoints")
	}
	if n := len(s.have.Subsets[0].Addresses); n != (maxAddresses+50)/2 {
		t.Errorf("%d ready addresses, want all of them", n)
	}
}
