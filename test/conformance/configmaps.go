package conformance

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// configMapsAndSecrets are their API and their use in a container's environment.
func configMapsAndSecrets() []behaviour {
	c, s := configMapVolume, secretVolume
	return []behaviour{
		{name: "ConfigMap, from environment field", run: c.inVariable},
		{name: "ConfigMap, from environment variables", run: c.inEnvironment},
		{name: "ConfigMap, from environment field with various prefixes", run: c.prefixed},
		{name: "ConfigMap, with empty-key", run: c.emptyKey},
		{name: "ConfigMap lifecycle", run: configMapLifecycle},
		{name: "ConfigMap Update", run: configMapUpdate},
		{name: "Secrets, pod environment field", run: s.inVariable},
		{name: "Secrets, pod environment from source", code: "via the environment", run: s.inEnvironment},
		{name: "Secrets, pod environment from source", code: "various prefixes", run: s.prefixed},
		{name: "Secrets, with empty-key", run: s.emptyKey},
		{name: "Secret patching", run: secretPatching},
	}
}

// env is a variable, and envFrom a set of them, with the object's data.
func (d dataVolume) env(name, object, key string) corev1.EnvVar {
	ref := corev1.LocalObjectReference{Name: object}
	if d.secret {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: ref, Key: key}}}
	}
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: ref, Key: key}}}
}

func (d dataVolume) envFrom(prefix, object string) corev1.EnvFromSource {
	ref := corev1.LocalObjectReference{Name: object}
	if d.secret {
		return corev1.EnvFromSource{Prefix: prefix, SecretRef: &corev1.SecretEnvSource{LocalObjectReference: ref}}
	}
	return corev1.EnvFromSource{Prefix: prefix, ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: ref}}
}

func (d dataVolume) inVariable(f *fixture) {
	d.put(f, f.ns, "data", "value-1")
	f.says(f.output(f.shell("reader", "env", withEnv(d.env("VARIABLE", "data", "key")))), "VARIABLE=value-1\n")
}

func (d dataVolume) inEnvironment(f *fixture) {
	d.put(f, f.ns, "data", "value-1")
	f.says(f.output(f.shell("reader", "env", withEnvFrom(d.envFrom("", "data"), d.envFrom("p_", "data")))), "key=value-1\n", "p_key=value-1\n")
}

// prefixed: a prefix may have any printable ASCII character but "=".
func (d dataVolume) prefixed(f *fixture) {
	d.put(f, f.ns, "data", "value-1")
	prefixes := []string{"simple_", "1-digit", "#sign", "!bang-", "with.dot", `a\b"c'd`, "{}[]()<>", "@ ,;:?*&%$~^|+/"}
	var from []corev1.EnvFromSource
	var want []string
	for _, p := range prefixes {
		from = append(from, d.envFrom(p, "data"))
		want = append(want, p+"key=value-1")
	}
	// The shell drops names that it does not understand: read what the kernel was given.
	p := f.shell("reader", "", withEnvFrom(from...))
	p.Spec.Containers[0].Command = []string{"cat", "/proc/self/environ"}
	f.says(strings.ReplaceAll(f.output(p), "\x00", "\n"), want...)
}

func (d dataVolume) emptyKey(f *fixture) {
	meta := metav1.ObjectMeta{Name: "empty-key"}
	var err error
	if d.secret {
		_, err = f.kube.CoreV1().Secrets(f.ns).Create(f.ctx, &corev1.Secret{ObjectMeta: meta, Data: map[string][]byte{"": []byte("value")}}, metav1.CreateOptions{})
	} else {
		_, err = f.kube.CoreV1().ConfigMaps(f.ns).Create(f.ctx, &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"": "value"}}, metav1.CreateOptions{})
	}
	f.fails(err, isInvalid, "creating an object with an empty key")
}

func configMapLifecycle(f *fixture) {
	c := f.kube.CoreV1().ConfigMaps(f.ns)
	sel := metav1.ListOptions{LabelSelector: "test=" + f.id}
	w := must(c.Watch(f.ctx, sel))
	defer w.Stop()
	must(c.Create(f.ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "life", Labels: map[string]string{"test": f.id}}, Data: map[string]string{"key": "value"}}, metav1.CreateOptions{}))
	f.await(w, watch.Added, "life")
	must(c.Patch(f.ctx, "life", types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"patched":"yes"}},"data":{"key":"patched"}}`), metav1.PatchOptions{}))
	f.await(w, watch.Modified, "life")
	got := must(c.Get(f.ctx, "life", metav1.GetOptions{}))
	f.expect(got.Data["key"] == "patched" && got.Labels["patched"] == "yes", "got %v %v", got.Labels, got.Data)
	all := must(f.kube.CoreV1().ConfigMaps("").List(f.ctx, sel))
	f.expect(len(all.Items) == 1 && all.Items[0].Data["key"] == "patched", "the list of all namespaces has %v", all.Items)
	check(c.DeleteCollection(f.ctx, metav1.DeleteOptions{}, sel))
	f.await(w, watch.Deleted, "life")
	f.expect(len(must(c.List(f.ctx, sel)).Items) == 0, "the deleted object is listed")
}

func configMapUpdate(f *fixture) {
	c := f.kube.CoreV1().ConfigMaps(f.ns)
	cm := must(c.Create(f.ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "data"}, Data: map[string]string{"key": "value-1"}}, metav1.CreateOptions{}))
	cm.Data["key"] = "value-2"
	cm.Data["more"] = "value-3"
	must(c.Update(f.ctx, cm, metav1.UpdateOptions{}))
	got := must(c.Get(f.ctx, "data", metav1.GetOptions{}))
	f.expect(got.Data["key"] == "value-2" && got.Data["more"] == "value-3", "the update is lost: %v", got.Data)
}

func secretPatching(f *fixture) {
	c := f.kube.CoreV1().Secrets(f.ns)
	sel := metav1.ListOptions{LabelSelector: "test=" + f.id}
	must(c.Create(f.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "life", Labels: map[string]string{"test": f.id}}, Data: map[string][]byte{"key": []byte("value")}}, metav1.CreateOptions{}))
	all := must(f.kube.CoreV1().Secrets("").List(f.ctx, sel))
	f.expect(len(all.Items) == 1, "the list of all namespaces has %d", len(all.Items))
	must(c.Patch(f.ctx, "life", types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"patched":"yes"}},"data":{"key":"dmFsdWUxCg=="}}`), metav1.PatchOptions{}))
	got := must(c.Get(f.ctx, "life", metav1.GetOptions{}))
	f.expect(string(got.Data["key"]) == "value1\n" && got.Labels["patched"] == "yes", "got %v %q", got.Labels, got.Data)
	check(c.DeleteCollection(f.ctx, metav1.DeleteOptions{}, sel))
	f.expect(len(must(f.kube.CoreV1().Secrets("").List(f.ctx, sel)).Items) == 0, "the deleted secret is listed")
}
