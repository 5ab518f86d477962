package podworker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/kubelet/cri"
)

// TestProperties throws random pods into random worlds: actions that fail, containers that exit, sandboxes that die,
// deletion at any moment. What must always hold is checked after every decision.
func TestProperties(t *testing.T) {
	for seed := range uint64(3000) {
		if msg := survive(rand.New(rand.NewPCG(seed, 1))); msg != "" {
			t.Fatalf("seed %d: %s", seed, msg)
		}
	}
}

func randomPod(r *rand.Rand) *v1.Pod {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "u"}}
	p.Spec.RestartPolicy = []v1.RestartPolicy{v1.RestartPolicyAlways, v1.RestartPolicyOnFailure, v1.RestartPolicyNever}[r.IntN(3)]
	for i := range r.IntN(4) {
		c := v1.Container{Name: fmt.Sprintf("init%d", i), Image: "a"}
		if r.IntN(2) == 0 {
			c.RestartPolicy = new(v1.ContainerRestartPolicyAlways)
		}
		p.Spec.InitContainers = append(p.Spec.InitContainers, c)
	}
	for i := range 1 + r.IntN(3) {
		c := v1.Container{Name: fmt.Sprintf("main%d", i), Image: "a"}
		if r.IntN(4) == 0 {
			c.RestartPolicyRules = []v1.ContainerRestartRule{{Action: v1.ContainerRestartRuleActionRestartAllContainers,
				ExitCodes: &v1.ContainerRestartRuleOnExitCodes{Operator: v1.ContainerRestartRuleOnExitCodesOpIn, Values: []int32{1}}}}
		}
		p.Spec.Containers = append(p.Spec.Containers, c)
	}
	return p
}

func survive(r *rand.Rand) (msg string) {
	defer func() {
		if p := recover(); p != nil {
			msg = fmt.Sprint(p)
		}
	}()
	s := newSim(randomPod(r))
	for range 80 {
		if m := s.check(s.decide()); m != "" {
			return m
		}
		switch n := r.IntN(10); {
		case n < 5 && len(s.pending) > 0:
			s.finish(s.pending[r.IntN(len(s.pending))], r.IntN(6) > 0)
		case n < 7 && len(s.v.Runtime.Containers) > 0:
			s.exit(s.v.Runtime.Containers[r.IntN(len(s.v.Runtime.Containers))].Id, int32(r.IntN(2)))
		case n == 6 && s.v.Runtime.Sandbox() != nil && r.IntN(5) == 0:
			s.v.Broken = s.v.Runtime.Sandbox().Id
		case n == 7 && s.v.Runtime.Sandbox() != nil && r.IntN(5) == 0:
			s.sandboxDies(s.v.Runtime.Sandbox().Id)
		case n == 8 && s.v.Stop == nil && r.IntN(8) == 0:
			s.v.Stop = &Stop{Deleted: true, Deadline: s.v.Now.Add(30 * time.Second)}
		default:
			s.v.Now = s.v.Now.Add(time.Duration(r.IntN(30)) * time.Second)
		}
	}
	return s.end()
}

// check tells what a decision must never ask for.
func (s *sim) check(p Plan) string {
	for _, a := range p.Actions {
		if s.v.Now.Before(s.v.Retry[a.key()].At) {
			return "does not wait before it tries again to " + string(a.Op)
		}
		switch a.Op {
		case OpStart:
			if len(before(s.v)) > 0 {
				return "starts " + a.Container + " while containers from before a restart of all run"
			}
			if s.v.Stop != nil {
				return "starts " + a.Container + " in a pod that must stop"
			}
			if s.v.Runtime.ReadySandbox() == nil || !s.v.SetUp.Done {
				return "starts " + a.Container + " before the set-up"
			}
			if running(s.v.Runtime.Container(a.Container)) {
				return "starts " + a.Container + " twice"
			}
			if m := s.ordered(a.Container); m != "" {
				return m
			}
		case OpKill:
			if s.v.Stop != nil && s.sidecar(a.Container) && s.mainRuns() {
				return "kills sidecar " + a.Container + " before main containers have ended"
			}
		case OpStopSandbox, OpTearDown:
			if s.v.Stop != nil && anyRunning(s.v) {
				return string(a.Op) + " while containers run"
			}
		case OpForget:
			if !s.v.Down || s.v.Stop == nil || !s.v.Stop.Deleted {
				return "forgets a pod that is not down or not deleted"
			}
		}
	}
	return ""
}

// ordered checks that whatever comes before a container in the list of init containers is done or runs.
func (s *sim) ordered(name string) string {
	isMain := !slices.ContainsFunc(s.v.Pod.Spec.InitContainers, func(c v1.Container) bool { return c.Name == name })
	for _, c := range s.v.Pod.Spec.Containers {
		if current(s.v, c.Name) != nil {
			return "" // initialization was over before
		}
	}
	for i := range s.v.Pod.Spec.InitContainers {
		c := &s.v.Pod.Spec.InitContainers[i]
		if c.Name == name && !isMain {
			return ""
		}
		cur := current(s.v, c.Name)
		if cri.Restartable(c) && !running(cur) || !cri.Restartable(c) && (!exited(cur) || cur.ExitCode != 0) {
			return fmt.Sprintf("starts %s before %s", name, c.Name)
		}
	}
	return ""
}

func (s *sim) sidecar(name string) bool {
	return slices.ContainsFunc(s.v.Pod.Spec.InitContainers, func(c v1.Container) bool { return c.Name == name && cri.Restartable(&c) })
}

func (s *sim) mainRuns() bool {
	for _, c := range s.v.Pod.Spec.Containers {
		if running(s.v.Runtime.Container(c.Name)) {
			return true
		}
	}
	return false
}

// end deletes the pod and lets everything succeed: nothing may be left.
func (s *sim) end() string {
	if s.v.Stop == nil {
		s.v.Stop = &Stop{}
	}
	s.v.Stop.Deleted = true
	for range 200 {
		if s.v.Gone {
			return ""
		}
		if m := s.check(s.decide()); m != "" {
			return m
		}
		for _, a := range slices.Clone(s.pending) {
			s.finish(a, true)
		}
		s.v.Now = s.v.Now.Add(5 * time.Minute)
	}
	return fmt.Sprintf("a deleted pod does not go: %+v", s.v)
}
