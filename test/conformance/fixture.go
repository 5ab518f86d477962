package conformance

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	// behaviourTimeout bounds one behaviour as a whole.
	behaviourTimeout = 4 * time.Minute
	// patience is for what a healthy cluster does within seconds.
	patience = 90 * time.Second
	// interval is how often a condition is looked at.
	interval = 150 * time.Millisecond
	// label marks what the driver makes outside of its namespaces.
	label = "hyperkube.test/conformance"
)

// cluster is what all behaviours share.
type cluster struct {
	kube       kubernetes.Interface
	dynamic    dynamic.Interface
	config     *rest.Config
	kubeconfig string
	kubectl    []string // the client and its first arguments
	images     images
}

// images are those the pods run.
type images struct{ busybox, nginx, nginxNext, nettool string }

// fixture is what a behaviour works with.
type fixture struct {
	*testing.T
	*cluster
	ctx context.Context
	ns  string
	id  string // unique in the cluster
}

// failure travels from must and check to the runner.
type failure struct {
	where string
	err   error
}

// must returns v or ends the behaviour. Only in the behaviour's own goroutine.
func must[T any](v T, err error) T {
	if err != nil {
		panic(failure{caller(), err})
	}
	return v
}

// check ends the behaviour if err is set.
func check(err error) {
	if err != nil {
		panic(failure{caller(), err})
	}
}

func caller() string {
	_, file, line, _ := runtime.Caller(2)
	return fmt.Sprintf("%s:%d", filepath.Base(file), line)
}

// expect ends the behaviour unless ok.
func (f *fixture) expect(ok bool, format string, args ...any) {
	f.Helper()
	if !ok {
		f.Fatalf(format, args...)
	}
}

// fails ends the behaviour unless err is of the wanted class.
func (f *fixture) fails(err error, class func(error) bool, what string) {
	f.Helper()
	if err == nil {
		f.Fatalf("%s: succeeded, want an error", what)
	}
	if !class(err) {
		f.Fatalf("%s: wrong class of error: %v", what, err)
	}
}

// eventually calls look until it succeeds.
func (f *fixture) eventually(what string, look func() error) {
	f.Helper()
	f.within(patience, what, look)
}

func (f *fixture) within(limit time.Duration, what string, look func() error) {
	f.Helper()
	if err := poll(f.ctx, limit, look); err != nil {
		f.Fatalf("%s: %v", what, err)
	}
}

// poll calls look until it succeeds and returns its last error when the time is up.
func poll(ctx context.Context, limit time.Duration, look func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		err := look()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %w", limit, err)
		case <-tick.C:
		}
	}
}

// holds fails if look fails at any time during the span.
func (f *fixture) holds(span time.Duration, what string, look func() error) {
	f.Helper()
	end := time.NewTimer(span)
	defer end.Stop()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := look(); err != nil {
			f.Fatalf("%s: %v", what, err)
		}
		select {
		case <-end.C:
			return
		case <-f.ctx.Done():
			f.Fatalf("%s: %v", what, f.ctx.Err())
		case <-tick.C:
		}
	}
}

// errUnless is a condition as an error, for eventually and holds.
func errUnless(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}

// gone is nil when err says that the object does not exist.
func gone(err error) error {
	switch {
	case err == nil:
		return errors.New("it still exists")
	case apierrors.IsNotFound(err):
		return nil
	}
	return err
}

// later runs undo when the behaviour is over, whatever its result.
func (f *fixture) later(undo func(context.Context) error) {
	f.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := undo(ctx); err != nil && !apierrors.IsNotFound(err) {
			f.Errorf("cleaning up: %v", err)
		}
	})
}

// namespace makes a namespace that pods can be created in.
func (f *fixture) namespace(labels map[string]string) string {
	f.Helper()
	ns := must(f.kube.CoreV1().Namespaces().Create(f.ctx, &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "conformance-", Labels: labels},
	}, metav1.CreateOptions{}))
	f.later(func(ctx context.Context) error {
		return f.kube.CoreV1().Namespaces().Delete(ctx, ns.Name, metav1.DeleteOptions{})
	})
	f.eventually("a service account in the namespace", func() error {
		_, err := f.kube.CoreV1().ServiceAccounts(ns.Name).Get(f.ctx, "default", metav1.GetOptions{})
		return err
	})
	return ns.Name
}
