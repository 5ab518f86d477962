package garbage

import (
	"context"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/internal/bounds"
)

// latecomers are dependents that the graph has not heard of yet when their owner sets them
// free: the informers of different kinds are not in step, and a dependent that is left owned
// when its owner goes would be collected. The API server is asked for all objects of the
// owner's namespace, once for all owners that wait: who orphans a thousand objects does not
// make it list a thousand times what may be a thousand objects.
//
// A namespace may have very many objects: others do not wait for its listing.
type latecomers struct {
	turns [32]sync.Mutex // by namespace; two may share one. Held while listing, before mu

	mu   sync.Mutex
	seen map[string]*listing // by namespace
}

// listing is who owned whom when it was made.
type listing struct {
	began      time.Time
	freed      int // owners seen to be orphaning before it began; for others it is too old
	dependents map[types.UID][]identity
}

// lasts is how long a listing is good, for owners that were being deleted when it began.
const lasts = 10 * time.Second

// of returns the dependents of f that are there.
func (l *latecomers) of(ctx context.Context, c *collector, f facts) ([]identity, error) {
	h := fnv.New32a()
	h.Write([]byte(f.namespace))
	turn := &l.turns[h.Sum32()%uint32(len(l.turns))]
	turn.Lock()
	defer turn.Unlock()
	if s := l.good(f); s != nil {
		return s.dependents[f.uid], nil
	}
	s := &listing{began: time.Now(), freed: c.graph.seenOrphaning(), dependents: map[types.UID][]identity{}}
	if err := s.fill(ctx, c, f.namespace); err != nil {
		return nil, err
	}
	l.keep(f.namespace, s)
	return s.dependents[f.uid], nil
}

// good is the listing of f's namespace, nil when there is none or it is too old for f.
func (l *latecomers) good(f facts) *listing {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.seen[f.namespace]; s != nil && f.since <= s.freed && time.Since(s.began) < lasts {
		return s
	}
	return nil
}

func (l *latecomers) keep(namespace string, s *listing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ns, old := range l.seen {
		if time.Since(old.began) >= lasts || len(l.seen) >= bounds.OwnerListings {
			delete(l.seen, ns)
		}
	}
	if l.seen == nil {
		l.seen = map[string]*listing{}
	}
	l.seen[namespace] = s
}

// fill lists all objects that may have an owner in the namespace.
func (s *listing) fill(ctx context.Context, c *collector, namespace string) error {
	for _, r := range c.catalog.all() {
		if namespace != "" && !r.namespaced {
			continue // a namespaced owner has dependents in its namespace only
		}
		opts := metav1.ListOptions{Limit: 500}
		for {
			l, err := c.env.Metadata.Resource(r.gvr).Namespace(namespace).List(ctx, opts)
			if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
				break
			}
			if err != nil {
				return fmt.Errorf("looking for dependents among %s: %w", r.gvr.GroupResource(), err)
			}
			for i := range l.Items {
				o := &l.Items[i]
				for _, ref := range o.OwnerReferences {
					s.dependents[ref.UID] = append(s.dependents[ref.UID], identity{r.gvr, r.kind, o.Namespace, o.Name, o.UID})
				}
			}
			if opts.Continue = l.Continue; opts.Continue == "" {
				break
			}
		}
	}
	return nil
}
