package unserved

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"hyperkube/controllers/stage"
)

// TestWhatNobodyTakesUp is told on the object, once, and what is taken up is not.
func TestWhatNobodyTakesUp(t *testing.T) {
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: "n", Name: name, UID: "u", ResourceVersion: "1"}
	}
	global := func(name string) metav1.ObjectMeta { m := meta(name); m.Namespace = ""; return m }
	signing := func(signer string, conditions ...certificatesv1.CertificateSigningRequestCondition) *certificatesv1.CertificateSigningRequest {
		return &certificatesv1.CertificateSigningRequest{ObjectMeta: global("x"), Spec: certificatesv1.CertificateSigningRequestSpec{SignerName: signer},
			Status: certificatesv1.CertificateSigningRequestStatus{Conditions: conditions}}
	}
	approved := certificatesv1.CertificateSigningRequestCondition{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue}
	issued := signing(certificatesv1.KubeAPIServerClientSignerName, approved)
	issued.Status.Certificate = []byte("x")
	made := &corev1.PersistentVolumeClaim{ObjectMeta: meta("x")}
	made.Annotations = map[string]string{"volume.kubernetes.io/storage-provisioner": "example.com/p"}
	for name, c := range map[string]struct {
		object runtime.Object
		want   string
	}{
		"autoscaler":             {&autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: meta("x")}, "horizontal-pod-autoscaler-controller"},
		"autoscaler that is run": {&autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: meta("x"), Status: autoscalingv2.HorizontalPodAutoscalerStatus{Conditions: []autoscalingv2.HorizontalPodAutoscalerCondition{{Type: autoscalingv2.ScalingActive}}}}, ""},
		"request":                {signing(certificatesv1.KubeAPIServerClientSignerName, approved), "certificatesigningrequest-signing-controller"},
		"request not approved":   {signing(certificatesv1.KubeAPIServerClientSignerName), ""},
		"request issued":         {issued, ""},
		"request of others":      {signing("example.com/mine", approved), ""},
		"service range":          {&networkingv1.ServiceCIDR{ObjectMeta: global("x")}, "service-cidr-controller"},
		"service range in use":   {&networkingv1.ServiceCIDR{ObjectMeta: global("x"), Status: networkingv1.ServiceCIDRStatus{Conditions: []metav1.Condition{{Type: networkingv1.ServiceCIDRConditionReady, Status: metav1.ConditionTrue}}}}, ""},
		"claim":                  {&corev1.PersistentVolumeClaim{ObjectMeta: meta("x")}, "persistentvolume-binder-controller"},
		"claim that is bound":    {&corev1.PersistentVolumeClaim{ObjectMeta: meta("x"), Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound}}, ""},
		"claim that is made":     {made, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.object.(metav1.Object).SetCreationTimestamp(metav1.Now()) // of the bubble's clock
				s := stage.New(t)
				s.Run(New)
				s.Add(c.object)
				time.Sleep(30 * time.Second)
				if n := s.Count("create", "events"); n != 0 {
					t.Errorf("%d events before anybody could have taken it up", n)
				}
				time.Sleep(time.Hour)
				s.Modify(c.object)
				l, err := s.Kube.CoreV1().Events(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
				if err != nil {
					t.Fatal(err)
				}
				switch {
				case c.want == "" && len(l.Items) != 0:
					t.Errorf("told %q", l.Items[0].Message)
				case c.want != "" && (len(l.Items) != 1 || l.Items[0].Count != 1 || !strings.Contains(l.Items[0].Message, c.want)):
					t.Errorf("%d events, want one that names the %s", len(l.Items), c.want)
				}
			})
		})
	}
}
