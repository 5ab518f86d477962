package podworker

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hyperkube/kubelet/cri"
	"hyperkube/kubelet/logs"
	"hyperkube/kubelet/probe"
	"hyperkube/kubelet/status"
)

// syncProbes has probes run for exactly the containers that run. The caller holds the lock.
func (w *Worker) syncProbes(ctx context.Context) {
	alive := map[string]bool{}
	for _, c := range w.view.Runtime.Containers {
		name := c.Metadata.GetName()
		if !running(c) || w.view.Busy[name] == OpStart || w.view.Containers[name].FailedID == c.Id && w.view.Containers[name].Probe.ID != c.Id {
			continue
		}
		alive[c.Id] = true
		if w.view.Containers[name].Probe.ID != c.Id {
			w.startProbes(ctx, name, c)
		}
	}
	w.endProbes(alive)
}

func (w *Worker) endProbes(keep map[string]bool) {
	for id, cancel := range w.probes {
		if !keep[id] {
			cancel()
			delete(w.probes, id)
		}
	}
}

func (w *Worker) startProbes(ctx context.Context, name string, c *runtimeapi.ContainerStatus) {
	spec, _ := specOf(w.view.Pod, name)
	mem := w.view.Containers[name]
	mem.Probe = status.Probed{ID: c.Id, Started: true, Ready: true}
	if spec == nil || !probe.Needed(spec) {
		if ports := w.listensOn(spec, mem); len(ports) > 0 && !inAPI(w.view.Pod, c.Id).Ready {
			mem.Probe.Ready = false
			w.awaitListening(ctx, name, c.Id, ports)
		}
		w.view.Containers[name] = mem
		return
	}
	was := inAPI(w.view.Pod, c.Id)
	mem.Probe.Started = spec.StartupProbe == nil || was.Started != nil && *was.Started
	mem.Probe.Ready = mem.Probe.Started && (spec.ReadinessProbe == nil || was.Ready)
	w.view.Containers[name] = mem
	ctx, cancel := context.WithCancel(ctx)
	w.probes[c.Id] = cancel
	t := probe.Target{Pod: w.view.Pod, Container: spec, ID: c.Id, PodIP: w.podIP(), Started: mem.Probe.Started}
	w.wg.Go(func() { w.d.Prober.Run(ctx, t, w.sink(t)) })
}

func (w *Worker) podIP() string {
	if ips := w.view.Runtime.IPs(); len(ips) > 0 && !w.view.Pod.Spec.HostNetwork {
		return ips[0]
	}
	if ips := w.d.HostIPs(); len(ips) > 0 {
		return ips[0]
	}
	return ""
}

// inAPI is what the API says of the container with that id, from before this kubelet was started.
func inAPI(pod *v1.Pod, id string) v1.ContainerStatus {
	for _, list := range [][]v1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses} {
		for _, s := range list {
			if strings.HasSuffix(s.ContainerID, "://"+id) {
				return s
			}
		}
	}
	return v1.ContainerStatus{}
}

func (w *Worker) sink(t probe.Target) probe.Sink {
	return probe.Sink{
		Changed: func(u probe.Update) { w.change(func() { w.verdict(t, u) }) },
		Failed: func(typ probe.Type, unknown bool, output string) {
			w.mu.Lock()
			stopping := w.view.Stop != nil && typ != probe.Readiness
			w.mu.Unlock()
			switch {
			case stopping:
			case unknown:
				w.tell(t.Container.Name)(v1.EventTypeWarning, "Unhealthy", fmt.Sprintf("%s probe errored and resulted in unknown state: %s", typ, output))
			default:
				w.tell(t.Container.Name)(v1.EventTypeWarning, "Unhealthy", fmt.Sprintf("%s probe failed: %s", typ, output))
			}
		},
		Warned: func(typ probe.Type, output string) {
			w.tell(t.Container.Name)(v1.EventTypeWarning, "ProbeWarning", fmt.Sprintf("%s probe warning: %s", typ, output))
		},
		Counted: func(typ probe.Type, r probe.Result, _ time.Duration) {
			if w.d.Observe.Probe != nil {
				w.d.Observe.Probe(t.Pod, t.Container.Name, typ, r)
			}
		},
	}
}

// verdict takes in what a probe found. The caller holds the lock.
func (w *Worker) verdict(t probe.Target, u probe.Update) {
	mem := w.view.Containers[t.Container.Name]
	if mem.Probe.ID != u.ID {
		return
	}
	switch {
	case u.Type == probe.Readiness:
		mem.Probe.Ready = u.OK
	case u.OK && u.Type == probe.Startup:
		mem.Probe.Started = true
		mem.Probe.Ready = t.Container.ReadinessProbe == nil
	case !u.OK && w.view.Stop == nil:
		mem.FailedID, mem.FailedGrace = u.ID, probeGrace(t.Container, u.Type)
		mem.Failed = fmt.Sprintf("Container %s failed %s probe, will be restarted", t.Container.Name, strings.ToLower(string(u.Type)))
	}
	w.view.Containers[t.Container.Name] = mem
}

func probeGrace(c *v1.Container, t probe.Type) *int64 {
	p := c.LivenessProbe
	if t == probe.Startup {
		p = c.StartupProbe
	}
	return p.TerminationGracePeriodSeconds
}

// lastWords is a dead container's termination message: its file, or the end of its log if that was asked for.
func (w *Worker) lastWords(c *runtimeapi.ContainerStatus) string {
	if text, ok := w.words[c.Id]; ok {
		return text
	}
	path, policy := cri.TerminationLog(c.Annotations)
	text := ""
	if path != "" {
		if data, err := readHead(path, 4096); err == nil {
			text = data
		}
	}
	if text == "" && policy == v1.TerminationMessageFallbackToLogsOnError && c.ExitCode != 0 && c.LogPath != "" {
		text = logs.Tail(c.LogPath, 80, 2048)
	}
	forgetWords(w.words, w.view.Runtime.Containers)
	w.words[c.Id] = text
	for id := range w.words { // those of containers that were removed are in the status already
		if !slices.ContainsFunc(w.view.Runtime.Containers, func(c *runtimeapi.ContainerStatus) bool { return c.Id == id }) {
			delete(w.words, id)
		}
	}
	return text
}

// forgetWords drops the messages of containers that the runtime has forgotten: a pod may crash for years.
func forgetWords(words map[string]string, have []*runtimeapi.ContainerStatus) {
	maps.DeleteFunc(words, func(id, _ string) bool {
		return !slices.ContainsFunc(have, func(c *runtimeapi.ContainerStatus) bool { return c.Id == id })
	})
}

func readHead(path string, limit int) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	buf := make([]byte, limit)
	n, _ := f.Read(buf)
	return string(buf[:n]), nil
}
