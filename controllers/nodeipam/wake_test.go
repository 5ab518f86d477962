package nodeipam

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/controllers/stage"
)

// TestAFreedBlockIsGivenAtOnce: a node that waits for one is not left to a pause of minutes.
func TestAFreedBlockIsGivenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := func(name string, cidrs ...string) *corev1.Node {
			return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}, Spec: corev1.NodeSpec{PodCIDRs: cidrs}}
		}
		s := stage.New(t, node("late"))
		s.Env.Config.AllocateNodeCIDRs, s.Env.Config.ClusterCIDRs = true, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}
		s.Run(New)
		s.Add(node("a", "10.0.0.0/24"))
		s.Add(node("late"))
		time.Sleep(2 * time.Hour)
		if s.Count("patch", "nodes") != 0 {
			t.Fatal("a block was given although none is left")
		}
		s.Delete(node("a", "10.0.0.0/24"))
		if s.Count("patch", "nodes") != 1 {
			t.Error("the freed block was not given")
		}
	})
}
