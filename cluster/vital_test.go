package cluster

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hyperkube/internal/supervise"
	"hyperkube/store/etcd"
)

func quietControl() *control {
	log := slog.New(slog.DiscardHandler)
	return &control{log: log, roles: supervise.New(supervise.Options{Log: log}), ended: make(chan error, 1), progress: func(string, time.Duration) {}}
}

// TestVitalParts: whatever way a vital part ends before its time, it is told by name; the
// end that was asked for is not.
func TestVitalParts(t *testing.T) {
	for name, c := range map[string]struct {
		run  func(context.Context) error
		want string
	}{
		"error": {func(context.Context) error { return errors.New("disk on fire") }, "API server ended: disk on fire"},
		"panic": {func(context.Context) error { panic("nil map") }, "API server ended: panic in API server: nil map"},
		"nil":   {func(context.Context) error { return nil }, "API server ended: ended without an error"},
		"told":  {func(ctx context.Context) error { <-ctx.Done(); return errors.New("while stopping") }, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			k := quietControl()
			k.vital(ctx, "API server", func() error { return c.run(ctx) })
			synctest.Wait()
			cancel()
			k.roles.Wait()
			got := ""
			select {
			case err := <-k.ended:
				got = err.Error()
			default:
			}
			if got != c.want {
				t.Errorf("%s: told %q, want %q", name, got, c.want)
			}
		})
	}
}

// TestWhoEndedFirst: of an API server that ends and the etcd that is stopped with it, the API
// server is the reason, whichever is seen first.
func TestWhoEndedFirst(t *testing.T) {
	for name, c := range map[string]struct {
		served bool
		err    error
		want   string
	}{
		"stopped with the API server": {true, nil, ""},
		"by itself":                   {false, nil, "etcd ended: the member stopped by itself"},
		"for a reason":                {true, errors.New("bad disk"), "etcd ended: bad disk"},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			k, served := quietControl(), make(chan struct{})
			m := endedMember{done: make(chan struct{}), err: c.err}
			k.vital(ctx, "etcd", func() error { return whyEtcdEnded(ctx, m, served) })
			if c.served {
				close(served)
			}
			close(m.done)
			synctest.Wait()
			got := ""
			select {
			case err := <-k.ended:
				got = err.Error()
			default:
			}
			if got != c.want {
				t.Errorf("%s: told %q, want %q", name, got, c.want)
			}
			cancel()
			k.roles.Wait()
		})
	}
}

type endedMember struct {
	done chan struct{}
	err  error
}

func (m endedMember) Done() <-chan struct{} { return m.done }
func (m endedMember) Err() error            { return m.err }

// TestTogetherContainsPanics: a part that panics ends its role, not the process.
func TestTogetherContainsPanics(t *testing.T) {
	waits := func(ctx context.Context) error { <-ctx.Done(); return nil }
	err := supervise.Together(supervise.Part{Name: "a", Run: waits}, supervise.Part{Name: "b", Run: func(context.Context) error { panic("boom") }})(t.Context())
	var p *supervise.Panic
	if !errors.As(err, &p) || !strings.Contains(err.Error(), "boom") {
		t.Errorf("got %v", err)
	}
}

// TestMemberStopsWithoutAnAPIServer: when the API server cannot be made, the member that was
// started for it does not run on.
func TestMemberStopsWithoutAnAPIServer(t *testing.T) {
	k := quietControl()
	k.o = Default()
	k.o.ServiceCIDR = "none"
	member, err := etcd.Start(t.Context(), etcd.Config{Dir: filepath.Join(t.TempDir(), "etcd"), Ephemeral: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.serveAPI(t.Context(), member); err == nil {
		t.Fatal("an API server was made of nonsense")
	}
	select {
	case <-member.Done():
	default:
		t.Error("the member runs on")
		member.Stop()
	}
}
