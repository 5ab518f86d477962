package conformance

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A dataVolume carries a ConfigMap or a Secret into a pod, by its own kind of
// volume or within a projected one. The published behaviours of the four are alike.
type dataVolume struct{ secret, projected bool }

var (
	configMapVolume          = dataVolume{}
	secretVolume             = dataVolume{secret: true}
	projectedConfigMapVolume = dataVolume{projected: true}
	projectedSecretVolume    = dataVolume{secret: true, projected: true}
)

// way is how the data is mounted and read.
type way struct {
	mode     *int32 // of the volume
	itemMode *int32 // of the item, if mapped
	mapped   bool
	user     int64
	fsGroup  int64
	want     string // octal mode of the file
}

func configMapVolumes() []behaviour {
	d := configMapVolume
	return []behaviour{
		{name: "ConfigMap Volume, without mapping", code: "in volume [Node", run: d.consumed(way{want: "644"})},
		{name: "ConfigMap Volume, without mapping, non-root user", run: d.consumed(way{user: 1000, want: "644"})},
		{name: "ConfigMap Volume, without mapping, volume mode set", run: d.consumed(way{mode: to[int32](0o400), want: "400"})},
		{name: "ConfigMap Volume, with mapping", run: d.consumed(way{mapped: true, want: "644"})},
		{name: "ConfigMap Volume, with mapping, volume mode set", run: d.consumed(way{mapped: true, itemMode: to[int32](0o400), want: "400"})},
		{name: "ConfigMap Volume, with mapping, non-root user", run: d.consumed(way{mapped: true, user: 1000, want: "644"})},
		{name: "ConfigMap Volume, multiple volume maps", run: d.mountedTwice},
		{name: "ConfigMap Volume, update", run: d.updated},
		{name: "ConfigMap Volume, create, update and delete", run: d.comesAndGoes},
		{name: "ConfigMap Volume, text data, binary data", run: configMapBinary},
		{name: "ConfigMap Volume, immutability", run: d.immutable},
	}
}

func secretVolumes() []behaviour {
	d := secretVolume
	return []behaviour{
		{name: "Secrets Volume, default", run: d.consumed(way{want: "644"})},
		{name: "Secrets Volume, volume mode 0400", run: d.consumed(way{mode: to[int32](0o400), want: "400"})},
		{name: "Secrets Volume, volume mode 0440, fsGroup 1001 and uid 1000", run: d.consumed(way{mode: to[int32](0o440), user: 1000, fsGroup: 1001, want: "440"})},
		{name: "Secrets Volume, mapping", run: d.consumed(way{mapped: true, want: "644"})},
		{name: "Secrets Volume, mapping, volume mode 0400", run: d.consumed(way{mapped: true, itemMode: to[int32](0o400), want: "400"})},
		{name: "Secrets Volume, mapping multiple volume paths", run: d.mountedTwice},
		{name: "Secrets Volume, create, update and delete", run: d.comesAndGoes},
		{name: "Secrets Volume, volume mode default, secret with same name in different namespace", run: secretOfOwnNamespace},
		{name: "Secrets Volume, immutability", run: d.immutable},
	}
}

func projectedVolumes() []behaviour {
	c, s := projectedConfigMapVolume, projectedSecretVolume
	return []behaviour{
		{name: "Projected Volume, ConfigMap, volume mode default", run: c.consumed(way{want: "644"})},
		{name: "Projected Volume, ConfigMap, non-root user", run: c.consumed(way{user: 1000, want: "644"})},
		{name: "Projected Volume, ConfigMap, volume mode 0400", run: c.consumed(way{mode: to[int32](0o400), want: "400"})},
		{name: "Projected Volume, ConfigMap, mapped", run: c.consumed(way{mapped: true, want: "644"})},
		{name: "Projected Volume, ConfigMap, mapped, volume mode 0400", run: c.consumed(way{mapped: true, itemMode: to[int32](0o400), want: "400"})},
		{name: "Projected Volume, ConfigMap, mapped, non-root user", run: c.consumed(way{mapped: true, user: 1000, want: "644"})},
		{name: "Projected Volume, ConfigMap, multiple volume paths", run: c.mountedTwice},
		{name: "Projected Volume, ConfigMap, update", run: c.updated},
		{name: "Projected Volume, ConfigMap, create, update and delete", run: c.comesAndGoes},
		{name: "Projected Volume, Secrets, volume mode default", run: s.consumed(way{want: "644"})},
		{name: "Projected Volume, Secrets, volume mode 0400", run: s.consumed(way{mode: to[int32](0o400), want: "400"})},
		{name: "Project Volume, Secrets, non-root, custom fsGroup", run: s.consumed(way{mode: to[int32](0o440), user: 1000, fsGroup: 1001, want: "440"})},
		{name: "Projected Volume, Secrets, mapped", run: s.consumed(way{mapped: true, want: "644"})},
		{name: "Projected Volume, Secrets, mapped, volume mode 0400", run: s.consumed(way{mapped: true, itemMode: to[int32](0o400), want: "400"})},
		{name: "Projected Volume, Secrets, mapped, multiple paths", run: s.mountedTwice},
		{name: "Projected Volume, Secrets, create, update delete", run: s.comesAndGoes},
		{name: "Projected Volume, multiple projections", run: projectedTogether},
	}
}

// consumed returns a behaviour: a pod reads the data and finds the file's mode right.
func (d dataVolume) consumed(w way) func(*fixture) {
	return func(f *fixture) {
		d.put(f, f.ns, "data", "value-1")
		var items []corev1.KeyToPath
		path := "/data/key"
		if w.mapped {
			path, items = "/data/path/to/key", []corev1.KeyToPath{{Key: "key", Path: "path/to/key", Mode: w.itemMode}}
		}
		opts := []option{withVolume("data", "/data", d.source("data", items, w.mode, false))}
		if w.user != 0 {
			opts = append(opts, withUser(w.user))
		}
		if w.fsGroup != 0 {
			opts = append(opts, withFSGroup(w.fsGroup))
		}
		f.says(f.output(f.shell("reader", fmt.Sprintf("cat %[1]s; echo; stat -Lc mode=%%a. %[1]s", path), opts...)), "value-1", "mode="+w.want+".")
	}
}

func (d dataVolume) mountedTwice(f *fixture) {
	d.put(f, f.ns, "data", "value-1")
	items := []corev1.KeyToPath{{Key: "key", Path: "other"}}
	out := f.output(f.shell("reader", "echo one=$(cat /one/key); echo two=$(cat /two/other)",
		withVolume("one", "/one", d.source("data", nil, nil, false)),
		withVolume("two", "/two", d.source("data", items, nil, false))))
	f.says(out, "one=value-1\n", "two=value-1\n")
}

func (d dataVolume) updated(f *fixture) {
	d.put(f, f.ns, "data", "value-1")
	f.start(f.sleeper("reader", withVolume("data", "/data", d.source("data", nil, nil, false))))
	f.eventuallyReads("reader", "", "/data/key", "value-1")
	d.change(f, "data", "value-2")
	f.eventuallyReads("reader", "", "/data/key", "value-2")
}

// comesAndGoes follows three optional sources: one appears, one changes, one goes.
func (d dataVolume) comesAndGoes(f *fixture) {
	d.put(f, f.ns, "upd", "value-1")
	d.put(f, f.ns, "del", "value-1")
	p := f.sleeper("reader")
	image := p.Spec.Containers[0]
	p.Spec.Containers = nil
	for _, name := range []string{"new", "upd", "del"} {
		c := image
		c.Name, c.VolumeMounts = name, []corev1.VolumeMount{{Name: name, MountPath: "/data"}}
		p.Spec.Containers = append(p.Spec.Containers, c)
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: d.source(name, nil, nil, true)})
	}
	f.start(p)
	f.eventuallyReads("reader", "upd", "/data/key", "value-1")
	f.eventuallyReads("reader", "del", "/data/key", "value-1")
	_, err := f.exec("reader", "new", "cat", "/data/key")
	f.expect(err != nil, "a file of a source that does not exist can be read")

	d.put(f, f.ns, "new", "value-3")
	d.change(f, "upd", "value-2")
	d.remove(f, "del")
	f.eventuallyReads("reader", "new", "/data/key", "value-3")
	f.eventuallyReads("reader", "upd", "/data/key", "value-2")
	f.eventually("the file of the deleted source is gone", func() error {
		out, err := f.exec("reader", "del", "ls", "/data")
		if err != nil {
			return err
		}
		return errUnless(strings.TrimSpace(out) == "", "files: %q", out)
	})
}

// immutable objects refuse changes of data but not of labels, and can be deleted.
func (d dataVolume) immutable(f *fixture) {
	d.put(f, f.ns, "data", "value-1")
	d.change(f, "data", "value-2")
	patch := func(body string) error { return d.patch(f, "data", body) }
	check(patch(`{"immutable":true}`))
	f.fails(patch(`{"data":{"more":"AA=="}}`), isInvalid, "changing the data")
	f.fails(patch(`{"immutable":false}`), isInvalid, "making it mutable again")
	check(patch(`{"metadata":{"labels":{"changed":"true"}}}`))
	d.remove(f, "data")
}

func configMapBinary(f *fixture) {
	must(f.kube.CoreV1().ConfigMaps(f.ns).Create(f.ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "data"},
		Data:       map[string]string{"text": "value-1"},
		BinaryData: map[string][]byte{"binary": {0xde, 0xca, 0xfe, 0x00}},
	}, metav1.CreateOptions{}))
	out := f.output(f.shell("reader", "cat /data/text; echo; hexdump -v -e '/1 \"%02x\"' /data/binary",
		withVolume("data", "/data", configMapVolume.source("data", nil, nil, false))))
	f.says(out, "value-1", "decafe00")
}

func secretOfOwnNamespace(f *fixture) {
	other := f.namespace(map[string]string{label: "true"})
	secretVolume.put(f, other, "data", "of another namespace")
	secretVolume.consumed(way{want: "644"})(f)
}

// projectedTogether puts a ConfigMap, a Secret and the downward API into one volume.
func projectedTogether(f *fixture) {
	projectedConfigMapVolume.put(f, f.ns, "config", "from config")
	projectedSecretVolume.put(f, f.ns, "secret", "from secret")
	source := corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "config"}, Items: []corev1.KeyToPath{{Key: "key", Path: "config"}}}},
		{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "secret"}, Items: []corev1.KeyToPath{{Key: "key", Path: "secret"}}}},
		{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{
			{Path: "name", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}},
			resourceFile("cpu_limit", "limits.cpu", "1m"), resourceFile("memory_request", "requests.memory", "1Mi"),
		}}},
	}}}
	out := f.output(f.shell("reader", "cd /all; for x in config secret name cpu_limit memory_request; do echo $x=$(cat $x).; done",
		withResources(someResources()), withVolume("all", "/all", source)))
	f.says(out, "config=from config.", "secret=from secret.", "name=reader.", "cpu_limit=1250.", "memory_request=32.")
}
