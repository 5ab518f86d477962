package noderestriction

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"hyperkube/apiserver/admission"
)

// restrictionPrefix is the administrator's own: labels by which pods are kept to
// trusted nodes must not be set by those nodes.
const restrictionPrefix = "node-restriction.kubernetes.io"

// createNode: a kubelet registers its own node, with labels that are a kubelet's.
func (Plugin) createNode(_ context.Context, a *admission.Attributes, name string) error {
	node, err := own(a, name)
	if err != nil {
		return err
	}
	if node.Spec.ConfigSource != nil {
		return admission.Forbid(a, "node %q is not allowed to create pods with a non-nil configSource", name)
	}
	if len(node.OwnerReferences) > 0 {
		return admission.Forbid(a, "node %q is not allowed to set ownerReferences", name)
	}
	if bad := forbiddenLabels(changed(node.Labels, nil)); len(bad) > 0 {
		return admission.Forbid(a, "node %q is not allowed to set the following labels: %s", name, strings.Join(bad, ", "))
	}
	return nil
}

// updateNode: a kubelet writes its own node, never its taints or owners after
// creation, and only labels that are a kubelet's.
func (Plugin) updateNode(_ context.Context, a *admission.Attributes, name string) error {
	node, err := own(a, name)
	if err != nil {
		return err
	}
	old, ok := a.Old.(*corev1.Node)
	switch {
	case !ok:
		return admission.Forbid(a, "node %q cannot be compared with what it was", name)
	case !equality.Semantic.DeepEqual(node.Spec.Taints, old.Spec.Taints):
		return admission.Forbid(a, "node %q is not allowed to modify taints", name)
	case !equality.Semantic.DeepEqual(node.OwnerReferences, old.OwnerReferences):
		return admission.Forbid(a, "node %q is not allowed to modify ownerReferences", name)
	case node.Spec.ConfigSource != nil && !equality.Semantic.DeepEqual(node.Spec.ConfigSource, old.Spec.ConfigSource):
		return admission.Forbid(a, "node %q is not allowed to update configSource to a new non-nil configSource", name)
	}
	if bad := forbiddenLabels(changed(node.Labels, old.Labels)); len(bad) > 0 {
		return admission.Forbid(a, "node %q is not allowed to modify labels: %s", name, strings.Join(bad, ", "))
	}
	return nil
}

func own(a *admission.Attributes, name string) (*corev1.Node, error) {
	node, ok := a.Object.(*corev1.Node)
	if !ok || a.Name() != name {
		return nil, admission.Forbid(a, "node %q is not allowed to modify node %q", name, a.Name())
	}
	return node, nil
}

// changed lists the keys added, removed or given another value, sorted.
func changed(now, was map[string]string) []string {
	var out []string
	for k, v := range now {
		if w, ok := was[k]; !ok || w != v {
			out = append(out, k)
		}
	}
	for k := range was {
		if _, ok := now[k]; !ok {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

func forbiddenLabels(keys []string) []string {
	return slices.DeleteFunc(keys, func(k string) bool { return !forbiddenLabel(k) })
}

func forbiddenLabel(key string) bool {
	domain, _, ok := strings.Cut(key, "/")
	if !ok {
		return false
	}
	if within(domain, restrictionPrefix) {
		return true
	}
	if !within(domain, "kubernetes.io") && !within(domain, "k8s.io") {
		return false
	}
	return !within(domain, "kubelet.kubernetes.io") && !within(domain, "node.kubernetes.io") && !slices.Contains(kubeletLabels[:], key)
}

func within(domain, zone string) bool { return domain == zone || strings.HasSuffix(domain, "."+zone) }

// kubeletLabels are those of the reserved domains that kubelets set.
var kubeletLabels = [...]string{
	corev1.LabelHostname, corev1.LabelTopologyZone, corev1.LabelTopologyRegion,
	corev1.LabelFailureDomainBetaZone, corev1.LabelFailureDomainBetaRegion,
	corev1.LabelInstanceType, corev1.LabelInstanceTypeStable,
	corev1.LabelOSStable, corev1.LabelArchStable, "beta.kubernetes.io/os", "beta.kubernetes.io/arch",
}
