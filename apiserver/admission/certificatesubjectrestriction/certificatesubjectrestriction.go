// Package certificatesubjectrestriction keeps client certificates for the group
// system:masters from being asked for: they could not be revoked.
package certificatesubjectrestriction

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"slices"

	certificatesv1 "k8s.io/api/certificates/v1"

	"hyperkube/apiserver/admission"
	"hyperkube/apiserver/request"
)

// Plugin is CertificateSubjectRestriction.
type Plugin struct{}

var _ admission.Validator = Plugin{}

// New makes the plugin.
func New() Plugin { return Plugin{} }

// Name as flags know it.
func (Plugin) Name() string { return "CertificateSubjectRestriction" }

// Handles new requests.
func (Plugin) Handles(a *admission.Attributes) bool {
	return a.Operation == admission.Create && a.Is(certificatesv1.GroupName, "certificatesigningrequests")
}

// Validate reads the subject of the request.
func (Plugin) Validate(_ context.Context, a *admission.Attributes) error {
	csr, ok := a.Object.(*certificatesv1.CertificateSigningRequest)
	if !ok || csr.Spec.SignerName != certificatesv1.KubeAPIServerClientSignerName {
		return nil
	}
	block, _ := pem.Decode(csr.Spec.Request)
	if block == nil {
		return admission.Forbid(a, "failed to parse CSR: PEM block type must be CERTIFICATE REQUEST")
	}
	req, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return admission.Forbid(a, "failed to parse CSR: %w", err)
	}
	if slices.Contains(req.Subject.Organization, request.GroupMasters) {
		return admission.Forbid(a, "use of %s signer with %s group is not allowed", certificatesv1.KubeAPIServerClientSignerName, request.GroupMasters)
	}
	return nil
}
