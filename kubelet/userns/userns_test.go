package userns

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func pod(uid string, hostUsers *bool) *v1.Pod {
	return &v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid)}, Spec: v1.PodSpec{HostUsers: hostUsers}}
}

func TestRangesAreApart(t *testing.T) {
	dir := t.TempDir()
	r := New(dir)
	var wg sync.WaitGroup
	for i := range 20 {
		uid := fmt.Sprint("p", i)
		if err := os.Mkdir(filepath.Join(dir, uid), 0o755); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if err := r.Ensure(uid); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	seen := map[uint32]bool{}
	for i := range 20 {
		ns := New(dir).Of(pod(fmt.Sprint("p", i), new(false))) // as a kubelet that has just started
		if len(ns.Uids) != 1 || len(ns.Gids) != 1 || ns.Uids[0].HostId < 65536 || ns.Uids[0].Length != 65536 || ns.Uids[0].HostId != ns.Gids[0].HostId || seen[ns.Uids[0].HostId] {
			t.Fatalf("%v", ns)
		}
		seen[ns.Uids[0].HostId] = true
	}
	before := r.Of(pod("p7", new(false))).Uids[0].HostId
	if err := os.RemoveAll(filepath.Join(dir, "p7")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "new"), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is known
		if err := r.Ensure("new"); err != nil {
			t.Fatal(err)
		}
		if got := r.Of(pod("new", new(false))).Uids[0].HostId; got != before {
			t.Errorf("range %d, not the free one %d", got, before)
		}
	}
}

// TestUnknownRanges: a range that cannot be read is never given to another, and a pod without one gets no namespace
// that a runtime would take.
func TestUnknownRanges(t *testing.T) {
	dir := t.TempDir()
	r := New(dir)
	for _, text := range []string{"{", `{"uidMappings":[]}`, `{"uidMappings":[{"hostId":0,"length":65536}],"gidMappings":[{"hostId":0,"length":65536}]}`} {
		for _, uid := range []string{"bad", "good"} {
			if err := os.MkdirAll(filepath.Join(dir, uid), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "bad", file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if r.Ensure("bad") == nil || r.Ensure("good") == nil {
			t.Errorf("%s is taken for a range, or for none", text)
		}
		if err := r.Ensure("good"); !strings.Contains(err.Error(), filepath.Join(dir, "bad", file)) || !strings.Contains(err.Error(), "until that pod is deleted") {
			t.Errorf("the way on is not told: %v", err)
		}
	}
	if ns := r.Of(pod("good", new(false))); ns == nil || len(ns.Uids) != 0 {
		t.Errorf("%v", ns)
	}
	if err := os.RemoveAll(filepath.Join(dir, "bad")); err != nil { // as the pod's deletion does
		t.Fatal(err)
	}
	if err := r.Ensure("good"); err != nil {
		t.Errorf("after the pod's deletion: %v", err)
	}
	for _, p := range []*v1.Pod{pod("good", nil), pod("good", new(true))} {
		if r.Of(p) != nil {
			t.Error("a pod of the node's users has a namespace")
		}
	}
}
