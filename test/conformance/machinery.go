package conformance

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/util/retry"
)

// machinery: what every kind gets from the API server.
func machinery() []behaviour {
	return []behaviour{
		{name: "watch-configmaps-with-multiple-watchers", run: watchSelected},
		{name: "watch-configmaps-from-resource-version", run: watchFrom},
		{name: "watch-configmaps-closed-and-restarted", run: watchRestarted},
		{name: "watch-configmaps-label-changed", run: watchLabelChanged},
		{name: "watch-consistency", run: watchConsistency},
		{name: "API Chunking, server should return chunks of results for list calls", run: chunks},
		{name: "API metadata HTTP return", run: tableRefused},
		{name: "Confirm a server version", run: serverVersion},
		{name: "Discovery, confirm the PreferredVersion for each api group", run: preferredVersions},
		{name: "Discovery, confirm the groupVerion and a resourcefrom each apiGroup", run: groupResources},
		{name: "Aggregated Discovery Interface", run: aggregatedDiscovery},
		{name: "Aggregated Discovery Endpoint Accept Headers", run: aggregatedHeaders},
		{name: "Server side field validation, typed object", run: unknownFields},
		{name: "Server side field validation, typed unknown metadata", run: unknownMetadata},
	}
}

func (f *fixture) configMap(name string, labels map[string]string) *corev1.ConfigMap {
	f.Helper()
	cm, err := f.kube.CoreV1().ConfigMaps(f.ns).Create(f.ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{})
	if err != nil {
		f.Fatalf("creating configmap %s: %v", name, err)
	}
	return cm
}

func (f *fixture) mutate(name string, i int) *corev1.ConfigMap {
	f.Helper()
	cm, err := f.kube.CoreV1().ConfigMaps(f.ns).Patch(f.ctx, name, types.MergePatchType, []byte(fmt.Sprintf(`{"data":{"mutation":"%d"}}`, i)), metav1.PatchOptions{})
	if err != nil {
		f.Fatalf("changing configmap %s: %v", name, err)
	}
	return cm
}

func (f *fixture) removeConfigMap(name string) {
	f.Helper()
	if err := f.kube.CoreV1().ConfigMaps(f.ns).Delete(f.ctx, name, metav1.DeleteOptions{}); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) watchConfigMaps(o metav1.ListOptions) watch.Interface {
	f.Helper()
	w, err := f.kube.CoreV1().ConfigMaps(f.ns).Watch(f.ctx, o)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(w.Stop)
	return w
}

// sees reads exactly one event, which must be this one.
func (f *fixture) sees(w watch.Interface, kind watch.EventType, name, mutation string) string {
	f.Helper()
	e := f.next(w, fmt.Sprintf("%s of %s", kind, name))
	cm, ok := e.Object.(*corev1.ConfigMap)
	f.expect(ok && e.Type == kind && cm.Name == name && cm.Data["mutation"] == mutation, "event %s of %v, want %s of %s at mutation %q", e.Type, e.Object, kind, name, mutation)
	return cm.ResourceVersion
}

func watchSelected(f *fixture) {
	a := f.watchConfigMaps(metav1.ListOptions{LabelSelector: "of=a"})
	b := f.watchConfigMaps(metav1.ListOptions{LabelSelector: "of=b"})
	both := f.watchConfigMaps(metav1.ListOptions{LabelSelector: "of in (a,b)"})
	for _, x := range []struct {
		name string
		own  watch.Interface
	}{{"a", a}, {"b", b}} {
		f.configMap(x.name, map[string]string{"of": x.name})
		f.configMap("other-"+x.name, map[string]string{"of": "other"})
		f.mutate(x.name, 1)
		f.mutate(x.name, 2)
		f.removeConfigMap(x.name)
		for _, w := range []watch.Interface{x.own, both} {
			f.sees(w, watch.Added, x.name, "")
			f.sees(w, watch.Modified, x.name, "1")
			f.sees(w, watch.Modified, x.name, "2")
			f.sees(w, watch.Deleted, x.name, "2")
		}
	}
}

func watchFrom(f *fixture) {
	f.configMap("one", map[string]string{"of": "a"})
	first := f.mutate("one", 1)
	f.mutate("one", 2)
	f.removeConfigMap("one")
	w := f.watchConfigMaps(metav1.ListOptions{LabelSelector: "of=a", ResourceVersion: first.ResourceVersion})
	f.sees(w, watch.Modified, "one", "2")
	f.sees(w, watch.Deleted, "one", "2")
}

func watchRestarted(f *fixture) {
	w := f.watchConfigMaps(metav1.ListOptions{LabelSelector: "of=a"})
	f.configMap("one", map[string]string{"of": "a"})
	f.mutate("one", 1)
	f.sees(w, watch.Added, "one", "")
	last := f.sees(w, watch.Modified, "one", "1")
	w.Stop()
	f.mutate("one", 2)
	w = f.watchConfigMaps(metav1.ListOptions{LabelSelector: "of=a", ResourceVersion: last})
	f.removeConfigMap("one")
	f.sees(w, watch.Modified, "one", "2")
	f.sees(w, watch.Deleted, "one", "2")
}

func watchLabelChanged(f *fixture) {
	w := f.watchConfigMaps(metav1.ListOptions{LabelSelector: "of=a"})
	relabel := func(to string) {
		check(retry.RetryOnConflict(retry.DefaultRetry, func() error {
			_, err := f.kube.CoreV1().ConfigMaps(f.ns).Patch(f.ctx, "one", types.MergePatchType, []byte(`{"metadata":{"labels":{"of":"`+to+`"}}}`), metav1.PatchOptions{})
			return err
		}))
	}
	f.configMap("one", map[string]string{"of": "a"})
	f.mutate("one", 1)
	relabel("b")
	f.sees(w, watch.Added, "one", "")
	f.sees(w, watch.Modified, "one", "1")
	f.sees(w, watch.Deleted, "one", "1")
	f.mutate("one", 2) // unseen
	relabel("a")
	f.mutate("one", 3)
	f.removeConfigMap("one")
	f.sees(w, watch.Added, "one", "2")
	f.sees(w, watch.Modified, "one", "3")
	f.sees(w, watch.Deleted, "one", "3")
}

// watchConsistency: watches begun at any event of a first one go on as it does.
func watchConsistency(f *fixture) {
	const writes = 60
	start := must(f.kube.CoreV1().ConfigMaps(f.ns).List(f.ctx, metav1.ListOptions{})).ResourceVersion
	first := f.watchConfigMaps(metav1.ListOptions{ResourceVersion: start})
	ctx, cancel := context.WithCancel(f.ctx)
	wrote := make(chan error, 1)
	go func() { wrote <- produce(ctx, f, writes) }()
	defer func() { cancel(); <-wrote }()
	var all []watch.Interface
	for range writes / 2 {
		want := revision(f, f.next(first, "the first watch"))
		for i, w := range all {
			f.expect(revision(f, f.next(w, fmt.Sprintf("watch %d", i))) == want, "watch %d sees another event than the first", i)
		}
		all = append(all, f.watchConfigMaps(metav1.ListOptions{ResourceVersion: want}))
	}
}

// produce creates, changes and deletes until it has written so often.
func produce(ctx context.Context, f *fixture, writes int) error {
	c := f.kube.CoreV1().ConfigMaps(f.ns)
	for i := range writes {
		name := fmt.Sprintf("written-%d", i/3)
		var err error
		switch i % 3 {
		case 0:
			_, err = c.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		case 1:
			_, err = c.Patch(ctx, name, types.MergePatchType, []byte(`{"data":{"k":"v"}}`), metav1.PatchOptions{})
		case 2:
			err = c.Delete(ctx, name, metav1.DeleteOptions{})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func revision(f *fixture, e watch.Event) string {
	cm, ok := e.Object.(*corev1.ConfigMap)
	f.expect(ok, "event %s of a %T", e.Type, e.Object)
	return cm.ResourceVersion
}

func chunks(f *fixture) {
	const total, limit = 100, 37
	c := f.kube.CoreV1().PodTemplates(f.ns)
	for i := range total {
		must(c.Create(f.ctx, newTemplate(fmt.Sprintf("template-%04d", i), nil), metav1.CreateOptions{}))
	}
	var names []string
	o, first := metav1.ListOptions{Limit: limit}, ""
	for {
		l := must(c.List(f.ctx, o))
		if first == "" {
			first = l.ResourceVersion
		}
		f.expect(len(l.Items) <= limit, "a chunk of %d, asked for %d", len(l.Items), limit)
		f.expect(l.ResourceVersion == first, "a chunk at version %s, the first was at %s", l.ResourceVersion, first)
		for _, t := range l.Items {
			names = append(names, t.Name)
		}
		if l.Continue == "" {
			f.expect(l.RemainingItemCount == nil, "the last chunk says that %d remain", l.RemainingItemCount)
			break
		}
		f.expect(l.RemainingItemCount != nil && int(*l.RemainingItemCount) == total-len(names), "remaining %v after %d of %d", l.RemainingItemCount, len(names), total)
		o.Continue = l.Continue
	}
	f.expect(len(names) == total && slices.IsSorted(names) && len(slices.Compact(names)) == total, "the chunks have %d names", len(names))
	f.expect(len(must(c.List(f.ctx, metav1.ListOptions{})).Items) == total, "the whole list is not whole")
}

func tableRefused(f *fixture) {
	err := f.kube.AuthorizationV1().RESTClient().Post().Resource("selfsubjectaccessreviews").
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").SetHeader("Content-Type", "application/json").
		Body([]byte(`{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","spec":{"resourceAttributes":{"namespace":"default","verb":"get","resource":"pods"}}}`)).
		Do(f.ctx).Error()
	f.fails(err, apierrors.IsNotAcceptable, "a review as a table")
	var s *apierrors.StatusError
	f.expect(asStatus(err, &s) && s.ErrStatus.Code == http.StatusNotAcceptable, "status %v, want 406", err)
}

func serverVersion(f *fixture) {
	v := must(f.kube.Discovery().ServerVersion())
	number := regexp.MustCompile(`^[0-9]+$`)
	f.expect(number.MatchString(v.Major), "major version %q", v.Major)
	f.expect(number.MatchString(strings.TrimSuffix(v.Minor, "+")), "minor version %q", v.Minor)
}

// unknownFields: strict validation refuses and names them, Warn warns, Ignore drops.
func unknownFields(f *fixture) {
	const body = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"%s"},"spec":{"unknownField":"foo","replicas":1,"replicas":2,"selector":{"matchLabels":{"app":"x"}},
"template":{"metadata":{"labels":{"app":"x"}},"spec":{"nodeSelector":{"hyperkube.test/none":"x"},"containers":[{"name":"main","image":"none.invalid/none"}]}}}}`
	post := func(name, validation string) error {
		return f.kube.AppsV1().RESTClient().Post().Namespace(f.ns).Resource("deployments").Param("fieldValidation", validation).
			SetHeader("Content-Type", "application/json").Body([]byte(fmt.Sprintf(body, name))).Do(f.ctx).Error()
	}
	err := post("strict", "Strict")
	f.fails(err, apierrors.IsBadRequest, "creating strictly")
	f.says(err.Error(), `unknown field "spec.unknownField"`, `duplicate field "spec.replicas"`)
	check(post("ignored", "Ignore"))
	check(post("warned", "Warn"))

	patch := []byte(fmt.Sprintf(body, "ignored"))
	err = f.kube.AppsV1().RESTClient().Patch(types.MergePatchType).Namespace(f.ns).Resource("deployments").Name("ignored").Param("fieldValidation", "Strict").Body(patch).Do(f.ctx).Error()
	f.fails(err, func(err error) bool { return apierrors.IsBadRequest(err) || apierrors.IsInvalid(err) }, "patching strictly")
	f.says(err.Error(), `unknown field "spec.unknownField"`)
	err = f.kube.AppsV1().RESTClient().Patch(types.ApplyPatchType).Namespace(f.ns).Resource("deployments").Name("applied").Param("fieldValidation", "Strict").Param("fieldManager", "conformance").
		Body([]byte(strings.Replace(fmt.Sprintf(body, "applied"), `"replicas":2,`, "", 1))).Do(f.ctx).Error()
	f.expect(err != nil, "applying strictly: succeeded")
	f.says(err.Error(), "unknownField")
	err = f.kube.AppsV1().RESTClient().Patch(types.ApplyPatchType).Namespace(f.ns).Resource("deployments").Name("applied").Param("fieldValidation", "Strict").Param("fieldManager", "conformance").
		Body([]byte(strings.Replace(fmt.Sprintf(body, "applied"), `"unknownField":"foo",`, "", 1))).Do(f.ctx).Error()
	f.expect(err != nil, "applying a duplicate strictly: succeeded")
	f.says(err.Error(), "replicas")
}

func unknownMetadata(f *fixture) {
	err := f.kube.AppsV1().RESTClient().Post().Namespace(f.ns).Resource("deployments").Param("fieldValidation", "Strict").SetHeader("Content-Type", "application/json").
		Body([]byte(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"m","unknownMeta":"foo"},"spec":{"selector":{"matchLabels":{"app":"x"}},
"template":{"metadata":{"labels":{"app":"x"},"unknownSub":"foo"},"spec":{"containers":[{"name":"main","image":"none.invalid/none"}]}}}}`)).Do(f.ctx).Error()
	f.fails(err, apierrors.IsBadRequest, "creating strictly")
	f.says(err.Error(), `unknown field "metadata.unknownMeta"`, `unknown field "spec.template.metadata.unknownSub"`)
}
