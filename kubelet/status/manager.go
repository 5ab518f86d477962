package status

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes"

	"hyperkube/internal/supervise"
	"hyperkube/internal/trouble"
)

const (
	parallelPatches = 16
	patchTimeout    = 15 * time.Second
	firstRetry      = 200 * time.Millisecond
	lastRetry       = 10 * time.Second
	lastRefused     = 5 * time.Minute
)

// Manager sends statuses. Set never blocks; for each pod there is at most one request under way and at most one
// status waiting, the newest.
type Manager struct {
	kube     kubernetes.Interface
	log      *slog.Logger
	failures *prometheus.CounterVec
	slots    chan struct{}

	mu   sync.Mutex
	ctx  context.Context // of the newest Set
	pods map[types.UID]*entry
	wg   sync.WaitGroup
}

type entry struct {
	name    string        // namespace/name
	base    *v1.Pod       // what the API server is known to have
	want    *v1.PodStatus // what it should have
	sending bool
	waiters []func() // called when want was sent, or cannot be
	gone    bool
	static  bool // from a manifest: sent to its mirror, once there is one
	mirror  *v1.Pod
	kick    chan struct{} // want or base has changed
	told    *trouble.Teller
}

func (m *Manager) entryOf(uid types.UID, namespace, name string) *entry {
	e := m.pods[uid]
	if e == nil {
		e = &entry{name: namespace + "/" + name, kick: make(chan struct{}, 1)}
		e.told = trouble.New(m.log.With("pod", e.name), m.failures, "sending pod status")
		m.pods[uid] = e
	}
	return e
}

func (e *entry) poke() {
	select {
	case e.kick <- struct{}{}:
	default:
	}
}

// NewManager returns a manager; its requests end with the ctx given to Set. failures is of trouble.Metric, or nil.
func NewManager(kube kubernetes.Interface, log *slog.Logger, failures *prometheus.CounterVec) *Manager {
	return &Manager{kube: kube, log: log, failures: failures, slots: make(chan struct{}, parallelPatches), pods: map[types.UID]*entry{}}
}

// Set makes status the wanted one of pod (whose own status is what the API server is known to have) and, if given,
// calls sent when the API server has it.
func (m *Manager) Set(ctx context.Context, pod *v1.Pod, status v1.PodStatus, sent func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ctx = ctx
	e := m.entryOf(pod.UID, pod.Namespace, pod.Name)
	if e.base == nil || newer(pod, e.base) {
		e.base = pod
	}
	e.want = &status
	e.static = fromManifest(pod)
	if sent != nil {
		e.waiters = append(e.waiters, sent)
	}
	e.poke()
	m.startLocked(ctx, e)
}

// fromManifest: what the API server has never seen has no version. The annotation alone says nothing: anybody
// may write it on a pod of the API, whose status would then be shown to nobody.
func fromManifest(pod *v1.Pod) bool {
	return pod.ResourceVersion == "" && pod.Annotations["kubernetes.io/config.source"] == "file"
}

func (m *Manager) startLocked(ctx context.Context, e *entry) {
	if !e.sending {
		e.sending = true
		m.wg.Go(func() { m.send(ctx, e) })
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
	e := m.entryOf(uid, mirror.Namespace, mirror.Name)
	e.static = true
	if e.mirror != nil && e.mirror.UID == mirror.UID && !newer(mirror, e.mirror) {
		return
	}
	e.mirror = mirror
	if e.want != nil && !Equal(&mirror.Status, keepOthers(&mirror.Status, e.want)) {
		e.poke()
		m.startLocked(m.ctx, e)
	}
}

// Forget drops a pod that is gone.
func (m *Manager) Forget(uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.pods[uid]; e != nil {
		e.gone = true
		e.poke()
		delete(m.pods, uid)
	}
}

// Wait returns when no request is under way.
func (m *Manager) Wait() { m.wg.Wait() }

// send brings the API server to what is wanted, which may change meanwhile.
func (m *Manager) send(ctx context.Context, e *entry) {
	delay := firstRetry
	for {
		base, want, waiters := m.take(e)
		var pod *v1.Pod
		err := supervise.Contain("sending pod status", func() (err error) {
			if base != nil {
				pod, err = m.patch(ctx, base, want)
			}
			return err
		})
		again := false
		switch v := judge(err); {
		case ctx.Err() != nil:
		case v == taken:
			delay = firstRetry
			e.told.Well()
		case v == outdated:
			m.log.Info("pod status not taken: the API has no such pod any more", "pod", e.name, "err", err)
		case v == refused:
			// The same is refused again, until either side changes: nobody is kept waiting for it.
			e.told.Failed(err, "next", "the status is sent again when it changes, and now and then")
			release(waiters)
			waiters = nil
			again = m.pause(ctx, e, nil, delay, e.kick)
		default:
			e.told.Failed(err)
			again = m.pause(ctx, e, waiters, delay, nil)
		}
		if again {
			delay = min(delay*2, judge(err).most())
			continue
		}
		release(waiters)
		if m.settled(ctx, e, want, pod) {
			return
		}
	}
}

// verdict is what an answer of the API server means for a status.
type verdict int

const (
	taken    verdict = iota
	outdated         // the pod is gone, or another has its name
	refused          // the status is not to the server's liking
	failed
)

func judge(err error) verdict {
	switch {
	case err == nil:
		return taken
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return outdated
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		return refused
	}
	return failed
}

func (v verdict) most() time.Duration {
	if v == refused {
		return lastRefused
	}
	return lastRetry
}

func release(waiters []func()) {
	for _, w := range waiters {
		w()
	}
}

// take is what is to be sent now, and who waits for it.
func (m *Manager) take(e *entry) (base *v1.Pod, want *v1.PodStatus, waiters []func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	base, want, waiters = e.base, e.want, e.waiters
	if e.static {
		base = e.mirror
	}
	e.waiters = nil
	select {
	case <-e.kick:
	default:
	}
	return base, want, waiters
}

// settled takes in what the API server answered, and ends the sending when nothing else is wanted.
func (m *Manager) settled(ctx context.Context, e *entry, want *v1.PodStatus, got *v1.Pod) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case got == nil:
	case e.static:
		e.mirror = got
	case !newer(e.base, got):
		e.base = got
	}
	if e.want != want && !e.gone && ctx.Err() == nil {
		return false
	}
	e.sending = false
	release(e.waiters)
	e.waiters = nil
	return true
}

// pause waits before the next try; false when there is none.
func (m *Manager) pause(ctx context.Context, e *entry, waiters []func(), delay time.Duration, sooner <-chan struct{}) bool {
	m.mu.Lock()
	e.waiters = append(waiters, e.waiters...)
	m.mu.Unlock()
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-sooner:
	case <-ctx.Done():
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return !e.gone && ctx.Err() == nil
}

// keepOthers gives want what of a status is not the kubelet's to say, as base has it: what was rendered before
// somebody else wrote it would take it away, which a node may not.
func keepOthers(base, want *v1.PodStatus) *v1.PodStatus {
	out := *want
	out.NominatedNodeName = base.NominatedNodeName
	out.ResourceClaimStatuses, out.ExtendedResourceClaimStatus = base.ResourceClaimStatuses, base.ExtendedResourceClaimStatus
	return &out
}

// patch sends what differs; nil, nil when nothing does.
func (m *Manager) patch(ctx context.Context, base *v1.Pod, want *v1.PodStatus) (*v1.Pod, error) {
	want = keepOthers(&base.Status, want)
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
	got, err := m.kube.CoreV1().Pods(base.Namespace).Patch(ctx, base.Name, types.StrategicMergePatchType, data, metav1.PatchOptions{}, "status")
	if err != nil {
		return nil, err // clients return an empty object beside an error
	}
	return got, nil
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
