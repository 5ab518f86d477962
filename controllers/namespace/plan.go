package namespace

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"hyperkube/controllers/podctl"
)

// longestWait bounds how long what a grace period says is believed: a pod's is any number.
const longestWait = 10 * time.Minute

// outcome is what one pass over the content of a namespace found.
type outcome struct {
	discovery  error          // some groups could not be asked
	parse      error          // some group versions made no sense
	failed     []error        // deletions that failed
	remaining  map[string]int // by resource: objects still there
	finalizers map[string]int // by finalizer: objects that wait for it
	wait       time.Duration  // the longest grace period seen
}

func newOutcome() *outcome {
	return &outcome{remaining: map[string]int{}, finalizers: map[string]int{}}
}

// done reports whether nothing is left and nothing is unknown.
func (o *outcome) done() bool {
	return o.discovery == nil && o.parse == nil && len(o.failed) == 0 && len(o.remaining) == 0
}

// count notes objects that a deletion left behind.
func (o *outcome) count(gvr schema.GroupVersionResource, items []metav1.PartialObjectMetadata) {
	if len(items) == 0 {
		return
	}
	o.remaining[gvr.GroupResource().String()] += len(items)
	for i := range items {
		for _, f := range items[i].Finalizers {
			o.finalizers[f]++
		}
		if g := items[i].DeletionGracePeriodSeconds; g != nil {
			o.wait = max(o.wait, min(podctl.Seconds(*g), longestWait))
		}
	}
}

// conditions are the five that tell users why a namespace is not gone yet.
func (o *outcome) conditions(now time.Time) []corev1.NamespaceCondition {
	out := []corev1.NamespaceCondition{
		state(corev1.NamespaceDeletionDiscoveryFailure, o.discovery != nil, "DiscoveryFailed", text(o.discovery),
			"ResourcesDiscovered", "All resources successfully discovered"),
		state(corev1.NamespaceDeletionGVParsingFailure, o.parse != nil, "GroupVersionParsingFailed", text(o.parse),
			"ParsedGroupVersions", "All legacy kube types successfully parsed"),
		state(corev1.NamespaceDeletionContentFailure, len(o.failed) > 0, "ContentDeletionFailed", failures(o.failed),
			"ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
		state(corev1.NamespaceContentRemaining, len(o.remaining) > 0, "SomeResourcesRemain",
			"Some resources are remaining: "+counts(o.remaining, "%s has %d resource instances"),
			"ContentRemoved", "All content successfully removed"),
		state(corev1.NamespaceFinalizersRemaining, len(o.finalizers) > 0, "SomeFinalizersRemain",
			"Some content in the namespace has finalizers remaining: "+counts(o.finalizers, "%s in %d resource instances"),
			"ContentHasNoFinalizers", "All content-preserving finalizers finished"),
	}
	for i := range out {
		out[i].LastTransitionTime = metav1.NewTime(now)
	}
	return out
}

func state(t corev1.NamespaceConditionType, bad bool, badReason, badText, reason, message string) corev1.NamespaceCondition {
	if bad {
		return corev1.NamespaceCondition{Type: t, Status: corev1.ConditionTrue, Reason: badReason, Message: badText}
	}
	return corev1.NamespaceCondition{Type: t, Status: corev1.ConditionFalse, Reason: reason, Message: message}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func failures(errs []error) string {
	texts := make([]string, len(errs))
	for i, e := range errs {
		texts[i] = e.Error()
	}
	slices.Sort(texts)
	return fmt.Sprintf("Failed to delete all resource types, %d remaining: %s", len(errs), strings.Join(texts, ", "))
}

func counts(m map[string]int, format string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf(format, k, m[k]))
	}
	return strings.Join(parts, ", ")
}

// mergeConditions replaces what changed and keeps the times of what did not; changed says
// whether anything did.
func mergeConditions(have, want []corev1.NamespaceCondition) (out []corev1.NamespaceCondition, changed bool) {
	out = slices.Clone(have)
	for _, w := range want {
		i := slices.IndexFunc(out, func(c corev1.NamespaceCondition) bool { return c.Type == w.Type })
		switch {
		case i < 0:
			out, changed = append(out, w), true
		case out[i].Status != w.Status || out[i].Reason != w.Reason || out[i].Message != w.Message:
			if out[i].Status == w.Status {
				w.LastTransitionTime = out[i].LastTransitionTime
			}
			out[i], changed = w, true
		}
	}
	return out, changed
}
