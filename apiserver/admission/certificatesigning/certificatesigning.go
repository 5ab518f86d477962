// Package certificatesigning lets only those put a certificate into a signing
// request who may "sign" for its signer.
package certificatesigning

import (
	"bytes"
	"context"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"hyperkube/apiserver/admission"
	"hyperkube/apiserver/authz"
	"hyperkube/apiserver/request"
)

// Plugin is CertificateSigning.
type Plugin struct{ auth request.Authorizer }

var _ admission.Validator = Plugin{}

// New makes the plugin.
func New(auth request.Authorizer) Plugin { return Plugin{auth} }

// Name as flags know it.
func (Plugin) Name() string { return "CertificateSigning" }

// Handles written statuses.
func (Plugin) Handles(a *admission.Attributes) bool {
	return a.Operation == admission.Update && a.Info.Group == certificatesv1.GroupName &&
		a.Info.Resource == "certificatesigningrequests" && a.Subresource == "status"
}

// Validate asks the authorizer when certificate or conditions change.
func (p Plugin) Validate(ctx context.Context, a *admission.Attributes) error {
	csr, ok := a.Object.(*certificatesv1.CertificateSigningRequest)
	old, ok2 := a.Old.(*certificatesv1.CertificateSigningRequest)
	if !ok || !ok2 {
		return nil
	}
	same := bytes.Equal(csr.Status.Certificate, old.Status.Certificate) && equality.Semantic.DeepEqual(csr.Status.Conditions, old.Status.Conditions)
	if same || authz.MaySigner(ctx, p.auth, a.User, "sign", old.Spec.SignerName) {
		return nil
	}
	return admission.Forbid(a, "user not permitted to sign requests with signerName %q", old.Spec.SignerName)
}
