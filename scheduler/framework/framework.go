// Package framework is what the scheduler and its plugins agree on: a compiled
// pod, a node with what already runs on it, and the points at which a plugin is
// asked.
//
//	pod ─▶ Prepare (once a pod) ─▶ Filter (each node) ─▶ Score (each feasible node) ─▶ best
//
// Contract: plugins are pure. They see the pod, a node and the cluster as of this
// cycle, keep what they computed in the Cycle and never a client, a clock or a
// goroutine. A plugin is one folder scheduler/plugins/<name> and one line in
// plugins.go; what else it can do it says by the optional interfaces here.
package framework

import (
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
)

// Verdict of a plugin about a pod on a node.
type Verdict struct {
	// Reason is why the node (or the cluster) does not fit, in the words that
	// FailedScheduling shows; empty means it fits.
	Reason string
	// More are further reasons for the same refusal.
	More []string
	// Final says that removing other pods would not help (preemption passes by).
	Final bool
}

// OK reports whether the pod fits.
func (v Verdict) OK() bool { return v.Reason == "" }

// Fit, Unfit and Never make verdicts.
func Fit() Verdict                { return Verdict{} }
func Unfit(reason string) Verdict { return Verdict{Reason: reason} }
func Never(reason string) Verdict { return Verdict{Reason: reason, Final: true} }

// Plugin has a name, as the scheduler's configuration and metrics know it.
type Plugin interface{ Name() string }

// Preparer is asked once per pod and may refuse it for every node. It reports
// false when the plugin has nothing to say about this pod: its Filter and Score
// are then skipped, which is what keeps plain pods cheap.
type Preparer interface {
	Plugin
	Prepare(c *Cycle) (relevant bool, v Verdict)
}

// Filter says whether a node can take the pod.
type Filter interface {
	Plugin
	Filter(c *Cycle, n *Node) Verdict
}

// Scorer says how good a feasible node is, 0 to MaxScore, and how much that counts.
type Scorer interface {
	Plugin
	Weight() int64
	Score(c *Cycle, n *Node) int64
}

// Normalizer turns a Scorer's raw scores into 0..MaxScore when all are known.
type Normalizer interface {
	Normalize(c *Cycle, scores []int64)
}

// Woken says which changes may help a pod that the plugin refused. Without it
// any change is taken to help.
type Woken interface{ WokenBy() Event }

// Event is a kind of change that may make a pod schedulable, as a bit set.
type Event uint8

// The kinds of change.
const (
	NodeAdded Event = 1 << iota
	NodeChanged
	PodGone
	PodPlaced
	StorageChanged
	NominationGone
	DeviceChanged
	Every Event = 0xff
)

// Events is how many kinds there may be.
const Events = 8

// MaxScore is the best score of a node.
const MaxScore = 100

// Cluster is what plugins may ask about the whole.
type Cluster interface {
	Nodes() []*Node
	// Count is how many pods match the query, by value of its topology key. It
	// is kept up to date incrementally and never walks pods.
	Count(q CountQuery) *Counts
	// Domains are the values of a node label.
	Domains(key string) *Domains
	// Held are the affinity terms of placed pods, each once.
	Held() []*HeldTerm
	// ImageNodes is how many nodes have an image.
	ImageNodes(image string) int
	Storage() Storage
}

// Storage finds the objects behind a pod's volumes and devices; nil for those that do not exist.
type Storage interface {
	Claim(namespace, name string) *corev1.PersistentVolumeClaim
	Volume(name string) *corev1.PersistentVolume
	// Delayed reports whether claims of the class wait for their first pod.
	Delayed(class string) bool
	// Device is a claim of devices.
	Device(namespace, name string) *resourcev1.ResourceClaim
}

// Cycle is one attempt to place one pod.
type Cycle struct {
	Pod     *Pod
	Cluster Cluster
	// Only, when not nil, names the only nodes worth asking; set by a Prepare.
	Only   []string
	OnlyBy string // the plugin that set it
	state  map[string]any
}

// NewCycle begins an attempt.
func NewCycle(p *Pod, cl Cluster) *Cycle { return &Cycle{Pod: p, Cluster: cl} }

// Put keeps what a plugin computed in Prepare for its other points.
func (c *Cycle) Put(plugin string, v any) {
	if c.state == nil {
		c.state = map[string]any{}
	}
	c.state[plugin] = v
}

// Get returns what Put kept, or nil.
func (c *Cycle) Get(plugin string) any { return c.state[plugin] }
