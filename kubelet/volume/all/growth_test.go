package all

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/internal/bounds"
	"hyperkube/kubelet/volume"
)

// big is an API server whose every object is as large as one may be.
type big struct{ text string }

func (b big) ConfigMap(context.Context, string, string) (*v1.ConfigMap, error) {
	return &v1.ConfigMap{Data: map[string]string{"k": b.text}}, nil
}
func (b big) Secret(context.Context, string, string) (*v1.Secret, error) {
	return &v1.Secret{Data: map[string][]byte{"k": []byte(b.text)}}, nil
}
func (b big) Token(context.Context, string, string, authv1.TokenRequestSpec) (*authv1.TokenRequest, error) {
	return nil, errors.New("no tokens")
}
func (big) Allocatable() v1.ResourceList { return nil }
func (big) Now() time.Time               { return time.Now() }

// TestPayloadsAreBounded: a small pod cannot have one large object written out a thousand times, by no kind of volume
// and not by many volumes together.
func TestPayloadsAreBounded(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: some kinds mount a file system in memory")
	}
	const times = 1000
	var (
		keys   []v1.KeyToPath
		fields []v1.DownwardAPIVolumeFile
		maps   []v1.VolumeProjection
		down   []v1.VolumeProjection
		many   []v1.Volume
	)
	for i := range times {
		path := fmt.Sprint("f", i)
		keys = append(keys, v1.KeyToPath{Key: "k", Path: path})
		fields = append(fields, v1.DownwardAPIVolumeFile{Path: path, FieldRef: &v1.ObjectFieldSelector{FieldPath: "metadata.annotations"}})
		maps = append(maps, v1.VolumeProjection{ConfigMap: &v1.ConfigMapProjection{Items: keys[i : i+1]}})
		down = append(down, v1.VolumeProjection{DownwardAPI: &v1.DownwardAPIProjection{Items: fields[i : i+1]}})
		many = append(many, v1.Volume{Name: path, VolumeSource: v1.VolumeSource{ConfigMap: &v1.ConfigMapVolumeSource{}}})
	}
	source := func(s v1.VolumeSource) []v1.Volume { return []v1.Volume{{Name: "v", VolumeSource: s}} }
	for name, volumes := range map[string][]v1.Volume{
		"config map":            source(v1.VolumeSource{ConfigMap: &v1.ConfigMapVolumeSource{Items: keys}}),
		"secret":                source(v1.VolumeSource{Secret: &v1.SecretVolumeSource{Items: keys}}),
		"downward":              source(v1.VolumeSource{DownwardAPI: &v1.DownwardAPIVolumeSource{Items: fields}}),
		"projected config maps": source(v1.VolumeSource{Projected: &v1.ProjectedVolumeSource{Sources: maps}}),
		"projected secret":      source(v1.VolumeSource{Projected: &v1.ProjectedVolumeSource{Sources: []v1.VolumeProjection{{Secret: &v1.SecretProjection{Items: keys}}}}}),
		"projected downward":    source(v1.VolumeSource{Projected: &v1.ProjectedVolumeSource{Sources: down}}),
		"many volumes":          many,
	} {
		root := t.TempDir()
		text := strings.Repeat("x", 1<<20)
		pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "u", Annotations: map[string]string{"a": text[:256<<10]}}, Spec: v1.PodSpec{Volumes: volumes}}
		m := volume.NewManager(root, Kinds(big{text}, nil))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := m.SetUp(t.Context(), pod)
		runtime.ReadMemStats(&after)
		var failed *volume.Error
		if !errors.As(err, &failed) || !strings.Contains(err.Error(), fmt.Sprintf("more than %d bytes", bounds.PodFiles)) {
			t.Errorf("%s: %.200v", name, err)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; name != "many volumes" && grown > 16*bounds.PodFiles {
			t.Errorf("%s: refused after %d bytes", name, grown)
		}
		if size := tree(t, root); size > bounds.PodFiles {
			t.Errorf("%s: %d bytes were written", name, size)
		}
		if err := m.TearDown("u"); err != nil {
			t.Error(err)
		}
	}
}

// TestTooManyVolumes: each would be a mount of the node's.
func TestTooManyVolumes(t *testing.T) {
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "u"}}
	for i := range bounds.PodVolumes + 1 {
		pod.Spec.Volumes = append(pod.Spec.Volumes, v1.Volume{Name: fmt.Sprint("v", i), VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}})
	}
	root := t.TempDir()
	m := volume.NewManager(root, Kinds(big{}, nil))
	var failed *volume.Error
	if _, err := m.SetUp(t.Context(), pod); !errors.As(err, &failed) || !strings.Contains(err.Error(), "the pod has 1025 volumes, more than 1024") {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(root); err != nil || len(left) != 0 {
		t.Errorf("%v, %v", left, err)
	}
	pod.Spec.Volumes = pod.Spec.Volumes[:bounds.PodVolumes]
	if got, err := m.SetUp(t.Context(), pod); err != nil || len(got) != bounds.PodVolumes {
		t.Errorf("%d, %v", len(got), err)
	}
}

// TestTooManyVolumesInMemory: those stay mounts of the node's as long as the pod does.
func TestTooManyVolumesInMemory(t *testing.T) {
	root := t.TempDir()
	m := volume.NewManager(root, Kinds(big{}, nil))
	sources := []v1.VolumeSource{
		{Secret: &v1.SecretVolumeSource{SecretName: "s"}}, {Projected: &v1.ProjectedVolumeSource{}},
		{EmptyDir: &v1.EmptyDirVolumeSource{Medium: v1.StorageMediumMemory}},
	}
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "u"}}
	for i := range bounds.PodMemoryVolumes + 1 {
		pod.Spec.Volumes = append(pod.Spec.Volumes, v1.Volume{Name: fmt.Sprint("m", i), VolumeSource: sources[i%len(sources)]},
			v1.Volume{Name: fmt.Sprint("d", i), VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}})
	}
	var failed *volume.Error
	if _, err := m.SetUp(t.Context(), pod); !errors.As(err, &failed) || failed.Volume != "m200" || !strings.Contains(err.Error(), "201 volumes in memory") {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(root); err != nil || len(left) != 0 {
		t.Errorf("something was made: %v, %v", left, err)
	}
	if os.Getuid() != 0 {
		return // mounting needs root
	}
	pod.Spec.Volumes = pod.Spec.Volumes[:2*bounds.PodMemoryVolumes]
	got, err := m.SetUp(t.Context(), pod)
	if err != nil || len(got) != 2*bounds.PodMemoryVolumes {
		t.Errorf("%d of %d: %v", len(got), 2*bounds.PodMemoryVolumes, err)
	}
	if err := m.TearDown("u"); err != nil {
		t.Error(err)
	}
}

func tree(t *testing.T, dir string) (size int64) {
	t.Helper()
	err := filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return size
}
