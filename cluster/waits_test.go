package cluster

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestExplain: what is said is the pod, what it lacks and the last warning about it.
func TestExplain(t *testing.T) {
	pod := func(change func(*corev1.Pod)) corev1.Pod {
		p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "coredns-1", UID: "u1"}, Status: corev1.PodStatus{Phase: corev1.PodPending}}
		change(&p)
		return p
	}
	waiting := func(p *corev1.Pod) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "coredns", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 10s"}}}}
	}
	unscheduled := func(p *corev1.Pod) {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes are available"}}
	}
	ready := func(p *corev1.Pod) {
		p.Status.Phase, p.Status.Conditions = corev1.PodRunning, []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
	at := func(sec int64, uid, typ, reason string) corev1.Event {
		return corev1.Event{InvolvedObject: corev1.ObjectReference{UID: "u" + "1"}, Type: typ, Reason: reason, Message: "m-" + uid, LastTimestamp: metav1.Unix(sec, 0)}
	}
	events := []corev1.Event{at(1, "old", "Warning", "BackOff"), at(3, "new", "Warning", "Unhealthy"), at(4, "fine", "Normal", "Pulled"),
		{InvolvedObject: corev1.ObjectReference{UID: "u2"}, Type: "Warning", Reason: "Other", LastTimestamp: metav1.Unix(9, 0)}}
	for name, c := range map[string]struct {
		pods   []corev1.Pod
		events []corev1.Event
		want   string
	}{
		"none":        {nil, nil, "no pod of DNS has been made"},
		"crashes":     {[]corev1.Pod{pod(waiting)}, events, "pod kube-system/coredns-1 is Pending, container coredns waits: CrashLoopBackOff back-off 10s, last event: Unhealthy: m-new"},
		"unscheduled": {[]corev1.Pod{pod(unscheduled)}, nil, "pod kube-system/coredns-1 is Pending, 0/1 nodes are available"},
		"one of two":  {[]corev1.Pod{pod(ready), pod(waiting)}, nil, "pod kube-system/coredns-1 is Pending, container coredns waits: CrashLoopBackOff back-off 10s"},
		"all ready":   {[]corev1.Pod{pod(ready)}, events, "the pods of DNS are ready, but it does not answer at its address"},
	} {
		if got := explain("DNS", c.pods, c.events); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestEachChange: nothing is said while a stage is quick, and each reason once.
func TestEachChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 55*time.Second)
		defer cancel()
		reasons, looks := []string{"a", "a", "b", "b", "a"}, 0
		var told []string
		eachChange(ctx, 10*time.Second, func(context.Context) string { looks++; return reasons[looks-1] }, func(s string) { told = append(told, s) })
		if got := strings.Join(told, " "); got != "a b a" || looks != 5 {
			t.Errorf("told %q after %d looks", got, looks)
		}
		if slices.Contains(told, "") {
			t.Error("said nothing aloud")
		}
	})
}

// TestUpstreams: DNS has an upstream when there is a route to one of its servers.
func TestUpstreams(t *testing.T) {
	read := func(string) ([]byte, error) {
		return []byte("search a\nnameserver 192.0.2.53 # ours\nnameserver\noptions x\n"), nil
	}
	local := func(ip net.IP) bool { return ip.String() == "192.0.2.53" }
	for name, c := range map[string]struct {
		upstreams []string
		want      bool
	}{
		"none": {nil, false}, "file": {[]string{"/etc/resolv.conf"}, true}, "address": {[]string{"192.0.2.53"}, true}, "with port": {[]string{"192.0.2.53:5353"}, true},
		"no route": {[]string{"198.51.100.1"}, false}, "one of two": {[]string{"198.51.100.1", "192.0.2.53"}, true}, "garbage": {[]string{"here"}, false},
	} {
		if got := anyReached(servers(c.upstreams, read), local); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
