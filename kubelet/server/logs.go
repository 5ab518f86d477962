package server

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hyperkube/internal/bounds"
	"hyperkube/kubelet/logs"
	"hyperkube/kubelet/podworker"
)

func (s *Server) containerLogs(w http.ResponseWriter, r *http.Request) {
	o, previous, err := logOptions(r.URL.Query(), time.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	st, ok := s.find(w, r)
	if !ok {
		return
	}
	name := r.PathValue("container")
	c, err := logContainer(st, name, previous)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	alive := func() bool {
		now, ok := s.o.Pods.Find(st.Pod.Namespace, st.Pod.Name, st.Pod.UID)
		if !ok {
			return false
		}
		for _, x := range now.Runtime.Containers {
			if x.Id == c.Id {
				return podworker.Running(x)
			}
		}
		return false
	}
	w.Header().Set("Content-Type", "text/plain")
	out := &flusher{w: w}
	if o.Follow {
		out.f, _ = w.(http.Flusher)
		out.Flush()
	}
	if err := s.logs.Read(r.Context(), c.LogPath, o, alive, out); err != nil && r.Context().Err() == nil {
		if !out.wrote {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = fmt.Fprintln(w, err)
	}
}

// flusher sends what a follower is to see at once.
type flusher struct {
	w     http.ResponseWriter
	f     http.Flusher
	wrote bool
}

func (f *flusher) Write(b []byte) (int, error) {
	f.wrote = true
	return f.w.Write(b)
}

// Flush is called when everything there is has been written.
func (f *flusher) Flush() {
	if f.f != nil {
		f.f.Flush()
	}
}

// logContainer finds the container whose log is meant, with the words that kubectl shows when there is none.
func logContainer(st podworker.State, name string, previous bool) (*runtimeapi.ContainerStatus, error) {
	var cs *v1.ContainerStatus
	for _, list := range [][]v1.ContainerStatus{st.Pod.Status.ContainerStatuses, st.Pod.Status.InitContainerStatuses, st.Pod.Status.EphemeralContainerStatuses} {
		for i := range list {
			if list[i].Name == name {
				cs = &list[i]
			}
		}
	}
	cur := st.Runtime.Container(name)
	if previous {
		prev := st.Runtime.Previous(name)
		if prev == nil && cur != nil && !podworker.Running(cur) && cs != nil && cs.State.Waiting != nil {
			prev = cur // the last one has ended and the next has not begun
		}
		if prev == nil {
			return nil, fmt.Errorf("previous terminated container %q in pod %q not found", name, st.Pod.Name)
		}
		return prev, nil
	}
	switch {
	case cur != nil && cur.State != runtimeapi.ContainerState_CONTAINER_CREATED:
		return cur, nil
	case cs != nil && cs.State.Waiting != nil:
		why := cs.State.Waiting.Reason
		switch {
		case strings.HasPrefix(why, "ErrImage") || why == "ImagePullBackOff":
			return nil, fmt.Errorf("container %q in pod %q is waiting to start: trying and failing to pull image", name, st.Pod.Name)
		}
		return nil, fmt.Errorf("container %q in pod %q is waiting to start: %s", name, st.Pod.Name, why)
	case cs != nil && cs.State.Terminated != nil:
		return nil, fmt.Errorf("container %q in pod %q is terminated", name, st.Pod.Name)
	}
	return nil, fmt.Errorf("container %q in pod %q is not available", name, st.Pod.Name)
}

// logOptions reads a log request as pods/log has it.
func logOptions(q url.Values, now time.Time) (logs.Options, bool, error) {
	var (
		o        logs.Options
		previous bool
	)
	flag := func(name string, to *bool) error {
		if v := q.Get(name); v != "" {
			b, err := strconv.ParseBool(v)
			if err != nil {
				return fmt.Errorf("%s: %q is not a boolean", name, v)
			}
			*to = b
		} else if q.Has(name) {
			*to = true
		}
		return nil
	}
	count := func(name string, least int64, to **int64) error {
		if v := q.Get(name); v != "" && v != "all" {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil || n < least {
				return fmt.Errorf("%s: %q is not a number of at least %d", name, v, least)
			}
			*to = &n
		}
		return nil
	}
	var since *int64
	for _, err := range []error{flag("follow", &o.Follow), flag("timestamps", &o.Timestamps), flag("previous", &previous),
		count("tailLines", 0, &o.Tail), count("limitBytes", 1, &o.Limit), count("sinceSeconds", 1, &since)} {
		if err != nil {
			return o, false, err
		}
	}
	if since != nil {
		o.Since = now.Add(-bounds.Seconds(*since))
	}
	if v := q.Get("sinceTime"); v != "" {
		t, err := time.Parse(time.RFC3339, v)
		if err != nil {
			return o, false, fmt.Errorf("sinceTime: %q is not a time", v)
		}
		o.Since = t
	}
	switch v := q.Get("stream"); strings.ToLower(v) {
	case "", "all":
	case "stdout", "stderr":
		o.Stream = strings.ToLower(v)
	default:
		return o, false, fmt.Errorf("stream: %q is not one of All, Stdout, Stderr", v)
	}
	return o, previous, nil
}
