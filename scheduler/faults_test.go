package scheduler_test

import (
	"errors"
	"net/http"
	"testing"
)

// TestBindingFaults loses, refuses and delays bindings. Whatever happens, what a
// node holds is counted right: the next pod fits exactly when it should.
func TestBindingFaults(t *testing.T) {
	c := start(t)
	c.node("n1", "1")
	lost := errors.New("connection lost")
	full := "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."

	t.Run("never sent", func(t *testing.T) {
		c := c.in(t)
		c.faults.bind("a", func(func() (*http.Response, error)) (*http.Response, error) { return nil, lost })
		c.pod("a", "600m")
		c.event("a", "FailedScheduling", "binding rejected")
		c.bound("a", "n1")
	})
	t.Run("done, but the answer is lost", func(t *testing.T) {
		c := c.in(t)
		c.remove("a")
		answered := make(chan struct{})
		c.faults.bind("b", func(send func() (*http.Response, error)) (*http.Response, error) {
			if _, err := send(); err != nil {
				t.Error(err)
			}
			<-answered // the informer is first
			return nil, lost
		})
		c.pod("b", "600m")
		c.bound("b", "n1")
		close(answered)
		c.pod("c", "600m")
		c.refused("c", full)
		c.remove("b")
		c.bound("c", "n1")
	})
	t.Run("the pod goes meanwhile", func(t *testing.T) {
		c := c.in(t)
		c.remove("c")
		sending, gone := make(chan struct{}), make(chan struct{})
		c.faults.bind("d", func(send func() (*http.Response, error)) (*http.Response, error) {
			close(sending)
			<-gone
			return send()
		})
		c.pod("d", "600m")
		within(t, sending, "the binding is sent")
		c.pod("e", "600m")
		c.refused("e", full)
		c.remove("d")
		close(gone)
		c.bound("e", "n1")
	})
	t.Run("the pod is made anew meanwhile", func(t *testing.T) {
		c := c.in(t)
		c.remove("e")
		sending, anew := make(chan struct{}), make(chan struct{})
		c.faults.bind("f", func(send func() (*http.Response, error)) (*http.Response, error) {
			close(sending)
			<-anew
			return send()
		})
		first := c.pod("f", "600m")
		within(t, sending, "the binding is sent")
		c.remove("f")
		second := c.pod("f", "700m")
		close(anew)
		if p := c.bound("f", "n1"); p.UID == first.UID || p.UID != second.UID {
			t.Error("the binding of the old pod took the new one")
		}
	})
}
