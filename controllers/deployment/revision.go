package deployment

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/rand"
)

// Annotations by which a deployment and its replica sets tell each other of revisions and sizes.
const (
	revisionAnnotation = "deployment.kubernetes.io/revision"
	historyAnnotation  = "deployment.kubernetes.io/revision-history"
	desiredAnnotation  = "deployment.kubernetes.io/desired-replicas"
	maxAnnotation      = "deployment.kubernetes.io/max-replicas"
	rollbackAnnotation = "deprecated.deployment.rollback.to"
)

// historyLength bounds the history annotation in bytes.
const historyLength = 2000

// notCopied are the annotations of a deployment that its replica sets do not inherit.
var notCopied = []string{
	corev1.LastAppliedConfigAnnotation, revisionAnnotation, historyAnnotation,
	desiredAnnotation, maxAnnotation, rollbackAnnotation,
}

// templateHash is the value of the pod-template-hash label: short, safe in names, the
// same for the same template and collision count. Replica sets are recognised by their
// template, never by this.
func templateHash(t *corev1.PodTemplateSpec, collisions *int32) (string, error) {
	b, err := t.Marshal() // maps in sorted order
	if err != nil {
		return "", fmt.Errorf("hashing the pod template: %w", err)
	}
	h := fnv.New32a()
	h.Write(b)
	if collisions != nil {
		fmt.Fprintf(h, "/%d", *collisions)
	}
	return rand.SafeEncodeString(fmt.Sprint(h.Sum32())), nil
}

// sameTemplate compares templates but for the hash label.
func sameTemplate(a, b *corev1.PodTemplateSpec) bool {
	return apiequality.Semantic.DeepEqual(withoutHash(a), withoutHash(b))
}

func withoutHash(t *corev1.PodTemplateSpec) *corev1.PodTemplateSpec {
	out := *t // shallow: only the label map is replaced
	if _, ok := t.Labels[appsv1.DefaultDeploymentUniqueLabelKey]; ok {
		out.Labels = maps.Clone(t.Labels)
		delete(out.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	}
	return &out
}

// revisionOf is the revision annotation as a number, 0 when there is none.
func revisionOf(annotations map[string]string) int64 {
	n, err := strconv.ParseInt(annotations[revisionAnnotation], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// maxRevision is the highest revision among sets.
func maxRevision(sets []*appsv1.ReplicaSet) int64 {
	var top int64
	for _, s := range sets {
		top = max(top, revisionOf(s.Annotations))
	}
	return top
}

// inherit gives a replica set the annotations of its deployment and at least the revision; it
// reports whether anything changed. A revision that is passed over goes into the history.
func inherit(d *appsv1.Deployment, set *appsv1.ReplicaSet, revision int64, exists bool) bool {
	changed := false
	if set.Annotations == nil {
		set.Annotations = map[string]string{}
	}
	for k, v := range d.Annotations {
		if slices.Contains(notCopied, k) {
			continue
		}
		if have, ok := set.Annotations[k]; !ok || have != v {
			set.Annotations[k] = v
			changed = true
		}
	}
	if old := revisionOf(set.Annotations); old < revision {
		if prior := set.Annotations[revisionAnnotation]; prior != "" && exists {
			set.Annotations[historyAnnotation] = pushHistory(set.Annotations[historyAnnotation], prior)
		}
		set.Annotations[revisionAnnotation] = strconv.FormatInt(revision, 10)
		changed = true
	}
	if !exists && setSizes(set, replicasOf(d), most(d)) {
		changed = true
	}
	return changed
}

// pushHistory appends a revision, dropping the oldest ones when the text grows too long.
func pushHistory(history, revision string) string {
	if history == "" {
		return revision
	}
	parts := append(strings.Split(history, ","), revision)
	for len(parts) > 1 && len(strings.Join(parts, ",")) > historyLength {
		parts = parts[1:]
	}
	return strings.Join(parts, ",")
}

// setSizes notes what the deployment wanted when it last sized the set.
func setSizes(set *appsv1.ReplicaSet, desired, most int32) bool {
	d, m := strconv.Itoa(int(desired)), strconv.Itoa(int(most))
	if set.Annotations[desiredAnnotation] == d && set.Annotations[maxAnnotation] == m {
		return false
	}
	if set.Annotations == nil {
		set.Annotations = map[string]string{}
	}
	set.Annotations[desiredAnnotation], set.Annotations[maxAnnotation] = d, m
	return true
}

// size reads one of the two size annotations.
func size(set *appsv1.ReplicaSet, annotation string) (int32, bool) {
	n, err := strconv.ParseInt(set.Annotations[annotation], 10, 32)
	return int32(n), err == nil
}
