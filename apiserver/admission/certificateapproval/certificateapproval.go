// Package certificateapproval lets only those approve or deny a certificate
// signing request who may "approve" for its signer.
package certificateapproval

import (
	"context"

	certificatesv1 "k8s.io/api/certificates/v1"

	"hyperkube/apiserver/admission"
	"hyperkube/apiserver/authz"
	"hyperkube/apiserver/request"
)

// Plugin is CertificateApproval.
type Plugin struct{ auth request.Authorizer }

var _ admission.Validator = Plugin{}

// New makes the plugin.
func New(auth request.Authorizer) Plugin { return Plugin{auth} }

// Name as flags know it.
func (Plugin) Name() string { return "CertificateApproval" }

// Handles written approvals.
func (Plugin) Handles(a *admission.Attributes) bool {
	return a.Operation == admission.Update && a.Info.Group == certificatesv1.GroupName &&
		a.Info.Resource == "certificatesigningrequests" && a.Subresource == "approval"
}

// Validate asks the authorizer.
func (p Plugin) Validate(ctx context.Context, a *admission.Attributes) error {
	csr, ok := a.Old.(*certificatesv1.CertificateSigningRequest)
	if !ok || authz.MaySigner(ctx, p.auth, a.User, "approve", csr.Spec.SignerName) {
		return nil
	}
	return admission.Forbid(a, "user not permitted to approve requests with signerName %q", csr.Spec.SignerName)
}
