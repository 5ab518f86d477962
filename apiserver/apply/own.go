package apply

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

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
	entries, trusted := presentEntries(sub, live, obj)
	if len(entries) == 0 && live != nil && live.GetUID() != "" {
		obj.SetManagedFields(nil) // nobody tracks this object
		return true
	}
	version := k.GVK().GroupVersion().String()
	if !familiar(entries, version) || !trusted && !readable(entries) {
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
	c := change{self: self, added: added, removed: removed, trusted: trusted}
	out, ok := c.reown(entries, now)
	if !ok {
		return false
	}
	obj.SetManagedFields(out)
	return true
}

// presentEntries picks the record to go on from, as the library does: what the
// client sent with a write of the main resource, else what is live. What is
// live, or the same as that, is trusted to be well-formed.
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
	return sent, slices.EqualFunc(sent, old, func(a, b metav1.ManagedFieldsEntry) bool {
		return a.FieldsV1 != nil && b.FieldsV1 != nil && bytes.Equal(a.FieldsV1.Raw, b.FieldsV1.Raw)
	})
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

// readable says whether the library can read what a client sent as its entries. It goes on
// from the live record where it cannot; what it cannot read must never be stored, or nobody
// could apply to the object any more.
func readable(entries []metav1.ManagedFieldsEntry) bool {
	for i := range entries {
		if (&fieldpath.Set{}).FromJSON(bytes.NewReader(entries[i].FieldsV1.Raw)) != nil {
			return false
		}
	}
	return true
}

func sameManager(a, b *metav1.ManagedFieldsEntry) bool {
	return a.Manager == b.Manager && a.Operation == b.Operation && a.Subresource == b.Subresource
}

// change is a write: what it set and removed, and on whose behalf.
type change struct {
	self           metav1.ManagedFieldsEntry
	added, removed []set
	trusted        bool // the entries' texts need no validation
}

// reown takes what was set from everybody else, what was removed from all, and
// gives what was set to self.
func (c *change) reown(entries []metav1.ManagedFieldsEntry, now time.Time) ([]metav1.ManagedFieldsEntry, bool) {
	out := make([]metav1.ManagedFieldsEntry, 0, len(entries)+1)
	mine := -1
	for _, e := range entries {
		isSelf := sameManager(&e, &c.self)
		if !c.trusted || c.concerns(&e, isSelf) {
			rest, changed, ok := c.applied(&e, isSelf)
			if !ok {
				return nil, false
			}
			if len(rest) == 0 {
				continue
			}
			if changed {
				e.FieldsV1 = encodeSet(rest, len(e.FieldsV1.Raw))
			}
		}
		if isSelf {
			mine = len(out)
		}
		out = append(out, e)
	}
	if len(c.added) > 0 {
		if mine < 0 {
			c.self.FieldsType, c.self.FieldsV1 = fieldsType, encodeSet(c.added, 256)
			mine, out = len(out), append(out, c.self)
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

// concerns looks at an entry's text without taking it apart: most writes touch
// nothing of most entries, and set what their own entry has already.
func (c *change) concerns(e *metav1.ManagedFieldsEntry, isSelf bool) bool {
	if found, ok := search(e.FieldsV1.Raw, c.removed); !ok || found > 0 {
		return true
	}
	found, ok := search(e.FieldsV1.Raw, c.added)
	if isSelf {
		return !ok || found != members(c.added)
	}
	return !ok || found > 0
}

// applied is what an entry owns after the change.
func (c *change) applied(e *metav1.ManagedFieldsEntry, isSelf bool) (rest []set, changed, ok bool) {
	owned, ok := parseSet(e.FieldsV1.Raw)
	if !ok {
		return nil, false, false
	}
	rest, changed = subtract(owned, c.removed)
	more := false
	if isSelf {
		rest, more = union(rest, c.added)
	} else {
		rest, more = subtract(rest, c.added)
	}
	return rest, changed || more, true
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
