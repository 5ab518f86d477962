package static

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ktesting "k8s.io/client-go/kubernetes/fake"

	"hyperkube/internal/bounds"
)

type record []string

func (r *record) Update(p *v1.Pod)        { *r = append(*r, "update "+p.Name+" "+p.Labels["v"]) }
func (r *record) Remove(types.UID)        { *r = append(*r, "remove") }
func (*record) Mirror(types.UID, *v1.Pod) {}

// TestReplace: a file that changed is the old pod's end before it is the new one's beginning, so that workers can
// tell that one waits for the other.
func TestReplace(t *testing.T) {
	dir, r := t.TempDir(), &record{}
	s := New(dir, "n", nil, r, r, slog.New(slog.DiscardHandler), nil)
	for _, v := range []string{"1", "2"} {
		text := "apiVersion: v1\nkind: Pod\nmetadata: {name: web, labels: {v: \"" + v + "\"}}\nspec: {containers: [{name: c, image: a, ports: [{hostPort: 80, containerPort: 80}]}]}\n"
		if err := os.WriteFile(filepath.Join(dir, "web.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.Load(); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"update web-n 1", "remove", "update web-n 2"}; !slices.Equal(*r, want) {
		t.Errorf("%v", *r)
	}
}

// TestOddFiles: what somebody left in the folder stops nothing, whatever it is, does not keep
// the manifests beside it from running or waiting, and is told with what is wrong.
func TestOddFiles(t *testing.T) {
	dir, r, told := t.TempDir(), &record{}, &bytes.Buffer{}
	pod := func(more string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: odd}\nspec: {containers: [{name: c, image: a" + more + "}]}\n"
	}
	for name, text := range map[string]string{
		"web.yaml":      strings.Replace(pod(""), "odd", "web", 1),
		"exponent.yaml": pod(`, resources: {limits: {cpu: "1e-999999999"}}`),
		"bomb.yaml":     pod("") + "x: &a " + strings.Repeat("x", 1<<20) + "\ny: [" + strings.Repeat("*a,", 20_000) + "]\n",
		"huge.yaml":     pod("") + "# " + strings.Repeat("x", 4<<20),
		"cut.yaml":      pod("")[:60],
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pipe, long, endless := filepath.Join(dir, "pipe.yaml"), filepath.Join(dir, "long.yaml"), filepath.Join(dir, "zero.yaml")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.WriteFile(long, nil, 0o600), os.Truncate(long, bounds.Body+1), os.Symlink("/dev/zero", endless)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- New(dir, "n", nil, r, r, slog.New(slog.NewTextHandler(told, nil)), nil).Load() }()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("still reading")
	}
	if want := []string{"update web-n "}; !slices.Equal(*r, want) {
		t.Errorf("%v", *r)
	}
	for name, want := range map[string]string{"pipe.yaml": "not a regular file", "zero.yaml": "not a regular file", "long.yaml": "longer than", "huge.yaml": "longer than",
		"exponent.yaml": "", "bomb.yaml": "", "cut.yaml": ""} {
		if !slices.ContainsFunc(strings.Split(told.String(), "\n"), func(line string) bool { return strings.Contains(line, name) && strings.Contains(line, want) }) {
			t.Errorf("%s is not told as %q", name, want)
		}
	}
}

// TestMirrorOfNothing: a pod that calls itself a mirror and is none is removed, also by a
// kubelet that has no manifests.
func TestMirrorOfNothing(t *testing.T) {
	fake := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "fake", Namespace: "default", UID: "a", Annotations: map[string]string{v1.MirrorPodAnnotationKey: "x"}}}
	api, r := ktesting.NewClientset(fake), &record{}
	s := New("", "n", api, r, r, slog.New(slog.DiscardHandler), nil)
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	s.Saw(fake)
	s.mirror(t.Context())
	if l, err := api.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{}); err != nil || len(l.Items) != 0 {
		t.Errorf("still there: %v %v", l, err)
	}
	if len(*r) != 0 {
		t.Errorf("it ran: %v", *r)
	}
}
