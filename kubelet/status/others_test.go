package status

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

// TestAnnotatedLikeAManifest: a pod of the API that calls itself static is shown like any other.
func TestAnnotatedLikeAManifest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "u", ResourceVersion: "1",
			Annotations: map[string]string{"kubernetes.io/config.source": "file", "kubernetes.io/config.hash": "h"}}}
		got := sent(t, pod, pod, v1.PodStatus{Phase: v1.PodRunning})
		if got.Status.Phase != v1.PodRunning {
			t.Errorf("the API shows %q", got.Status.Phase)
		}
	})
}

// TestWhatOthersWrote stays: a status that was rendered before a claim was noted does not take the note away.
func TestWhatOthersWrote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		name := "claim"
		pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "u", ResourceVersion: "2"}}
		pod.Status.NominatedNodeName = "n"
		pod.Status.ResourceClaimStatuses = []v1.PodResourceClaimStatus{{Name: "c", ResourceClaimName: &name}}
		pod.Status.ExtendedResourceClaimStatus = &v1.PodExtendedResourceClaimStatus{ResourceClaimName: name}
		got := sent(t, pod, pod, v1.PodStatus{Phase: v1.PodRunning})
		if s := got.Status; s.Phase != v1.PodRunning || len(s.ResourceClaimStatuses) != 1 || s.ExtendedResourceClaimStatus == nil || s.NominatedNodeName != "n" {
			t.Errorf("the API has %+v", s)
		}
	})
}

// sent is the pod as the API has it once the status was sent.
func sent(t *testing.T, inAPI, known *v1.Pod, status v1.PodStatus) *v1.Pod {
	t.Helper()
	api := fake.NewClientset(inAPI)
	ctx, cancel := context.WithCancel(t.Context())
	m := NewManager(api, slog.New(slog.DiscardHandler), nil)
	m.Set(ctx, known, status, nil)
	synctest.Wait()
	cancel()
	m.Wait()
	got, err := api.CoreV1().Pods("ns").Get(t.Context(), "p", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return got
}
