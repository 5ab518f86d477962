package kubelet

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"hyperkube/api/core"
	"hyperkube/kit"
)

func eachItem(list runtime.Object, f func(runtime.Object)) error {
	return meta.EachListItem(list, func(o runtime.Object) error { f(o); return nil })
}

// bed is a kubelet on a real runtime, named by HYPERKUBE_TEST_CRI (a socket) and HYPERKUBE_TEST_IMAGE (with a shell).
type bed struct {
	t     testing.TB
	api   *fakeAPI
	k     *Kubelet
	dir   string
	image string
	port  int
	stop  func()
}

func newBed(t testing.TB) *bed {
	socket, image := os.Getenv("HYPERKUBE_TEST_CRI"), os.Getenv("HYPERKUBE_TEST_IMAGE")
	if socket == "" || os.Getuid() != 0 {
		t.Skip("needs root, HYPERKUBE_TEST_CRI and HYPERKUBE_TEST_IMAGE")
	}
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	b := &bed{t: t, api: newAPI(), dir: dir, image: image, port: port}
	b.start()
	t.Cleanup(func() {
		for _, p := range b.pods() {
			b.delete(p)
		}
		for _, p := range b.pods() {
			b.gone(p.Name)
		}
		b.stop()
		if b.k.cgroups != nil {
			if err := b.k.cgroups.RemoveRoot(); err != nil {
				t.Error(err)
			}
		}
		if err := b.k.volumes.TearDown(".."); err != nil { // the root directory is a mount of its own
			t.Error(err)
		}
	})
	return b
}

func (b *bed) start() {
	ctx, cancel := context.WithCancel(context.Background())
	log := slog.New(slog.NewTextHandler(b.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	inf := kit.NewInformers(b.api, log)
	k, err := New(Options{
		NodeName: "test-node", Kube: b.api, Informers: inf, RuntimeEndpoint: os.Getenv("HYPERKUBE_TEST_CRI"),
		RootDir: filepath.Join(b.dir, "root"), LogDir: filepath.Join(b.dir, "logs"), CgroupRoot: "hyperkube-kubelet-test",
		Address: "127.0.0.1", Port: b.port, Auth: allowAll(), Log: log, ClusterDNS: []string{"10.0.0.10"},
		ContainerLogMaxSize: 64 << 10, ManifestDir: filepath.Join(b.dir, "manifests"),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	done := make(chan error, 2)
	go func() { done <- inf.Run(ctx) }()
	go func() { done <- k.Run(ctx) }()
	b.k = k
	b.stop = func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				b.t.Error(err)
			}
		}
	}
	select {
	case <-k.Ready():
	case err := <-done:
		b.t.Fatalf("kubelet ended: %v", err)
	case <-time.After(20 * time.Second):
		b.t.Fatal("kubelet is not ready")
	}
}

func (b *bed) pods() []*v1.Pod {
	list, err := b.api.CoreV1().Pods("").List(context.Background(), metav1.ListOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	var out []*v1.Pod
	for i := range list.Items {
		out = append(out, &list.Items[i])
	}
	return out
}

func (b *bed) pod(name, script string, edit func(*v1.Pod)) *v1.Pod {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID(fmt.Sprintf("%s-%d", name, time.Now().UnixNano())), Labels: map[string]string{"app": name}},
		Spec: v1.PodSpec{NodeName: "test-node", HostNetwork: true, ServiceAccountName: "default", TerminationGracePeriodSeconds: new(int64(5)),
			Containers: []v1.Container{{Name: "main", Image: b.image, Command: []string{"/bin/sh", "-c", script}}}}}
	if edit != nil {
		edit(p)
	}
	core.DefaultPod(p)
	got, err := b.api.CoreV1().Pods("default").Create(context.Background(), p, metav1.CreateOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	return got
}

// delete marks a pod for deletion, as the API server does.
func (b *bed) delete(p *v1.Pod) {
	cur, err := b.api.CoreV1().Pods(p.Namespace).Get(context.Background(), p.Name, metav1.GetOptions{})
	if err != nil {
		return
	}
	now := metav1.Now()
	cur.DeletionTimestamp, cur.DeletionGracePeriodSeconds = &now, cur.Spec.TerminationGracePeriodSeconds
	if _, err := b.api.CoreV1().Pods(p.Namespace).Update(context.Background(), cur, metav1.UpdateOptions{}); err != nil {
		b.t.Error(err)
	}
}

// until waits for a pod to satisfy a condition, by watching.
func (b *bed) until(name, what string, ok func(*v1.Pod) bool) *v1.Pod {
	b.t.Helper()
	w, err := b.api.CoreV1().Pods("default").Watch(context.Background(), metav1.ListOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	defer w.Stop()
	last, err := b.api.CoreV1().Pods("default").Get(context.Background(), name, metav1.GetOptions{})
	if err == nil && ok(last) {
		return last
	}
	timeout := time.After(60 * time.Second)
	for {
		select {
		case e := <-w.ResultChan():
			if p, is := e.Object.(*v1.Pod); is && p.Name == name && e.Type != watch.Deleted {
				if last = p; ok(p) {
					return p
				}
			}
		case <-timeout:
			b.t.Fatalf("pod %s: not %s; status %+v", name, what, last.Status)
		}
	}
}

func (b *bed) gone(name string) {
	b.t.Helper()
	w, err := b.api.CoreV1().Pods("default").Watch(context.Background(), metav1.ListOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	defer w.Stop()
	if _, err := b.api.CoreV1().Pods("default").Get(context.Background(), name, metav1.GetOptions{}); err != nil {
		return
	}
	timeout := time.After(60 * time.Second)
	for {
		select {
		case e := <-w.ResultChan():
			if p, is := e.Object.(*v1.Pod); is && p.Name == name && e.Type == watch.Deleted {
				return
			}
		case <-timeout:
			b.t.Fatalf("pod %s is still there", name)
		}
	}
}

func ready(p *v1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == v1.PodReady {
			return c.Status == v1.ConditionTrue
		}
	}
	return false
}

func phase(want v1.PodPhase) func(*v1.Pod) bool {
	return func(p *v1.Pod) bool { return p.Status.Phase == want }
}

func TestVolumesAndDeletion(t *testing.T) {
	b := newBed(t)
	if _, err := b.api.CoreV1().ConfigMaps("default").Create(context.Background(), &v1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "cm", Namespace: "default"}, Data: map[string]string{"key": "value-1"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	const grace = 40 * time.Second // far more than a busy machine takes for a container that ends by itself
	p := b.pod("vols", `trap 'echo bye; exit 0' TERM
cat /cm/key /token/token /down/name /sub/key; echo; echo $MY_NAME $FROM_CM; echo hello > /empty/f; stat -f -c %T /mem
while true; do cat /cm/key; sleep 0.2; done`, func(p *v1.Pod) {
		p.Spec.Volumes = []v1.Volume{
			{Name: "empty", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}},
			{Name: "mem", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Medium: v1.StorageMediumMemory, SizeLimit: new(resource.MustParse("8Mi"))}}},
			{Name: "cm", VolumeSource: v1.VolumeSource{ConfigMap: &v1.ConfigMapVolumeSource{LocalObjectReference: v1.LocalObjectReference{Name: "cm"}}}},
			{Name: "down", VolumeSource: v1.VolumeSource{DownwardAPI: &v1.DownwardAPIVolumeSource{Items: []v1.DownwardAPIVolumeFile{{Path: "name", FieldRef: &v1.ObjectFieldSelector{FieldPath: "metadata.name"}}}}}},
			{Name: "token", VolumeSource: v1.VolumeSource{Projected: &v1.ProjectedVolumeSource{Sources: []v1.VolumeProjection{{ServiceAccountToken: &v1.ServiceAccountTokenProjection{Path: "token"}}}}}},
		}
		p.Spec.TerminationGracePeriodSeconds = new(int64(grace / time.Second))
		p.Spec.Containers[0].Env = []v1.EnvVar{{Name: "MY_NAME", ValueFrom: &v1.EnvVarSource{FieldRef: &v1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
			{Name: "FROM_CM", ValueFrom: &v1.EnvVarSource{ConfigMapKeyRef: &v1.ConfigMapKeySelector{LocalObjectReference: v1.LocalObjectReference{Name: "cm"}, Key: "key"}}}}
		p.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{{Name: "empty", MountPath: "/empty"}, {Name: "mem", MountPath: "/mem"}, {Name: "cm", MountPath: "/cm"},
			{Name: "down", MountPath: "/down"}, {Name: "token", MountPath: "/token"}, {Name: "cm", MountPath: "/sub/key", SubPath: "key"}}
	})
	began := time.Now()
	b.until("vols", "ready", ready)
	t.Logf("create to ready: %v", time.Since(began))
	logFile := filepath.Join(b.dir, "logs", "default_vols_"+string(p.UID), "main", "0.log")
	waitFile(t, logFile, "value-1a-tokenvolsvalue-1")
	waitFile(t, logFile, "vols value-1")
	waitFile(t, logFile, "tmpfs")
	cm, err := b.api.CoreV1().ConfigMaps("default").Get(context.Background(), "cm", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cm.Data["key"] = "value-2\n"
	if _, err := b.api.CoreV1().ConfigMaps("default").Update(context.Background(), cm, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	waitFile(t, logFile, "value-2")
	began = time.Now()
	b.delete(p)
	b.gone("vols")
	t.Logf("delete to gone: %v", time.Since(began))
	if took := time.Since(began); took > grace/2 {
		t.Errorf("deletion took %v although the container ends on SIGTERM", took)
	}
	waitNone(t, filepath.Join(b.dir, "root", "pods", string(p.UID)))
	waitNone(t, filepath.Dir(filepath.Dir(logFile)))
}

// waitFile waits for text in a file that a container writes.
func waitFile(t *testing.T, path, text string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		data, _ := os.ReadFile(path)
		if strings.Contains(string(data), text) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %q in %s:\n%s", text, path, data)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func waitNone(t *testing.T, path string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		if _, err := os.Stat(path); os.IsNotExist(err) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is still there", path)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestInitSidecarAndRestart(t *testing.T) {
	b := newBed(t)
	b.pod("job", "exit 3", func(p *v1.Pod) {
		p.Spec.RestartPolicy = v1.RestartPolicyNever
		p.Spec.InitContainers = []v1.Container{
			{Name: "init", Image: b.image, Command: []string{"/bin/sh", "-c", "echo one > /dev/termination-log"}},
			{Name: "side", Image: b.image, Command: []string{"/bin/sh", "-c", "trap 'exit 0' TERM; while true; do sleep 0.1; done"}, RestartPolicy: new(v1.ContainerRestartPolicyAlways)},
		}
	})
	p := b.until("job", "failed", phase(v1.PodFailed))
	if st := p.Status.ContainerStatuses[0].State.Terminated; st == nil || st.ExitCode != 3 || st.Reason != "Error" {
		t.Errorf("main: %+v", p.Status.ContainerStatuses[0].State)
	}
	if st := p.Status.InitContainerStatuses[0].State.Terminated; st == nil || st.Message != "one\n" || st.Reason != "Completed" {
		t.Errorf("init: %+v", p.Status.InitContainerStatuses[0].State)
	}
	if st := p.Status.InitContainerStatuses[1].State.Terminated; st == nil {
		t.Errorf("sidecar still runs: %+v", p.Status.InitContainerStatuses[1].State)
	}
	b.pod("crash", "sleep 0.1; exit 1", nil)
	p = b.until("crash", "in back-off", func(p *v1.Pod) bool {
		return len(p.Status.ContainerStatuses) > 0 && p.Status.ContainerStatuses[0].State.Waiting != nil && p.Status.ContainerStatuses[0].State.Waiting.Reason == "CrashLoopBackOff"
	})
	if c := p.Status.ContainerStatuses[0]; c.RestartCount != 1 || c.LastTerminationState.Terminated == nil || !strings.HasPrefix(c.State.Waiting.Message, "back-off 10s restarting failed container=main pod=crash_default(") {
		t.Errorf("%+v", c)
	}
	b.pod("noimage", "true", func(p *v1.Pod) {
		p.Spec.Containers[0].Image = "127.0.0.1:1/none:v1"
	})
	b.until("noimage", "backing off", func(p *v1.Pod) bool {
		return len(p.Status.ContainerStatuses) > 0 && p.Status.ContainerStatuses[0].State.Waiting != nil && p.Status.ContainerStatuses[0].State.Waiting.Reason == "ImagePullBackOff"
	})
}

func TestTakeOver(t *testing.T) {
	b := newBed(t)
	b.pod("stays", "trap 'exit 0' TERM; while true; do sleep 0.1; done", func(p *v1.Pod) {
		p.Spec.Containers[0].ReadinessProbe = &v1.Probe{ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"true"}}}}
	})
	before := b.until("stays", "ready", ready)
	b.stop()
	b.start()
	b.pod("other", "trap 'exit 0' TERM; while true; do sleep 0.1; done", nil)
	b.until("other", "ready", ready)
	after := b.until("stays", "ready", ready)
	if x, y := before.Status.ContainerStatuses[0].ContainerID, after.Status.ContainerStatuses[0].ContainerID; x != y || after.Status.ContainerStatuses[0].RestartCount != 0 {
		t.Errorf("container was touched: %s → %s", x, y)
	}
}

// TestEviction: a pod that fills its directory beyond the limit fails and says why.
func TestEviction(t *testing.T) {
	b := newBed(t)
	b.pod("greedy", "head -c 3000000 /dev/zero > /cache/x; sleep 1000", func(p *v1.Pod) {
		limit := resource.MustParse("1Mi")
		p.Spec.Volumes = []v1.Volume{{Name: "cache", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{SizeLimit: &limit}}}}
		p.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{{Name: "cache", MountPath: "/cache"}}
	})
	b.until("greedy", "evicted", func(p *v1.Pod) bool {
		return p.Status.Phase == v1.PodFailed && p.Status.Reason == "Evicted" &&
			p.Status.Message == "Usage of EmptyDir volume \"cache\" exceeds the limit \"1Mi\". "
	})
}

// TestImageVolume: a container reads files of another image.
func TestImageVolume(t *testing.T) {
	b := newBed(t)
	p := b.pod("reader", "ls /other/bin/sh && ls /some/sh; sleep 1000", func(p *v1.Pod) {
		p.Spec.Volumes = []v1.Volume{{Name: "other", VolumeSource: v1.VolumeSource{Image: &v1.ImageVolumeSource{Reference: b.image, PullPolicy: v1.PullIfNotPresent}}}}
		p.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{{Name: "other", MountPath: "/other"}, {Name: "other", MountPath: "/some", SubPath: "bin"}}
	})
	p = b.until("reader", "ready", ready)
	log := filepath.Join(b.dir, "logs", "default_reader_"+string(p.UID), "main", "0.log")
	waitFile(t, log, "/other/bin/sh")
	waitFile(t, log, "/some/sh")
}

// TestStorageEviction: a container that writes more into its own file system, or its log, than it said it would is
// ended, and the pod says why.
func TestStorageEviction(t *testing.T) {
	b := newBed(t) // logs are rotated from 64Ki, so that no writer's can be much longer
	for name, script := range map[string]string{
		"writer": "head -c 20000000 /dev/zero > /x; sleep 1000", "talker": "while true; do head -c 4000 /dev/zero | tr '\\0' x; echo; done",
	} {
		b.pod(name, script, func(p *v1.Pod) {
			p.Spec.Containers[0].Resources.Limits = v1.ResourceList{v1.ResourceEphemeralStorage: resource.MustParse("48Ki")}
		})
	}
	for _, name := range []string{"writer", "talker"} {
		p := b.until(name, "evicted", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodFailed })
		if p.Status.Reason != "Evicted" || p.Status.Message != "Pod ephemeral local storage usage exceeds the total limit of containers 48Ki. " {
			t.Errorf("%s: %s, %q", name, p.Status.Reason, p.Status.Message)
		}
	}
}
