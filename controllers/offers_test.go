package controllers

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/controllers/daemonset"
	"hyperkube/controllers/deployment"
	"hyperkube/controllers/disruption"
	"hyperkube/controllers/endpoints"
	"hyperkube/controllers/endpointslice"
	"hyperkube/controllers/env"
	"hyperkube/controllers/job"
	"hyperkube/controllers/replicaset"
	"hyperkube/controllers/stage"
	"hyperkube/controllers/statefulset"
)

// TestNewsAmongManySelectors: whoever writes selectors of thousands of values makes news of
// what they may select cost no more than looking through them once. To compile each anew
// takes 18 ms, during which no news of any namespace gets through.
func TestNewsAmongManySelectors(t *testing.T) {
	const sets, news, most = 10, 20, 12 << 20
	large := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "In", Values: []string{"x"}}}}
	pairs := map[string]string{"a": "x"}
	for i := range 4000 {
		large.MatchExpressions[0].Values = append(large.MatchExpressions[0].Values, fmt.Sprintf("v%d", i))
		pairs[fmt.Sprintf("k%d", i)] = "v"
	}
	zero := int32(0)
	pod := func(labels map[string]string) func(metav1.ObjectMeta) apiruntime.Object {
		return func(m metav1.ObjectMeta) apiruntime.Object {
			m.Labels = labels
			return &corev1.Pod{ObjectMeta: m, Status: corev1.PodStatus{PodIP: "10.0.0.1"}}
		}
	}
	none, one := pod(map[string]string{"a": "none"}), pod(map[string]string{"a": "x"})
	service := func(m metav1.ObjectMeta) apiruntime.Object {
		return &corev1.Service{ObjectMeta: m, Spec: corev1.ServiceSpec{Selector: pairs, Ports: []corev1.ServicePort{{Port: 1}}}}
	}
	for name, c := range map[string]struct {
		new       func(*env.Env) (env.Runner, error)
		set       func(metav1.ObjectMeta) apiruntime.Object
		none, one func(metav1.ObjectMeta) apiruntime.Object // what nobody, what somebody selects
	}{
		"replicaset": {replicaset.New, func(m metav1.ObjectMeta) apiruntime.Object {
			return &appsv1.ReplicaSet{ObjectMeta: m, Spec: appsv1.ReplicaSetSpec{Selector: large, Replicas: &zero}}
		}, none, one},
		"replicationcontroller": {replicaset.NewForReplicationControllers, func(m metav1.ObjectMeta) apiruntime.Object {
			return &corev1.ReplicationController{ObjectMeta: m, Spec: corev1.ReplicationControllerSpec{Selector: pairs, Replicas: &zero}}
		}, one, pod(pairs)},
		"statefulset": {statefulset.New, func(m metav1.ObjectMeta) apiruntime.Object {
			return &appsv1.StatefulSet{ObjectMeta: m, Spec: appsv1.StatefulSetSpec{Selector: large, Replicas: &zero}}
		}, none, one},
		"daemonset": {daemonset.New, func(m metav1.ObjectMeta) apiruntime.Object {
			return &appsv1.DaemonSet{ObjectMeta: m, Spec: appsv1.DaemonSetSpec{Selector: large}}
		}, none, one},
		"job": {job.New, func(m metav1.ObjectMeta) apiruntime.Object {
			return &batchv1.Job{ObjectMeta: m, Spec: batchv1.JobSpec{Selector: large, Parallelism: &zero}}
		}, none, one},
		"deployment": {deployment.New, func(m metav1.ObjectMeta) apiruntime.Object {
			return &appsv1.Deployment{ObjectMeta: m, Spec: appsv1.DeploymentSpec{Selector: large, Replicas: &zero}}
		}, orphanSet("none"), orphanSet("x")},
		"disruption": {disruption.New, func(m metav1.ObjectMeta) apiruntime.Object {
			return &policyv1.PodDisruptionBudget{ObjectMeta: m, Spec: policyv1.PodDisruptionBudgetSpec{Selector: large}}
		}, none, one},
		"endpoints":     {endpoints.New, service, one, pod(pairs)},
		"endpointslice": {endpointslice.New, service, one, pod(pairs)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var all []apiruntime.Object
				for i := range sets {
					all = append(all, c.set(metaOf(fmt.Sprintf("o%d", i))))
				}
				s := stage.New(t, all...)
				s.First(all...)
				s.Run(c.new)
				time.Sleep(time.Hour) // what the stage does not answer is tried again ever more seldom
				s.Settle()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				for i := range news {
					s.Add(c.none(metaOf(fmt.Sprintf("p%d", i))))
				}
				runtime.ReadMemStats(&after)
				if n := after.TotalAlloc - before.TotalAlloc; n > most {
					t.Errorf("%d changes among %d selectors allocate %d MiB", news, sets, n>>20)
				}
				was := len(s.Kube.Actions())
				s.Add(c.one(metaOf("o0-0")))
				if len(s.Kube.Actions()) == was {
					t.Error("nobody did anything about what is selected")
				}
			})
		})
	}
}

func metaOf(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "n", Name: name, UID: types.UID(name), ResourceVersion: "1"}
}

func orphanSet(label string) func(metav1.ObjectMeta) apiruntime.Object {
	return func(m metav1.ObjectMeta) apiruntime.Object {
		m.Labels = map[string]string{"a": label}
		return &appsv1.ReplicaSet{ObjectMeta: m, Spec: appsv1.ReplicaSetSpec{Selector: &metav1.LabelSelector{MatchLabels: m.Labels}}}
	}
}
