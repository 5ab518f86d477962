package podworker

import (
	"context"
	"net"
	"slices"
	"strconv"
	"time"

	v1 "k8s.io/api/core/v1"

	"hyperkube/internal/bounds"
)

// A container without probes counts as ready when it is started. A server that
// was started listens a moment later, and our nodes learn of a ready pod sooner
// than that: the requests in between would be refused. So a container that
// says on which TCP ports it listens (in its spec or its image) is ready when one
// of them accepts, or after listenPatience at the latest, as it may not mean it.
const (
	listenPatience = time.Second
	listenEvery    = 10 * time.Millisecond
)

// listensOn are the TCP ports a container claims to serve.
func (w *Worker) listensOn(spec *v1.Container, mem Container) []int32 {
	if spec == nil {
		return nil
	}
	var ports []int32
	for _, p := range spec.Ports {
		if p.Protocol == v1.ProtocolTCP || p.Protocol == "" {
			ports = append(ports, p.ContainerPort)
		}
	}
	ports = append(ports, mem.Ports...)
	slices.Sort(ports)
	ports = slices.Compact(ports)
	return ports[:min(len(ports), bounds.Ports)]
}

// awaitListening makes the container ready in time. The caller holds the lock.
func (w *Worker) awaitListening(ctx context.Context, name, id string, ports []int32) {
	ctx, cancel := context.WithTimeout(ctx, listenPatience)
	w.probes[id] = cancel
	host := w.podIP()
	w.wg.Go(func() {
		defer cancel()
		tick := time.NewTicker(listenEvery)
		defer tick.Stop()
		for !accepts(ctx, host, ports) {
			select {
			case <-tick.C:
				continue
			case <-ctx.Done():
			}
			break
		}
		w.change(func() {
			if mem := w.view.Containers[name]; mem.Probe.ID == id {
				mem.Probe.Ready = true
				w.view.Containers[name] = mem
			}
		})
	})
}

func accepts(ctx context.Context, host string, ports []int32) bool {
	for _, p := range ports {
		c, err := (&net.Dialer{Timeout: listenPatience}).DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(int(p))))
		if err == nil {
			c.Close()
			return true
		}
	}
	return false
}
