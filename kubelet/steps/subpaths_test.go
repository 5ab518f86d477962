package steps

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/kubelet/volume"
	"hyperkube/kubelet/volume/mount"
)

// TestSubPathsGo: the mounts that subPaths need on the node are gone once a container has started, or will not; they
// stay while the runtime may be at it.
func TestSubPathsGo(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to mount")
	}
	for name, c := range map[string]struct {
		err    error
		before string
		stays  bool
	}{
		"started":                {},
		"no such program":        {err: status.Error(codes.Unknown, "exec: not found")},
		"not answered":           {err: status.Error(codes.DeadlineExceeded, "context deadline exceeded"), stays: true},
		"still at it":            {err: status.Error(codes.Unknown, `name "c" is reserved for "1"`), before: "not answered", stays: true},
		"after a try not ended":  {err: status.Error(codes.Unknown, "no room"), before: "not answered", stays: true},
		"the runtime went away":  {err: status.Error(codes.Unavailable, "connection reset"), stays: true},
		"started after it ended": {before: "not answered"},
	} {
		root := t.TempDir()
		data, target := filepath.Join(root, "data"), filepath.Join(root, "target")
		if err := os.Mkdir(data, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = mount.RemoveAll(target) })
		left := 0
		one := &Container{Unfinished: c.before, Tell: func(string, string, string) {}, leave: func() { left++ }}
		err := Start(t.Context(), []ContainerStep{{"mounts", "R", func(_ context.Context, x *Container) error {
			x.bound = append(x.bound, target)
			if err := volume.BindSubPath(data, "sub", target); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(target, "f"), nil, 0o600)
		}}, {"start", "R", func(context.Context, *Container) error { return c.err }}}, one)
		if (err != nil) != (c.err != nil) {
			t.Errorf("%s: %v", name, err)
		}
		if is, err := mount.IsPoint(target); err != nil || is != c.stays {
			t.Errorf("%s: mounted: %v, %v", name, is, err)
		}
		if _, err := os.Stat(filepath.Join(data, "sub", "f")); err != nil || left != 1 {
			t.Errorf("%s: the file: %v; places given back %d times", name, err, left)
		}
	}
}

// TestSubPathsOfAPod: however they are spread over containers, a pod has only so many; containers without any start.
func TestSubPathsOfAPod(t *testing.T) {
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "u"}}
	for _, name := range []string{"a", "b", "c"} {
		one := v1.Container{Name: name}
		for range 400 {
			one.VolumeMounts = append(one.VolumeMounts, v1.VolumeMount{Name: "data", MountPath: "/m", SubPath: "s"})
		}
		pod.Spec.Containers = append(pod.Spec.Containers, one)
	}
	volumes := map[string]volume.Mounted{"data": {Image: "sha256:1"}}
	_, err := begin(t, t.TempDir(), pod, &pod.Spec.Containers[0], volumes)
	if err == nil || !strings.Contains(err.Error(), "the containers of the pod have 1200 volume mounts with a subPath, more than 1024") {
		t.Error(err)
	}
	if _, err := begin(t, t.TempDir(), pod, &v1.Container{Name: "plain", VolumeMounts: []v1.VolumeMount{{Name: "data", MountPath: "/m"}}}, volumes); err != nil {
		t.Error(err)
	}
	pod.Spec.Containers = pod.Spec.Containers[:2]
	if _, err := begin(t, t.TempDir(), pod, &pod.Spec.Containers[0], volumes); err != nil {
		t.Error(err)
	}
}
