package conformance

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func emptyDirVolumes() []behaviour {
	return []behaviour{
		{name: "EmptyDir, medium default, volume mode default", run: emptyDirMode(false)},
		{name: "EmptyDir, medium memory, volume mode default", run: emptyDirMode(true)},
		{name: "EmptyDir, medium default, volume mode 0644", code: "(root,", run: emptyDirFile(0, "644", false)},
		{name: "EmptyDir, medium default, volume mode 0666", code: "(root,", run: emptyDirFile(0, "666", false)},
		{name: "EmptyDir, medium default, volume mode 0777", code: "(root,", run: emptyDirFile(0, "777", false)},
		{name: "EmptyDir, medium memory, volume mode 0644", run: emptyDirFile(0, "644", true)},
		{name: "EmptyDir, medium memory, volume mode 0666", run: emptyDirFile(0, "666", true)},
		{name: "EmptyDir, medium memory, volume mode 0777", run: emptyDirFile(0, "777", true)},
		{name: "EmptyDir, medium default, volume mode 0644", code: "(non-root,", run: emptyDirFile(1001, "644", false)},
		{name: "EmptyDir, medium default, volume mode 0666", code: "(non-root,", run: emptyDirFile(1001, "666", false)},
		{name: "EmptyDir, medium default, volume mode 0777", code: "(non-root,", run: emptyDirFile(1001, "777", false)},
		{name: "EmptyDir, medium memory, volume mode 0644, non-root user", run: emptyDirFile(1001, "644", true)},
		{name: "EmptyDir, medium memory, volume mode 0666,, non-root user", run: emptyDirFile(1001, "666", true)},
		{name: "EmptyDir, medium memory, volume mode 0777, non-root user", run: emptyDirFile(1001, "777", true)},
		{name: "EmptyDir, Shared volumes between containers", run: emptyDirShared},
		{name: "EmptyDir Wrapper Volume, Secret and ConfigMap volumes, no conflict", run: wrapperVolumes},
		{name: "EmptyDir Wrapper Volume, ConfigMap volumes, no race", run: manyConfigMapVolumes},
	}
}

func emptyDir(memory bool) corev1.VolumeSource {
	s := corev1.EmptyDirVolumeSource{}
	if memory {
		s.Medium = corev1.StorageMediumMemory
	}
	return corev1.VolumeSource{EmptyDir: &s}
}

// mountType prints the type of the file system at /empty.
const mountType = `awk '$2=="/empty"{print "type=" $3 "."}' /proc/mounts;`

// emptyDirMode: the folder is open to everyone, and on the medium asked for.
func emptyDirMode(memory bool) func(*fixture) {
	return func(f *fixture) {
		out := f.output(f.shell("reader", mountType+"stat -c mode=%a. /empty", withVolume("empty", "/empty", emptyDir(memory))))
		f.says(out, "mode=777.", "type=")
		if memory {
			f.says(out, "type=tmpfs.")
		}
	}
}

// emptyDirFile: a file that a user makes there has the mode and content given to it.
func emptyDirFile(user int64, mode string, memory bool) func(*fixture) {
	return func(f *fixture) {
		opts := []option{withVolume("empty", "/empty", emptyDir(memory))}
		if user != 0 {
			opts = append(opts, withUser(user))
		}
		script := fmt.Sprintf(mountType+"echo content > /empty/file && chmod %s /empty/file && stat -c 'mode=%%a. user=%%u.' /empty/file && cat /empty/file", mode)
		out := f.output(f.shell("writer", script, opts...))
		f.says(out, "content\n", "mode="+mode+".", fmt.Sprintf("user=%d.", user))
		if memory {
			f.says(out, "type=tmpfs.")
		}
	}
}

func emptyDirShared(f *fixture) {
	p := f.shell("sharing", "until [ -s /share/file ]; do sleep 0.1; done; cat /share/file")
	p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "giver", Image: f.images.busybox,
		Command: []string{"sh", "-c", "echo from the giver > /share/new && mv /share/new /share/file"}})
	withVolume("share", "/share", emptyDir(false))(p)
	f.create(p)
	end := f.awaitPod("sharing", "ends", podEnded)
	f.expect(end.Status.Phase == corev1.PodSucceeded, "%s", podState(end))
	f.eventuallyLogs("sharing", "main", "from the giver")
}

func wrapperVolumes(f *fixture) {
	secretVolume.put(f, f.ns, "secret", "value-1")
	configMapVolume.put(f, f.ns, "config", "value-2")
	out := f.output(f.shell("reader", "echo $(cat /secret/key) $(cat /config/key)",
		withVolume("secret", "/secret", secretVolume.source("secret", nil, nil, false)),
		withVolume("config", "/config", configMapVolume.source("config", nil, nil, false))))
	f.says(out, "value-1 value-2")
}

// manyConfigMapVolumes: five pods with fifty volumes each all start.
func manyConfigMapVolumes(f *fixture) {
	const volumes, pods = 50, 5
	var opts []option
	for i := range volumes {
		name := fmt.Sprintf("config-%d", i)
		configMapVolume.put(f, f.ns, name, name)
		opts = append(opts, withVolume(name, "/etc/"+name, configMapVolume.source(name, nil, nil, false)))
	}
	for i := range pods {
		f.create(f.sleeper(fmt.Sprintf("racer-%d", i), opts...))
	}
	for i := range pods {
		f.awaitPod(fmt.Sprintf("racer-%d", i), "ready", podReady)
	}
	events := must(f.kube.CoreV1().Events(f.ns).List(f.ctx, metav1.ListOptions{FieldSelector: "reason=FailedMount"}))
	f.expect(len(events.Items) == 0, "mounts failed: %v", events.Items)
}
