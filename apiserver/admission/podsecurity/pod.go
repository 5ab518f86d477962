package podsecurity

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/internal/bounds"
)

// pod is what checks see; all lists containers of every kind.
type pod struct {
	meta    *metav1.ObjectMeta
	spec    *corev1.PodSpec
	sc      corev1.PodSecurityContext
	all     []container
	version Version
}

type container struct {
	name      string
	sc        corev1.SecurityContext
	ports     []corev1.ContainerPort
	probes    []*corev1.Probe
	lifecycle *corev1.Lifecycle
}

func newPod(meta *metav1.ObjectMeta, spec *corev1.PodSpec, v Version) *pod {
	p := &pod{meta: meta, spec: spec, version: v}
	if spec.SecurityContext != nil {
		p.sc = *spec.SecurityContext
	}
	add := func(c *corev1.Container) {
		x := container{name: c.Name, ports: c.Ports, lifecycle: c.Lifecycle, probes: []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe}}
		if c.SecurityContext != nil {
			x.sc = *c.SecurityContext
		}
		p.all = append(p.all, x)
	}
	for i := range spec.InitContainers {
		add(&spec.InitContainers[i])
	}
	for i := range spec.Containers {
		add(&spec.Containers[i])
	}
	for i := range spec.EphemeralContainers {
		c := corev1.Container(spec.EphemeralContainers[i].EphemeralContainerCommon)
		add(&c)
	}
	return p
}

func (p *pod) windows() bool {
	return p.version >= 25 && p.spec.OS != nil && p.spec.OS.Name == corev1.Windows
}

// ownUsers: root in the pod is nobody on the host.
func (p *pod) ownUsers() bool {
	return p.version >= 35 && p.spec.HostUsers != nil && !*p.spec.HostUsers
}

// where names the containers for which bad holds.
func (p *pod) where(bad func(*container) bool) []string {
	var names []string
	for i := range p.all {
		if bad(&p.all[i]) {
			names = append(names, p.all[i].name)
		}
	}
	return names
}

// setters is `pod and containers "a", "b"`: who says the wrong thing, on both
// levels; "" when nobody does.
func (p *pod) setters(podBad bool, bad func(*container) bool) string {
	var who []string
	if podBad {
		who = append(who, "pod")
	}
	if names := p.where(bad); len(names) > 0 {
		who = append(who, plural("container", names))
	}
	return strings.Join(who, " and ")
}

// mustNot is `container "x" must not set field`, or "".
func (p *pod) mustNot(demand string, podBad bool, bad func(*container) bool) string {
	if who := p.setters(podBad, bad); who != "" {
		return who + " " + demand
	}
	return ""
}

func plural(word string, names []string) string {
	if len(names) > 1 {
		word += "s"
	}
	return word + " " + quoted(names)
}

func quoted(names []string) string {
	some := names[:min(len(names), bounds.Named)]
	q := make([]string, len(some))
	for i, n := range some {
		q[i] = strconv.Quote(n)
	}
	return listed(q, len(names)-len(some))
}

// listed joins what is told of a list, and counts what is not: a pod can have as
// many containers as its body has room for.
func listed(list []string, more int) string {
	if n := len(list) - bounds.Named; n > 0 {
		list, more = list[:bounds.Named], more+n
	}
	text := strings.Join(list, ", ")
	if more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// set sorts and drops what is there twice.
func set(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

func isTrue(b *bool) bool  { return b != nil && *b }
func isFalse(b *bool) bool { return b != nil && !*b }
