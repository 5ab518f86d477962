package conformance

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// certificateRequests takes requests for a signer that nobody serves through the API.
func certificateRequests(f *fixture) {
	operations{resource: v1("certificates.k8s.io", "certificatesigningrequests"),
		subresources: []string{"certificatesigningrequests/approval", "certificatesigningrequests/status"}}.discovered(f)
	c := f.kube.CertificatesV1().CertificateSigningRequests()
	sel := metav1.ListOptions{LabelSelector: "test=" + f.id}
	f.later(func(ctx context.Context) error { return c.DeleteCollection(ctx, metav1.DeleteOptions{}, sel) })
	w := must(c.Watch(f.ctx, sel))
	defer w.Stop()

	one := must(c.Create(f.ctx, newRequest(f, "one"), metav1.CreateOptions{}))
	f.await(w, watch.Added, one.Name)
	f.expect(must(c.Get(f.ctx, one.Name, metav1.GetOptions{})).UID == one.UID, "get returns another object")
	f.expect(len(must(c.List(f.ctx, sel)).Items) == 1, "list does not find the request")
	one = must(c.Patch(f.ctx, one.Name, types.MergePatchType, []byte(`{"metadata":{"annotations":{"patched":"true"}}}`), metav1.PatchOptions{}))
	f.expect(one.Annotations["patched"] == "true", "the patch is lost")
	one.Annotations["updated"] = "true"
	one = must(c.Update(f.ctx, one, metav1.UpdateOptions{}))
	f.expect(one.Annotations["updated"] == "true", "the update is lost")

	// Approval.
	one.Status.Conditions = append(one.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "Conformance", Message: "tested"})
	one = must(c.UpdateApproval(f.ctx, one.Name, one, metav1.UpdateOptions{}))
	f.expect(len(one.Status.Conditions) == 1 && one.Status.Conditions[0].Type == certificatesv1.CertificateApproved, "conditions %v", one.Status.Conditions)
	patch := `{"metadata":{"annotations":{"approval":"patched"}}}`
	one = must(c.Patch(f.ctx, one.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}, "approval"))
	f.expect(one.Annotations["approval"] == "patched", "the patch of the approval is lost")
	check(f.kube.CertificatesV1().RESTClient().Get().Resource("certificatesigningrequests").Name(one.Name).SubResource("approval").Do(f.ctx).Into(one))

	// Status.
	one.Status.Conditions = append(one.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{Type: "StatusUpdate", Status: corev1.ConditionTrue})
	one = must(c.UpdateStatus(f.ctx, one, metav1.UpdateOptions{}))
	f.expect(len(one.Status.Conditions) == 2, "the update of the status is lost")
	one = must(c.Patch(f.ctx, one.Name, types.MergePatchType, []byte(`{"metadata":{"annotations":{"status":"patched"}}}`), metav1.PatchOptions{}, "status"))
	f.expect(one.Annotations["status"] == "patched", "the patch of the status is lost")
	check(f.kube.CertificatesV1().RESTClient().Get().Resource("certificatesigningrequests").Name(one.Name).SubResource("status").Do(f.ctx).Into(one))

	must(c.Create(f.ctx, newRequest(f, "two"), metav1.CreateOptions{}))
	check(c.Delete(f.ctx, one.Name, metav1.DeleteOptions{}))
	f.await(w, watch.Deleted, one.Name)
	check(c.DeleteCollection(f.ctx, metav1.DeleteOptions{}, sel))
	f.eventually("no request is left", func() error {
		list, err := c.List(f.ctx, sel)
		if err != nil {
			return err
		}
		return errUnless(len(list.Items) == 0, "%d requests", len(list.Items))
	})
}

func newRequest(f *fixture, name string) *certificatesv1.CertificateSigningRequest {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	der := must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "conformance"}}, key))
	return &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: f.id + "-" + name, Labels: map[string]string{"test": f.id}},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
			SignerName: "hyperkube.test/nobody",
			Usages:     []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth},
		},
	}
}
