package apply

import (
	"reflect"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/apiserver/kind"
	"hyperkube/store"
)

const (
	fieldsType  = "FieldsV1"
	maxUpdaters = 10
	anonymous   = "unknown"
)

// fast does what record does, without the library. It answers false, having
// changed nothing, when the case is not one that it knows.
func (m *Manager) fast(k *kind.Kind, sub string, live, obj store.Object, manager string, now time.Time) bool {
	entries, known := presentEntries(sub, live, obj)
	if !known {
		return false
	}
	if len(entries) == 0 && live != nil && live.GetUID() != "" {
		obj.SetManagedFields(nil) // nobody tracks this object
		return true
	}
	version := k.GVK().GroupVersion().String()
	if !familiar(entries, version) {
		return false
	}
	p, base := m.plan(k, sub, live)
	w := walker{}
	added, removed := w.object(p, base, reflect.ValueOf(obj).Elem())
	if w.failed {
		return false
	}
	if manager == "" {
		manager = anonymous
	}
	self := metav1.ManagedFieldsEntry{Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: version, Subresource: sub}
	out, ok := reown(entries, self, added, removed, now)
	if !ok {
		return false
	}
	obj.SetManagedFields(out)
	return true
}

// presentEntries picks the record to go on from, as the library does: what the
// client sent with a write of the main resource, else what is live.
func presentEntries(sub string, live, obj store.Object) ([]metav1.ManagedFieldsEntry, bool) {
	var old []metav1.ManagedFieldsEntry
	if live != nil {
		old = live.GetManagedFields()
	}
	if sub != "" {
		return old, true
	}
	sent := obj.GetManagedFields()
	switch {
	case sent == nil:
		return old, true
	case len(sent) == 0, len(sent) == 1 && reflect.ValueOf(sent[0]).IsZero():
		return nil, true // reset
	}
	return sent, true
}

// familiar says whether all entries are of the kind this package writes.
func familiar(entries []metav1.ManagedFieldsEntry, version string) bool {
	for i := range entries {
		e := &entries[i]
		if e.FieldsType != fieldsType || e.APIVersion != version || e.FieldsV1 == nil || len(e.FieldsV1.Raw) < len(`{"f:x":{}}`) {
			return false
		}
		if e.Operation != metav1.ManagedFieldsOperationApply && e.Operation != metav1.ManagedFieldsOperationUpdate {
			return false
		}
		for j := range entries[:i] {
			if sameManager(e, &entries[j]) {
				return false
			}
		}
	}
	return true
}

func sameManager(a, b *metav1.ManagedFieldsEntry) bool {
	return a.Manager == b.Manager && a.Operation == b.Operation && a.Subresource == b.Subresource
}

// reown takes what was set from everybody else, what was removed from all, and
// gives what was set to self.
func reown(entries []metav1.ManagedFieldsEntry, self metav1.ManagedFieldsEntry, added, removed []set, now time.Time) ([]metav1.ManagedFieldsEntry, bool) {
	out := make([]metav1.ManagedFieldsEntry, 0, len(entries)+1)
	mine := -1
	for _, e := range entries {
		if len(added)+len(removed) == 0 {
			out = append(out, e)
			continue
		}
		owned, ok := parseSet(e.FieldsV1.Raw)
		if !ok {
			return nil, false
		}
		rest, changed := subtract(owned, removed)
		isSelf := sameManager(&e, &self)
		if isSelf {
			more, grown := union(rest, added)
			rest, changed = more, changed || grown
		} else {
			less, lost := subtract(rest, added)
			rest, changed = less, changed || lost
		}
		if len(rest) == 0 {
			continue
		}
		if changed {
			e.FieldsV1 = encodeSet(rest, len(e.FieldsV1.Raw))
		}
		if isSelf {
			mine = len(out)
		}
		out = append(out, e)
	}
	if len(added) > 0 {
		if mine < 0 {
			self.FieldsType, self.FieldsV1 = fieldsType, encodeSet(added, 256)
			mine, out = len(out), append(out, self)
		}
		out[mine].Time = &metav1.Time{Time: now.UTC().Truncate(time.Second)}
	}
	if updaters(out) > maxUpdaters {
		return nil, false
	}
	slices.SortFunc(out, compareEntries)
	if len(out) == 0 {
		out = nil
	}
	return out, true
}

func encodeSet(s []set, size int) *metav1.FieldsV1 {
	return &metav1.FieldsV1{Raw: appendSet(make([]byte, 0, size+64), s, false)}
}

func updaters(entries []metav1.ManagedFieldsEntry) int {
	n := 0
	for i := range entries {
		if entries[i].Operation == metav1.ManagedFieldsOperationUpdate {
			n++
		}
	}
	return n
}

// compareEntries is the order of managedFields on the wire.
func compareEntries(a, b metav1.ManagedFieldsEntry) int {
	if c := strings.Compare(string(a.Operation), string(b.Operation)); c != 0 {
		return c
	}
	if c := seconds64(a.Time) - seconds64(b.Time); c != 0 {
		return int(c)
	}
	if c := strings.Compare(a.Manager, b.Manager); c != 0 {
		return c
	}
	if c := strings.Compare(a.APIVersion, b.APIVersion); c != 0 {
		return c
	}
	return strings.Compare(a.Subresource, b.Subresource)
}

func seconds64(t *metav1.Time) int64 {
	if t == nil {
		return 0
	}
	return t.Unix()
}
