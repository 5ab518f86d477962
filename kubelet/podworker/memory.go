package podworker

import (
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Remember updates what is known of a container by its newest incarnation: how long it must rest after an exit.
// A container that ran for long is forgiven its earlier exits.
func Remember(mem Container, c *runtimeapi.ContainerStatus) Container {
	if !exited(c) || mem.Crash.ID == c.Id || mem.Caught == c.Id && c.StartedAt == 0 {
		return mem
	}
	count := mem.Crash.Count
	if c.StartedAt > 0 && c.FinishedAt-c.StartedAt >= int64(crashForgiven) {
		count = 0
	}
	mem.Crash = Crash{ID: c.Id, Count: count + 1, Delay: crashDelay(count)}
	return mem
}

// TakeOver is Remember for a container that an earlier kubelet started: its attempts stand for its exits.
func TakeOver(mem Container, newest *runtimeapi.ContainerStatus) Container {
	if mem.Crash.Count == 0 {
		mem.Crash.Count = int(newest.Metadata.GetAttempt())
	}
	return Remember(mem, newest)
}

// crashDelay is nothing after the first exit, then ten seconds, doubling to five minutes.
func crashDelay(earlier int) time.Duration {
	if earlier == 0 {
		return 0
	}
	return doubling(crashFirst, crashMost, earlier-1)
}

// doubling is first·2ⁿ, at most most.
func doubling(first, most time.Duration, n int) time.Duration {
	for ; n > 0 && first < most; n-- {
		first *= 2
	}
	return min(first, most)
}

// Noted remembers which rests a plan has told of.
func Noted(known map[string]Container, p Plan) {
	for _, n := range p.Notes {
		mem := known[n.Container]
		mem.Crash.Told = true
		known[n.Container] = mem
	}
}
