package status

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes"
)

const (
	parallelPatches = 16
	patchTimeout    = 15 * time.Second
	firstRetry      = 200 * time.Millisecond
	lastRetry       = 10 * time.Second
)

// Manager sends statuses. Set never blocks; for each pod there is at most one request under way and at most one
// status waiting, the newest.
type Manager struct {
	kube  kubernetes.Interface
	log   *slog.Logger
	slots chan struct{}

	mu   sync.Mutex
	ctx  context.Context // of the newest Set
	pods map[types.UID]*entry
	wg   sync.WaitGroup
}

type entry struct {
	base    *v1.Pod       // what the API server is known to have
	want    *v1.PodStatus // what it should have
	sending bool
	waiters []func() // called when want was sent, or cannot be
	gone    bool
	static  bool // from a manifest: sent to its mirror, once there is one
	mirror  *v1.Pod
}

// NewManager returns a manager; its requests end with the ctx given to Set.
func NewManager(kube kubernetes.Interface, log *slog.Logger) *Manager {
	return &Manager{kube: kube, log: log, slots: make(chan struct{}, parallelPatches), pods: map[types.UID]*entry{}}
}

// Set makes status the wanted one of pod (whose own status is what the API server is known to have) and, if given,
// calls sent when the API server has it.
func (m *Manager) Set(ctx context.Context, pod *v1.Pod, status v1.PodStatus, sent func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ctx = ctx
	e := m.pods[pod.UID]
	if e == nil {
		e = &entry{base: pod}
		m.pods[pod.UID] = e
	} else if e.base == nil || newer(pod, e.base) {
		e.base = pod
	}
	e.want = &status
	e.static = pod.Annotations["kubernetes.io/config.source"] == "file"
	if sent != nil {
		e.waiters = append(e.waiters, sent)
	}
	if !e.sending {
		e.sending = true
		m.wg.Go(func() { m.send(ctx, pod.UID, e) })
	}
}

// newer compares resource versions as the numbers that they are in every Kubernetes.
func newer(a, b *v1.Pod) bool {
	return len(a.ResourceVersion) > len(b.ResourceVersion) ||
		len(a.ResourceVersion) == len(b.ResourceVersion) && a.ResourceVersion > b.ResourceVersion
}

// Last is the status last wanted for a pod; nil when none was.
func (m *Manager) Last(uid types.UID) *v1.PodStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.pods[uid]; e != nil {
		return e.want
	}
	return nil
}

// Mirror names the API object that shows a static pod.
func (m *Manager) Mirror(uid types.UID, mirror *v1.Pod) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.pods[uid]
	if e == nil {
		m.pods[uid] = &entry{mirror: mirror, static: true}
		return
	}
	if e.mirror != nil && e.mirror.UID == mirror.UID && !newer(mirror, e.mirror) {
		return
	}
	e.mirror = mirror
	if e.want != nil && !e.sending && !Equal(&mirror.Status, e.want) {
		e.sending = true
		m.wg.Go(func() { m.send(m.ctx, uid, e) })
	}
}

// Forget drops a pod that is gone.
func (m *Manager) Forget(uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.pods[uid]; e != nil {
		e.gone = true
		delete(m.pods, uid)
	}
}

// Wait returns when no request is under way.
func (m *Manager) Wait() { m.wg.Wait() }

func (m *Manager) send(ctx context.Context, uid types.UID, e *entry) {
	delay := firstRetry
	for {
		m.mu.Lock()
		base, want, waiters := e.base, e.want, e.waiters
		if e.static {
			base = e.mirror
		}
		e.waiters = nil
		m.mu.Unlock()
		var (
			pod *v1.Pod
			err error
		)
		if base != nil {
			pod, err = m.patch(ctx, base, want)
		}
		switch {
		case err == nil:
			delay = firstRetry
		case apierrors.IsNotFound(err), apierrors.IsConflict(err), apierrors.IsInvalid(err), ctx.Err() != nil:
			if ctx.Err() == nil {
				m.log.Debug("status not taken", "pod", e.base.Namespace+"/"+e.base.Name, "err", err)
			}
		default:
			m.log.Warn("sending pod status", "pod", e.base.Namespace+"/"+e.base.Name, "err", err)
			if m.retry(ctx, e, waiters, delay) {
				delay = min(delay*2, lastRetry)
				continue
			}
		}
		for _, w := range waiters {
			w()
		}
		m.mu.Lock()
		switch {
		case pod == nil:
		case e.static:
			e.mirror = pod
		case !newer(e.base, pod):
			e.base = pod
		}
		if e.want == want || e.gone || ctx.Err() != nil {
			e.sending = false
			rest := e.waiters
			e.waiters = nil
			m.mu.Unlock()
			for _, w := range rest {
				w()
			}
			return
		}
		m.mu.Unlock()
	}
}

func (m *Manager) retry(ctx context.Context, e *entry, waiters []func(), delay time.Duration) bool {
	m.mu.Lock()
	e.waiters = append(waiters, e.waiters...)
	gone := e.gone
	m.mu.Unlock()
	if gone {
		return false
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// patch sends what differs; nil, nil when nothing does.
func (m *Manager) patch(ctx context.Context, base *v1.Pod, want *v1.PodStatus) (*v1.Pod, error) {
	if Equal(&base.Status, want) {
		return nil, nil
	}
	data, err := Patch(base, want)
	if err != nil {
		return nil, err
	}
	select {
	case m.slots <- struct{}{}:
		defer func() { <-m.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, patchTimeout)
	defer cancel()
	return m.kube.CoreV1().Pods(base.Namespace).Patch(ctx, base.Name, types.StrategicMergePatchType, data, metav1.PatchOptions{}, "status")
}

// Patch renders a strategic merge patch from what the API server has to what is wanted. It carries the pod's uid,
// so that a successor of the same name is not touched.
func Patch(base *v1.Pod, want *v1.PodStatus) ([]byte, error) {
	from, err := json.Marshal(v1.Pod{Status: base.Status})
	if err != nil {
		return nil, fmt.Errorf("encoding status: %w", err)
	}
	to, err := json.Marshal(v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: base.UID}, Status: *want})
	if err != nil {
		return nil, fmt.Errorf("encoding status: %w", err)
	}
	data, err := strategicpatch.CreateTwoWayMergePatch(from, to, v1.Pod{})
	if err != nil {
		return nil, fmt.Errorf("comparing statuses: %w", err)
	}
	return data, nil
}
