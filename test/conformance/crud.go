package conformance

import (
	"context"
	"fmt"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"
)

// operations is what an API kind must support, shown with one object of it.
type operations struct {
	resource   schema.GroupVersionResource
	namespaced bool
	manifest   string // without name and namespace
	name       func(f *fixture, i int) string
	// change is a merge patch of the body and path names what it changes.
	status string // a merge patch of the status, empty for none
	// statusField is the path that the status patch sets.
	statusField []string
	// subresources must be in discovery besides the kind itself.
	subresources []string
}

// support returns a behaviour that takes a kind through all verbs: discovery,
// create, get, list, watch, patch, update, status, delete and deletecollection.
func support(o operations) func(*fixture) {
	return func(f *fixture) {
		o.discovered(f)
		c := o.client(f)
		w := must(c.Watch(f.ctx, metav1.ListOptions{LabelSelector: "test=" + f.id}))
		defer w.Stop()
		first := o.create(f, c, 1)
		f.await(w, watch.Added, first.GetName())
		o.read(f, c, first)
		o.patch(f, c, w, first)
		o.replace(f, c, w, first)
		o.patchStatus(f, c, first)
		check(c.Delete(f.ctx, first.GetName(), metav1.DeleteOptions{}))
		f.await(w, watch.Deleted, first.GetName())
		f.eventually("the deleted object is gone", func() error {
			_, err := c.Get(f.ctx, first.GetName(), metav1.GetOptions{})
			return gone(err)
		})
		o.deleteAll(f, c)
	}
}

func (o operations) client(f *fixture) dynamic.ResourceInterface {
	if o.namespaced {
		return f.dynamic.Resource(o.resource).Namespace(f.ns)
	}
	return f.dynamic.Resource(o.resource)
}

// discovered checks group, version and resource in the discovery documents.
func (o operations) discovered(f *fixture) {
	gv := o.resource.GroupVersion()
	if gv.Group != "" {
		groups := must(f.kube.Discovery().ServerGroups())
		i := slices.IndexFunc(groups.Groups, func(g metav1.APIGroup) bool { return g.Name == gv.Group })
		f.expect(i >= 0, "group %s is not in /apis", gv.Group)
		has := slices.ContainsFunc(groups.Groups[i].Versions, func(v metav1.GroupVersionForDiscovery) bool { return v.GroupVersion == gv.String() })
		f.expect(has, "%s is not in /apis/%s", gv, gv.Group)
	}
	list := must(f.kube.Discovery().ServerResourcesForGroupVersion(gv.String()))
	for _, name := range append([]string{o.resource.Resource}, o.subresources...) {
		has := slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == name })
		f.expect(has, "%s is not among the resources of %s", name, gv)
	}
}

func (o operations) create(f *fixture, c dynamic.ResourceInterface, i int) *unstructured.Unstructured {
	f.Helper()
	obj := &unstructured.Unstructured{}
	check(yaml.Unmarshal([]byte(o.manifest), &obj.Object))
	obj.SetName(fmt.Sprintf("%s-%d", f.id, i))
	if o.name != nil {
		obj.SetName(o.name(f, i))
	}
	obj.SetLabels(map[string]string{"test": f.id, "number": fmt.Sprint(i)})
	made, err := c.Create(f.ctx, obj, metav1.CreateOptions{})
	if err != nil {
		f.Fatalf("creating: %v", err)
	}
	return made
}

func (o operations) read(f *fixture, c dynamic.ResourceInterface, want *unstructured.Unstructured) {
	got := must(c.Get(f.ctx, want.GetName(), metav1.GetOptions{}))
	f.expect(got.GetUID() == want.GetUID() && got.GetUID() != "", "get returns uid %q, want %q", got.GetUID(), want.GetUID())
	list := must(c.List(f.ctx, metav1.ListOptions{LabelSelector: "test=" + f.id}))
	f.expect(len(list.Items) == 1, "list finds %d objects, want 1", len(list.Items))
	if o.namespaced {
		all := must(f.dynamic.Resource(o.resource).List(f.ctx, metav1.ListOptions{LabelSelector: "test=" + f.id}))
		f.expect(len(all.Items) == 1, "list of all namespaces finds %d objects, want 1", len(all.Items))
	}
}

func (o operations) patch(f *fixture, c dynamic.ResourceInterface, w watch.Interface, obj *unstructured.Unstructured) {
	got := must(c.Patch(f.ctx, obj.GetName(), types.MergePatchType, []byte(`{"metadata":{"annotations":{"patched":"true"}}}`), metav1.PatchOptions{}))
	f.expect(got.GetAnnotations()["patched"] == "true", "the patched annotation is missing: %v", got.GetAnnotations())
	f.expect(got.GetUID() == obj.GetUID(), "the patch made another object")
	f.await(w, watch.Modified, obj.GetName())
}

func (o operations) replace(f *fixture, c dynamic.ResourceInterface, w watch.Interface, obj *unstructured.Unstructured) {
	f.eventually("the update", func() error {
		live, err := c.Get(f.ctx, obj.GetName(), metav1.GetOptions{})
		if err != nil {
			return err
		}
		a := maps.Clone(live.GetAnnotations())
		a["updated"] = "true"
		live.SetAnnotations(a)
		got, err := c.Update(f.ctx, live, metav1.UpdateOptions{})
		if err != nil {
			return err
		}
		return errUnless(got.GetAnnotations()["updated"] == "true" && got.GetAnnotations()["patched"] == "true", "annotations %v", got.GetAnnotations())
	})
	f.await(w, watch.Modified, obj.GetName())
}

// patchStatus writes the status by patch and by update, and reads it back.
func (o operations) patchStatus(f *fixture, c dynamic.ResourceInterface, obj *unstructured.Unstructured) {
	if o.status == "" {
		return
	}
	has := func(u *unstructured.Unstructured, how string) {
		f.Helper()
		_, ok, err := unstructured.NestedFieldNoCopy(u.Object, o.statusField...)
		f.expect(ok && err == nil, "%s: no %v in the status", how, o.statusField)
	}
	patch := must(yaml.YAMLToJSON([]byte(o.status)))
	has(must(c.Patch(f.ctx, obj.GetName(), types.MergePatchType, patch, metav1.PatchOptions{}, "status")), "patch")
	has(must(c.Get(f.ctx, obj.GetName(), metav1.GetOptions{}, "status")), "get")
	f.eventually("the update of the status", func() error {
		live, err := c.Get(f.ctx, obj.GetName(), metav1.GetOptions{})
		if err != nil {
			return err
		}
		got, err := c.UpdateStatus(f.ctx, live, metav1.UpdateOptions{})
		if err == nil {
			has(got, "update")
		}
		return err
	})
}

func (o operations) deleteAll(f *fixture, c dynamic.ResourceInterface) {
	for i := 2; i <= 3; i++ {
		o.create(f, c, i)
	}
	sel := metav1.ListOptions{LabelSelector: "test=" + f.id}
	f.later(func(ctx context.Context) error { return c.DeleteCollection(ctx, metav1.DeleteOptions{}, sel) })
	// One by its number, then the rest.
	check(c.DeleteCollection(f.ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: sel.LabelSelector + ",number=2"}))
	count := func(want int) {
		f.eventually(fmt.Sprintf("%d objects after deletecollection", want), func() error {
			list, err := c.List(f.ctx, sel)
			if err != nil {
				return err
			}
			return errUnless(len(list.Items) == want, "%d objects", len(list.Items))
		})
	}
	count(1)
	check(c.DeleteCollection(f.ctx, metav1.DeleteOptions{}, sel))
	count(0)
}
