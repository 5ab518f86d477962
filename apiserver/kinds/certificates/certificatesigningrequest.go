package certificates

import (
	"context"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	rules "hyperkube/api/certificates"
	"hyperkube/apiserver/kind"
	"hyperkube/apiserver/request"
)

type csr = certificatesv1.CertificateSigningRequest

// certificateSigningRequest reads the clock for one thing: the times of conditions
// that clients leave out.
func certificateSigningRequest(now func() metav1.Time) *kind.Kind {
	n := kind.Names{
		Group: certificatesv1.GroupName, Version: "v1", Kind: "CertificateSigningRequest",
		Plural: "certificatesigningrequests", Singular: "certificatesigningrequest", ShortNames: []string{"csr"},
	}
	return kind.New(kind.Spec[*csr]{
		Names:         n,
		New:           func() *csr { return &csr{} },
		NewList:       func() runtime.Object { return &certificatesv1.CertificateSigningRequestList{} },
		PrepareCreate: prepareCreate,
		PrepareUpdate: func(_ context.Context, o, old *csr) {
			o.Spec, o.Status = old.Spec, old.Status
		},
		Validate:       rules.ValidateCertificateSigningRequest,
		ValidateUpdate: rules.ValidateCertificateSigningRequestUpdate,
		Fields: []kind.Field[*csr]{
			{Path: "spec.signerName", Value: func(o *csr) string { return o.Spec.SignerName }},
		},
		Columns: rules.CertificateSigningRequestColumns(),
		Row:     rules.CertificateSigningRequestRow,
		Status: &kind.SubRules[*csr]{
			Prepare:  func(_ context.Context, o, old *csr) { prepareStatus(o, old, now()) },
			Validate: func(o, old *csr) field.ErrorList { return rules.ValidateDecision(o, old, false) },
		},
		Subresources: []kind.Subresource{{
			Name: "approval",
			GVK:  schema.GroupVersionKind{Group: n.Group, Version: n.Version, Kind: n.Kind},
			New:  func() runtime.Object { return &csr{} },
			Rules: kind.RulesOf(kind.SubRules[*csr]{
				Prepare:  func(_ context.Context, o, old *csr) { prepareApproval(o, old, now()) },
				Validate: func(o, old *csr) field.ErrorList { return rules.ValidateDecision(o, old, true) },
			}),
		}},
	})
}

// prepareCreate records who asks: what a client says about itself counts for nothing.
func prepareCreate(ctx context.Context, o *csr) {
	u := request.UserFrom(ctx)
	o.Spec.Username, o.Spec.UID, o.Spec.Groups, o.Spec.Extra = u.Name, u.UID, u.Groups, nil
	for k, v := range u.Extra {
		if o.Spec.Extra == nil {
			o.Spec.Extra = make(map[string]certificatesv1.ExtraValue, len(u.Extra))
		}
		o.Spec.Extra[k] = v
	}
	o.Status = certificatesv1.CertificateSigningRequestStatus{}
}

// prepareStatus lets signers write certificates and failures.
func prepareStatus(o, old *csr, now metav1.Time) {
	o.Spec = old.Spec
	rules.StampConditions(o, old, now)
}

// prepareApproval lets approvers write conditions, not certificates.
func prepareApproval(o, old *csr, now metav1.Time) {
	o.Spec = old.Spec
	o.Status.Certificate = old.Status.Certificate
	rules.StampConditions(o, old, now)
}
