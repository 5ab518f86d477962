package kit

import (
	"maps"
	"sync"

	"hyperkube/internal/bounds"
)

// offered is the name of the key under which the offers of a namespace are compared. No
// object has a name with a slash.
const offered = "offers/"

// Offers are labels of objects that selectors of their namespace may want: the pods without
// an owner, the pods that a budget or a service may mean. How long it takes to compare them
// is up to whoever wrote selectors there; so it is not done by the informer's handler, for
// which the objects of all namespaces wait, but by a worker, for a bounded number of
// offers, and then it is the turn of other namespaces.
type Offers struct {
	wanted func(namespace string, offers []map[string]string) []Key

	mu      sync.Mutex
	waiting map[string]*offers
}

// offers wait to be compared. all: there were too many, everybody looks for himself.
type offers struct {
	labels []map[string]string
	all    bool
}

// Offering lets a controller reconcile the objects of an informer that select what is
// offered.
func Offering[T Object](c *Controller, i *Informer[T], selects func(o T, labels map[string]string) bool) *Offers {
	return offering(c, i.ListIn, selects)
}

func offering[T Object](c *Controller, in func(namespace string) []T, selects func(o T, labels map[string]string) bool) *Offers {
	o := &Offers{waiting: map[string]*offers{}, wanted: func(namespace string, some []map[string]string) (keys []Key) {
		for _, obj := range in(namespace) {
			if some == nil {
				keys = append(keys, KeyOf(obj))
				continue
			}
			for _, labels := range some {
				if selects(obj, labels) {
					keys = append(keys, KeyOf(obj))
					break
				}
			}
		}
		return keys
	}}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offers = o
	return o
}

// Offer notes the labels of an object that came, changed or went. They may not be changed
// afterwards.
func (o *Offers) Offer(c *Controller, namespace string, labels map[string]string) {
	if o.note(namespace, labels) {
		c.Add(Key{Namespace: namespace, Name: offered})
	}
}

// recent is how many of the last offers are looked at for the same labels: those of one
// template come one after the other.
const recent = 4

func (o *Offers) note(namespace string, labels map[string]string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	w := o.waiting[namespace]
	if w == nil {
		w = &offers{}
		o.waiting[namespace] = w
	}
	if w.all {
		return false
	}
	for i := max(len(w.labels)-recent, 0); i < len(w.labels); i++ {
		if maps.Equal(w.labels[i], labels) {
			return false
		}
	}
	if len(w.labels) >= bounds.Offers {
		w.labels, w.all = nil, true
		return false
	}
	w.labels = append(w.labels, labels)
	return true
}

// take returns offers of a namespace, nil for everything, and whether there are more.
func (o *Offers) take(namespace string) (some []map[string]string, all, more bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	w := o.waiting[namespace]
	if w == nil {
		return nil, false, false
	}
	n := min(len(w.labels), bounds.OffersCompared)
	some, all, w.labels = w.labels[:n:n], w.all, w.labels[n:]
	if len(w.labels) == 0 {
		delete(o.waiting, namespace)
		return some, all, false
	}
	return some, all, true
}

// compare adds the keys of the objects that select what was offered.
func (o *Offers) compare(c *Controller, key Key) error {
	some, all, more := o.take(key.Namespace)
	if all {
		some = nil
	} else if len(some) == 0 {
		return nil
	}
	for _, k := range o.wanted(key.Namespace, some) {
		c.Add(k)
	}
	if more {
		c.Add(key)
	}
	return nil
}
