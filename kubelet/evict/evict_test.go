package evict

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func fill(t *testing.T, path string, size int) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestUsage(t *testing.T) {
	dir := t.TempDir()
	fill(t, filepath.Join(dir, "a", "data"), 1<<20)
	if err := os.Link(filepath.Join(dir, "a", "data"), filepath.Join(dir, "again")); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(1 << 30); err != nil {
		t.Fatal(err)
	}
	f.Close()
	got, err := Usage(t.Context(), dir)
	if err != nil || got < 1<<20 || got > 1<<20+64<<10 {
		t.Errorf("%d, %v", got, err)
	}
	if _, err := Usage(t.Context(), filepath.Join(dir, "none")); err == nil {
		t.Error("a directory that is not there has a usage")
	}
}

func limited(name string, medium v1.StorageMedium, size string) *v1.Pod {
	e := &v1.EmptyDirVolumeSource{Medium: medium}
	if size != "" {
		q := resource.MustParse(size)
		e.SizeLimit = &q
	}
	return &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.PodSpec{Volumes: []v1.Volume{{Name: "cache", VolumeSource: v1.VolumeSource{EmptyDir: e}}}}}
}

func TestLook(t *testing.T) {
	root := t.TempDir()
	pods := []*v1.Pod{limited("over", "", "1Mi"), limited("under", "", "4Mi"), limited("free", "", ""), limited("memory", v1.StorageMediumMemory, "1Mi")}
	for _, p := range pods {
		fill(t, filepath.Join(root, p.Name, "cache", "data"), 2<<20)
	}
	said := map[string]string{}
	g := New()
	g.Log = slog.New(slog.DiscardHandler)
	g.Pods = func() []*v1.Pod { return pods }
	g.Dir = func(p *v1.Pod, volume string) string { return filepath.Join(root, p.Name, volume) }
	g.Evict = func(p *v1.Pod, message string) { said[p.Name] = message }
	if !g.look(t.Context()) {
		t.Error("no pod has a limit")
	}
	if len(said) != 1 || said["over"] != `Usage of EmptyDir volume "cache" exceeds the limit "1Mi". ` {
		t.Errorf("%q", said)
	}
	pods = pods[2:]
	if g.look(t.Context()) {
		t.Error("looks where there is no limit")
	}
}
