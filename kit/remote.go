package kit

import (
	"context"
	"fmt"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// Remote is a Source over HTTP: protobuf and typed objects for the groups that
// client-go knows, unstructured objects for others, PartialObjectMetadata where
// only metadata is asked for. Lists and watches are not rate limited; how many
// there are is bounded by the number of informers.
func Remote(config *rest.Config) (Source, error) {
	base := rest.CopyConfig(config)
	base.QPS, base.Burst, base.RateLimiter = -1, 0, nil
	client, err := rest.HTTPClientFor(base)
	if err != nil {
		return nil, fmt.Errorf("http client: %w", err)
	}
	untyped := rest.CopyConfig(base)
	untyped.ContentType, untyped.AcceptContentTypes = "", ""
	dyn, err := dynamic.NewForConfigAndClient(untyped, client)
	if err != nil {
		return nil, fmt.Errorf("dynamic client: %w", err)
	}
	meta, err := metadata.NewForConfigAndClient(untyped, client)
	if err != nil {
		return nil, fmt.Errorf("metadata client: %w", err)
	}
	base.ContentType = runtime.ContentTypeProtobuf
	base.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	base.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	typed := func(gv schema.GroupVersion) (rest.Interface, error) {
		c := rest.CopyConfig(base)
		c.GroupVersion, c.APIPath = &gv, "/apis"
		if gv.Group == "" {
			c.APIPath = "/api"
		}
		return rest.RESTClientForConfigAndClient(c, client)
	}
	return &remote{typed: typed, dynamic: dyn, metadata: meta, clients: map[schema.GroupVersion]rest.Interface{}}, nil
}

type remote struct {
	typed    func(schema.GroupVersion) (rest.Interface, error)
	dynamic  dynamic.Interface
	metadata metadata.Interface

	mu      sync.Mutex
	clients map[schema.GroupVersion]rest.Interface
}

// ListerWatcher implements Source.
func (r *remote) ListerWatcher(gvr schema.GroupVersionResource, o SourceOptions) cache.ListerWatcherWithContext {
	switch {
	case o.Metadata:
		c := r.metadata.Resource(gvr).Namespace(o.Namespace)
		return listWatch(o, func(ctx context.Context, lo metav1.ListOptions) (runtime.Object, error) { return c.List(ctx, lo) }, c.Watch)
	case !scheme.Scheme.IsVersionRegistered(gvr.GroupVersion()):
		c := r.dynamic.Resource(gvr).Namespace(o.Namespace)
		return listWatch(o, func(ctx context.Context, lo metav1.ListOptions) (runtime.Object, error) { return c.List(ctx, lo) }, c.Watch)
	}
	request := func(lo metav1.ListOptions) (*rest.Request, error) {
		c, err := r.client(gvr.GroupVersion())
		if err != nil {
			return nil, err
		}
		return c.Get().Namespace(o.Namespace).Resource(gvr.Resource).VersionedParams(&lo, scheme.ParameterCodec), nil
	}
	return listWatch(o,
		func(ctx context.Context, lo metav1.ListOptions) (runtime.Object, error) {
			req, err := request(lo)
			if err != nil {
				return nil, err
			}
			return req.Do(ctx).Get()
		},
		func(ctx context.Context, lo metav1.ListOptions) (watch.Interface, error) {
			lo.Watch = true
			req, err := request(lo)
			if err != nil {
				return nil, err
			}
			return req.Watch(ctx)
		})
}

func (r *remote) client(gv schema.GroupVersion) (rest.Interface, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.clients[gv]; ok {
		return c, nil
	}
	c, err := r.typed(gv)
	if err != nil {
		return nil, fmt.Errorf("client for %s: %w", gv, err)
	}
	r.clients[gv] = c
	return c, nil
}

// listWatch binds the selectors of o to a pair of calls.
func listWatch(o SourceOptions, list cache.ListWithContextFunc, open cache.WatchFuncWithContext) *cache.ListWatch {
	narrow := func(lo metav1.ListOptions) metav1.ListOptions {
		lo.LabelSelector, lo.FieldSelector = o.LabelSelector, o.FieldSelector
		return lo
	}
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, lo metav1.ListOptions) (runtime.Object, error) {
			return list(ctx, narrow(lo))
		},
		WatchFuncWithContext: func(ctx context.Context, lo metav1.ListOptions) (watch.Interface, error) {
			return open(ctx, narrow(lo))
		},
	}
}
