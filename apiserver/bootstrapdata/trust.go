package bootstrapdata

import (
	"bytes"
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/apiserver/authz/bootstrap"
	"hyperkube/store"
)

// Trust is what extension servers are told of whom this server trusts.
type Trust struct {
	// ClientCA and RequestHeaderCA are PEM bundles.
	ClientCA, RequestHeaderCA []byte
	RequestHeaderNames        []string // common names of front proxies
}

// Same says that both tell the same.
func (t Trust) Same(o Trust) bool {
	return bytes.Equal(t.ClientCA, o.ClientCA) && bytes.Equal(t.RequestHeaderCA, o.RequestHeaderCA) && slices.Equal(t.RequestHeaderNames, o.RequestHeaderNames)
}

// Tell writes it, as Ensure does.
func Tell(ctx context.Context, r store.Reader, t Trust) error {
	g, ctx := errgroup.WithContext(ctx)
	w := &writer{Config: Config{Reader: r, Trust: t}, ctx: ctx, g: g, left: &bootstrap.Left{}, now: metav1.NewTime(time.Now().Truncate(time.Second))}
	w.trust()
	if err := g.Wait(); err != nil {
		return err
	}
	return w.left.Err()
}

func (w *writer) trust() {
	if len(w.ClientCA) == 0 {
		return
	}
	write(w, "", "configmaps", w.authentication(), func(have, want *corev1.ConfigMap) bool {
		same := equality.Semantic.DeepEqual(have.Data, want.Data)
		have.Data = want.Data
		return !same
	})
}
