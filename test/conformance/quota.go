package conformance

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func limits() []behaviour {
	return []behaviour{
		{name: "ResourceQuota, update and delete", run: quotaUpdated},
		{name: "ResourceQuota, manage lifecycle of a ResourceQuota", run: quotaLifecycle},
		{name: "ResourceQuota, object count quota, resourcequotas", run: quotaPrompt},
		{name: "ResourceQuota, object count quota, configmap", run: quotaOf("configmaps", func(f *fixture) func() { f.configMap("counted", nil); return func() { f.removeConfigMap("counted") } })},
		{name: "ResourceQuota, object count quota, secret", run: quotaOf("secrets", quotaSecret)},
		{name: "ResourceQuota, object count quota, service", run: quotaOf("services", quotaService)},
		{name: "ResourceQuota, object count quota, replicaSet", run: quotaOf("count/replicasets.apps", quotaReplicaSet)},
		{name: "ResourceQuota, object count quota, replicationController", run: quotaOf("replicationcontrollers", quotaReplicationController)},
		{name: "ResourceQuota, object count quota, pod", run: quotaPod},
		{name: "ResourceQuota, quota scope, BestEffort and NotBestEffort scope", run: quotaBestEffort},
		{name: "ResourceQuota, quota scope, Terminating and NotTerminating scope", run: quotaTerminating},
		{name: "ResourceQuota, apply changes to a ResourceQuota status", run: quotaStatus},
		{name: "LimitRange, resources", run: limitRange},
		{name: "LimitRange, list, patch and delete a LimitRange by collection", run: limitRangeCollection},
	}
}

func quantities(pairs ...string) corev1.ResourceList {
	l := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		l[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return l
}

func (f *fixture) quota(name string, hard corev1.ResourceList, scopes ...corev1.ResourceQuotaScope) {
	f.Helper()
	_, err := f.kube.CoreV1().ResourceQuotas(f.ns).Create(f.ctx, &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"test": f.id}},
		Spec: corev1.ResourceQuotaSpec{Hard: hard, Scopes: scopes}}, metav1.CreateOptions{})
	if err != nil {
		f.Fatalf("creating quota %s: %v", name, err)
	}
}

// uses waits until the quota's status says so.
func (f *fixture) uses(name string, pairs ...string) {
	f.Helper()
	f.eventually(fmt.Sprintf("quota %s uses %v", name, pairs), func() error {
		q, err := f.kube.CoreV1().ResourceQuotas(f.ns).Get(f.ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for k, want := range quantities(pairs...) {
			if have, ok := q.Status.Used[k]; !ok || have.Cmp(want) != 0 {
				return fmt.Errorf("used %v of %v", q.Status.Used, q.Status.Hard)
			}
		}
		return nil
	})
}

func quotaUpdated(f *fixture) {
	c := f.kube.CoreV1().ResourceQuotas(f.ns)
	f.quota("q", quantities("cpu", "1", "memory", "500Mi"))
	f.eventually("the update", func() error {
		q, err := c.Get(f.ctx, "q", metav1.GetOptions{})
		if err != nil {
			return err
		}
		q.Spec.Hard = quantities("cpu", "2", "memory", "1Gi")
		_, err = c.Update(f.ctx, q, metav1.UpdateOptions{})
		return err
	})
	got := must(c.Get(f.ctx, "q", metav1.GetOptions{}))
	f.expect(got.Spec.Hard.Cpu().String() == "2" && got.Spec.Hard.Memory().String() == "1Gi", "hard %v", got.Spec.Hard)
	check(c.Delete(f.ctx, "q", metav1.DeleteOptions{}))
	_, err := c.Get(f.ctx, "q", metav1.GetOptions{})
	f.fails(err, apierrors.IsNotFound, "getting a deleted quota")
}

func quotaLifecycle(f *fixture) {
	c, sel := f.kube.CoreV1().ResourceQuotas(f.ns), metav1.ListOptions{LabelSelector: "test=" + f.id}
	f.quota("q", quantities("cpu", "1", "memory", "500Mi"))
	f.expect(len(must(f.kube.CoreV1().ResourceQuotas("").List(f.ctx, sel)).Items) == 1, "the quota is not listed in all namespaces")
	got := must(c.Patch(f.ctx, "q", types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"patched":"yes"}},"spec":{"hard":{"memory":"750Mi"}}}`), metav1.PatchOptions{}))
	f.expect(got.Labels["patched"] == "yes" && got.Spec.Hard.Memory().String() == "750Mi", "the patch is lost: %v", got.Spec.Hard)
	check(c.DeleteCollection(f.ctx, metav1.DeleteOptions{}, sel))
	f.expect(len(must(c.List(f.ctx, sel)).Items) == 0, "the deleted quota is listed")
}

func quotaPrompt(f *fixture) {
	f.quota("q", quantities("resourcequotas", "5", "pods", "5", "services", "10"))
	f.uses("q", "resourcequotas", "1", "pods", "0", "services", "0")
}

// quotaOf follows the count of one sort of objects.
func quotaOf(counted string, make func(*fixture) (remove func())) func(*fixture) {
	return func(f *fixture) {
		before := 0
		if counted == "configmaps" {
			f.eventually("the namespace's own config map", func() error {
				_, err := f.kube.CoreV1().ConfigMaps(f.ns).Get(f.ctx, "kube-root-ca.crt", metav1.GetOptions{})
				return err
			})
			before = 1
		}
		f.quota("q", quantities(counted, "5", "resourcequotas", "5"))
		f.uses("q", counted, fmt.Sprint(before), "resourcequotas", "1")
		remove := make(f)
		f.uses("q", counted, fmt.Sprint(before+1))
		remove()
		f.uses("q", counted, fmt.Sprint(before))
	}
}

func quotaSecret(f *fixture) func() {
	secretVolume.put(f, f.ns, "counted", "value")
	return func() { secretVolume.remove(f, "counted") }
}

func quotaService(f *fixture) func() {
	f.createService(newService("counted", nil, corev1.ServicePort{Port: 80}))
	return func() { check(f.services().Delete(f.ctx, "counted", metav1.DeleteOptions{})) }
}

func quotaReplicaSet(f *fixture) func() {
	c := f.kube.AppsV1().ReplicaSets(f.ns)
	must(c.Create(f.ctx, newReplicaSet(f, "counted", 0), metav1.CreateOptions{}))
	return func() { check(c.Delete(f.ctx, "counted", metav1.DeleteOptions{})) }
}

func quotaReplicationController(f *fixture) func() {
	c := f.kube.CoreV1().ReplicationControllers(f.ns)
	must(c.Create(f.ctx, newController(f, "counted", 0), metav1.CreateOptions{}))
	return func() { check(c.Delete(f.ctx, "counted", metav1.DeleteOptions{})) }
}

func newReplicaSet(f *fixture, name string, replicas int32) *appsv1.ReplicaSet {
	d := newDeployment(f, name, replicas)
	return &appsv1.ReplicaSet{ObjectMeta: d.ObjectMeta, Spec: appsv1.ReplicaSetSpec{Replicas: &replicas, Selector: d.Spec.Selector, Template: d.Spec.Template}}
}

// unplaced keeps a pod from being run: only its object matters.
func unplaced(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"hyperkube.test/none": "x"} }

func requests(pairs ...string) option {
	return withResources(corev1.ResourceRequirements{Requests: quantities(pairs...), Limits: quantities(pairs...)})
}

func quotaPod(f *fixture) {
	f.quota("q", quantities("pods", "5", "cpu", "1", "memory", "500Mi", "ephemeral-storage", "50Gi", "requests.example.com/dongle", "3"))
	f.uses("q", "pods", "0", "cpu", "0")
	f.create(f.sleeper("fits", unplaced, requests("cpu", "500m", "memory", "252Mi", "ephemeral-storage", "30Gi", "example.com/dongle", "2")))
	f.uses("q", "pods", "1", "cpu", "500m", "memory", "252Mi", "ephemeral-storage", "30Gi", "requests.example.com/dongle", "2")
	_, err := f.pods().Create(f.ctx, f.sleeper("big", unplaced, requests("cpu", "600m", "memory", "100Mi", "ephemeral-storage", "1Gi")), metav1.CreateOptions{})
	f.fails(err, apierrors.IsForbidden, "creating a pod beyond the quota")
	_, err = f.pods().Create(f.ctx, f.sleeper("dongles", unplaced, requests("cpu", "100m", "memory", "10Mi", "ephemeral-storage", "1Gi", "example.com/dongle", "2")), metav1.CreateOptions{})
	f.fails(err, apierrors.IsForbidden, "creating a pod beyond the quota of an extended resource")
	_, err = f.pods().Patch(f.ctx, "fits", types.StrategicMergePatchType, []byte(`{"spec":{"containers":[{"name":"main","resources":{"requests":{"cpu":"100m"},"limits":{"cpu":"100m"}}}]}}`), metav1.PatchOptions{})
	f.fails(err, isInvalid, "changing a pod's requests")
	f.uses("q", "pods", "1", "cpu", "500m")
	check(f.pods().Delete(f.ctx, "fits", metav1.DeleteOptions{GracePeriodSeconds: to[int64](0)}))
	f.uses("q", "pods", "0", "cpu", "0", "memory", "0", "requests.example.com/dongle", "0")
}

func quotaBestEffort(f *fixture) {
	f.quota("best", quantities("pods", "5"), corev1.ResourceQuotaScopeBestEffort)
	f.quota("other", quantities("pods", "5"), corev1.ResourceQuotaScopeNotBestEffort)
	scoped(f, "best", "other", f.sleeper("modest", unplaced))
	scoped(f, "other", "best", f.sleeper("asking", unplaced, requests("cpu", "100m", "memory", "10Mi")))
}

func quotaTerminating(f *fixture) {
	hard := quantities("pods", "5", "requests.cpu", "1", "requests.memory", "500Mi", "limits.cpu", "2", "limits.memory", "1Gi")
	f.quota("ends", hard, corev1.ResourceQuotaScopeTerminating)
	f.quota("lasts", hard, corev1.ResourceQuotaScopeNotTerminating)
	scoped(f, "lasts", "ends", f.sleeper("lasting", unplaced, requests("cpu", "100m", "memory", "10Mi")))
	scoped(f, "ends", "lasts", f.sleeper("ending", unplaced, requests("cpu", "100m", "memory", "10Mi"), func(p *corev1.Pod) { p.Spec.ActiveDeadlineSeconds = to[int64](3600) }))
}

// scoped: the pod counts in one quota and not in the other, until it is gone.
func scoped(f *fixture, in, out string, p *corev1.Pod) {
	f.uses(in, "pods", "0")
	f.create(p)
	f.uses(in, "pods", "1")
	f.uses(out, "pods", "0")
	check(f.pods().Delete(f.ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: to[int64](0)}))
	f.uses(in, "pods", "0")
}

func quotaStatus(f *fixture) {
	c := f.kube.CoreV1().ResourceQuotas(f.ns)
	f.quota("q", quantities("cpu", "500m", "memory", "500Mi"))
	f.eventually("the status shows the limits", func() error {
		q, err := c.Get(f.ctx, "q", metav1.GetOptions{})
		if err != nil {
			return err
		}
		return errUnless(q.Status.Hard.Cpu().String() == "500m", "hard %v", q.Status.Hard)
	})
	f.eventually("the update of the status", func() error {
		q, err := c.Get(f.ctx, "q", metav1.GetOptions{})
		if err != nil {
			return err
		}
		q.Status.Hard = quantities("cpu", "500m", "memory", "500Mi")
		q.Status.Used = quantities("cpu", "0", "memory", "0")
		_, err = c.UpdateStatus(f.ctx, q, metav1.UpdateOptions{})
		return err
	})
	got := must(c.Patch(f.ctx, "q", types.StrategicMergePatchType, []byte(`{"spec":{"hard":{"cpu":"1","memory":"1Gi"}}}`), metav1.PatchOptions{}))
	f.expect(got.Spec.Hard.Cpu().String() == "1", "spec %v", got.Spec.Hard)
	f.eventually("the status follows the spec", func() error {
		q, err := c.Get(f.ctx, "q", metav1.GetOptions{})
		if err != nil {
			return err
		}
		return errUnless(q.Status.Hard.Cpu().String() == "1" && q.Status.Hard.Memory().String() == "1Gi", "hard %v", q.Status.Hard)
	})
	got = must(c.Patch(f.ctx, "q", types.StrategicMergePatchType, []byte(`{"spec":{"hard":{"cpu":"8"}},"status":{"hard":{"cpu":"2","memory":"2Gi"}}}`), metav1.PatchOptions{}, "status"))
	f.expect(got.Status.Hard.Cpu().String() == "2" && got.Spec.Hard.Cpu().String() == "1", "after patching the status: spec %v, status %v", got.Spec.Hard, got.Status.Hard)
}

func limitRange(f *fixture) {
	c := f.kube.CoreV1().LimitRanges(f.ns)
	lr := &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: "limits"}, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
		Type: corev1.LimitTypeContainer,
		Min:  amounts("50m", "100Mi"), Max: amounts("500m", "500Mi"),
		Default: amounts("500m", "500Mi"), DefaultRequest: amounts("100m", "200Mi"),
	}}}}
	w := must(c.Watch(f.ctx, metav1.ListOptions{}))
	defer w.Stop()
	must(c.Create(f.ctx, lr, metav1.CreateOptions{}))
	f.await(w, "ADDED", "limits")
	want := func(name string, r corev1.ResourceRequirements, request, limit string) {
		f.Helper()
		var p *corev1.Pod
		f.eventually("pod "+name, func() (err error) { // admission may learn of the range a moment later
			p, err = f.pods().Create(f.ctx, f.sleeper(name, unplaced, withResources(r)), metav1.CreateOptions{})
			if err != nil {
				return err
			}
			got := p.Spec.Containers[0].Resources
			if got.Requests.Cpu().String() == request && got.Limits.Cpu().String() == limit {
				return nil
			}
			check(f.pods().Delete(f.ctx, name, metav1.DeleteOptions{GracePeriodSeconds: to[int64](0)}))
			return fmt.Errorf("resources %v", got)
		})
	}
	want("none", corev1.ResourceRequirements{}, "100m", "500m")
	want("partial", corev1.ResourceRequirements{Requests: quantities("cpu", "300m")}, "300m", "500m")
	_, err := f.pods().Create(f.ctx, f.sleeper("small", unplaced, withResources(corev1.ResourceRequirements{Requests: amounts("10m", "50Mi")})), metav1.CreateOptions{})
	f.fails(err, apierrors.IsForbidden, "a pod below the minimum")
	_, err = f.pods().Create(f.ctx, f.sleeper("big", unplaced, requests("cpu", "600m", "memory", "600Mi")), metav1.CreateOptions{})
	f.fails(err, apierrors.IsForbidden, "a pod above the maximum")

	live := must(c.Get(f.ctx, "limits", metav1.GetOptions{}))
	live.Spec.Limits[0].Min = amounts("9m", "49Mi")
	must(c.Update(f.ctx, live, metav1.UpdateOptions{}))
	f.eventually("the new minimum holds", func() error {
		_, err := f.pods().Create(f.ctx, f.sleeper("small", unplaced, withResources(corev1.ResourceRequirements{Requests: amounts("10m", "50Mi")})), metav1.CreateOptions{})
		return err
	})
	check(c.Delete(f.ctx, "limits", metav1.DeleteOptions{}))
	f.await(w, "DELETED", "limits")
	f.eventually("no limit holds", func() error {
		_, err := f.pods().Create(f.ctx, f.sleeper("big", unplaced, requests("cpu", "600m", "memory", "600Mi")), metav1.CreateOptions{})
		return err
	})
}

func limitRangeCollection(f *fixture) {
	other := f.namespace(map[string]string{label: "true"})
	sel := metav1.ListOptions{LabelSelector: "test=" + f.id}
	for _, ns := range []string{f.ns, other} {
		must(f.kube.CoreV1().LimitRanges(ns).Create(f.ctx, &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: "limits", Labels: map[string]string{"test": f.id}},
			Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{Type: corev1.LimitTypeContainer, Default: amounts("500m", "500Mi")}}}}, metav1.CreateOptions{}))
	}
	all := f.kube.CoreV1().LimitRanges("")
	f.expect(len(must(all.List(f.ctx, sel)).Items) == 2, "not both are listed")
	got := must(f.kube.CoreV1().LimitRanges(f.ns).Patch(f.ctx, "limits", types.StrategicMergePatchType,
		[]byte(`{"metadata":{"labels":{"patched":"yes"}},"spec":{"limits":[{"type":"Container","max":{"cpu":"2"}}]}}`), metav1.PatchOptions{}))
	f.expect(got.Labels["patched"] == "yes" && len(got.Spec.Limits) == 1 && got.Spec.Limits[0].Max.Cpu().String() == "2", "the patch is lost: %v", got.Spec)
	check(f.kube.CoreV1().LimitRanges(f.ns).DeleteCollection(f.ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "patched=yes"}))
	left := must(all.List(f.ctx, sel)).Items
	f.expect(len(left) == 1 && left[0].Namespace == other, "left: %v", left)
}
