package conformance

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"
)

func portNumber(n int32) intstr.IntOrString { return intstr.FromInt32(n) }

// next returns the next event of a watch.
func (f *fixture) next(w watch.Interface, what string) watch.Event {
	f.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case e, ok := <-w.ResultChan():
		if !ok {
			f.Fatalf("%s: the watch was closed", what)
		}
		if e.Type == watch.Error {
			f.Fatalf("%s: %v", what, e.Object)
		}
		return e
	case <-timer.C:
		f.Fatalf("%s: no event within %s", what, patience)
	case <-f.ctx.Done():
		f.Fatalf("%s: %v", what, f.ctx.Err())
	}
	return watch.Event{}
}

// await reads events until one of the kind about the named object comes.
func (f *fixture) await(w watch.Interface, kind watch.EventType, name string) runtime.Object {
	f.Helper()
	for {
		e := f.next(w, fmt.Sprintf("waiting for %s of %s", kind, name))
		if o, err := meta.Accessor(e.Object); err == nil && e.Type == kind && o.GetName() == name {
			return e.Object
		}
	}
}
