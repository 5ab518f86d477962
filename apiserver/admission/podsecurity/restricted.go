package podsecurity

import (
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// volumeTypes are those that hold nothing of the host, the network or a driver
// that the cluster's owner did not install.
func volumeTypes(p *pod) string {
	var names, types []string
	for i := range p.spec.Volumes {
		v := &p.spec.Volumes[i].VolumeSource
		if v.ConfigMap != nil || v.CSI != nil || v.DownwardAPI != nil || v.EmptyDir != nil || v.Ephemeral != nil ||
			v.PersistentVolumeClaim != nil || v.Projected != nil || v.Secret != nil || v.Image != nil {
			continue
		}
		names, types = append(names, p.spec.Volumes[i].Name), append(types, typeOf(v))
	}
	if len(names) == 0 {
		return ""
	}
	verb := " uses "
	if len(names) > 1 {
		verb = " use "
	}
	return plural("volume", names) + verb + plural("restricted volume type", set(types))
}

// typeOf is the name of the one source that is set.
func typeOf(v *corev1.VolumeSource) string {
	r := reflect.ValueOf(v).Elem()
	for i := range r.NumField() {
		if !r.Field(i).IsNil() {
			name, _, _ := strings.Cut(r.Type().Field(i).Tag.Get("json"), ",")
			return name
		}
	}
	return "unknown"
}

func privilegeEscalation(p *pod) string {
	if p.windows() {
		return ""
	}
	return p.mustNot("must set securityContext.allowPrivilegeEscalation=false", false, func(c *container) bool {
		return !isFalse(c.sc.AllowPrivilegeEscalation)
	})
}

func restrictedCapabilities(p *pod) string {
	if p.windows() {
		return addedCapabilities(p)
	}
	var details []string
	if keeps := p.where(func(c *container) bool {
		return c.sc.Capabilities == nil || !slices.Contains(c.sc.Capabilities.Drop, "ALL")
	}); len(keeps) > 0 {
		details = append(details, plural("container", keeps)+` must set securityContext.capabilities.drop=["ALL"]`)
	}
	if adds := p.addsBeyond([]corev1.Capability{"NET_BIND_SERVICE"}); adds != "" {
		details = append(details, adds)
	}
	return strings.Join(details, "; ")
}

// runAsNonRoot: nobody may say false, on neither level, also where the other one
// overrides it; and true must reach every container.
func runAsNonRoot(p *pod) string {
	if p.ownUsers() {
		return ""
	}
	if bad := p.mustNot("must not set securityContext.runAsNonRoot=false", isFalse(p.sc.RunAsNonRoot),
		func(c *container) bool { return isFalse(c.sc.RunAsNonRoot) }); bad != "" {
		return bad
	}
	silent := p.where(func(c *container) bool { return c.sc.RunAsNonRoot == nil })
	if len(silent) == 0 || isTrue(p.sc.RunAsNonRoot) {
		return ""
	}
	return "pod or " + plural("container", silent) + " must set securityContext.runAsNonRoot=true"
}

func runAsUser(p *pod) string {
	if p.ownUsers() {
		return ""
	}
	root := func(u *int64) bool { return u != nil && *u == 0 }
	return p.mustNot("must not set runAsUser=0", root(p.sc.RunAsUser), func(c *container) bool { return root(c.sc.RunAsUser) })
}

// seccompRequired: nobody may say anything else, and it must reach every container.
func seccompRequired(p *pod) string {
	if bad := seccompUnconfined(p); bad != "" || p.windows() {
		return bad
	}
	silent := p.where(func(c *container) bool { return c.sc.SeccompProfile == nil })
	if len(silent) == 0 || p.sc.SeccompProfile != nil {
		return ""
	}
	return "pod or " + plural("container", silent) + ` must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"`
}
