package core

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
)

func defaultContainer(c *corev1.Container) {
	if c.ImagePullPolicy == "" {
		c.ImagePullPolicy = pullPolicyFor(c.Image)
	}
	setDefault(&c.TerminationMessagePath, corev1.TerminationMessagePathDefault)
	setDefault(&c.TerminationMessagePolicy, corev1.TerminationMessageReadFile)
	for i := range c.Ports {
		setDefault(&c.Ports[i].Protocol, corev1.ProtocolTCP)
	}
	for i := range c.Env {
		if f := c.Env[i].ValueFrom; f != nil {
			if f.FieldRef != nil {
				setDefault(&f.FieldRef.APIVersion, "v1")
			}
			if f.FileKeyRef != nil && f.FileKeyRef.Optional == nil {
				f.FileKeyRef.Optional = ptr.To(false)
			}
		}
	}
	integralQuantities(c.Resources.Limits)
	integralQuantities(c.Resources.Requests)
	defaultProbe(c.LivenessProbe)
	defaultProbe(c.ReadinessProbe)
	defaultProbe(c.StartupProbe)
	if l := c.Lifecycle; l != nil {
		defaultHTTPGet(handlerHTTP(l.PostStart))
		defaultHTTPGet(handlerHTTP(l.PreStop))
	}
}

// pullPolicyFor is Always for images whose name does not pin a version.
func pullPolicyFor(image string) corev1.PullPolicy {
	if strings.Contains(image, "@") {
		return corev1.PullIfNotPresent
	}
	last := image[strings.LastIndexByte(image, '/')+1:]
	if _, tag, found := strings.Cut(last, ":"); !found || tag == "latest" {
		return corev1.PullAlways
	}
	return corev1.PullIfNotPresent
}

func defaultProbe(p *corev1.Probe) {
	if p == nil {
		return
	}
	setPositive(&p.TimeoutSeconds, 1)
	setPositive(&p.PeriodSeconds, 10)
	setPositive(&p.SuccessThreshold, 1)
	setPositive(&p.FailureThreshold, 3)
	defaultHTTPGet(p.HTTPGet)
	if p.GRPC != nil && p.GRPC.Service == nil {
		p.GRPC.Service = ptr.To("")
	}
}

func handlerHTTP(h *corev1.LifecycleHandler) *corev1.HTTPGetAction {
	if h == nil {
		return nil
	}
	return h.HTTPGet
}

func defaultHTTPGet(a *corev1.HTTPGetAction) {
	if a == nil {
		return
	}
	setDefault(&a.Path, "/")
	setDefault(&a.Scheme, corev1.URISchemeHTTP)
}

func setPositive(v *int32, d int32) {
	if *v == 0 {
		*v = d
	}
}

// requestsFromLimits asks for what is limited where nothing was asked for.
func requestsFromLimits(r *corev1.ResourceRequirements) {
	for name, limit := range r.Limits {
		if _, ok := r.Requests[name]; ok {
			continue
		}
		if r.Requests == nil {
			r.Requests = make(corev1.ResourceList, len(r.Limits))
		}
		r.Requests[name] = limit.DeepCopy()
	}
}

// defaultPodLevelRequests derives the pod's own requests: what its containers
// ask for in all, or the pod's limit where no container asks.
func defaultPodLevelRequests(s *corev1.PodSpec) {
	if s.Resources == nil || len(s.Resources.Limits) == 0 {
		return
	}
	sum := SumRequests(s)
	for name, limit := range s.Resources.Limits {
		if _, ok := s.Resources.Requests[name]; ok {
			continue
		}
		if s.Resources.Requests == nil {
			s.Resources.Requests = make(corev1.ResourceList, len(s.Resources.Limits))
		}
		if q, ok := sum[name]; ok && !IsHugePage(name) {
			s.Resources.Requests[name] = q
		} else {
			s.Resources.Requests[name] = limit.DeepCopy()
		}
	}
}

// SumRequests is what the containers of a pod ask for at their most: sidecars
// and containers together, or the hungriest init step.
func SumRequests(s *corev1.PodSpec) corev1.ResourceList {
	return sumContainers(s, func(c *corev1.Container) corev1.ResourceList { return c.Resources.Requests })
}

func sumContainers(s *corev1.PodSpec, of func(*corev1.Container) corev1.ResourceList) corev1.ResourceList {
	sum, side, peak := corev1.ResourceList{}, corev1.ResourceList{}, corev1.ResourceList{}
	for i := range s.Containers {
		addTo(sum, of(&s.Containers[i]))
	}
	for i := range s.InitContainers {
		c := &s.InitContainers[i]
		if IsSidecar(c) {
			addTo(side, of(c))
			addTo(sum, of(c))
			raiseTo(peak, side)
			continue
		}
		step := side.DeepCopy()
		addTo(step, of(c))
		raiseTo(peak, step)
	}
	raiseTo(sum, peak)
	return sum
}

// IsSidecar reports whether an init container keeps running beside the others.
func IsSidecar(c *corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

func addTo(sum, l corev1.ResourceList) {
	for name, q := range l {
		have := sum[name]
		have.Add(q)
		sum[name] = have
	}
}

func raiseTo(sum, l corev1.ResourceList) {
	for name, q := range l {
		if have, ok := sum[name]; !ok || have.Cmp(q) < 0 {
			sum[name] = q.DeepCopy()
		}
	}
}

// integralQuantities rounds amounts finer than a thousandth up to the next one.
func integralQuantities(l corev1.ResourceList) {
	for name, q := range l {
		if rounded := q.DeepCopy(); !rounded.RoundUp(resource.Milli) {
			l[name] = rounded
		}
	}
}
