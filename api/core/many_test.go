package core

import (
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/internal/bounds"
)

// listOf is the longest list that a request can bring.
func listOf[T any](set func(x *T, i int)) []T {
	l := make([]T, bounds.Items)
	for i := range l {
		set(&l[i], i)
	}
	return l
}

// Judging a list costs what its members cost, not what its pairs do, and it tells of
// each member a few times at most, whether all are equal or all are different.
func TestLongListsAreJudgedOnce(t *testing.T) {
	path := field.NewPath("list")
	many := func(i int, same bool) string {
		if same {
			return "a"
		}
		return "a" + strconv.Itoa(i)
	}
	for name, judge := range map[string]func(same bool) field.ErrorList{
		"topologySpreadConstraints": func(same bool) field.ErrorList {
			l := listOf(func(x *corev1.TopologySpreadConstraint, i int) { x.TopologyKey = many(i, same) })
			return validateSpread(l, path)
		},
		"schedulingGates": func(same bool) field.ErrorList {
			s := &corev1.PodSpec{SchedulingGates: listOf(func(x *corev1.PodSchedulingGate, i int) { x.Name = many(i, same) })}
			return append(validateGates(s, path), validateGateChange(&corev1.Pod{Spec: *s}, &corev1.Pod{Spec: *s}, path)...)
		},
		"resourceClaims": func(same bool) field.ErrorList {
			l := listOf(func(x *corev1.PodResourceClaim, i int) { x.Name = many(i, same) })
			return validateResourceClaims(l, path)
		},
		"volumes": func(same bool) field.ErrorList {
			l := listOf(func(x *corev1.Volume, i int) { x.Name = many(i, same) })
			return validateVolumes(l, path)
		},
		"volumeMounts": func(same bool) field.ErrorList {
			c := &corev1.Container{VolumeMounts: make([]corev1.VolumeMount, bounds.Items/2), VolumeDevices: make([]corev1.VolumeDevice, bounds.Items/2)}
			for i := range c.VolumeMounts {
				c.VolumeMounts[i].Name, c.VolumeMounts[i].MountPath = many(i, same), many(i, same)
				c.VolumeDevices[i].Name, c.VolumeDevices[i].DevicePath = many(i, same), many(i, same)
			}
			return (&podContext{}).mounts(c, path)
		},
		"ports": func(same bool) field.ErrorList {
			l := listOf(func(x *corev1.ContainerPort, i int) { x.Name = many(i, same) })
			return validateContainerPorts(l, path)
		},
		"service ports": func(same bool) field.ErrorList {
			s := &corev1.Service{Spec: corev1.ServiceSpec{Ports: listOf(func(x *corev1.ServicePort, i int) {
				x.Name, x.Port, x.NodePort = many(i, same), 1, 1
				if !same {
					x.Port, x.NodePort = int32(i), int32(i)
				}
			})}}
			return validateServicePorts(s, path)
		},
		"taints": func(same bool) field.ErrorList {
			l := listOf(func(x *corev1.Taint, i int) { x.Key = many(i, same) })
			return validateTaints(l, path)
		},
		"tolerations": func(same bool) field.ErrorList {
			l := listOf(func(x *corev1.Toleration, i int) { x.Key = many(i, same) })
			return validateTolerationsKept(l, l, path)
		},
		"node addresses": func(same bool) field.ErrorList {
			l := listOf(func(x *corev1.NodeAddress, i int) { x.Address = many(i, same) })
			return validateNodeStatus(&corev1.Node{Status: corev1.NodeStatus{Addresses: l}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, same := range []bool{true, false} {
				done := make(chan int, 1)
				go func() { done <- len(judge(same)) }()
				select {
				case errs := <-done:
					if errs > 8*bounds.Items {
						t.Errorf("%d errors about %d members", errs, bounds.Items)
					}
				case <-time.After(20 * time.Second):
					t.Fatal("took more than 20 s")
				}
			}
		})
	}
}
