package evict

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/internal/bounds"
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

func limitedContainer(pod *v1.Pod, name, size string) *v1.Pod {
	c := v1.Container{Name: name}
	if size != "" {
		c.Resources.Limits = v1.ResourceList{v1.ResourceEphemeralStorage: resource.MustParse(size)}
	}
	pod.Spec.Containers = append(pod.Spec.Containers, c)
	return pod
}

// TestLook: directories, logs and writable layers are measured, each against its own limit and together.
func TestLook(t *testing.T) {
	root := t.TempDir()
	pods := []*v1.Pod{
		limited("over", "", "1Mi"), limited("under", "", "4Mi"), limited("free", "", ""), limited("memory", v1.StorageMediumMemory, "1Mi"),
		limitedContainer(limited("layer", "", ""), "big", "9Mi"), limitedContainer(limited("logs", "", ""), "loud", "9Mi"),
		limitedContainer(limitedContainer(limited("sum", "", ""), "a", "5Mi"), "b", ""),
		limitedContainer(limitedContainer(limited("each", "", ""), "a", "1Mi"), "b", "30Mi"),
		limitedContainer(limited("fits", "", ""), "a", "9Mi"), limitedContainer(limited("hosts", "", ""), "a", "9Mi"),
		limitedContainer(limitedContainer(limited("words", "", ""), "a", "1Mi"), "b", "30Mi"),
	}
	for _, p := range pods {
		p.UID = types.UID(p.Name)
		fill(t, filepath.Join(root, p.Name, "cache", "data"), 2<<20)
	}
	fill(t, filepath.Join(root, "log", "logs", "loud", "0.log.1"), 8<<20)
	fill(t, filepath.Join(root, "hosts", "etc-hosts"), 8<<20)
	fill(t, filepath.Join(root, "words", "a", "0"), 2<<20)
	layers := map[string]int64{"layer/big": 8 << 20, "sum/a": 2 << 20, "sum/b": 2 << 20, "each/a": 2 << 20, "fits/a": 6 << 20}
	said := map[string]string{}
	g := New()
	g.Log = slog.New(slog.DiscardHandler)
	g.Pods = func() []*v1.Pod { return pods }
	g.Dir = func(p *v1.Pod, volume string) string { return filepath.Join(root, p.Name, volume) }
	g.Logs = func(p *v1.Pod, container string) string { return filepath.Join(root, "log", p.Name, container) }
	g.Files = func(p *v1.Pod, container string) []string {
		if container == "" {
			return []string{filepath.Join(root, p.Name, "etc-hosts")}
		}
		return []string{filepath.Join(root, p.Name, container)}
	}
	g.Layers = func(context.Context) func(*v1.Pod, string) (int64, error) {
		return func(p *v1.Pod, c string) (int64, error) { return layers[p.Name+"/"+c], nil }
	}
	g.Evict = func(p *v1.Pod, message string) { said[p.Name] = message }
	if !g.look(t.Context()) {
		t.Error("no pod has a limit")
	}
	const total = "Pod ephemeral local storage usage exceeds the total limit of containers "
	want := map[string]string{
		"over":  `Usage of EmptyDir volume "cache" exceeds the limit "1Mi". `,
		"layer": total + "9Mi. ", "logs": total + "9Mi. ", "sum": total + "5Mi. ",
		"each": `Container a exceeded its local ephemeral storage limit "1Mi". `, "words": `Container a exceeded its local ephemeral storage limit "1Mi". `,
		"hosts": total + "9Mi. ",
	}
	if d := cmp.Diff(want, said); d != "" {
		t.Error(d)
	}
	pods = pods[2:4]
	if g.look(t.Context()) {
		t.Error("looks where there is no limit")
	}
}

// TestNothingHides: neither depth, nor one long list, nor links hide what a container wrote.
func TestNothingHides(t *testing.T) {
	dir := t.TempDir()
	fd, err := unix.Open(dir, unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("d", 250)
	for range 40 { // paths of 10 kB, longer than any that the kernel takes
		if err := unix.Mkdirat(fd, long, 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(fd, long, unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(fd)
		fd = next
	}
	f, err := unix.Openat(fd, "data", unix.O_CREAT|unix.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(f, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	unix.Close(f)
	unix.Close(fd)
	for i := range 3 * batch {
		fill(t, filepath.Join(dir, "many", strconv.Itoa(i)), 1)
	}
	if err := os.Symlink("/", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if got, err := Usage(t.Context(), dir); err != nil || got < 1<<20+3*batch*512 || got > 16<<20 {
		t.Errorf("%d, %v", got, err)
	}
	if err := os.RemoveAll(dir); err != nil { // by the standard library, which opens in parents as well
		t.Error(err)
	}
}

// TestTooDeepIsTooMuch: what cannot be measured is over every limit.
func TestTooDeepIsTooMuch(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, strings.Repeat("d/", bounds.PathElements+5)), 0o755); err != nil {
		t.Fatal(err)
	}
	n, err := Usage(t.Context(), dir)
	g := Guard{Log: slog.New(slog.DiscardHandler)}
	if !errors.Is(err, errTooMuch) || g.counted(&v1.Pod{}, "", n, err) != math.MaxInt64 {
		t.Errorf("%d, %v", n, err)
	}
	pod := limitedContainer(limited("p", "", ""), "c", "1Ti")
	if Verdict(pod, Use{Volumes: map[string]int64{"cache": math.MaxInt64}, Containers: map[string]int64{"c": 1 << 20}}) == "" {
		t.Error("the sum went over the top")
	}
}

func TestLayers(t *testing.T) {
	got := Layers([]*mountinfo.Info{
		{FSType: "overlay", Mountpoint: "/run/k8s.io/abc/rootfs", VFSOptions: "rw,lowerdir=/l,upperdir=/s/7/fs,workdir=/s/7/work"},
		{FSType: "overlay", Mountpoint: "/run/k8s.io/ro/rootfs", VFSOptions: "ro,lowerdir=/l"},
		{FSType: "overlay", Mountpoint: "/", VFSOptions: "rw,upperdir=/u"},
		{FSType: "ext4", Mountpoint: "/run/k8s.io/x/rootfs", VFSOptions: "rw,upperdir=/u"},
	})
	if d := cmp.Diff(map[string]string{"abc": "/s/7/fs"}, got); d != "" {
		t.Error(d)
	}
}
