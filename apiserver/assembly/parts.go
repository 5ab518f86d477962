package assembly

import (
	"context"
	"errors"
	"time"

	"hyperkube/apiserver"
	"hyperkube/apiserver/authz/bootstrap"
	"hyperkube/apiserver/health"
)

func (a *Assembly) addAdmission(so *apiserver.Options) error { return nil }
func (a *Assembly) addDocuments(so *apiserver.Options) error { return nil }
func (a *Assembly) addConnect(so *apiserver.Options) error   { return nil }

// addReadiness makes /readyz wait for etcd and for the bootstrap.
func (a *Assembly) addReadiness(so *apiserver.Options) error {
	so.ReadyChecks = []health.Check{
		{Name: "etcd", Run: func(ctx context.Context) error { return a.Store.Ready(ctx) }},
		{Name: "poststarthook/rbac/bootstrap-roles", Run: func(context.Context) error {
			select {
			case <-a.bootDone:
				return nil
			default:
				return errors.New("not finished")
			}
		}},
	}
	return nil
}

func (a *Assembly) ensureBasics(ctx context.Context) error {
	return bootstrap.Ensure(ctx, a.Store, time.Now())
}
