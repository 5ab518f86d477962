package core

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// gated is a part of pod specs that belongs to a feature gate which is off. found tells whether a spec has it, and
// takes it away if drop is set.
type gated struct {
	Gate  string
	found func(s *corev1.PodSpec, drop bool) bool
}

// gatedFields lists what a server of this version drops from pods and templates, as its gates are by default.
func gatedFields() []gated {
	return []gated{
		{"AtomicWriteVolumeUserFields", volumeUsers},
		{"ContainerStopSignals", stopSignals},
		{"EmptyDirVolumeMode", emptyDirModes},
		{"EvictionRequestAPI", func(s *corev1.PodSpec, drop bool) bool { return take(&s.EvictionResponders, drop) }},
		{"GRPCContainerProbeTLS", func(s *corev1.PodSpec, drop bool) bool {
			return inProbes(s, func(h *corev1.ProbeHandler) bool { return h.GRPC != nil && take(&h.GRPC.Mode, drop) })
		}},
		{"GenericWorkload", func(s *corev1.PodSpec, drop bool) bool { return take(&s.SchedulingGroup, drop) }},
		{"H2CContainerProbe", http2Probes},
		{"VolumeBindMountOptions", func(s *corev1.PodSpec, drop bool) (found bool) {
			eachContainer(s, func(c *corev1.Container) {
				for i := range c.VolumeMounts {
					found = take(&c.VolumeMounts[i].BindMountOptions, drop) || found
				}
			})
			return found
		}},
	}
}

// DropGated takes away what belongs to gates that are off, unless the old spec has it already. old may be nil.
func DropGated(s, old *corev1.PodSpec) {
	for _, g := range gatedFields() {
		if old == nil || !g.found(old, false) {
			g.found(s, true)
		}
	}
}

// DropGatedTemplate is DropGated for the template of a workload.
func DropGatedTemplate(t, old *corev1.PodTemplateSpec) {
	if old == nil {
		DropGated(&t.Spec, nil)
		return
	}
	DropGated(&t.Spec, &old.Spec)
}

// take tells whether a pointer or list is set, and clears it if drop is set.
func take[T *int32 | *int64 | *corev1.Signal | *corev1.GRPCProbeMode | *corev1.HTTPProtocol | *corev1.PodSchedulingGroup | []string | []corev1.EvictionResponder](p *T, drop bool) bool {
	found := false
	switch v := any(*p).(type) {
	case []string:
		found = v != nil
	case []corev1.EvictionResponder:
		found = v != nil
	case *int32:
		found = v != nil
	case *int64:
		found = v != nil
	case *corev1.Signal:
		found = v != nil
	case *corev1.GRPCProbeMode:
		found = v != nil
	case *corev1.HTTPProtocol:
		found = v != nil
	case *corev1.PodSchedulingGroup:
		found = v != nil
	}
	if found && drop {
		var none T
		*p = none
	}
	return found
}

// eachContainer calls f with every container of a spec. An ephemeral one is laid out as the others are.
func eachContainer(s *corev1.PodSpec, f func(*corev1.Container)) {
	for i := range s.InitContainers {
		f(&s.InitContainers[i])
	}
	for i := range s.Containers {
		f(&s.Containers[i])
	}
	for i := range s.EphemeralContainers {
		f((*corev1.Container)(&s.EphemeralContainers[i].EphemeralContainerCommon))
	}
}

func inProbes(s *corev1.PodSpec, f func(*corev1.ProbeHandler) bool) (found bool) {
	eachContainer(s, func(c *corev1.Container) {
		for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
			if p != nil {
				found = f(&p.ProbeHandler) || found
			}
		}
	})
	return found
}

func http2Probes(s *corev1.PodSpec, drop bool) bool {
	found := inProbes(s, func(h *corev1.ProbeHandler) bool { return h.HTTPGet != nil && take(&h.HTTPGet.Protocol, drop) })
	eachContainer(s, func(c *corev1.Container) {
		if c.Lifecycle == nil {
			return
		}
		for _, h := range []*corev1.LifecycleHandler{c.Lifecycle.PostStart, c.Lifecycle.PreStop} {
			if h != nil && h.HTTPGet != nil {
				found = take(&h.HTTPGet.Protocol, drop) || found
			}
		}
	})
	return found
}

func stopSignals(s *corev1.PodSpec, drop bool) (found bool) {
	eachContainer(s, func(c *corev1.Container) {
		if c.Lifecycle == nil || !take(&c.Lifecycle.StopSignal, drop) {
			return
		}
		found = true
		if drop && c.Lifecycle.PostStart == nil && c.Lifecycle.PreStop == nil {
			c.Lifecycle = nil
		}
	})
	return found
}

func emptyDirModes(s *corev1.PodSpec, drop bool) (found bool) {
	for i := range s.Volumes {
		if e := s.Volumes[i].EmptyDir; e != nil {
			found = take(&e.Mode, drop) || found
		}
	}
	return found
}

// volumeUsers are the owners of files in volumes: of whole volumes, of items, of projected sources.
func volumeUsers(s *corev1.PodSpec, drop bool) bool {
	var users []**int64
	items := func(list []corev1.KeyToPath) {
		for i := range list {
			users = append(users, &list[i].User)
		}
	}
	fields := func(list []corev1.DownwardAPIVolumeFile) {
		for i := range list {
			users = append(users, &list[i].User)
		}
	}
	for i := range s.Volumes {
		switch v := &s.Volumes[i]; {
		case v.ConfigMap != nil:
			users = append(users, &v.ConfigMap.DefaultUser)
			items(v.ConfigMap.Items)
		case v.Secret != nil:
			users = append(users, &v.Secret.DefaultUser)
			items(v.Secret.Items)
		case v.DownwardAPI != nil:
			users = append(users, &v.DownwardAPI.DefaultUser)
			fields(v.DownwardAPI.Items)
		case v.Projected != nil:
			users = append(users, &v.Projected.DefaultUser)
			for j := range v.Projected.Sources {
				users = append(users, sourceUsers(&v.Projected.Sources[j], items, fields)...)
			}
		}
	}
	taken := func(p **int64) bool { return take(p, drop) }
	if drop {
		for _, p := range users {
			taken(p)
		}
		return true
	}
	return slices.ContainsFunc(users, taken)
}

func sourceUsers(p *corev1.VolumeProjection, items func([]corev1.KeyToPath), fields func([]corev1.DownwardAPIVolumeFile)) (users []**int64) {
	if p.ConfigMap != nil {
		items(p.ConfigMap.Items)
	}
	if p.Secret != nil {
		items(p.Secret.Items)
	}
	if p.DownwardAPI != nil {
		fields(p.DownwardAPI.Items)
	}
	if p.ServiceAccountToken != nil {
		users = append(users, &p.ServiceAccountToken.User)
	}
	if p.ClusterTrustBundle != nil {
		users = append(users, &p.ClusterTrustBundle.User)
	}
	if p.PodCertificate != nil {
		users = append(users, &p.PodCertificate.User)
	}
	return users
}
