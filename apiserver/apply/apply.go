// Package apply is server-side apply: it keeps metadata.managedFields, the record
// of who owns which field, and merges applied configurations by it.
//
//	PUT, PATCH, POST ──▶ Record ──▶ fast path (walk.go, own.go): microseconds
//	                          └───▶ library, for whatever the fast path does not know
//	PATCH apply-patch ─▶ Apply ───▶ library (structured-merge-diff)
//
// The library (apimachinery's managedfields on structured-merge-diff) is the
// definition; the fast path is proven equal to it by a property test. The
// library's schema of all types costs a good part of a second and much memory
// to load, so it is loaded when it is first needed and not before.
//
// Ownership rules: a create or update owns what it changed; an apply owns what
// it names; the main resource never owns status, the status subresource never
// owns spec; at most ten updaters are kept, older ones merge into
// "ancient-changes"; `managedFields: [{}]` starts over.
//
// A Manager is safe for concurrent use.
package apply

import (
	"fmt"
	"reflect"
	"sync"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/yaml"

	"hyperkube/apiserver/kind"
	"hyperkube/apiserver/registry"
	"hyperkube/store"
)

// Manager keeps managed fields for a set of kinds.
type Manager struct {
	plans *registry.Derived[map[*kind.Kind]*compiled]
	types func() managedfields.TypeConverter
}

// target is a kind as it is written: by main resource or subresource, in one version.
type target struct {
	gvk schema.GroupVersionKind
	sub string
}

// New prepares a manager for the kinds of r, whose types scheme knows.
func New(r *registry.Registry, scheme *runtime.Scheme) *Manager {
	return &Manager{
		plans: registry.Derive(r, compileKinds),
		types: sync.OnceValue(func() managedfields.TypeConverter { return applyconfigurations.NewTypeConverter(scheme) }),
	}
}

// Apply merges the configuration in patch (JSON or YAML) into live on behalf of
// manager and returns a new object; live is nil when there is none yet and is
// never changed. Another manager's field with another value is a 409 with a
// cause for each, unless force takes it over.
func (m *Manager) Apply(k *kind.Kind, sub string, live store.Object, patch []byte, manager string, force bool) (store.Object, error) {
	config := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict(patch, &config.Object); err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding YAML: %v", err))
	}
	gvk := config.GroupVersionKind()
	if !serves(k, gvk) {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("invalid object type: %v", gvk))
	}
	fm, err := m.manager(k, gvk, sub)
	if err != nil {
		return nil, err
	}
	base := live
	if base == nil {
		base = k.New()
	}
	out, err := fm.Apply(withKind(base, k.GVK()), config, manager, force)
	if err != nil {
		if apierrors.ReasonForError(err) == metav1.StatusReasonUnknown {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		return nil, err
	}
	obj, err := plain(k, out)
	if err != nil {
		return nil, err
	}
	seconds(obj, time.Time{})
	keepTimes(live, obj)
	return obj, nil
}

// Record updates obj's managedFields for a write by manager that is not an
// apply. live is nil on create. It never fails: when the fields cannot be
// worked out, the live record is kept.
func (m *Manager) Record(k *kind.Kind, sub string, live, obj store.Object, manager string, now time.Time) {
	if !m.fast(k, sub, live, obj, manager, now) {
		m.record(k, sub, live, obj, manager, now)
	}
}

// plan gives the compiled form of what a write through sub may own, and the
// object it starts from.
func (m *Manager) plan(k *kind.Kind, sub string, live store.Object) (*plan, reflect.Value) {
	c := m.of(k)
	p := c.plans[resetField(k, sub)]
	if live == nil {
		return p, c.blank
	}
	return p, reflect.ValueOf(live).Elem()
}

// of is what was prepared for k.
func (m *Manager) of(k *kind.Kind) *compiled {
	plans, _ := m.plans.Get() // compiling cannot fail
	if c, ok := plans[k]; ok {
		return c
	}
	return newCompiler().kind(k) // removed meanwhile
}

// compiled is a kind's plans by the top-level field they leave out, its zero object
// and the library's managers for it, made when they are needed.
type compiled struct {
	plans map[string]*plan
	blank reflect.Value
	mu    sync.Mutex
	ready map[target]*managedfields.FieldManager
}

// compileKinds compiles the kinds that are new in the table.
func compileKinds(t *registry.Table, before map[*kind.Kind]*compiled) (map[*kind.Kind]*compiled, error) {
	c, out := newCompiler(), map[*kind.Kind]*compiled{}
	for _, k := range t.Kinds() {
		one, ok := before[k]
		if !ok {
			one = c.kind(k)
		}
		out[k] = one
	}
	return out, nil
}

func (c *compiler) kind(k *kind.Kind) *compiled {
	blank := reflect.ValueOf(k.New()).Elem()
	one := &compiled{plans: map[string]*plan{}, blank: blank, ready: map[target]*managedfields.FieldManager{}}
	for _, without := range []string{"", "spec", "status"} {
		one.plans[without] = c.root(blank.Type(), without)
	}
	return one
}

// record is the library's way.
func (m *Manager) record(k *kind.Kind, sub string, live, obj store.Object, manager string, now time.Time) {
	fm, err := m.manager(k, k.GVK(), sub)
	if err != nil {
		return
	}
	base := live
	if base == nil {
		base = k.New()
	}
	served := withKind(obj, k.GVK())
	out := fm.UpdateNoErrors(withKind(base, k.GVK()), served, manager)
	if o, ok := out.(store.Object); ok {
		obj.SetManagedFields(o.GetManagedFields())
	}
	seconds(obj, now)
}

// manager finds or builds the library's manager of a target.
func (m *Manager) manager(k *kind.Kind, gvk schema.GroupVersionKind, sub string) (*managedfields.FieldManager, error) {
	own := m.of(k)
	own.mu.Lock()
	defer own.mu.Unlock()
	at := target{gvk, sub}
	if fm, ok := own.ready[at]; ok {
		return fm, nil
	}
	c := converter{k}
	fm, err := managedfields.NewDefaultFieldManager(m.types(), c, c, c, gvk, k.GVK().GroupVersion(), sub, resetFields(k, sub))
	if err != nil {
		return nil, fmt.Errorf("preparing managed fields of %v: %w", gvk, err)
	}
	own.ready[at] = fm
	return fm, nil
}

// resetFields are what a write through sub cannot change and so cannot own.
func resetFields(k *kind.Kind, sub string) map[fieldpath.APIVersion]fieldpath.Filter {
	top := resetField(k, sub)
	if top == "" {
		return nil
	}
	except := fieldpath.NewExcludeSetFilter(fieldpath.NewSet(fieldpath.MakePathOrDie(top)))
	out := map[fieldpath.APIVersion]fieldpath.Filter{fieldpath.APIVersion(k.GVK().GroupVersion().String()): except}
	for _, v := range k.Versions {
		out[fieldpath.APIVersion(schema.GroupVersion{Group: v.Group, Version: v.Version}.String())] = except
	}
	return out
}

func resetField(k *kind.Kind, sub string) string {
	switch {
	case sub == "" && k.HasStatus:
		return "status"
	case sub == "status":
		return "spec"
	}
	return ""
}

func serves(k *kind.Kind, gvk schema.GroupVersionKind) bool {
	if gvk == k.GVK() {
		return true
	}
	for _, v := range k.Versions {
		if gvk == v.GVK() {
			return true
		}
	}
	return false
}

// keepTimes gives obj the live times when nothing but times differs, so that
// applying the same thing again writes nothing.
func keepTimes(live, obj store.Object) {
	if live == nil || !sameButTimes(live.GetManagedFields(), obj.GetManagedFields()) {
		return
	}
	entries := obj.GetManagedFields()
	obj.SetManagedFields(live.GetManagedFields())
	if !apiequality.Semantic.DeepEqual(live, obj) {
		obj.SetManagedFields(entries)
	}
}

func sameButTimes(a, b []metav1.ManagedFieldsEntry) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, y := a[i], b[i]
		x.Time, y.Time = nil, nil
		if !apiequality.Semantic.DeepEqual(x, y) {
			return false
		}
	}
	return true
}
