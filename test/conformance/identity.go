package conformance

import (
	"encoding/json"
	"fmt"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

func identity() []behaviour {
	return []behaviour{
		{name: "Service Account Tokens Must AutoMount", run: tokenMounted},
		{name: "Service account tokens auto mount optionally", run: tokenOptedOut},
		{name: "TokenRequestProjection should mount a projected volume with token using TokenRequest API.", run: tokenProjected},
		{name: "ServiceAccount, create and review token", run: tokenReviewed},
		{name: "OIDC Discovery (ServiceAccountIssuerDiscovery)", run: issuerDiscovery},
		{name: "RootCA ConfigMap test", run: rootCA},
		{name: "ServiceAccount lifecycle test", run: serviceAccountLifecycle},
		{name: "ServiceAccount, update a ServiceAccount", run: serviceAccountUpdated},
		{name: "SubjectReview, API Operations", run: subjectReviews},
	}
}

const tokenDir = "/var/run/secrets/kubernetes.io/serviceaccount"

func tokenMounted(f *fixture) {
	out := f.output(f.shell("reader", "cd "+tokenDir+"; echo ns=$(cat namespace).; cat ca.crt; echo token=$(cat token)"))
	f.says(out, "ns="+f.ns+".", "BEGIN CERTIFICATE")
	_, token, _ := strings.Cut(out, "token=")
	r := must(f.kube.AuthenticationV1().TokenReviews().Create(f.ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: strings.TrimSpace(token)}}, metav1.CreateOptions{}))
	f.expect(r.Status.Authenticated && r.Status.User.Username == "system:serviceaccount:"+f.ns+":default", "the mounted token is of %+v", r.Status)
}

func tokenOptedOut(f *fixture) {
	c := f.kube.CoreV1().ServiceAccounts(f.ns)
	accounts := map[string]*bool{"default": nil, "mount": to(true), "nomount": to(false)}
	for name, auto := range accounts {
		if name != "default" {
			must(c.Create(f.ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}, AutomountServiceAccountToken: auto}, metav1.CreateOptions{}))
		}
	}
	for account, auto := range accounts {
		for what, own := range map[string]*bool{"unset": nil, "true": to(true), "false": to(false)} {
			p := f.sleeper(account+"-"+what, unplaced, func(p *corev1.Pod) {
				p.Spec.ServiceAccountName, p.Spec.AutomountServiceAccountToken = account, own
			})
			var made *corev1.Pod
			f.eventually("pod of account "+account, func() (err error) {
				made, err = f.pods().Create(f.ctx, p, metav1.CreateOptions{})
				return err
			})
			mounted := false
			for _, m := range made.Spec.Containers[0].VolumeMounts {
				mounted = mounted || m.MountPath == tokenDir
			}
			want := own == nil && (auto == nil || *auto) || own != nil && *own
			f.expect(mounted == want, "account %s, pod %s: mounted %t, want %t", account, what, mounted, want)
		}
	}
}

func tokenProjected(f *fixture) {
	p := f.shell("reader", "cat /token/token", withVolume("token", "/token", corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", Audience: "conformance", ExpirationSeconds: to[int64](3600)}}}}}))
	p.Spec.AutomountServiceAccountToken = to(false)
	token := strings.TrimSpace(f.output(p))
	r := must(f.kube.AuthenticationV1().TokenReviews().Create(f.ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{"conformance"}}}, metav1.CreateOptions{}))
	f.expect(r.Status.Authenticated && len(r.Status.Audiences) == 1 && r.Status.Audiences[0] == "conformance", "review %+v", r.Status)
}

func tokenReviewed(f *fixture) {
	c := f.kube.CoreV1().ServiceAccounts(f.ns)
	must(c.Create(f.ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "own"}}, metav1.CreateOptions{}))
	t := must(c.CreateToken(f.ctx, "own", &authenticationv1.TokenRequest{}, metav1.CreateOptions{}))
	f.expect(t.Status.Token != "" && !t.Status.ExpirationTimestamp.IsZero(), "an empty token")
	r := must(f.kube.AuthenticationV1().TokenReviews().Create(f.ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: t.Status.Token}}, metav1.CreateOptions{}))
	f.expect(r.Status.Authenticated && r.Status.Error == "" && r.Status.User.Username == "system:serviceaccount:"+f.ns+":own", "review %+v", r.Status)
}

// issuerDiscovery: a client with a service account's token finds the issuer and its keys.
func issuerDiscovery(f *fixture) {
	t := must(f.kube.CoreV1().ServiceAccounts(f.ns).CreateToken(f.ctx, "default", &authenticationv1.TokenRequest{}, metav1.CreateOptions{}))
	cfg := rest.AnonymousClientConfig(f.config)
	cfg.BearerToken = t.Status.Token
	client := must(kubernetes.NewForConfig(cfg)).Discovery().RESTClient()
	var doc struct {
		Issuer  string   `json:"issuer"`
		KeysURI string   `json:"jwks_uri"`
		Algs    []string `json:"id_token_signing_alg_values_supported"`
	}
	check(json.Unmarshal(must(client.Get().AbsPath("/.well-known/openid-configuration").DoRaw(f.ctx)), &doc))
	f.expect(doc.Issuer != "" && doc.KeysURI != "" && len(doc.Algs) > 0, "document %+v", doc)
	var keys struct {
		Keys []struct {
			Kid string `json:"kid"`
			Kty string `json:"kty"`
		} `json:"keys"`
	}
	check(json.Unmarshal(must(client.Get().AbsPath("/openid/v1/jwks").DoRaw(f.ctx)), &keys))
	f.expect(len(keys.Keys) > 0 && keys.Keys[0].Kid != "", "keys %+v", keys)
	var claims struct {
		Issuer string `json:"iss"`
	}
	parts := strings.Split(t.Status.Token, ".")
	f.expect(len(parts) == 3, "the token is no JWT")
	check(json.Unmarshal(must(decodeSegment(parts[1])), &claims))
	f.expect(claims.Issuer == doc.Issuer, "the token's issuer is %q, the document says %q", claims.Issuer, doc.Issuer)
}

func rootCA(f *fixture) {
	c := f.kube.CoreV1().ConfigMaps(f.ns)
	var ca string
	read := func() error {
		cm, err := c.Get(f.ctx, "kube-root-ca.crt", metav1.GetOptions{})
		if err != nil {
			return err
		}
		return errUnless(strings.Contains(cm.Data["ca.crt"], "BEGIN CERTIFICATE") && (ca == "" || cm.Data["ca.crt"] == ca) && len(cm.Data) == 1, "data %.100v", cm.Data)
	}
	f.eventually("the CA is published", read)
	ca = must(c.Get(f.ctx, "kube-root-ca.crt", metav1.GetOptions{})).Data["ca.crt"]
	check(c.Delete(f.ctx, "kube-root-ca.crt", metav1.DeleteOptions{}))
	f.eventually("the deleted CA is back", read)
	must(c.Patch(f.ctx, "kube-root-ca.crt", types.MergePatchType, []byte(`{"data":{"ca.crt":"","foo":"bar"}}`), metav1.PatchOptions{}))
	f.eventually("the changed CA is restored", read)
}

func serviceAccountLifecycle(f *fixture) {
	c, sel := f.kube.CoreV1().ServiceAccounts(f.ns), metav1.ListOptions{LabelSelector: "test=" + f.id}
	w := must(c.Watch(f.ctx, sel))
	defer w.Stop()
	must(c.Create(f.ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "own", Labels: map[string]string{"test": f.id}}}, metav1.CreateOptions{}))
	f.await(w, watch.Added, "own")
	got := must(c.Patch(f.ctx, "own", types.StrategicMergePatchType, []byte(`{"automountServiceAccountToken":false}`), metav1.PatchOptions{}))
	f.expect(got.AutomountServiceAccountToken != nil && !*got.AutomountServiceAccountToken, "the patch is lost")
	all := must(f.kube.CoreV1().ServiceAccounts("").List(f.ctx, sel)).Items
	f.expect(len(all) == 1 && all[0].AutomountServiceAccountToken != nil, "listed in all namespaces: %v", all)
	check(c.DeleteCollection(f.ctx, metav1.DeleteOptions{}, sel))
	f.await(w, watch.Deleted, "own")
}

func serviceAccountUpdated(f *fixture) {
	c := f.kube.CoreV1().ServiceAccounts(f.ns)
	sa := must(c.Create(f.ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "own"}}, metav1.CreateOptions{}))
	sa.AutomountServiceAccountToken = to(true)
	got := must(c.Update(f.ctx, sa, metav1.UpdateOptions{}))
	f.expect(got.AutomountServiceAccountToken != nil && *got.AutomountServiceAccountToken, "the update is lost")
}

// subjectReviews: what reviews say of an account is what the account can do.
func subjectReviews(f *fixture) {
	must(f.kube.CoreV1().ServiceAccounts(f.ns).Create(f.ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "own"}}, metav1.CreateOptions{}))
	user := fmt.Sprintf("system:serviceaccount:%s:own", f.ns)
	cfg := rest.CopyConfig(f.config)
	cfg.Impersonate = rest.ImpersonationConfig{UserName: user}
	as := must(kubernetes.NewForConfig(cfg))
	_, err := as.CoreV1().ConfigMaps(f.ns).List(f.ctx, metav1.ListOptions{})
	f.expect(err == nil || apierrors.IsForbidden(err), "as the account: %v", err)
	attributes := &authorizationv1.ResourceAttributes{Verb: "list", Resource: "configmaps", Namespace: f.ns, Version: "v1"}
	r := must(f.kube.AuthorizationV1().SubjectAccessReviews().Create(f.ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: attributes, User: user}}, metav1.CreateOptions{}))
	f.expect(r.Status.Allowed == (err == nil), "the review says %+v, the account got %v", r.Status, err)
	l := must(f.kube.AuthorizationV1().LocalSubjectAccessReviews(f.ns).Create(f.ctx, &authorizationv1.LocalSubjectAccessReview{ObjectMeta: metav1.ObjectMeta{Namespace: f.ns}, Spec: authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: attributes, User: user}}, metav1.CreateOptions{}))
	f.expect(l.Status.Allowed == (err == nil), "the local review says %+v, the account got %v", l.Status, err)
}
