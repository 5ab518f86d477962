package queue

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/datadriven"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/scheduler/framework"
)

var events = map[string]framework.Event{
	"node": framework.NodeAdded, "gone": framework.PodGone, "placed": framework.PodPlaced, "": 0,
}

// TestScenarios runs testdata in a time of its own.
//
//	put name=p priority=1    a new pod, or a changed one
//	pop                      the next pod, or how long until there may be one
//	fail name=p waits=node   its attempt failed (no waits: by an error)
//	wake event=node          something changed
//	sleep for=1s
//	remove name=p
//
// Every answer ends with the sizes of the parts.
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		synctest.Test(t, func(t *testing.T) {
			s := &script{T: t, popped: map[string]*Item{}}
			s.q = New(time.Now, func(part, event string) { s.moves = append(s.moves, event+" → "+part) })
			datadriven.RunTest(t, path, s.run)
		})
	})
}

type script struct {
	*testing.T
	q      *Queue
	popped map[string]*Item
	moves  []string
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	var name, waits string
	d.MaybeScanArgs(t, "name", &name)
	d.MaybeScanArgs(t, "waits", &waits)
	s.moves = nil
	said := ""
	switch d.Cmd {
	case "put":
		var priority int32
		d.MaybeScanArgs(t, "priority", &priority)
		s.q.Put(podOf(name, priority))
	case "pop":
		said = s.pop()
	case "fail":
		s.q.Requeue(s.popped[name], events[waits], []string{"Some"})
	case "wake":
		d.ScanArgs(t, "event", &waits)
		s.q.Wake(events[waits], waits)
	case "sleep":
		var dur string
		d.ScanArgs(t, "for", &dur)
		span, err := time.ParseDuration(dur)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(span) // of the bubble
	case "remove":
		s.q.Remove(types.UID(name))
	default:
		t.Fatalf("unknown command %s", d.Cmd)
	}
	st := s.q.Stats()
	for _, m := range s.moves {
		said += m + "\n"
	}
	return said + fmt.Sprintf("active %d, backoff %d, parked %d\n", st.Active, st.Backoff, st.Unschedulable)
}

func (s *script) pop() string {
	it, next := s.q.tryPop()
	switch {
	case it != nil:
		s.popped[it.Pod.Name] = it
		return fmt.Sprintf("%s, attempt %d\n", it.Pod.Name, it.Attempts)
	case next.IsZero():
		return "nothing\n"
	}
	return fmt.Sprintf("nothing for %s\n", time.Until(next))
}

func podOf(name string, priority int32) *framework.Pod {
	return &framework.Pod{Pod: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}, Spec: corev1.PodSpec{Priority: &priority}}}
}

// TestPopWaits checks that Pop blocks and by what it is ended.
func TestPopWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(time.Now, nil)
		ctx, cancel := context.WithCancel(t.Context())
		interrupt := make(chan struct{}, 1)
		got := make(chan string)
		go func() {
			for {
				it, err := q.Pop(ctx, interrupt)
				switch {
				case err != nil:
					got <- "ended"
					return
				case it == nil:
					got <- "interrupted"
				default:
					got <- it.Pod.Name
				}
			}
		}()
		expect := func(want string) {
			t.Helper()
			if s := <-got; s != want {
				t.Errorf("%s, not %s", s, want)
			}
		}
		synctest.Wait()
		q.Put(podOf("a", 0))
		expect("a")
		it, _ := q.Get("a")
		q.Requeue(it, framework.NodeAdded, nil)
		synctest.Wait()
		interrupt <- struct{}{}
		expect("interrupted")
		began := time.Now()
		expect("a") // parked pods are tried again after a while whatever happens
		if d := time.Since(began); d != maxParked {
			t.Errorf("parked for %s", d)
		}
		q.Requeue(it, 0, nil)
		began = time.Now()
		expect("a")
		if d := time.Since(began); d != 2*time.Second {
			t.Errorf("second backoff took %s", d)
		}
		cancel()
		expect("ended")
	})
}

func TestBackoff(t *testing.T) {
	var got []string
	for n := range 7 {
		got = append(got, backoff(n+1).String())
	}
	if s := strings.Join(got, " "); s != "1s 2s 4s 8s 10s 10s 10s" {
		t.Error(s)
	}
}
