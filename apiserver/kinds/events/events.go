// Package events is events.k8s.io/v1 Event: the same stored objects as core/v1
// Event under another shape. It declares no kind of its own; core's Event lists
// Version among its Versions.
package events

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"hyperkube/api/core"
	rules "hyperkube/api/events"
	"hyperkube/apiserver/kind"
	"hyperkube/store"
)

// Version serves core events as events.k8s.io/v1.
func Version() kind.Version {
	return kind.Version{
		Names: kind.Names{
			Group: "events.k8s.io", Version: "v1", Kind: "Event", Plural: "events", Singular: "event",
			ShortNames: []string{"ev"}, Namespaced: true,
		},
		New:     func() runtime.Object { return &eventsv1.Event{} },
		NewList: func() runtime.Object { return &eventsv1.EventList{} },
		To: func(stored store.Object) (runtime.Object, error) {
			e, ok := stored.(*corev1.Event)
			if !ok {
				return nil, fmt.Errorf("converting %T to an events.k8s.io event", stored)
			}
			return rules.FromCore(e), nil
		},
		From: func(served runtime.Object) (store.Object, error) {
			e, ok := served.(*eventsv1.Event)
			if !ok {
				return nil, fmt.Errorf("converting %T from an events.k8s.io event", served)
			}
			return rules.ToCore(e), nil
		},
		Columns: core.EventColumns(),
		Row:     func(o store.Object, now time.Time) []any { return core.EventRow(o.(*corev1.Event), now) },
	}
}
