package core

import (
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/internal/bounds"
)

// Judging a list costs what its members cost, not what its pairs do, and it tells of
// each member a few times at most, whether all are equal or all are different.
func TestLongListsAreJudgedOnce(t *testing.T) {
	const n = bounds.Items
	path := field.NewPath("list")
	many := func(i int, same bool) string {
		if same {
			return "a"
		}
		return "a" + strconv.Itoa(i)
	}
	for name, judge := range map[string]func(same bool) field.ErrorList{
		"topologySpreadConstraints": func(same bool) field.ErrorList {
			l := make([]corev1.TopologySpreadConstraint, n)
			for i := range l {
				l[i].TopologyKey = many(i, same)
			}
			return validateSpread(l, path)
		},
		"schedulingGates": func(same bool) field.ErrorList {
			s := &corev1.PodSpec{SchedulingGates: make([]corev1.PodSchedulingGate, n)}
			for i := range s.SchedulingGates {
				s.SchedulingGates[i].Name = many(i, same)
			}
			return append(validateGates(s, path), validateGateChange(&corev1.Pod{Spec: *s}, &corev1.Pod{Spec: *s}, path)...)
		},
		"resourceClaims": func(same bool) field.ErrorList {
			l := make([]corev1.PodResourceClaim, n)
			for i := range l {
				l[i].Name = many(i, same)
			}
			return validateResourceClaims(l, path)
		},
		"volumes": func(same bool) field.ErrorList {
			l := make([]corev1.Volume, n)
			for i := range l {
				l[i].Name = many(i, same)
			}
			return validateVolumes(l, path)
		},
		"volumeMounts": func(same bool) field.ErrorList {
			c := &corev1.Container{VolumeMounts: make([]corev1.VolumeMount, n/2), VolumeDevices: make([]corev1.VolumeDevice, n/2)}
			for i := range c.VolumeMounts {
				c.VolumeMounts[i].Name, c.VolumeMounts[i].MountPath = many(i, same), many(i, same)
				c.VolumeDevices[i].Name, c.VolumeDevices[i].DevicePath = many(i, same), many(i, same)
			}
			return (&podContext{}).mounts(c, path)
		},
		"ports": func(same bool) field.ErrorList {
			l := make([]corev1.ContainerPort, n)
			for i := range l {
				l[i].Name = many(i, same)
			}
			return validateContainerPorts(l, path)
		},
		"service ports": func(same bool) field.ErrorList {
			s := &corev1.Service{Spec: corev1.ServiceSpec{Ports: make([]corev1.ServicePort, n)}}
			for i := range s.Spec.Ports {
				p := &s.Spec.Ports[i]
				p.Name, p.Port, p.NodePort = many(i, same), 1, 1
				if !same {
					p.Port, p.NodePort = int32(i), int32(i)
				}
			}
			return validateServicePorts(s, path)
		},
		"taints": func(same bool) field.ErrorList {
			l := make([]corev1.Taint, n)
			for i := range l {
				l[i].Key = many(i, same)
			}
			return validateTaints(l, path)
		},
		"tolerations": func(same bool) field.ErrorList {
			l := make([]corev1.Toleration, n)
			for i := range l {
				l[i].Key = many(i, same)
			}
			return validateTolerationsKept(l, l, path)
		},
		"node addresses": func(same bool) field.ErrorList {
			l := make([]corev1.NodeAddress, n)
			for i := range l {
				l[i].Address = many(i, same)
			}
			return validateNodeStatus(&corev1.Node{Status: corev1.NodeStatus{Addresses: l}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, same := range []bool{true, false} {
				done := make(chan int, 1)
				go func() { done <- len(judge(same)) }()
				select {
				case errs := <-done:
					if errs > 8*n {
						t.Errorf("%d errors about %d members", errs, n)
					}
				case <-time.After(20 * time.Second):
					t.Fatal("took more than 20 s")
				}
			}
		})
	}
}
