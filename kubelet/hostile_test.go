package kubelet

import (
	"context"
	"path/filepath"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestCallsItself: what a pod says of where it comes from neither hides it from the API nor keeps it when it is gone
// from there.
func TestCallsItself(t *testing.T) {
	b := newBed(t)
	const wait = "trap 'exit 0' TERM; while true; do sleep 0.1; done"
	b.pod("as-file", wait, func(p *v1.Pod) { p.Annotations = map[string]string{"kubernetes.io/config.source": "file"} })
	p := b.pod("turned", wait, nil)
	b.until("as-file", "ready", ready)
	b.until("turned", "ready", ready)
	cur, err := b.api.CoreV1().Pods("default").Get(context.Background(), "turned", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cur.Annotations = map[string]string{v1.MirrorPodAnnotationKey: "abc"} // where another API server allows it
	if _, err := b.api.CoreV1().Pods("default").Update(context.Background(), cur, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.gone("turned")
	waitNone(t, filepath.Join(b.dir, "root", "pods", string(p.UID)))
}
