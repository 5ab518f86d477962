// Package revisions keeps the history of pod templates of daemon sets and stateful
// sets: one ControllerRevision for each template there was, which `kubectl rollout
// history` and `undo` read.
package revisions

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/client-go/kubernetes"

	"hyperkube/kit"
)

// Owner is whose history is kept.
type Owner struct {
	Object     metav1.Object
	Kind       schema.GroupVersionKind
	Template   *corev1.PodTemplateSpec
	HashLabel  string // of the revision, besides the template's labels
	Limit      *int32 // revisions kept that no pod uses
	Collisions *int32
}

// History returns the revisions of the owner and adopts those that an owner before it left behind, so
// that its pods are known by them again.
func History(ctx context.Context, kube kubernetes.Interface, o Owner, c kit.Claimer, all *kit.Informer[*appsv1.ControllerRevision]) ([]*appsv1.ControllerRevision, error) {
	orphans := slices.DeleteFunc(kit.Orphans(all, o.Object.GetNamespace()), func(r *appsv1.ControllerRevision) bool {
		return r.Labels[o.HashLabel] == ""
	})
	have := kit.Owned(all, o.Object.GetUID())
	if len(orphans) == 0 {
		return have, nil
	}
	c.Patch = func(ctx context.Context, namespace, name string, patch []byte) error {
		_, err := kube.AppsV1().ControllerRevisions(namespace).Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
		return err
	}
	adopted, err := kit.Claim(ctx, &c, nil, orphans)
	return append(have, adopted...), err
}

// Patch is a template as a strategic merge patch of its owner: what a revision holds.
func Patch(t *corev1.PodTemplateSpec) ([]byte, error) {
	raw, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("encoding the pod template: %w", err)
	}
	var fields map[string]any
	if err := utiljson.Unmarshal(raw, &fields); err != nil { // whole numbers stay whole
		return nil, fmt.Errorf("encoding the pod template: %w", err)
	}
	fields["$patch"] = "replace"
	return json.Marshal(map[string]any{"spec": map[string]any{"template": fields}}) // keys in order
}

// Template returns the template that a revision holds.
func Template(r *appsv1.ControllerRevision) (*corev1.PodTemplateSpec, error) {
	var holder struct {
		Spec struct {
			Template corev1.PodTemplateSpec `json:"template"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(r.Data.Raw, &holder); err != nil {
		return nil, fmt.Errorf("revision %s: %w", r.Name, err)
	}
	return &holder.Spec.Template, nil
}

// Sort brings revisions into order, the newest last.
func Sort(rs []*appsv1.ControllerRevision) {
	slices.SortFunc(rs, func(a, b *appsv1.ControllerRevision) int {
		return cmp.Or(cmp.Compare(a.Revision, b.Revision), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
}

// choose finds the revision of the data and the number a new one would get.
func choose(data []byte, have []*appsv1.ControllerRevision) (match *appsv1.ControllerRevision, next int64) {
	for _, r := range have {
		if r.Revision > next {
			next = r.Revision
		}
		if bytes.Equal(compact(r.Data.Raw), data) && (match == nil || r.Revision > match.Revision) {
			match = r
		}
	}
	return match, next + 1
}

// compact brings JSON into the one form that Patch makes, however a server stored it.
func compact(raw []byte) []byte {
	var v any
	if utiljson.Unmarshal(raw, &v) != nil {
		return raw
	}
	out, err := json.Marshal(v)
	if err != nil {
		return raw
	}
	return out
}

// Ensure returns the revision of the owner's template, made or made the newest when it is not.
// collided says that the name was taken by another template and Collisions must be raised.
func Ensure(ctx context.Context, kube kubernetes.Interface, o Owner, have []*appsv1.ControllerRevision) (r *appsv1.ControllerRevision, collided bool, err error) {
	data, err := Patch(o.Template)
	if err != nil {
		return nil, false, err
	}
	match, next := choose(data, have)
	api := kube.AppsV1().ControllerRevisions(o.Object.GetNamespace())
	switch {
	case match != nil && match.Revision == next-1:
		return match, false, nil
	case match != nil: // back to an old template
		out := match.DeepCopy()
		out.Revision = next
		if out, err = api.Update(ctx, out, metav1.UpdateOptions{}); err != nil {
			return nil, false, fmt.Errorf("renewing revision %s: %w", match.Name, err)
		}
		return out, false, nil
	}
	fresh := build(o, data, next)
	out, err := api.Create(ctx, fresh, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		taken, getErr := api.Get(ctx, fresh.Name, metav1.GetOptions{})
		if getErr != nil {
			return nil, false, fmt.Errorf("revision %s: %w", fresh.Name, getErr)
		}
		if metav1.IsControlledBy(taken, o.Object) && bytes.Equal(compact(taken.Data.Raw), data) {
			return taken, false, nil // made a moment ago
		}
		return nil, true, fmt.Errorf("revision %s: %w", fresh.Name, err)
	}
	if err != nil {
		return nil, false, fmt.Errorf("creating revision: %w", err)
	}
	return out, false, nil
}

func build(o Owner, data []byte, number int64) *appsv1.ControllerRevision {
	h := fnv.New32a()
	h.Write(data)
	if o.Collisions != nil {
		h.Write([]byte(strconv.Itoa(int(*o.Collisions))))
	}
	hash := rand.SafeEncodeString(fmt.Sprint(h.Sum32()))
	labels := maps.Clone(o.Template.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[o.HashLabel] = hash
	return &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Name: o.Object.GetName() + "-" + hash, Namespace: o.Object.GetNamespace(), Labels: labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(o.Object, o.Kind)},
		},
		Data: runtime.RawExtension{Raw: data}, Revision: number,
	}
}

// Prune deletes the oldest revisions beyond the limit that used does not name.
func Prune(ctx context.Context, kube kubernetes.Interface, o Owner, have []*appsv1.ControllerRevision, used func(*appsv1.ControllerRevision) bool) error {
	limit := 10
	if o.Limit != nil {
		limit = int(*o.Limit)
	}
	var idle []*appsv1.ControllerRevision
	for _, r := range have {
		if !used(r) {
			idle = append(idle, r)
		}
	}
	Sort(idle)
	for i := 0; i < len(idle)-limit; i++ {
		err := kube.AppsV1().ControllerRevisions(idle[i].Namespace).Delete(ctx, idle[i].Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("deleting revision %s: %w", idle[i].Name, err)
		}
	}
	return nil
}
