package podworker

import (
	"context"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hyperkube/kubelet/cri"
)

// unsized lists the running containers, by runtime id, whose size is not the spec's.
func unsized(v View) map[string]*v1.Container {
	var out map[string]*v1.Container
	for _, list := range [][]v1.Container{v.Pod.Spec.InitContainers, v.Pod.Spec.Containers} {
		for i := range list {
			c := &list[i]
			cur := v.Runtime.Container(c.Name)
			if !running(cur) || !differs(v, c, cur) {
				continue
			}
			if out == nil {
				out = map[string]*v1.Container{}
			}
			out[cur.Id] = c
		}
	}
	return out
}

// differs tells whether a container has another size than its spec asks for. A runtime that reports something else
// than it was told is believed once.
func differs(v View, c *v1.Container, cur *runtimeapi.ContainerStatus) bool {
	have, known := cri.ActualSize(cur)
	want := cri.SizeOf(c)
	return known && have != want && v.Containers[c.Name].Sized != Sized{cur.Id, want}
}

// decideResize has containers follow their spec's size, by a restart where their policy asks for one.
func decideResize(v View, p *Plan) {
	if v.Busy[PodKey] != "" || !v.SetUp.Done || v.Runtime.ReadySandbox() == nil {
		return
	}
	wait := v.Now.Before(v.Resize.RetryAt)
	in := false
	for id, c := range unsized(v) {
		have, _ := cri.ActualSize(v.Runtime.Container(c.Name))
		switch {
		case v.Busy[c.Name] != "":
		case cri.RestartsFor(c, have, cri.SizeOf(c)):
			p.do(Action{Op: OpKill, Container: c.Name, ID: id, Deadline: v.Now.Add(grace(v.Pod, Container{})), Note: true, Planned: true,
				Message: fmt.Sprintf("Container %s resize requires restart", c.Name)})
		default:
			in = true
		}
	}
	switch {
	case !in:
	case wait:
		p.wake(v.Resize.RetryAt)
	default:
		p.do(Action{Op: OpResize})
	}
}

// resize performs it for every container that needs no restart.
func (w *Worker) resize(ctx context.Context, pod *v1.Pod) (func(), error) {
	w.mu.Lock()
	todo := unsized(w.view)
	for id, c := range todo {
		if have, ok := cri.ActualSize(w.view.Runtime.Container(c.Name)); ok && cri.RestartsFor(c, have, cri.SizeOf(c)) {
			delete(todo, id)
		}
	}
	w.mu.Unlock()
	err := w.d.Resizer.Resize(ctx, pod, todo)
	var now []*runtimeapi.ContainerStatus
	for id := range todo {
		if st, e := w.d.Client.ContainerStatus(context.WithoutCancel(ctx), id); e == nil {
			now = append(now, st)
		}
	}
	return func() {
		w.merge(nil, now...)
		if err != nil {
			w.view.Resize.Error = err.Error()
			w.view.Resize.RetryAt = time.Now().Add(doubling(retryFirst*2, retryMost, w.view.Resize.Failures))
			w.view.Resize.Failures++
			return
		}
		w.view.Resize.Error, w.view.Resize.Failures, w.view.Resize.RetryAt = "", 0, time.Time{}
		for id, c := range todo {
			mem := w.view.Containers[c.Name]
			mem.Sized = Sized{id, cri.SizeOf(c)}
			w.view.Containers[c.Name] = mem
		}
	}, err
}
