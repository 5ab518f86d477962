package runtime

import (
	"context"
	"slices"
	"sync"
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A shim can lock up for good, as when more of its containers end at once than it can take
// in while it sends a signal. Neither the kubelet nor containerd get past it: its pod would
// stay for ever, whatever is started anew.
//
//	look ─▶ shims that say nothing of a container of theirs
//	          └─ nothing of the same one in all looks for sweepAfter ─▶ ended
//
// containerd sees that and takes its containers for ended.
const (
	answerWithin = 10 * time.Second
	asked        = 8 // shims at a time
)

// asks tells whether a shim says how a container of its is.
type asks func(ctx context.Context, container string) bool

// silent lists, of each shim, the first container that nothing is said of. It stands for the
// shim, whose number it bears.
func silent(ctx context.Context, running []shim, of map[string][]string, ask asks) []shim {
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		out  []shim
		turn = make(chan struct{}, asked)
	)
	for _, sh := range running {
		turn <- struct{}{}
		wg.Go(func() {
			defer func() { <-turn }()
			for _, id := range slices.Sorted(slices.Values(of[sh.id])) {
				ctx, cancel := context.WithTimeout(ctx, answerWithin)
				answered := ask(ctx, id)
				cancel()
				if !answered {
					mu.Lock()
					defer mu.Unlock()
					out = append(out, shim{sh.pid, sh.started, id})
					return
				}
			}
		})
	}
	wg.Wait()
	return out
}

// silentShims asks all shims of the containerd at socket.
func silentShims(ctx context.Context, socket string, running []shim) ([]shim, error) {
	ctx = namespaces.WithNamespace(ctx, criSpace)
	c, list, err := containersOf(ctx, socket)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	of := map[string][]string{}
	for _, one := range list {
		of[one.SandboxID] = append(of[one.SandboxID], one.ID)
	}
	return silent(ctx, running, of, func(ctx context.Context, id string) bool {
		r, err := c.TaskService().Get(ctx, &tasks.GetRequest{ContainerID: id})
		if err != nil { // one without a task has nothing to say of
			return status.Code(err) != codes.DeadlineExceeded
		}
		return r.Process.GetStatus() != task.Status_UNKNOWN // as containerd has it when the shim does not answer
	}), nil
}
