package network

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"hyperkube/internal/supervise"
	"hyperkube/internal/trouble"
	"hyperkube/kit"
)

// refusing is an API server that answers everything with an error.
type refusing struct{ err error }

func (r refusing) ListerWatcher(schema.GroupVersionResource, kit.SourceOptions) cache.ListerWatcherWithContext {
	return r
}

func (r refusing) ListWithContext(context.Context, metav1.ListOptions) (runtime.Object, error) {
	return nil, r.err
}

func (r refusing) WatchWithContext(context.Context, metav1.ListOptions) (watch.Interface, error) {
	return nil, r.err
}

// TestRefusedIsTold: an API server that refuses or is gone is told at once, now and then,
// and counted; the network is not ready without knowing its range.
func TestRefusedIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, registry := &logged{}, prometheus.NewRegistry()
		informers := kit.NewInformers(refusing{apierrors.NewForbidden(schema.GroupResource{Resource: "nodes"}, "", errors.New("no rights"))}, log.logger(), kit.Failures(trouble.Metric(registry)))
		n, err := New(Options{Informers: informers, NodeName: "me", StateDir: "/nowhere", Log: log.logger(), Metrics: registry})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 2)
		go func() { done <- informers.Run(ctx) }()
		go func() { done <- n.loop(ctx) }()
		synctest.Wait()
		if got := strings.Count(log.String(), "watching nodes fails"); got != 1 {
			t.Errorf("%d lines at once, want one:\n%s", got, log)
		}
		time.Sleep(5 * time.Minute) // of the bubble's clock
		if got := strings.Count(log.String(), "watching nodes fails"); got < 3 || got > 8 {
			t.Errorf("%d lines in five minutes", got)
		}
		if n.isReady() {
			t.Error("ready")
		}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		counted := 0.0
		for _, f := range families {
			if f.GetName() == "hyperkube_failures_total" {
				for _, m := range f.GetMetric() {
					counted += m.GetCounter().GetValue()
				}
			}
		}
		if counted < 5 {
			t.Errorf("%v failures counted", counted)
		}
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

// TestListenGoesOnAfterLosses: notifications that were lost are made up for by a look, and
// later ones are heard.
func TestListenGoesOnAfterLosses(t *testing.T) {
	n := &Network{o: Options{Log: slog.New(slog.DiscardHandler)}, wake: make(chan struct{}, 1)}
	poked := func() bool {
		select {
		case <-n.wake:
			return true
		default:
			return false
		}
	}
	gone := errors.New("gone")
	step := 0
	err := n.listen(func() ([]syscall.NetlinkMessage, error) {
		step++
		switch step {
		case 1:
			return nil, unix.ENOBUFS
		case 2:
			if !poked() {
				t.Error("no look after a loss")
			}
			return []syscall.NetlinkMessage{{Header: syscall.NlMsghdr{Type: unix.RTM_DELADDR}}}, nil
		case 3:
			if !poked() {
				t.Error("deaf after a loss")
			}
			return []syscall.NetlinkMessage{{Header: syscall.NlMsghdr{Type: unix.RTM_NEWNEIGH}}, {Header: syscall.NlMsghdr{Type: unix.RTM_NEWROUTE}, Data: []byte{1}}}, nil
		}
		if poked() {
			t.Error("a look for what concerns nobody")
		}
		return nil, gone
	})
	if !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
}

// TestPanicOfAListenerEndsTheRoleOnly: Run returns it as an error.
func TestPanicOfAListenerEndsTheRoleOnly(t *testing.T) {
	ctx, fail := context.WithCancelCause(t.Context())
	w := &watchers{ctx: ctx, fail: fail}
	w.start("listening", func() error { panic("malformed") })
	w.Wait()
	var p *supervise.Panic
	if !errors.As(context.Cause(ctx), &p) {
		t.Errorf("got %v", context.Cause(ctx))
	}
}
