package cluster

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/internal/regular"
	"hyperkube/internal/supervise"
)

const (
	// patience is how long a stage may take before `up` says what it waits for, and how
	// often it looks whether that has changed.
	patience   = 10 * time.Second
	whyTimeout = 5 * time.Second
)

// tellWaits says what a stage waits for, once it takes long and whenever the reason changes,
// until done is called.
func (n *node) tellWaits(ctx context.Context, why func(context.Context) string) (done func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		// Saying why must not end what it explains.
		_ = supervise.Contain("telling what is waited for", func() error {
			eachChange(ctx, patience, why, func(reason string) {
				fmt.Println(waitMark + reason)
				// For another `up` that waits, too.
				if err := regular.WriteFile(n.c.p.Waiting, []byte(reason), 0o600); err != nil {
					n.c.log.Warn("noting what is waited for", "err", err)
				}
			})
			return nil
		})
	})
	return func() {
		cancel()
		running.Wait()
		os.Remove(n.c.p.Waiting)
	}
}

func eachChange(ctx context.Context, every time.Duration, why func(context.Context) string, tell func(string)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for last := ""; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		once, cancel := context.WithTimeout(ctx, whyTimeout)
		reason := why(once)
		cancel()
		if reason != last && ctx.Err() == nil {
			last = reason
			tell(reason)
		}
	}
}

func (n *node) whyNotReady(ctx context.Context, before, began time.Time) string {
	why := n.notReady(ctx, before, began)
	// A part that cannot run is the cause of what others lack.
	if err := n.c.roles.Ended(); err != nil {
		why += "; " + strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return why
}

func (n *node) notReady(ctx context.Context, before, began time.Time) string {
	kube, err := n.c.client(upUser())
	if err != nil {
		return err.Error()
	}
	node, err := kube.CoreV1().Nodes().Get(ctx, n.c.o.NodeName, metav1.GetOptions{})
	if err != nil {
		return fmt.Sprintf("node %s has not registered: %v", n.c.o.NodeName, err)
	}
	if !reported(node, before, began) {
		return fmt.Sprintf("node %s has not reported since this start", node.Name)
	}
	_, why := conditionOf(node)
	return fmt.Sprintf("node %s is not ready: %s", node.Name, why)
}

func (n *node) whyNoDNS(ctx context.Context) string {
	kube, err := n.c.client(upUser())
	if err != nil {
		return err.Error()
	}
	pods, err := kube.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: dnsLabel})
	if err != nil {
		return fmt.Sprintf("the pods of DNS cannot be read: %v", err)
	}
	events, err := kube.CoreV1().Events(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.kind=Pod"})
	if err != nil {
		events = &corev1.EventList{}
	}
	return explain("DNS", pods.Items, events.Items)
}

// explain says which pod is waited for and why: its phase, what its containers wait for, the
// condition that is not met and the last warning about it.
func explain(what string, pods []corev1.Pod, events []corev1.Event) string {
	if len(pods) == 0 {
		return fmt.Sprintf("no pod of %s has been made", what)
	}
	var parts []string
	for _, p := range pods {
		if s := waitsFor(&p, events); s != "" {
			parts = append(parts, s)
		}
	}
	if len(parts) == 0 {
		return fmt.Sprintf("the pods of %s are ready, but it does not answer at its address", what)
	}
	return strings.Join(parts, "; ")
}

func waitsFor(p *corev1.Pod, events []corev1.Event) string {
	var why []string
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		switch {
		case c.State.Waiting != nil:
			why = append(why, fmt.Sprintf("container %s waits: %s", c.Name, strings.TrimSpace(c.State.Waiting.Reason+" "+c.State.Waiting.Message)))
		case c.State.Terminated != nil:
			why = append(why, fmt.Sprintf("container %s ended: %s, exit code %d", c.Name, c.State.Terminated.Reason, c.State.Terminated.ExitCode))
		}
	}
	ready := false
	for _, c := range p.Status.Conditions {
		if c.Status == corev1.ConditionTrue {
			ready = ready || c.Type == corev1.PodReady
			continue
		}
		if text := cmp.Or(c.Message, c.Reason); text != "" && (c.Type == corev1.PodScheduled || c.Type == corev1.PodReady && len(why) == 0) {
			why = append(why, text)
		}
	}
	if ready {
		return ""
	}
	if e := lastWarning(p, events); e != nil {
		why = append(why, fmt.Sprintf("last event: %s: %s", e.Reason, e.Message))
	}
	return strings.Join(append([]string{fmt.Sprintf("pod %s/%s is %s", p.Namespace, p.Name, cmp.Or(p.Status.Phase, corev1.PodPending))}, why...), ", ")
}

// lastWarning is the newest warning about a pod.
func lastWarning(p *corev1.Pod, events []corev1.Event) *corev1.Event {
	var last *corev1.Event
	when := func(e *corev1.Event) time.Time {
		return slices.MaxFunc([]time.Time{e.LastTimestamp.Time, e.EventTime.Time, e.FirstTimestamp.Time, e.CreationTimestamp.Time}, time.Time.Compare)
	}
	for i := range events {
		e := &events[i]
		if e.Type == corev1.EventTypeWarning && e.InvolvedObject.UID == p.UID && (last == nil || when(e).After(when(last))) {
			last = e
		}
	}
	return last
}
