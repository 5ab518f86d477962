// Package plugins is the one list of admission plugins. A plugin is one folder
// beside this one and one line here.
package plugins

import (
	"log/slog"
	"slices"

	"hyperkube/apiserver/admission"
	"hyperkube/apiserver/admission/certificateapproval"
	"hyperkube/apiserver/admission/certificatesigning"
	"hyperkube/apiserver/admission/certificatesubjectrestriction"
	"hyperkube/apiserver/admission/defaultingressclass"
	"hyperkube/apiserver/admission/defaultstorageclass"
	"hyperkube/apiserver/admission/defaulttolerationseconds"
	"hyperkube/apiserver/admission/denyserviceexternalips"
	"hyperkube/apiserver/admission/deviceadminaccess"
	"hyperkube/apiserver/admission/limitranger"
	"hyperkube/apiserver/admission/namespacelifecycle"
	"hyperkube/apiserver/admission/noderestriction"
	"hyperkube/apiserver/admission/persistentvolumeclaimresize"
	"hyperkube/apiserver/admission/podsecurity"
	"hyperkube/apiserver/admission/priority"
	"hyperkube/apiserver/admission/rbacescalation"
	"hyperkube/apiserver/admission/resourcequota"
	"hyperkube/apiserver/admission/runtimeclass"
	"hyperkube/apiserver/admission/serviceaccount"
	"hyperkube/apiserver/admission/storageobjectinuseprotection"
	"hyperkube/apiserver/admission/taintnodesbycondition"
	"hyperkube/apiserver/authz"
	"hyperkube/apiserver/request"
	"hyperkube/store"
)

// Deps of the plugins.
type Deps struct {
	Reader     store.Reader
	Authorizer request.Authorizer
	RBAC       *authz.RBAC // nil without RBAC: nothing can be escalated then
	Audiences  []string    // of this API server's tokens
	Log        *slog.Logger
	// PodSecurity is read from --admission-control-config-file; nil: podsecurity.Defaults.
	PodSecurity *podsecurity.Config
	// Disabled names plugins to leave out (--disable-admission-plugins).
	Disabled []string
	// Enabled names plugins that are off unless asked for (--enable-admission-plugins).
	Enabled []string
	// Seconds of the default tolerations; 0: 300.
	NotReadySeconds, UnreachableSeconds int64
}

// Default is the list in the order in which the standard server asks: what looks
// things up for others comes first, what counts comes last.
func Default(d Deps) []admission.Plugin {
	list := []admission.Plugin{
		namespacelifecycle.New(d.Reader),
		limitranger.New(d.Reader),
		serviceaccount.New(d.Reader),
		noderestriction.New(d.Reader, d.Authorizer, d.Audiences),
		taintnodesbycondition.New(),
		podsecurity.New(d.Reader, podSecurity(d)),
		priority.New(d.Reader),
		defaulttolerationseconds.New(orDefault(d.NotReadySeconds), orDefault(d.UnreachableSeconds)),
		defaultstorageclass.New(d.Reader),
		storageobjectinuseprotection.New(),
		persistentvolumeclaimresize.New(d.Reader),
		runtimeclass.New(d.Reader),
		certificateapproval.New(d.Authorizer),
		certificatesigning.New(d.Authorizer),
		certificatesubjectrestriction.New(),
		defaultingressclass.New(d.Reader),
		denyserviceexternalips.New(),
		resourcequota.New(d.Reader),
	}
	list = slices.DeleteFunc(list, func(p admission.Plugin) bool {
		return slices.Contains(d.Disabled, p.Name()) || slices.Contains(OffByDefault(), p.Name()) && !slices.Contains(d.Enabled, p.Name())
	})
	if d.Reader != nil { // else the list is only asked for names
		list = append(list, deviceadminaccess.New(d.Reader))
	}
	if d.RBAC != nil {
		list = append(list, rbacescalation.New(d.Reader, d.RBAC, d.Authorizer))
	}
	return list
}

// Names of the plugins that --enable-admission-plugins and --disable-admission-plugins may name.
func Names() []string {
	var names []string
	for _, p := range Default(Deps{Enabled: OffByDefault()}) {
		names = append(names, p.Name())
	}
	return names
}

// OffByDefault are the plugins that do nothing unless they are enabled by name.
func OffByDefault() []string { return []string{denyserviceexternalips.Name} }

func podSecurity(d Deps) podsecurity.Config {
	if d.PodSecurity == nil {
		return podsecurity.Defaults()
	}
	return *d.PodSecurity
}

func orDefault(seconds int64) int64 {
	if seconds == 0 {
		return defaulttolerationseconds.Seconds
	}
	return seconds
}
