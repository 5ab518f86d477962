package kit

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// asListerWatcher gives a source's ListerWatcher the two methods without ctx
// that client-go's constructors still ask for (and never call when the other two exist).
func asListerWatcher(lw cache.ListerWatcherWithContext) cache.ListerWatcher {
	if both, ok := lw.(cache.ListerWatcher); ok {
		return both
	}
	return &listerWatcher{lw}
}

type listerWatcher struct {
	cache.ListerWatcherWithContext
}

func (l *listerWatcher) List(o metav1.ListOptions) (runtime.Object, error) {
	return l.ListWithContext(context.Background(), o)
}

func (l *listerWatcher) Watch(o metav1.ListOptions) (watch.Interface, error) {
	return l.WatchWithContext(context.Background(), o)
}

// IsWatchListSemanticsUnSupported passes on what the wrapped value says of itself.
func (l *listerWatcher) IsWatchListSemanticsUnSupported() bool {
	u, ok := l.ListerWatcherWithContext.(interface{ IsWatchListSemanticsUnSupported() bool })
	return ok && u.IsWatchListSemanticsUnSupported()
}
