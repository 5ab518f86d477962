// Package static runs pods from manifests on the node, and shows them in the API as mirror pods.
//
//	dir/*.yaml ──▶ static pod (uid from its content) ──▶ worker
//	                    │                                   │ status
//	                    └──▶ mirror pod in the API ◀────────┘
//
// The manifest rules: a mirror pod that is deleted is made again; only removing the file ends the pod.
package static

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"hyperkube/api/core"
	"hyperkube/internal/bounds"
	"hyperkube/internal/document"
	"hyperkube/internal/filewatch"
	"hyperkube/internal/regular"
	"hyperkube/internal/trouble"
)

// Annotations that mark static pods and their mirrors.
const (
	annSource = "kubernetes.io/config.source"
	annHash   = "kubernetes.io/config.hash"
	annSeen   = "kubernetes.io/config.seen"
	annMirror = "kubernetes.io/config.mirror"
)

// Workers run the pods.
type Workers interface {
	Update(pod *v1.Pod)
	Remove(uid types.UID)
}

// Statuses send a static pod's status to its mirror.
type Statuses interface {
	Mirror(uid types.UID, mirror *v1.Pod)
}

// Source is the manifests of one directory.
type Source struct {
	dir, node string
	kube      kubernetes.Interface
	workers   Workers
	statuses  Statuses
	log       *slog.Logger
	told      *trouble.Teller
	watching  *trouble.Teller
	looked    string // the folder's state when it was last read: Load's, which Run calls once it runs

	mu      sync.Mutex
	pods    map[string]*v1.Pod // by file
	mirrors map[string]*v1.Pod // by namespace/name, as last seen in the API
	kick    chan struct{}
}

// New returns a source that has read nothing yet.
// failures is of trouble.Metric, or nil.
func New(dir, node string, kube kubernetes.Interface, w Workers, s Statuses, log *slog.Logger, failures *prometheus.CounterVec) *Source {
	return &Source{dir: dir, node: node, kube: kube, workers: w, statuses: s, log: log, told: trouble.New(log, failures, "mirroring static pods"), watching: trouble.New(log, failures, "watching static pods"),
		pods: map[string]*v1.Pod{}, mirrors: map[string]*v1.Pod{}, kick: make(chan struct{}, 1)}
}

// IsMirror tells whether a pod of the API only shows a static pod.
func IsMirror(p *v1.Pod) bool { return p.Annotations[annMirror] != "" }

// FromAPI is a pod of the API as one that runs: whatever it calls itself, it came from there, and so goes its status.
func FromAPI(p *v1.Pod) *v1.Pod {
	if from := p.Annotations[annSource]; from == "" || from == "api" {
		return p
	}
	out := *p // the API's own is shared and stays as it is
	out.Annotations = maps.Clone(p.Annotations)
	out.Annotations[annSource] = "api"
	return &out
}

// Load reads the manifests and tells the workers what changed.
func (s *Source) Load() error {
	if s.dir == "" { // no manifests: what calls itself a mirror is nobody's
		s.poke()
		return nil
	}
	s.looked = s.look() // before reading: what changes meanwhile is read again
	entries, err := os.ReadDir(s.dir)
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("static pods: %w", err)
	}
	found := map[string]*v1.Pod{}
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() || strings.HasPrefix(name, ".") || !strings.HasSuffix(name, ".yaml") && !strings.HasSuffix(name, ".yml") && !strings.HasSuffix(name, ".json") {
			continue
		}
		pod, err := s.read(filepath.Join(s.dir, name))
		if err != nil {
			s.log.Warn("static pod manifest not usable", "file", name, "err", err)
			s.mu.Lock()
			if old := s.pods[name]; old != nil {
				found[name] = old // a file that is being edited does not end its pod
			}
			s.mu.Unlock()
			continue
		}
		found[name] = pod
	}
	s.mu.Lock()
	old := s.pods
	s.pods = found
	s.mu.Unlock()
	for name, pod := range old {
		if now := found[name]; now == nil || now.UID != pod.UID {
			s.workers.Remove(pod.UID)
		}
	}
	for name, pod := range found {
		if was := old[name]; was == nil || was.UID != pod.UID {
			s.workers.Update(pod)
		}
	}
	s.poke()
	return nil
}

func (s *Source) read(path string) (*v1.Pod, error) {
	data, err := regular.ReadMost(path, bounds.Body) // somebody put it there
	if err != nil {
		return nil, err
	}
	text, err := document.FromYAML(data)
	if err != nil {
		return nil, err
	}
	if err := document.CheckJSON(text, reflect.TypeFor[v1.Pod]()); err != nil {
		return nil, err
	}
	var pod v1.Pod
	if err := yaml.UnmarshalStrict(data, &pod); err != nil {
		return nil, err
	}
	if pod.Kind != "Pod" || pod.Name == "" {
		return nil, fmt.Errorf("not a pod with a name")
	}
	sum := md5.Sum(append(data, s.node+path...))
	hash := hex.EncodeToString(sum[:])
	if pod.Namespace == "" {
		pod.Namespace = metav1.NamespaceDefault
	}
	pod.Name += "-" + s.node
	pod.UID, pod.ResourceVersion = types.UID(hash), ""
	pod.Spec.NodeName = s.node
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations[annSource], pod.Annotations[annHash] = "file", hash
	pod.Annotations[annSeen] = time.Now().Format(time.RFC3339Nano)
	pod.CreationTimestamp = metav1.Now()
	pod.Status.Phase = v1.PodPending
	pod.Spec.Tolerations = append(pod.Spec.Tolerations, v1.Toleration{Operator: v1.TolerationOpExists, Effect: v1.TaintEffectNoExecute})
	core.DefaultPod(&pod)
	return &pod, nil
}

// Saw takes in a mirror pod as the API has it.
func (s *Source) Saw(mirror *v1.Pod) {
	s.mu.Lock()
	s.mirrors[mirror.Namespace+"/"+mirror.Name] = mirror
	s.mu.Unlock()
	s.poke()
}

// Lost takes in that the API has a mirror pod no more.
func (s *Source) Lost(mirror *v1.Pod) {
	s.mu.Lock()
	delete(s.mirrors, mirror.Namespace+"/"+mirror.Name)
	s.mu.Unlock()
	s.poke()
}

func (s *Source) poke() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// Run watches the directory and keeps the mirrors until ctx ends.
func (s *Source) Run(ctx context.Context, every time.Duration) {
	var wg sync.WaitGroup
	defer wg.Wait()
	changed, watch := make(chan string), func() {}
	if s.dir != "" {
		w := filewatch.New(s.watching)
		watch = func() { _ = w.Add(s.dir) } // it need not be there
		wg.Go(func() {
			w.Run(ctx, func(name string) {
				select {
				case changed <- name:
				case <-ctx.Done():
				}
			})
		})
	}
	watch()
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	if s.look() != s.looked { // since Load, when nobody listened yet
		s.reload()
	}
	for {
		select {
		case <-ctx.Done():
			return
		case name := <-changed:
			watch()
			if name != "" || s.look() != s.looked {
				s.reload()
			}
		case <-ticker.C:
			watch()
			s.reload()
		case <-s.kick:
			s.mirror(ctx)
		}
	}
}

// look tells the folder's state from another one without reading the files.
func (s *Source) look() string {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return ""
	}
	var b strings.Builder
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			fmt.Fprintln(&b, e.Name(), info.Mode(), info.Size(), info.ModTime().UnixNano())
		}
	}
	return b.String()
}

func (s *Source) reload() {
	if err := s.Load(); err != nil {
		s.log.Warn("reading static pods", "dir", s.dir, "err", err)
	}
}

// mirror makes the API show what runs.
func (s *Source) mirror(ctx context.Context) {
	s.mu.Lock()
	pods, mirrors := map[string]*v1.Pod{}, map[string]*v1.Pod{}
	for _, p := range s.pods {
		pods[p.Namespace+"/"+p.Name] = p
	}
	for k, m := range s.mirrors {
		mirrors[k] = m
	}
	s.mu.Unlock()
	var failed []error
	for key, m := range mirrors {
		p := pods[key]
		if p != nil && m.Annotations[annMirror] == p.Annotations[annHash] && m.DeletionTimestamp == nil {
			s.statuses.Mirror(p.UID, m)
			continue
		}
		err := s.kube.CoreV1().Pods(m.Namespace).Delete(ctx, m.Name, metav1.DeleteOptions{
			GracePeriodSeconds: new(int64(0)), Preconditions: &metav1.Preconditions{UID: new(m.UID)}})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			failed = append(failed, fmt.Errorf("removing %s: %w", key, err))
		}
	}
	for key, p := range pods {
		if mirrors[key] != nil {
			continue
		}
		if err := s.create(ctx, p); err != nil {
			failed = append(failed, fmt.Errorf("creating %s: %w", key, err))
		}
	}
	switch {
	case ctx.Err() != nil:
	case len(failed) > 0:
		s.told.Failed(errors.Join(failed...)) // tried again with the next look at the directory
	default:
		s.told.Well()
	}
}

const apiTimeout = 15 * time.Second

func (s *Source) create(ctx context.Context, p *v1.Pod) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	node, err := s.kube.CoreV1().Nodes().Get(ctx, s.node, metav1.GetOptions{})
	if err != nil {
		return err
	}
	m := p.DeepCopy()
	m.UID, m.CreationTimestamp, m.Status = "", metav1.Time{}, v1.PodStatus{}
	m.Annotations[annMirror] = p.Annotations[annHash]
	m.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID, Controller: new(true)}}
	got, err := s.kube.CoreV1().Pods(m.Namespace).Create(ctx, m, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	s.statuses.Mirror(p.UID, got)
	return nil
}
