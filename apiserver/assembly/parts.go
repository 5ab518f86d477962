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
)

func (a *Assembly) addAdmission(so *apiserver.Options) error {
	so.Admission = plugins.Default(plugins.Deps{Reader: a.Store, Authorizer: so.Authorizer, RBAC: a.rbac, Audiences: a.Tokens.Audiences(), PodSecurity: a.o.PodSecurity, Log: a.o.Log, Disabled: a.o.AdmissionOff})
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
	return bootstrapdata.Ensure(ctx, bootstrapdata.Config{
		Reader: a.Store, Network: a.allocator, ServiceIP: a.allocator.Kubernetes(), Services: []netip.Prefix{a.o.Services},
		Advertise: a.o.Advertise, ClientCA: a.o.ClientCAPEM, RequestHeaderCA: a.o.RequestHeaderCAPEM,
		RequestHeaderNames: a.o.RequestHeaderNames, Now: time.Now(),
	})
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
