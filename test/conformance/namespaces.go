package conformance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
)

func namespaces() []behaviour {
	return []behaviour{
		{name: "Namespace patching", run: namespacePatched},
		{name: "Namespace, apply update to a namespace", run: namespaceUpdated},
		{name: "Namespace, apply finalizer to a namespace", run: namespaceFinalizer},
		{name: "Namespace, apply changes to a namespace status", run: namespaceStatus},
		{name: "namespace-deletion-removes-pods", run: namespaceRemovesPods},
		{name: "namespace-deletion-removes-services", run: namespaceRemovesServices},
		{name: "Ordered Namespace Deletion", run: namespacePodsFirst},
	}
}

func namespacePatched(f *fixture) {
	c := f.kube.CoreV1().Namespaces()
	must(c.Patch(f.ctx, f.ns, types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"patched":"yes"}}}`), metav1.PatchOptions{}))
	f.expect(must(c.Get(f.ctx, f.ns, metav1.GetOptions{})).Labels["patched"] == "yes", "the label is lost")
}

func (f *fixture) changeNamespace(change func(*corev1.Namespace), write func(context.Context, *corev1.Namespace, metav1.UpdateOptions) (*corev1.Namespace, error)) *corev1.Namespace {
	f.Helper()
	var out *corev1.Namespace
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		ns, err := f.kube.CoreV1().Namespaces().Get(f.ctx, f.ns, metav1.GetOptions{})
		if err != nil {
			return err
		}
		change(ns)
		out, err = write(f.ctx, ns, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		f.Fatalf("updating the namespace: %v", err)
	}
	return out
}

func namespaceUpdated(f *fixture) {
	ns := f.changeNamespace(func(ns *corev1.Namespace) { ns.Labels["updated"] = f.id }, f.kube.CoreV1().Namespaces().Update)
	f.expect(ns.Labels["updated"] == f.id, "the label is lost")
}

func namespaceFinalizer(f *fixture) {
	const own = corev1.FinalizerName("hyperkube.test/hold")
	c := f.kube.CoreV1().Namespaces()
	ns := f.changeNamespace(func(ns *corev1.Namespace) { ns.Spec.Finalizers = append(ns.Spec.Finalizers, own) }, c.Finalize)
	f.expect(slices.Contains(ns.Spec.Finalizers, own), "the finalizer is missing: %v", ns.Spec.Finalizers)
	ns = f.changeNamespace(func(ns *corev1.Namespace) {
		ns.Spec.Finalizers = slices.DeleteFunc(ns.Spec.Finalizers, func(n corev1.FinalizerName) bool { return n == own })
	}, c.Finalize)
	f.expect(!slices.Contains(ns.Spec.Finalizers, own), "the finalizer is still there: %v", ns.Spec.Finalizers)
}

func namespaceStatus(f *fixture) {
	c := f.kube.CoreV1().Namespaces()
	var ns corev1.Namespace
	check(f.kube.CoreV1().RESTClient().Get().Resource("namespaces").Name(f.ns).SubResource("status").Do(f.ctx).Into(&ns))
	f.expect(ns.Status.Phase == corev1.NamespaceActive, "phase %s", ns.Status.Phase)
	got := must(c.Patch(f.ctx, f.ns, types.MergePatchType, []byte(`{"status":{"conditions":[{"type":"StatusPatch","status":"True","reason":"E2E","message":"patched"}]}}`), metav1.PatchOptions{}, "status"))
	f.expect(len(got.Status.Conditions) == 1 && got.Status.Conditions[0].Type == "StatusPatch" && got.Status.Conditions[0].Message == "patched", "conditions %v", got.Status.Conditions)
	got = f.changeNamespace(func(ns *corev1.Namespace) {
		ns.Status.Conditions = append(ns.Status.Conditions, corev1.NamespaceCondition{Type: "StatusUpdate", Status: corev1.ConditionTrue, Reason: "E2E", Message: "updated"})
	}, c.UpdateStatus)
	f.expect(len(got.Status.Conditions) == 2 && got.Status.Conditions[1].Type == "StatusUpdate", "conditions %v", got.Status.Conditions)
	f.changeNamespace(func(ns *corev1.Namespace) { ns.Status.Conditions = nil }, c.UpdateStatus)
}

// deleteNamespace deletes one and waits until it is gone.
func (f *fixture) deleteNamespace(name string) {
	check(f.kube.CoreV1().Namespaces().Delete(f.ctx, name, metav1.DeleteOptions{}))
	f.eventually("the namespace is gone", func() error {
		_, err := f.kube.CoreV1().Namespaces().Get(f.ctx, name, metav1.GetOptions{})
		return gone(err)
	})
}

// again makes a namespace of the same name.
func (f *fixture) again(name string) {
	must(f.kube.CoreV1().Namespaces().Create(f.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{label: "true"}}}, metav1.CreateOptions{}))
}

func namespaceRemovesPods(f *fixture) {
	f.start(f.sleeper("pod"))
	f.deleteNamespace(f.ns)
	f.again(f.ns)
	f.expect(len(must(f.pods().List(f.ctx, metav1.ListOptions{})).Items) == 0, "the pods are back")
}

func namespaceRemovesServices(f *fixture) {
	f.createService(newService("web", map[string]string{"name": "none"}, corev1.ServicePort{Port: 80}))
	f.deleteNamespace(f.ns)
	f.again(f.ns)
	f.expect(len(must(f.services().List(f.ctx, metav1.ListOptions{})).Items) == 0, "the services are back")
}

// namespacePodsFirst: while a pod is held, what else is in the namespace stays.
func namespacePodsFirst(f *fixture) {
	p := f.sleeper("held")
	p.Finalizers = []string{"hyperkube.test/hold"}
	f.later(dropFinalizers(f, "held"))
	f.start(p)
	f.configMap("stays", nil)
	check(f.kube.CoreV1().Namespaces().Delete(f.ctx, f.ns, metav1.DeleteOptions{}))
	f.awaitPod("held", "is being deleted", func(p *corev1.Pod) bool { return p.DeletionTimestamp != nil })
	f.eventually("the namespace tells what it waits for", func() error {
		ns, err := f.kube.CoreV1().Namespaces().Get(f.ctx, f.ns, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range ns.Status.Conditions {
			if c.Type == corev1.NamespaceContentRemaining && c.Status == corev1.ConditionTrue && strings.Contains(c.Message, "pods") {
				return nil
			}
		}
		return fmt.Errorf("conditions %v", ns.Status.Conditions)
	})
	f.holds(2*time.Second, "the config map outlives the pod", func() error {
		cm, err := f.kube.CoreV1().ConfigMaps(f.ns).Get(f.ctx, "stays", metav1.GetOptions{})
		if err != nil {
			return err
		}
		return errUnless(cm.DeletionTimestamp == nil, "it is being deleted")
	})
	check(dropFinalizers(f, "held")(f.ctx))
	f.eventually("the namespace is gone", func() error {
		_, err := f.kube.CoreV1().Namespaces().Get(f.ctx, f.ns, metav1.GetOptions{})
		return gone(err)
	})
}
