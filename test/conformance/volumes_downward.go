package conformance

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// downwardVolumes: the same behaviours for the downwardAPI volume and the projected one.
func downwardVolumes() []behaviour {
	const plain, proj = "DownwardAPI volume, ", "Projected Volume, DownwardAPI, "
	var list []behaviour
	for _, projected := range []bool{false, true} {
		d := downwardVolume{projected}
		name := func(a, b string) string {
			if projected {
				return proj + b
			}
			return plain + a
		}
		same := func(a string) string { return name(a, a) }
		list = append(list,
			behaviour{name: same("CPU limits"), run: d.resource("limits.cpu", "1m", "1250")},
			behaviour{name: same("CPU request"), run: d.resource("requests.cpu", "1m", "250")},
			behaviour{name: same("memory limits"), run: d.resource("limits.memory", "1Mi", "64")},
			behaviour{name: same("memory request"), run: d.resource("requests.memory", "1Mi", "32")},
			behaviour{name: name("CPU limit, default node allocatable", "CPU limit, node allocatable"), run: d.allocatable("limits.cpu", corev1.ResourceCPU)},
			behaviour{name: name("memory limit, default node allocatable", "memory limit, node allocatable"), run: d.allocatable("limits.memory", corev1.ResourceMemory)},
			behaviour{name: same("pod name"), run: d.podName(nil, nil, "644")},
			behaviour{name: same("volume mode 0400"), code: "should set DefaultMode on files", run: d.podName(to[int32](0o400), nil, "400")},
			behaviour{name: name("file mode 0400", "volume mode 0400"), code: "should set mode on item file", run: d.podName(nil, to[int32](0o400), "400")},
			behaviour{name: name("update annotations", "update annotation"), run: d.updated("annotations")},
			behaviour{name: name("update label", "update labels"), run: d.updated("labels")},
		)
	}
	return list
}

type downwardVolume struct{ projected bool }

func (d downwardVolume) source(mode *int32, files ...corev1.DownwardAPIVolumeFile) corev1.VolumeSource {
	if d.projected {
		return corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{DefaultMode: mode, Sources: []corev1.VolumeProjection{
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: files}}}}}
	}
	return corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{DefaultMode: mode, Items: files}}
}

func resourceFile(path, what, divisor string) corev1.DownwardAPIVolumeFile {
	return corev1.DownwardAPIVolumeFile{Path: path, ResourceFieldRef: &corev1.ResourceFieldSelector{
		ContainerName: "main", Resource: what, Divisor: resource.MustParse(divisor)}}
}

func fieldFile(path, field string, mode *int32) corev1.DownwardAPIVolumeFile {
	return corev1.DownwardAPIVolumeFile{Path: path, Mode: mode, FieldRef: &corev1.ObjectFieldSelector{FieldPath: field}}
}

// someResources are odd numbers that come from nowhere else.
func someResources() corev1.ResourceRequirements {
	return corev1.ResourceRequirements{Requests: amounts("250m", "32Mi"), Limits: amounts("1250m", "64Mi")}
}

func amounts(cpu, memory string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
}

func (d downwardVolume) resource(what, divisor, want string) func(*fixture) {
	return func(f *fixture) {
		out := f.output(f.shell("reader", "echo value=$(cat /info/value).", withResources(someResources()),
			withVolume("info", "/info", d.source(nil, resourceFile("value", what, divisor)))))
		f.says(out, "value="+want+".")
	}
}

// allocatable: what a container does not limit is limited by its node.
func (d downwardVolume) allocatable(what string, name corev1.ResourceName) func(*fixture) {
	return func(f *fixture) {
		out := f.output(f.shell("reader", "echo value=$(cat /info/value).",
			withVolume("info", "/info", d.source(nil, resourceFile("value", what, "1")))))
		p := must(f.pods().Get(f.ctx, "reader", metav1.GetOptions{}))
		node := must(f.kube.CoreV1().Nodes().Get(f.ctx, p.Spec.NodeName, metav1.GetOptions{}))
		have := node.Status.Allocatable[name]
		f.says(out, fmt.Sprintf("value=%d.", have.Value()))
	}
}

func (d downwardVolume) podName(mode, itemMode *int32, want string) func(*fixture) {
	return func(f *fixture) {
		out := f.output(f.shell("reader", "echo name=$(cat /info/name).; stat -Lc mode=%a. /info/name",
			withVolume("info", "/info", d.source(mode, fieldFile("name", "metadata.name", itemMode)))))
		f.says(out, "name=reader.", "mode="+want+".")
	}
}

func (d downwardVolume) updated(what string) func(*fixture) {
	return func(f *fixture) {
		p := f.sleeper("reader", withVolume("info", "/info", d.source(nil, fieldFile("value", "metadata."+what, nil))))
		p.Labels, p.Annotations = map[string]string{"key": "value-1"}, map[string]string{"key": "value-1"}
		f.start(p)
		f.eventuallyReads("reader", "", "/info/value", `key="value-1"`)
		patch := fmt.Sprintf(`{"metadata":{%q:{"more":"value-2"}}}`, what)
		must(f.pods().Patch(f.ctx, "reader", types.MergePatchType, []byte(patch), metav1.PatchOptions{}))
		f.eventuallyReads("reader", "", "/info/value", `more="value-2"`)
	}
}
