package replicaset

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/controllers/env"
	"hyperkube/controllers/podctl"
	"hyperkube/internal/selector"
	"hyperkube/kit"
)

// kind is how the one controller reads and writes either of its two kinds.
type kind struct {
	gvk         schema.GroupVersionKind
	get         func(kit.Key) (*appsv1.ReplicaSet, bool)
	uid         func(kit.Key) (types.UID, bool)
	live        func(context.Context, kit.Key) (metav1.Object, error)
	offering    func(*kit.Controller) *kit.Offers // to those that select a pod
	related     func(*appsv1.ReplicaSet, *kit.Informer[*corev1.Pod]) map[string]int
	writeStatus func(context.Context, *appsv1.ReplicaSet, appsv1.ReplicaSetStatus) error
	object      func(*appsv1.ReplicaSet) podctl.Owner // what events are about
	terminating bool                                  // the status counts terminating pods
}

func setKind(e *env.Env) kind {
	sets := e.ReplicaSets()
	return kind{
		gvk: appsv1.SchemeGroupVersion.WithKind("ReplicaSet"),
		get: func(k kit.Key) (*appsv1.ReplicaSet, bool) { return sets.Get(k.Namespace, k.Name) },
		uid: func(k kit.Key) (types.UID, bool) {
			s, ok := sets.Get(k.Namespace, k.Name)
			if !ok {
				return "", false
			}
			return s.UID, true
		},
		live: func(ctx context.Context, k kit.Key) (metav1.Object, error) {
			return e.Kube.AppsV1().ReplicaSets(k.Namespace).Get(ctx, k.Name, metav1.GetOptions{})
		},
		offering: func(c *kit.Controller) *kit.Offers {
			return kit.Offering(c, sets, func(s *appsv1.ReplicaSet, labels map[string]string) bool {
				return !selector.Empty(s.Spec.Selector) && selector.Matches(s.Spec.Selector, labels)
			})
		},
		related: func(s *appsv1.ReplicaSet, pods *kit.Informer[*corev1.Pod]) map[string]int {
			family := []*appsv1.ReplicaSet{s}
			if ref := metav1.GetControllerOfNoCopy(s); ref != nil {
				family = kit.Owned(sets, ref.UID)
			}
			byNode := map[string]int{}
			for _, member := range family {
				countByNode(byNode, kit.Owned(pods, member.UID))
			}
			return byNode
		},
		writeStatus: func(ctx context.Context, s *appsv1.ReplicaSet, st appsv1.ReplicaSetStatus) error {
			out := s.DeepCopy()
			out.Status = st
			_, err := e.Kube.AppsV1().ReplicaSets(s.Namespace).UpdateStatus(ctx, out, metav1.UpdateOptions{})
			return err
		},
		object:      func(s *appsv1.ReplicaSet) podctl.Owner { return s },
		terminating: true,
	}
}

func rcKind(e *env.Env) kind {
	rcs := e.ReplicationControllers()
	return kind{
		gvk: corev1.SchemeGroupVersion.WithKind("ReplicationController"),
		get: func(k kit.Key) (*appsv1.ReplicaSet, bool) {
			rc, ok := rcs.Get(k.Namespace, k.Name)
			if !ok {
				return nil, false
			}
			return asSet(rc), true
		},
		uid: func(k kit.Key) (types.UID, bool) {
			rc, ok := rcs.Get(k.Namespace, k.Name)
			if !ok {
				return "", false
			}
			return rc.UID, true
		},
		live: func(ctx context.Context, k kit.Key) (metav1.Object, error) {
			return e.Kube.CoreV1().ReplicationControllers(k.Namespace).Get(ctx, k.Name, metav1.GetOptions{})
		},
		offering: func(c *kit.Controller) *kit.Offers {
			return kit.Offering(c, rcs, func(rc *corev1.ReplicationController, labels map[string]string) bool {
				return len(rc.Spec.Selector) > 0 && selector.All(rc.Spec.Selector, labels)
			})
		},
		related: func(s *appsv1.ReplicaSet, pods *kit.Informer[*corev1.Pod]) map[string]int {
			byNode := map[string]int{}
			countByNode(byNode, kit.Owned(pods, s.UID))
			return byNode
		},
		writeStatus: func(ctx context.Context, s *appsv1.ReplicaSet, st appsv1.ReplicaSetStatus) error {
			rc, ok := rcs.Get(s.Namespace, s.Name)
			if !ok || rc.UID != s.UID {
				return nil
			}
			out := rc.DeepCopy()
			out.ResourceVersion = s.ResourceVersion
			out.Status = asRCStatus(st)
			_, err := e.Kube.CoreV1().ReplicationControllers(s.Namespace).UpdateStatus(ctx, out, metav1.UpdateOptions{})
			return err
		},
		object: func(s *appsv1.ReplicaSet) podctl.Owner {
			return &corev1.ReplicationController{ObjectMeta: s.ObjectMeta}
		},
	}
}

func countByNode(byNode map[string]int, pods []*corev1.Pod) {
	for _, p := range pods {
		if p.Spec.NodeName != "" && podctl.Active(p) {
			byNode[p.Spec.NodeName]++
		}
	}
}

// asSet looks at a ReplicationController as a ReplicaSet. Nothing of the result may be changed.
func asSet(rc *corev1.ReplicationController) *appsv1.ReplicaSet {
	s := &appsv1.ReplicaSet{
		ObjectMeta: rc.ObjectMeta,
		Spec: appsv1.ReplicaSetSpec{
			Replicas: rc.Spec.Replicas, MinReadySeconds: rc.Spec.MinReadySeconds,
			Selector: &metav1.LabelSelector{MatchLabels: rc.Spec.Selector},
		},
		Status: appsv1.ReplicaSetStatus{
			Replicas: rc.Status.Replicas, FullyLabeledReplicas: rc.Status.FullyLabeledReplicas,
			ReadyReplicas: rc.Status.ReadyReplicas, AvailableReplicas: rc.Status.AvailableReplicas,
			ObservedGeneration: rc.Status.ObservedGeneration,
		},
	}
	if rc.Spec.Template != nil {
		s.Spec.Template = *rc.Spec.Template
	}
	for _, c := range rc.Status.Conditions {
		s.Status.Conditions = append(s.Status.Conditions, appsv1.ReplicaSetCondition{
			Type: appsv1.ReplicaSetConditionType(c.Type), Status: c.Status,
			LastTransitionTime: c.LastTransitionTime, Reason: c.Reason, Message: c.Message,
		})
	}
	return s
}

func asRCStatus(st appsv1.ReplicaSetStatus) corev1.ReplicationControllerStatus {
	out := corev1.ReplicationControllerStatus{
		Replicas: st.Replicas, FullyLabeledReplicas: st.FullyLabeledReplicas,
		ReadyReplicas: st.ReadyReplicas, AvailableReplicas: st.AvailableReplicas,
		ObservedGeneration: st.ObservedGeneration,
	}
	for _, c := range st.Conditions {
		out.Conditions = append(out.Conditions, corev1.ReplicationControllerCondition{
			Type: corev1.ReplicationControllerConditionType(c.Type), Status: c.Status,
			LastTransitionTime: c.LastTransitionTime, Reason: c.Reason, Message: c.Message,
		})
	}
	return out
}
