// Package framework is what the scheduler and its plugins agree on: a compiled
// pod, a node with what already runs on it, and the points at which a plugin is
// asked.
//
//	pod ─▶ Prepare (once a pod) ─▶ Filter (each node) ─▶ Score (each feasible node) ─▶ best
//
// Contract: plugins are pure. They see the pod, a node and the cluster as of this
// cycle, keep what they computed in the Cycle and never a client, a clock or a
// goroutine. A plugin is one folder scheduler/plugins/<name> and one line in
// plugins.go.
package framework

// Verdict of a plugin about a pod on a node.
type Verdict struct {
	// Reason is why the node (or the cluster) does not fit, in the words that
	// FailedScheduling shows; empty means it fits.
	Reason string
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

// MaxScore is the best score of a node.
const MaxScore = 100

// Cluster is what plugins may ask about the whole.
type Cluster interface {
	Nodes() []*Node
	// Count is how many pods match the counter's selector, by value of its
	// topology key. It is kept up to date incrementally and never walks pods.
	Count(q CountQuery) *Counts
	// WithAntiAffinity are the pods whose required anti-affinity may refuse others.
	WithAntiAffinity() []*Pod
	// NodeOf is where a placed pod is.
	NodeOf(p *Pod) *Node
}

// Cycle is one attempt to place one pod.
type Cycle struct {
	Pod     *Pod
	Cluster Cluster
	state   map[string]any
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
