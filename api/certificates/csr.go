// Package certificates is the behaviour of certificates.k8s.io/v1
// CertificateSigningRequest: defaults, validation and columns, pure functions on
// the published type.
package certificates

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
	"hyperkube/api/table"
)

const (
	minExpirationSeconds = 600
	maxSignerName        = 571 // 253 + 1 + 253 + 1 + 63
)

// ValidateCertificateSigningRequest checks a request to be created.
func ValidateCertificateSigningRequest(c *certificatesv1.CertificateSigningRequest) field.ErrorList {
	spec := field.NewPath("spec")
	var errs field.ErrorList
	if err := parseRequest(c.Spec.Request); err != nil {
		errs = append(errs, field.Invalid(spec.Child("request"), c.Spec.Request, err.Error()))
	}
	errs = append(errs, validateUsages(c.Spec.Usages, spec.Child("usages"))...)
	errs = append(errs, validateSigner(c.Spec.SignerName, spec.Child("signerName"))...)
	if e := c.Spec.ExpirationSeconds; e != nil && *e < minExpirationSeconds {
		errs = append(errs, field.Invalid(spec.Child("expirationSeconds"), *e, "may not specify a duration less than 600 seconds (10 minutes)"))
	}
	return append(errs, validateConditions(c.Status.Conditions, field.NewPath("status", "conditions"))...)
}

func parseRequest(text []byte) error {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return fmt.Errorf("PEM block type must be CERTIFICATE REQUEST")
	}
	_, err := x509.ParseCertificateRequest(block.Bytes)
	return err
}

func validateUsages(usages []certificatesv1.KeyUsage, path *field.Path) field.ErrorList {
	if len(usages) == 0 {
		return field.ErrorList{field.Required(path, "usages must be specified")}
	}
	known := []certificatesv1.KeyUsage{
		certificatesv1.UsageSigning, certificatesv1.UsageDigitalSignature, certificatesv1.UsageContentCommitment, certificatesv1.UsageKeyEncipherment,
		certificatesv1.UsageKeyAgreement, certificatesv1.UsageDataEncipherment, certificatesv1.UsageCertSign, certificatesv1.UsageCRLSign,
		certificatesv1.UsageEncipherOnly, certificatesv1.UsageDecipherOnly, certificatesv1.UsageAny, certificatesv1.UsageServerAuth,
		certificatesv1.UsageClientAuth, certificatesv1.UsageCodeSigning, certificatesv1.UsageEmailProtection, certificatesv1.UsageSMIME,
		certificatesv1.UsageIPsecEndSystem, certificatesv1.UsageIPsecTunnel, certificatesv1.UsageIPsecUser, certificatesv1.UsageTimestamping,
		certificatesv1.UsageOCSPSigning, certificatesv1.UsageMicrosoftSGC, certificatesv1.UsageNetscapeSGC,
	}
	slices.Sort(known)
	var errs field.ErrorList
	seen := map[certificatesv1.KeyUsage]bool{}
	for i, u := range usages {
		errs = append(errs, rules.OneOf(u, path.Index(i), known...)...)
		if seen[u] {
			errs = append(errs, field.Duplicate(path.Index(i), u))
		}
		seen[u] = true
	}
	return errs
}

func validateSigner(name string, path *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	domain, rest, found := strings.Cut(name, "/")
	if !found || strings.Contains(rest, "/") {
		return field.ErrorList{field.Invalid(path, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")}
	}
	errs := rules.Messages(validation.IsDNS1123Subdomain(domain), name, path)
	if !strings.Contains(domain, ".") {
		errs = append(errs, field.Invalid(path, name, "should be a domain with at least two segments separated by dots"))
	}
	if rest == "" {
		errs = append(errs, field.Invalid(path, name, "validation should not be empty"))
	} else {
		errs = append(errs, rules.Messages(validation.IsDNS1123Subdomain(rest), name, path)...)
	}
	if len(name) > maxSignerName {
		errs = append(errs, field.TooLong(path, "", maxSignerName))
	}
	return errs
}

func validateConditions(list []certificatesv1.CertificateSigningRequestCondition, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	approved, denied := false, false
	seen := rules.Seen[certificatesv1.RequestConditionType]{}
	for i, c := range list {
		at := path.Index(i)
		if c.Type == "" {
			errs = append(errs, field.Required(at.Child("type"), ""))
		} else if seen.Again(c.Type) {
			errs = append(errs, field.Duplicate(at.Child("type"), c.Type))
		}
		final := c.Type == certificatesv1.CertificateApproved || c.Type == certificatesv1.CertificateDenied || c.Type == certificatesv1.CertificateFailed
		switch {
		case final:
			errs = append(errs, rules.OneOf(c.Status, at.Child("status"), corev1.ConditionTrue)...)
		default:
			errs = append(errs, rules.OneOf(c.Status, at.Child("status"), corev1.ConditionFalse, corev1.ConditionTrue, corev1.ConditionUnknown)...)
		}
		approved = approved || c.Type == certificatesv1.CertificateApproved
		denied = denied || c.Type == certificatesv1.CertificateDenied
		if approved && denied {
			errs = append(errs, field.Invalid(at.Child("type"), c.Type, "Approved and Denied conditions are mutually exclusive"))
		}
	}
	return errs
}

// ValidateCertificateSigningRequestUpdate refuses to change what is asked for.
func ValidateCertificateSigningRequestUpdate(c, old *certificatesv1.CertificateSigningRequest) field.ErrorList {
	return rules.Same(c.Spec, old.Spec, field.NewPath("spec"))
}

// ValidateDecision checks an update through approval (a decision is final) and
// through status (which may not decide).
func ValidateDecision(c, old *certificatesv1.CertificateSigningRequest, approval bool) field.ErrorList {
	path := field.NewPath("status", "conditions")
	errs := validateConditions(c.Status.Conditions, path)
	for _, t := range []certificatesv1.RequestConditionType{certificatesv1.CertificateApproved, certificatesv1.CertificateDenied, certificatesv1.CertificateFailed} {
		was, is := conditions(old, t), conditions(c, t)
		mayAdd := approval || t == certificatesv1.CertificateFailed
		if (len(is) != len(was) && !(mayAdd && len(is) > len(was))) || (len(was) > 0 && !apiequality.Semantic.DeepEqual(is[:min(len(is), len(was))], was)) {
			errs = append(errs, field.Forbidden(path, fmt.Sprintf("updates may not add, remove, or modify a condition of type %q", t)))
		}
	}
	if len(old.Status.Certificate) > 0 && string(c.Status.Certificate) != string(old.Status.Certificate) {
		errs = append(errs, field.Forbidden(field.NewPath("status", "certificate"), "updates may not modify a certificate once set"))
	}
	if len(c.Status.Certificate) > 0 && len(old.Status.Certificate) == 0 {
		if err := parseCertificates(c.Status.Certificate); err != nil {
			errs = append(errs, field.Invalid(field.NewPath("status", "certificate"), "<certificate data>", err.Error()))
		}
	}
	return errs
}

// parseCertificates: PEM blocks of certificates, without headers, and nothing else.
func parseCertificates(text []byte) error {
	for n := 0; ; n++ {
		block, rest := pem.Decode(text)
		switch {
		case block == nil && n == 0:
			return errors.New("must contain at least one CERTIFICATE PEM block")
		case block == nil:
			return nil
		case block.Type != "CERTIFICATE":
			return fmt.Errorf("only CERTIFICATE PEM blocks are allowed, found %q", block.Type)
		case len(block.Headers) > 0:
			return errors.New("no PEM block headers are permitted")
		}
		if _, err := x509.ParseCertificates(block.Bytes); err != nil {
			return err
		}
		text = rest
	}
}

func conditions(c *certificatesv1.CertificateSigningRequest, t certificatesv1.RequestConditionType) []certificatesv1.CertificateSigningRequestCondition {
	var out []certificatesv1.CertificateSigningRequestCondition
	for _, x := range c.Status.Conditions {
		if x.Type == t {
			out = append(out, x)
		}
	}
	return out
}

// StampConditions fills in the times that a client left out (null): those of the
// condition as it was when it says the same, now where it is new or changed.
func StampConditions(c, old *certificatesv1.CertificateSigningRequest, now metav1.Time) {
	now = now.Rfc3339Copy() // as it is stored
	for i := range c.Status.Conditions {
		x := &c.Status.Conditions[i]
		for _, was := range conditions(old, x.Type) {
			if was.Status != x.Status {
				continue
			}
			if x.LastTransitionTime.IsZero() {
				x.LastTransitionTime = was.LastTransitionTime
			}
			if x.LastUpdateTime.IsZero() && was.Reason == x.Reason && was.Message == x.Message {
				x.LastUpdateTime = was.LastUpdateTime
			}
		}
		if x.LastUpdateTime.IsZero() {
			x.LastUpdateTime = now
		}
		if x.LastTransitionTime.IsZero() {
			x.LastTransitionTime = now
		}
	}
}

// CertificateSigningRequestColumns are what kubectl prints.
func CertificateSigningRequestColumns() []metav1.TableColumnDefinition {
	doc := certificatesv1.CertificateSigningRequestSpec{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		table.Name(),
		table.AgeColumn(),
		table.Text("SignerName", doc["signerName"]),
		table.Text("Requestor", doc["request"]),
		table.Text("RequestedDuration", doc["expirationSeconds"]),
		table.Text("Condition", certificatesv1.CertificateSigningRequestStatus{}.SwaggerDoc()["conditions"]),
	}
}

// CertificateSigningRequestRow fills CertificateSigningRequestColumns.
func CertificateSigningRequestRow(c *certificatesv1.CertificateSigningRequest, now time.Time) []any {
	lifetime := table.None
	if e := c.Spec.ExpirationSeconds; e != nil {
		lifetime = duration.HumanDuration(time.Duration(*e) * time.Second)
	}
	var states []string
	for _, t := range []certificatesv1.RequestConditionType{certificatesv1.CertificateApproved, certificatesv1.CertificateDenied, certificatesv1.CertificateFailed} {
		if len(conditions(c, t)) > 0 {
			states = append(states, string(t))
		}
	}
	if len(conditions(c, certificatesv1.CertificateApproved))+len(conditions(c, certificatesv1.CertificateDenied)) == 0 {
		states = append([]string{"Pending"}, states...)
	}
	if len(c.Status.Certificate) > 0 {
		states = append(states, "Issued")
	}
	return []any{c.Name, table.Age(c.CreationTimestamp, now), c.Spec.SignerName, c.Spec.Username, lifetime, strings.Join(states, ",")}
}
