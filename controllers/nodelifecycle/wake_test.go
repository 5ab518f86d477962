package nodelifecycle

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"hyperkube/controllers/podctl"
	"hyperkube/controllers/stage"
)

func reporting(version string, ready corev1.ConditionStatus) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "a", ResourceVersion: version, CreationTimestamp: metav1.Now()},
		Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{
			{Type: corev1.NodeReady, Status: ready, LastHeartbeatTime: metav1.Now()}}},
	}
}

func readyPod(name, node string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name, UID: "p"},
		Spec:       corev1.PodSpec{NodeName: node},
		Status: corev1.PodStatus{Phase: corev1.PodRunning,
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
}

func isReady(t *testing.T, s *stage.Stage, name string) bool {
	t.Helper()
	p, err := s.Kube.CoreV1().Pods("n").Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return podctl.Ready(p)
}

// TestPodsNobodyHasSeenYet: the pods of a node that turns unwell are told although the informer
// of pods lags behind that of nodes, and those of other nodes are left alone.
func TestPodsNobodyHasSeenYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stage.New(t, reporting("1", corev1.ConditionTrue), readyPod("here", "a"), readyPod("elsewhere", "b"))
		s.Run(New)
		s.Add(reporting("1", corev1.ConditionTrue))
		s.Modify(reporting("2", corev1.ConditionFalse))
		if isReady(t, s, "here") {
			t.Error("the pod stays ready on a node that is not")
		}
		if !isReady(t, s, "elsewhere") {
			t.Error("a pod of another node was marked")
		}
	})
}

// TestNodeUnwellFromTheStart: a controller that starts late tells the pods of nodes that turned
// unwell before.
func TestNodeUnwellFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stage.New(t, reporting("1", corev1.ConditionFalse), readyPod("here", "a"))
		s.First(reporting("1", corev1.ConditionFalse))
		s.Run(New)
		if isReady(t, s, "here") {
			t.Error("the pod stays ready on a node that is not")
		}
	})
}

// TestTheKubeletHasTheLastWord: a pod that its kubelet calls ready again while the node is still
// unwell is not marked a second time, or the two would never stop.
func TestTheKubeletHasTheLastWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stage.New(t, reporting("1", corev1.ConditionTrue), readyPod("here", "a"))
		s.Run(New)
		s.Add(reporting("1", corev1.ConditionTrue))
		s.Modify(reporting("2", corev1.ConditionFalse))
		if isReady(t, s, "here") {
			t.Fatal("the pod stays ready on a node that is not")
		}
		if _, err := s.Kube.CoreV1().Pods("n").UpdateStatus(t.Context(), readyPod("here", "a"), metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		s.Add(readyPod("here", "a"))
		time.Sleep(30 * time.Second) // of the bubble's clock
		s.Settle()
		if !isReady(t, s, "here") {
			t.Error("marked again although its kubelet says that it is ready")
		}
		s.Modify(reporting("3", corev1.ConditionTrue))
		s.Modify(reporting("4", corev1.ConditionFalse))
		if isReady(t, s, "here") {
			t.Error("not marked when the node turned unwell again")
		}
	})
}

// slowNodes answers the first patch of a node when it is told to.
type slowNodes struct {
	kubernetes.Interface
	first  *sync.Once
	answer chan struct{}
}

type slowCore struct {
	typedcorev1.CoreV1Interface
	slowNodes
}

type slowNode struct {
	typedcorev1.NodeInterface
	slowNodes
}

func (s slowNodes) CoreV1() typedcorev1.CoreV1Interface { return slowCore{s.Interface.CoreV1(), s} }
func (s slowCore) Nodes() typedcorev1.NodeInterface {
	return slowNode{s.CoreV1Interface.Nodes(), s.slowNodes}
}

func (s slowNode) Patch(ctx context.Context, name string, t types.PatchType, data []byte, o metav1.PatchOptions, sub ...string) (*corev1.Node, error) {
	s.first.Do(func() { <-s.answer })
	return s.NodeInterface.Patch(ctx, name, t, data, o, sub...)
}

// TestATurnDuringALook: a node that turns unwell while an older state of it is being acted upon is
// looked at again, with its pods.
func TestATurnDuringALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stage.New(t, reporting("1", corev1.ConditionTrue), readyPod("here", "a"))
		answer := make(chan struct{})
		s.Env.Kube = slowNodes{s.Kube, &sync.Once{}, answer}
		s.Run(New)
		well := reporting("1", corev1.ConditionTrue)
		well.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule}}
		s.Add(well) // its taint is being taken off
		s.Modify(reporting("2", corev1.ConditionFalse))
		close(answer)
		s.Settle()
		if isReady(t, s, "here") {
			t.Error("the pod stays ready on a node that is not")
		}
	})
}
