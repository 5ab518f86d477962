package controllers

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"hyperkube/controllers/env"
	"hyperkube/controllers/stage"
	"hyperkube/kit"
)

// runs is a controller of the test.
type runs func(context.Context) error

func (f runs) Run(ctx context.Context) error { return f(ctx) }

// TestAControllerThatEnds is made anew and started again, whatever it ended with, and its handlers
// of before are gone; the others go on.
func TestAControllerThatEnds(t *testing.T) {
	for name, end := range map[string]func() error{
		"with an error":    func() error { return errors.New("broken") },
		"without an error": func() error { return nil },
		"in a panic":       func() error { panic("broken") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				made, heard := 0, map[int]int{}
				bad := Descriptor{Name: "bad-controller", New: func(e *env.Env) (env.Runner, error) {
					made++
					me := made
					e.Nodes().OnChange(kit.Any(func(*corev1.Node) { mu.Lock(); heard[me]++; mu.Unlock() }))
					return runs(func(ctx context.Context) error {
						if me < 3 {
							time.Sleep(time.Second)
							return end()
						}
						<-ctx.Done()
						return nil
					}), nil
				}}
				starts := 0
				good := Descriptor{Name: "good-controller", New: func(*env.Env) (env.Runner, error) {
					return runs(func(ctx context.Context) error { starts++; <-ctx.Done(); return nil }), nil
				}}
				s := stage.New(t)
				var log bytes.Buffer
				reg := prometheus.NewRegistry()
				o := Options{Kube: s.Kube, Informers: s.Env.Informers, Log: slog.New(slog.NewTextHandler(&log, nil)), Registry: reg}
				newManager(o, []Descriptor{bad}) // what was registered before is replaced
				m := newManager(o, []Descriptor{bad, good})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- m.Run(ctx) }()
				time.Sleep(time.Minute)
				s.Add(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "a"}})
				mu.Lock()
				if made != 3 || starts != 1 || len(heard) != 1 || heard[3] != 1 {
					t.Errorf("made %d times, the other started %d times, heard %v", made, starts, heard)
				}
				mu.Unlock()
				if n := strings.Count(log.String(), "role ended, starting it again"); n != 2 {
					t.Errorf("told %d times:\n%s", n, log.String())
				}
				if n := restarts(t, reg, "bad-controller"); n != 2 {
					t.Errorf("counted %v restarts", n)
				}
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func restarts(t *testing.T, reg *prometheus.Registry, role string) float64 {
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if l := m.GetLabel(); f.GetName() == "hyperkube_role_restarts_total" && l[0].GetValue() == role {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// TestASettingThatMakesNoSense ends the manager: no start would cure it.
func TestASettingThatMakesNoSense(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	kube := fake.NewClientset()
	wrong := Descriptor{Name: "wrong-controller", New: func(*env.Env) (env.Runner, error) { return nil, errors.New("no such range") }}
	m := newManager(Options{Kube: kube, Informers: kit.NewInformers(nil, log), Log: log}, []Descriptor{wrong})
	if err := m.Run(t.Context()); err == nil || err.Error() != "wrong-controller: no such range" {
		t.Error(err)
	}
}
