package controllers_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// namedTokens signs nothing: it says who a token is for.
type namedTokens struct{}

func (namedTokens) IssueLegacy(namespace, account, uid, secret string) (string, error) {
	return namespace + "/" + account + "/" + uid + "/" + secret, nil
}

func TestTokenSecretsLiveAsLongAsTheirAccount(t *testing.T) {
	c := newCluster(t)
	accounts := c.kube.CoreV1().ServiceAccounts("default")
	account := must[*corev1.ServiceAccount](t)(accounts.Create(c.ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "robot"}}, metav1.CreateOptions{}))
	secrets := informer[*corev1.Secret](c, corev1.SchemeGroupVersion, "secrets")
	must[*corev1.Secret](t)(c.kube.CoreV1().Secrets("default").Create(c.ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "token", Annotations: map[string]string{corev1.ServiceAccountNameKey: "robot"}},
		Type:       corev1.SecretTypeServiceAccountToken,
	}, metav1.CreateOptions{}))
	until(c, secrets, "filled", func() bool {
		s, ok := secrets.Get("default", "token")
		return ok && string(s.Data[corev1.ServiceAccountTokenKey]) == "default/robot/"+string(account.UID)+"/token" &&
			string(s.Data[corev1.ServiceAccountNamespaceKey]) == "default" && len(s.Data[corev1.ServiceAccountRootCAKey]) > 0 &&
			s.Annotations[corev1.ServiceAccountUIDKey] == string(account.UID)
	})
	if err := accounts.Delete(c.ctx, "robot", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	until(c, secrets, "gone", func() bool { _, ok := secrets.Get("default", "token"); return !ok })
}
