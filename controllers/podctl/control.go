package podctl

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"

	"hyperkube/kit"
)

// Event reasons of pods made and removed for an owner.
const (
	ReasonCreated      = "SuccessfulCreate"
	ReasonCreateFailed = "FailedCreate"
	ReasonDeleted      = "SuccessfulDelete"
	ReasonDeleteFailed = "FailedDelete"
)

// Owner is a workload object.
type Owner interface {
	runtime.Object
	metav1.Object
}

// Control creates and deletes pods for owners and tells of it on the owner.
type Control struct {
	Kube   kubernetes.Interface
	Events kit.Recorder
}

// FromTemplate is a pod of owner, named by the server after the owner.
func FromTemplate(t *corev1.PodTemplateSpec, owner metav1.Object, kind schema.GroupVersionKind) *corev1.Pod {
	prefix := owner.GetName() + "-"
	if len(validation.IsDNS1123Subdomain(owner.GetName()+"-x")) != 0 {
		prefix = owner.GetName()
	}
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:       owner.GetNamespace(),
			GenerateName:    prefix,
			Labels:          maps.Clone(t.Labels),
			Annotations:     maps.Clone(t.Annotations),
			Finalizers:      slices.Clone(t.Finalizers),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(owner, kind)},
		},
	}
	t.Spec.DeepCopyInto(&p.Spec)
	return p
}

// Create sends a pod and records the outcome on owner.
func (c *Control) Create(ctx context.Context, owner Owner, p *corev1.Pod) (*corev1.Pod, error) {
	if len(p.Labels) == 0 {
		return nil, fmt.Errorf("unable to create pods, no labels")
	}
	made, err := c.Kube.CoreV1().Pods(p.Namespace).Create(ctx, p, metav1.CreateOptions{})
	if err != nil {
		// In a namespace that is going away failure is the rule, not news.
		if !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			c.Events.Eventf(owner, corev1.EventTypeWarning, ReasonCreateFailed, "Error creating: %v", err)
		}
		return nil, err
	}
	c.Events.Eventf(owner, corev1.EventTypeNormal, ReasonCreated, "Created pod: %v", made.Name)
	return made, nil
}

// Delete removes a pod and records the outcome on owner. A pod that is gone is an error of
// kind NotFound, without an event.
func (c *Control) Delete(ctx context.Context, owner Owner, p *corev1.Pod) error {
	err := c.Kube.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return err
	case err != nil:
		c.Events.Eventf(owner, corev1.EventTypeWarning, ReasonDeleteFailed, "Error deleting: %v", err)
		return fmt.Errorf("deleting pod: %w", err)
	}
	c.Events.Eventf(owner, corev1.EventTypeNormal, ReasonDeleted, "Deleted pod: %v", p.Name)
	return nil
}

// Patch sends a strategic merge patch to a pod.
func (c *Control) Patch(ctx context.Context, namespace, name string, patch []byte) error {
	_, err := c.Kube.CoreV1().Pods(namespace).Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	return err
}
