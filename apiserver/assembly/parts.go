package assembly

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"hyperkube/apiserver"
	"hyperkube/apiserver/admission/plugins"
	"hyperkube/apiserver/apply"
	"hyperkube/apiserver/bootstrapdata"
	"hyperkube/apiserver/connect"
	"hyperkube/apiserver/discovery"
	"hyperkube/apiserver/health"
	"hyperkube/apiserver/openapi"
	"hyperkube/internal/trouble"
)

func (a *Assembly) addAdmission(so *apiserver.Options) error {
	so.Admission = plugins.Default(plugins.Deps{Reader: a.Store, Authorizer: so.Authorizer, RBAC: a.rbac, Audiences: a.Tokens.Audiences(), PodSecurity: a.o.PodSecurity, Log: a.o.Log, Disabled: a.o.AdmissionOff, Enabled: a.o.AdmissionOn})
	return nil
}

// addDocuments adds what describes the API: discovery, OpenAPI and field ownership.
func (a *Assembly) addDocuments(so *apiserver.Options) error {
	so.Discovery, so.OpenAPI = discovery.New(so.Served), openapi.New(so.Served)
	so.Applier = apply.New(so.Served, so.Scheme)
	return nil
}

func (a *Assembly) addConnect(so *apiserver.Options) error {
	h, err := connect.New(connect.Deps{Reader: a.Store, Log: a.o.Log, KubeletClient: a.o.KubeletClient, KubeletCAs: a.o.KubeletCAs, AddressTypes: a.o.AddressTypes})
	if err != nil {
		return err
	}
	so.Connect = h
	return nil
}

// etcdLimit is how long a probe waits for etcd.
const etcdLimit = 3 * time.Second

// addReadiness makes /readyz wait for etcd, also when it goes later, and for the bootstrap.
func (a *Assembly) addReadiness(so *apiserver.Options) error {
	so.ReadyChecks = []health.Check{
		{Name: "etcd", Run: func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, etcdLimit)
			defer cancel()
			return a.Store.Reachable(ctx)
		}},
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
	return bootstrapdata.Ensure(ctx, bootstrapdata.Config{
		Reader: a.Store, Network: a.allocator, ServiceIP: a.allocator.Kubernetes(), Services: []netip.Prefix{a.o.Services},
		Advertise: a.o.Advertise, Trust: a.trust(), Now: time.Now(),
	})
}

// trust is what extension servers are told.
func (a *Assembly) trust() bootstrapdata.Trust {
	t := bootstrapdata.Trust{ClientCA: a.o.ClientCAs.PEM()}
	if p := a.o.FrontProxy; p != nil {
		t.RequestHeaderCA, t.RequestHeaderNames = p.CAs.PEM(), p.AllowedNames
	}
	return t
}

// trustEvery is how often it is compared with what was told.
const trustEvery = time.Minute

// keepTrust tells extension servers when authorities change.
func (a *Assembly) keepTrust(ctx context.Context) error {
	select {
	case <-a.bootDone: // which told it for the first time
	case <-ctx.Done():
		return nil
	}
	told, failing := a.trust(), trouble.New(a.o.Log, trouble.Metric(a.o.Registry), "publishing the client authorities")
	tick := time.NewTicker(trustEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		now := a.trust()
		if now.Same(told) {
			continue
		}
		if err := bootstrapdata.Tell(ctx, a.Store, now); err != nil {
			failing.Failed(err)
			continue
		}
		failing.Well()
		told = now
	}
}

// keepEndpoints has pods find this server, and no server that is gone, under the
// service kubernetes.
func (a *Assembly) keepEndpoints(ctx context.Context) error {
	select {
	case <-a.bootDone: // which wrote them for the first time
	case <-ctx.Done():
		return nil
	}
	e := bootstrapdata.Endpoints{Reader: a.Store, ServiceIP: a.allocator.Kubernetes(), Advertise: a.o.Advertise, Log: a.o.Log}
	if !e.ServiceIP.IsValid() || !e.Advertise.IsValid() {
		return nil
	}
	return e.Run(ctx)
}
