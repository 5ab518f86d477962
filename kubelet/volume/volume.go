// Package volume prepares the volumes of pods on the node.
//
//	Manager ──for each volume of a pod──▶ Kind.SetUp(Request) ──▶ a directory (or file) that containers mount
//
// A Kind is one way to make a volume; all.Kinds is the one list. SetUp is idempotent and is also how a volume is
// brought up to date when an object it shows has changed or a token is due. Tearing down needs no knowledge of
// kinds: whatever is mounted below the pod's directory is unmounted, then the directory is removed, so that
// a kubelet that has forgotten a pod can clean up after it too.
package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	v1 "k8s.io/api/core/v1"

	"hyperkube/internal/bounds"
	"hyperkube/internal/supervise"
	"hyperkube/kubelet/volume/atomic"
	"hyperkube/kubelet/volume/mount"
)

// Sources is where volumes get their content.
type Sources interface {
	// ConfigMap and Secret return nil, nil for an object that does not exist.
	ConfigMap(ctx context.Context, namespace, name string) (*v1.ConfigMap, error)
	Secret(ctx context.Context, namespace, name string) (*v1.Secret, error)
	Token(ctx context.Context, namespace, serviceAccount string, spec authv1.TokenRequestSpec) (*authv1.TokenRequest, error)
	Allocatable() v1.ResourceList
	Now() time.Time
}

// Request asks for one volume of one pod in Dir.
type Request struct {
	Pod    *v1.Pod // with its addresses in the status
	Volume *v1.Volume
	Dir    string
	Budget *atomic.Budget // of all the pod's volumes together
}

// Mounted is a volume that is ready.
type Mounted struct {
	Path      string    // what a container mounts
	Image     string    // instead of a path: the image that the runtime mounts
	RefreshAt time.Time // when SetUp is due again; zero for never
}

// Kind makes volumes of one sort. One that mounts file systems in memory also has InMemory(*v1.Volume) bool, which
// tells of a volume it matches whether it does so.
type Kind interface {
	// Dir is the name of the sort on disk, as the standard kubelet has it.
	Dir() string
	Matches(v *v1.Volume) bool
	SetUp(ctx context.Context, r Request) (Mounted, error)
}

// Error is a volume that could not be made ready.
type Error struct {
	Volume string
	Err    error
}

func (e *Error) Error() string {
	return fmt.Sprintf("MountVolume.SetUp failed for volume %q : %v", e.Volume, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Manager prepares and removes the volumes of pods below one root directory.
type Manager struct {
	root  string
	kinds []Kind
}

// NewManager returns a manager of <root>/pods.
func NewManager(root string, kinds []Kind) *Manager { return &Manager{root: root, kinds: kinds} }

// PodsDir is the directory of all pods.
func (m *Manager) PodsDir() string { return filepath.Join(m.root, "pods") }

// PodDir is where everything of a pod lies.
func (m *Manager) PodDir(uid string) string { return filepath.Join(m.PodsDir(), uid) }

// VolumeDir is where a volume of that kind lies.
func (m *Manager) VolumeDir(uid string, k Kind, name string) string {
	return filepath.Join(m.PodDir(uid), "volumes", "kubernetes.io~"+k.Dir(), name)
}

// SetUp makes every volume of the pod ready, some at the same time, and returns them by name. When some fail,
// the error joins one *Error for each and the map holds the others.
func (m *Manager) SetUp(ctx context.Context, pod *v1.Pod) (map[string]Mounted, error) {
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		out  = map[string]Mounted{}
		errs []error
		b    = atomic.NewBudget()
		turn = make(chan struct{}, bounds.Volumes)
	)
	if n := len(pod.Spec.Volumes); n > bounds.PodVolumes {
		return nil, &Error{pod.Spec.Volumes[bounds.PodVolumes].Name, fmt.Errorf("the pod has %d volumes, more than %d", n, bounds.PodVolumes)}
	}
	if name, n := m.inMemory(pod); n > bounds.PodMemoryVolumes {
		return nil, &Error{name, fmt.Errorf("the pod has %d volumes in memory (secrets, projected volumes, emptyDirs of medium Memory), more than %d: "+
			"one projected volume holds many secrets", n, bounds.PodMemoryVolumes)}
	}
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		turn <- struct{}{}
		wg.Go(func() {
			defer func() { <-turn }()
			var got Mounted
			err := supervise.Contain("volume", func() (err error) { // a panic is this volume's failure alone
				got, err = m.setUp(ctx, pod, v, b)
				return err
			})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				if len(errs) < bounds.Errors {
					errs = append(errs, &Error{v.Name, err})
				}
				return
			}
			out[v.Name] = got
		})
	}
	wg.Wait()
	return out, errors.Join(errs...)
}

// inMemory counts the pod's volumes that are file systems of their own in memory; name is the first beyond the bound.
func (m *Manager) inMemory(pod *v1.Pod) (name string, n int) {
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		for _, k := range m.kinds {
			if x, ok := k.(interface{ InMemory(*v1.Volume) bool }); ok && k.Matches(v) && x.InMemory(v) {
				if n++; n == bounds.PodMemoryVolumes+1 {
					name = v.Name
				}
			}
		}
	}
	return name, n
}

func (m *Manager) setUp(ctx context.Context, pod *v1.Pod, v *v1.Volume, b *atomic.Budget) (Mounted, error) {
	for _, k := range m.kinds {
		if k.Matches(v) {
			dir := m.VolumeDir(string(pod.UID), k, v.Name)
			return k.SetUp(ctx, Request{Pod: pod, Volume: v, Dir: dir, Budget: b})
		}
	}
	return Mounted{}, errors.New("volumes of this type are not supported yet by this kubelet")
}

// TearDown unmounts and removes everything of a pod.
func (m *Manager) TearDown(uid string) error {
	for _, k := range m.kinds {
		if f, ok := k.(interface{ Forget(uid string) }); ok {
			f.Forget(uid)
		}
	}
	return mount.RemoveAll(m.PodDir(uid))
}

// OnDisk lists the pods that have a directory.
func (m *Manager) OnDisk() ([]string, error) {
	entries, err := os.ReadDir(m.PodsDir())
	if os.IsNotExist(err) {
		return nil, nil
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out, err
}

// FSGroup is the group that a pod's volumes belong to; -1 for none.
func FSGroup(pod *v1.Pod) int {
	if s := pod.Spec.SecurityContext; s != nil && s.FSGroup != nil {
		return int(*s.FSGroup)
	}
	return -1
}

// Refs lists the config maps and secrets that a pod's volumes, environment and pulls refer to.
func Refs(pod *v1.Pod) (configMaps, secrets map[string]bool) {
	configMaps, secrets = map[string]bool{}, map[string]bool{}
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		switch {
		case v.ConfigMap != nil:
			configMaps[v.ConfigMap.Name] = true
		case v.Secret != nil:
			secrets[v.Secret.SecretName] = true
		case v.Projected != nil:
			for _, s := range v.Projected.Sources {
				if s.ConfigMap != nil {
					configMaps[s.ConfigMap.Name] = true
				}
				if s.Secret != nil {
					secrets[s.Secret.Name] = true
				}
			}
		}
	}
	for _, s := range pod.Spec.ImagePullSecrets {
		secrets[s.Name] = true
	}
	containerRefs(pod, configMaps, secrets)
	return configMaps, secrets
}

func containerRefs(pod *v1.Pod, configMaps, secrets map[string]bool) {
	visit := func(c *v1.Container) {
		for _, f := range c.EnvFrom {
			if f.ConfigMapRef != nil {
				configMaps[f.ConfigMapRef.Name] = true
			}
			if f.SecretRef != nil {
				secrets[f.SecretRef.Name] = true
			}
		}
		for _, e := range c.Env {
			if e.ValueFrom != nil && e.ValueFrom.ConfigMapKeyRef != nil {
				configMaps[e.ValueFrom.ConfigMapKeyRef.Name] = true
			}
			if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
				secrets[e.ValueFrom.SecretKeyRef.Name] = true
			}
		}
	}
	for i := range pod.Spec.InitContainers {
		visit(&pod.Spec.InitContainers[i])
	}
	for i := range pod.Spec.Containers {
		visit(&pod.Spec.Containers[i])
	}
	for i := range pod.Spec.EphemeralContainers {
		c := v1.Container(pod.Spec.EphemeralContainers[i].EphemeralContainerCommon)
		visit(&c)
	}
}
