package conformance

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// podObjects: the pod as an API object, and how the kubelet answers for it.
func podObjects() []behaviour {
	return []behaviour{
		{name: "Pods, QOS", run: podQOS},
		{name: "Pods, ActiveDeadlineSeconds", run: podDeadline},
		{name: "Pods, lifecycle", run: podSubmitted},
		{name: "Pods, update", run: podUpdated},
		{name: "Pods, delete a collection", run: podCollection},
		{name: "Pods, assigned hostip", run: podHostIP},
		{name: "Pods, patching status", run: podStatusPatched},
		{name: "Pods, completes the lifecycle of a Pod and the PodStatus", run: podLifecycle},
		{name: "Pods, remote command execution over websocket", run: podExec},
		{name: "Pods, logs from websockets", run: podLogSocket},
		{name: "Pods Generation, updates", run: podGeneration},
		{name: "Pods Generation, graceful delete", run: podGenerationDelete},
		{name: "Pods Generation, 500 updates", run: podGenerationMany},
		{name: "PodTemplate lifecycle", run: support(podTemplates)},
		{name: "PodTemplate, replace", run: podTemplateReplace},
		{name: "PodTemplate, delete a collection", run: podTemplateCollection},
		{name: "CSIInlineVolumes should support Pods with inline volumes", run: inlineVolumes},
	}
}

func podQOS(f *fixture) {
	r := corev1.ResourceRequirements{Requests: amounts("100m", "100Mi"), Limits: amounts("100m", "100Mi")}
	p := f.create(f.sleeper("guaranteed", withResources(r)))
	f.expect(p.Status.QOSClass == corev1.PodQOSGuaranteed, "class %s", p.Status.QOSClass)
	p = must(f.pods().Get(f.ctx, p.Name, metav1.GetOptions{}))
	f.expect(p.Status.QOSClass == corev1.PodQOSGuaranteed, "class %s", p.Status.QOSClass)
}

func podDeadline(f *fixture) {
	f.start(f.sleeper("mortal"))
	f.expect(len(must(f.pods().List(f.ctx, metav1.ListOptions{LabelSelector: "name=mortal"})).Items) == 1, "the pod is not found by its label")
	f.changePod("mortal", func(p *corev1.Pod) { p.Spec.ActiveDeadlineSeconds = to[int64](2) })
	p := f.awaitPod("mortal", "fails at its deadline", podEnded)
	f.expect(p.Status.Phase == corev1.PodFailed && p.Status.Reason == "DeadlineExceeded", "%s", podState(p))
}

func (f *fixture) changePod(name string, change func(*corev1.Pod)) *corev1.Pod {
	f.Helper()
	var out *corev1.Pod
	f.eventually("the update of pod "+name, func() error {
		p, err := f.pods().Get(f.ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		change(p)
		out, err = f.pods().Update(f.ctx, p, metav1.UpdateOptions{})
		return err
	})
	return out
}

func podSubmitted(f *fixture) {
	sel := metav1.ListOptions{LabelSelector: "test=" + f.id}
	list := must(f.pods().List(f.ctx, sel))
	w := must(f.pods().Watch(f.ctx, metav1.ListOptions{LabelSelector: sel.LabelSelector, ResourceVersion: list.ResourceVersion}))
	defer w.Stop()
	f.create(f.sleeper("life", withLabels(map[string]string{"test": f.id})))
	f.expect(len(must(f.pods().List(f.ctx, sel)).Items) == 1, "the pod is not found by its label")
	f.await(w, watch.Added, "life")
	f.awaitPod("life", "ready", podReady)
	check(f.pods().Delete(f.ctx, "life", metav1.DeleteOptions{}))
	for {
		if p := f.await(w, watch.Modified, "life").(*corev1.Pod); p.DeletionTimestamp != nil {
			break
		}
	}
	last := f.await(w, watch.Deleted, "life").(*corev1.Pod)
	f.expect(last.DeletionTimestamp != nil && last.Spec.TerminationGracePeriodSeconds != nil, "the deleted pod has no deletion timestamp")
	f.expect(len(must(f.pods().List(f.ctx, sel)).Items) == 0, "the deleted pod is listed")
}

func podUpdated(f *fixture) {
	f.create(f.sleeper("life", withLabels(map[string]string{"time": "before"})))
	f.expect(len(must(f.pods().List(f.ctx, metav1.ListOptions{LabelSelector: "time=before"})).Items) == 1, "the pod is not found by its label")
	f.changePod("life", func(p *corev1.Pod) { p.Labels["time"] = "after" })
	f.expect(len(must(f.pods().List(f.ctx, metav1.ListOptions{LabelSelector: "time=after"})).Items) == 1, "the pod is not found by its new label")
	f.awaitPod("life", "ready", podReady)
}

func podCollection(f *fixture) {
	sel := metav1.ListOptions{LabelSelector: "test=" + f.id}
	for i := range 3 {
		f.create(f.sleeper(fmt.Sprintf("many-%d", i), withLabels(map[string]string{"test": f.id})))
	}
	f.expect(len(must(f.pods().List(f.ctx, sel)).Items) == 3, "not all pods are listed")
	check(f.pods().DeleteCollection(f.ctx, metav1.DeleteOptions{GracePeriodSeconds: to[int64](1)}, sel))
	f.eventually("the pods are gone", func() error {
		l, err := f.pods().List(f.ctx, sel)
		if err != nil {
			return err
		}
		return errUnless(len(l.Items) == 0, "%d are left", len(l.Items))
	})
}

func podHostIP(f *fixture) {
	f.create(f.sleeper("placed"))
	p := f.awaitPod("placed", "has a host address", func(p *corev1.Pod) bool { return p.Status.HostIP != "" })
	f.expect(net.ParseIP(p.Status.HostIP) != nil && len(p.Status.HostIPs) > 0, "host address %q, %v", p.Status.HostIP, p.Status.HostIPs)
}

func podStatusPatched(f *fixture) {
	f.start(f.sleeper("patched"))
	p := must(f.pods().Patch(f.ctx, "patched", types.StrategicMergePatchType, []byte(`{"status":{"message":"patched by conformance","reason":"E2E"}}`), metav1.PatchOptions{}, "status"))
	f.expect(p.Status.Message == "patched by conformance" && p.Status.Reason == "E2E", "message %q, reason %q", p.Status.Message, p.Status.Reason)
}

func podLifecycle(f *fixture) {
	sel := metav1.ListOptions{LabelSelector: "test=" + f.id}
	w := must(f.pods().Watch(f.ctx, sel))
	defer w.Stop()
	f.create(f.sleeper("life", withLabels(map[string]string{"test": f.id})))
	f.await(w, watch.Added, "life")
	f.awaitPod("life", "ready", podReady)
	patch := `{"metadata":{"labels":{"patched":"yes"}},"spec":{"terminationGracePeriodSeconds":2,"containers":[{"name":"main","image":"` + f.images.nginx + `"}]}}`
	p := must(f.pods().Patch(f.ctx, "life", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}))
	f.expect(p.Labels["patched"] == "yes" && p.Spec.Containers[0].Image == f.images.nginx, "the patch is lost: %v", p.Labels)
	f.awaitPatchedStatus()
	check(f.pods().DeleteCollection(f.ctx, metav1.DeleteOptions{GracePeriodSeconds: to[int64](1)}, sel))
	f.await(w, watch.Deleted, "life")
}

// awaitPatchedStatus replaces the status of the pod "life" and reads it back.
func (f *fixture) awaitPatchedStatus() {
	f.Helper()
	f.eventually("the replaced status", func() error {
		p, err := f.pods().Get(f.ctx, "life", metav1.GetOptions{})
		if err != nil {
			return err
		}
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: "hyperkube.test/seen", Status: corev1.ConditionTrue})
		got, err := f.pods().UpdateStatus(f.ctx, p, metav1.UpdateOptions{})
		if err != nil {
			return err
		}
		return errUnless(podCondition(got, "hyperkube.test/seen") == corev1.ConditionTrue, "conditions %v", got.Status.Conditions)
	})
}

func podExec(f *fixture) {
	f.start(f.sleeper("target"))
	f.expect(f.mustExec("target", "sh", "-c", "echo remote execution test") == "remote execution test\n", "another output")
	_, err := f.exec("target", "", "sh", "-c", "exit 7")
	f.expect(err != nil && strings.Contains(err.Error(), "exit code 7"), "a failing command: %v", err)
}

func podGeneration(f *fixture) {
	p := f.start(f.sleeper("counted"))
	f.expect(p.Generation == 1, "generation %d, want 1", p.Generation)
	observed := func(want int64) {
		f.Helper()
		f.awaitPod("counted", fmt.Sprintf("is observed at generation %d", want), func(p *corev1.Pod) bool {
			return p.Generation == want && p.Status.ObservedGeneration == want
		})
	}
	observed(1)
	steps := []struct {
		what   string
		change func(*corev1.Pod)
		counts bool
	}{
		{"a toleration", func(p *corev1.Pod) {
			p.Spec.Tolerations = append(p.Spec.Tolerations, corev1.Toleration{Key: "k", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: to[int64](100)})
		}, true},
		{"a deadline", func(p *corev1.Pod) { p.Spec.ActiveDeadlineSeconds = to[int64](5000) }, true},
		{"the same again", func(*corev1.Pod) {}, false},
		{"a label", func(p *corev1.Pod) { p.Labels["more"] = "yes" }, false},
		{"a generation of its own", func(p *corev1.Pod) { p.Generation = 100 }, false},
		{"the image", func(p *corev1.Pod) { p.Spec.Containers[0].Image = f.images.nginx }, true},
	}
	want := int64(1)
	for _, s := range steps {
		if s.counts {
			want++
		}
		got := f.changePod("counted", s.change)
		f.expect(got.Generation == want, "generation %d after changing %s, want %d", got.Generation, s.what, want)
		observed(want)
	}
}

func podGenerationDelete(f *fixture) {
	p := f.sleeper("counted")
	p.Generation, p.Finalizers = 100, []string{"hyperkube.test/hold"}
	p = f.create(p)
	f.later(dropFinalizers(f, "counted"))
	f.expect(p.Generation == 1, "generation %d, want 1 whatever was asked for", p.Generation)
	f.awaitPod("counted", "ready", podReady)
	check(f.pods().Delete(f.ctx, "counted", metav1.DeleteOptions{GracePeriodSeconds: to[int64](1)}))
	f.awaitPod("counted", "is observed after its deletion", func(p *corev1.Pod) bool { return p.Generation == 2 && p.DeletionTimestamp != nil })
}

func podGenerationMany(f *fixture) {
	f.start(f.sleeper("counted"))
	for i := range 499 {
		patch := fmt.Sprintf(`{"spec":{"activeDeadlineSeconds":%d}}`, 20000-i)
		must(f.pods().Patch(f.ctx, "counted", types.MergePatchType, []byte(patch), metav1.PatchOptions{}))
	}
	f.awaitPod("counted", "is observed at generation 500", func(p *corev1.Pod) bool { return p.Generation == 500 && p.Status.ObservedGeneration == 500 })
}

var podTemplates = operations{
	resource: v1("", "podtemplates"), namespaced: true,
	manifest: `
apiVersion: v1
kind: PodTemplate
template: {spec: {containers: [{name: main, image: none.invalid/none}]}}
`,
}

func newTemplate(name string, labels map[string]string) *corev1.PodTemplate {
	return &corev1.PodTemplate{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "none.invalid/none"}}}}}
}

func podTemplateReplace(f *fixture) {
	c := f.kube.CoreV1().PodTemplates(f.ns)
	t := must(c.Create(f.ctx, newTemplate("one", nil), metav1.CreateOptions{}))
	t.Annotations = map[string]string{"updated": "true"}
	must(c.Update(f.ctx, t, metav1.UpdateOptions{}))
	f.expect(must(c.Get(f.ctx, "one", metav1.GetOptions{})).Annotations["updated"] == "true", "the annotation is lost")
}

func podTemplateCollection(f *fixture) {
	c, sel := f.kube.CoreV1().PodTemplates(f.ns), metav1.ListOptions{LabelSelector: "test=" + f.id}
	for i := range 3 {
		must(c.Create(f.ctx, newTemplate(fmt.Sprintf("t-%d", i), map[string]string{"test": f.id}), metav1.CreateOptions{}))
	}
	f.expect(len(must(c.List(f.ctx, sel)).Items) == 3, "not all templates are listed")
	check(c.DeleteCollection(f.ctx, metav1.DeleteOptions{}, sel))
	f.expect(len(must(c.List(f.ctx, sel)).Items) == 0, "deleted templates are listed")
}

// inlineVolumes: the API of pods with a volume of a CSI driver that is not there.
func inlineVolumes(f *fixture) {
	withCSI := func(name string) *corev1.Pod {
		p := f.shell(name, "true", withLabels(map[string]string{"test": f.id}), withVolume("csi", "/csi", corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "e2e.example.com", VolumeAttributes: map[string]string{"k": "v"}}}))
		// No node of this name: the pod is never run.
		p.Spec.NodeSelector = map[string]string{"hyperkube.test/none": f.id}
		return p
	}
	made := f.create(withCSI("one"))
	f.expect(made.Spec.Volumes[0].CSI != nil && made.Spec.Volumes[0].CSI.Driver == "e2e.example.com", "the volume is lost")
	got := must(f.pods().Get(f.ctx, "one", metav1.GetOptions{}))
	f.expect(got.Spec.Volumes[0].CSI.VolumeAttributes["k"] == "v", "the attributes are lost")
	got = must(f.pods().Patch(f.ctx, "one", types.MergePatchType, must(json.Marshal(map[string]any{"metadata": map[string]any{"labels": map[string]string{"patched": "yes"}}})), metav1.PatchOptions{}))
	f.expect(got.Labels["patched"] == "yes", "the patch is lost")
	f.expect(len(must(f.pods().List(f.ctx, metav1.ListOptions{LabelSelector: "test=" + f.id})).Items) == 1, "the pod is not listed")
	check(f.pods().Delete(f.ctx, "one", metav1.DeleteOptions{}))
	f.eventually("the pod is gone", func() error {
		_, err := f.pods().Get(f.ctx, "one", metav1.GetOptions{})
		return gone(err)
	})
}
