package conformance

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func asStatus(err error, into **apierrors.StatusError) bool { return errors.As(err, into) }

func preferredVersions(f *fixture) {
	groups := must(f.kube.Discovery().ServerGroups())
	f.expect(len(groups.Groups) > 10, "only %d groups", len(groups.Groups))
	for _, g := range groups.Groups {
		if strings.HasSuffix(g.Name, ".example.com") || g.Name == "" {
			continue
		}
		var one metav1.APIGroup
		check(f.kube.Discovery().RESTClient().Get().AbsPath("/apis/" + g.Name).Do(f.ctx).Into(&one))
		f.expect(slices.Contains(one.Versions, one.PreferredVersion), "group %s prefers %v, which it does not have", g.Name, one.PreferredVersion)
	}
}

func groupResources(f *fixture) {
	for _, g := range must(f.kube.Discovery().ServerGroups()).Groups {
		if strings.HasSuffix(g.Name, ".example.com") {
			continue
		}
		for _, v := range g.Versions {
			l := must(f.kube.Discovery().ServerResourcesForGroupVersion(v.GroupVersion))
			f.expect(l.GroupVersion == v.GroupVersion, "resources of %s say they are of %s", v.GroupVersion, l.GroupVersion)
			f.expect(len(l.APIResources) > 0 && l.APIResources[0].Name != "" && l.APIResources[0].Kind != "", "no resource in %s", v.GroupVersion)
		}
	}
}

// builtIn are resources that every server has.
var builtIn = map[string][]string{
	"": {"pods", "nodes", "services", "configmaps", "secrets", "namespaces"}, "apps": {"deployments", "replicasets", "daemonsets", "statefulsets", "controllerrevisions"},
	"batch": {"jobs", "cronjobs"}, "rbac.authorization.k8s.io": {"roles", "clusterroles", "rolebindings", "clusterrolebindings"},
	"networking.k8s.io": {"ingresses", "networkpolicies", "ingressclasses"}, "discovery.k8s.io": {"endpointslices"}, "storage.k8s.io": {"storageclasses", "csidrivers"},
}

func aggregatedDiscovery(f *fixture) {
	groups, lists, err := f.kube.Discovery().ServerGroupsAndResources()
	check(err)
	f.expect(len(groups) > 10, "only %d groups", len(groups))
	for group, names := range builtIn {
		var have []string
		for _, l := range lists {
			if l.GroupVersion == strings.TrimPrefix(group+"/v1", "/") {
				for _, r := range l.APIResources {
					have = append(have, r.Name)
				}
			}
		}
		for _, n := range names {
			f.expect(slices.Contains(have, n), "group %q lacks %s: %v", group, n, have)
		}
	}
}

func aggregatedHeaders(f *fixture) {
	const media = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
	for _, path := range []string{"/api", "/apis"} {
		raw := must(f.kube.Discovery().RESTClient().Get().AbsPath(path).SetHeader("Accept", media).DoRaw(f.ctx))
		var list apidiscoveryv2.APIGroupDiscoveryList
		check(json.Unmarshal(raw, &list))
		f.expect(list.Kind == "APIGroupDiscoveryList" && len(list.Items) > 0, "%s answers %s with %d groups", path, list.Kind, len(list.Items))
		for group, names := range builtIn {
			if (group == "") != (path == "/api") {
				continue
			}
			i := slices.IndexFunc(list.Items, func(g apidiscoveryv2.APIGroupDiscovery) bool { return g.Name == group })
			f.expect(i >= 0, "%s lacks group %q", path, group)
			for _, n := range names {
				has := slices.ContainsFunc(list.Items[i].Versions[0].Resources, func(r apidiscoveryv2.APIResourceDiscovery) bool { return r.Resource == n })
				f.expect(has, "group %q lacks %s", group, n)
			}
		}
	}
}
