package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	authnv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"hyperkube/apiserver/authz/bootstrap"
	"hyperkube/controllers"
)

// TestAccounts: a controller's client makes its account, shows its token, asks
// for another when that one is refused, and never shows the manager's.
func TestAccounts(t *testing.T) {
	var made atomic.Bool
	var issued atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer := func(code int, o any) {
			w.WriteHeader(code)
			json.NewEncoder(w).Encode(o)
		}
		fail := func(code int, reason metav1.StatusReason) {
			answer(code, metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Reason: reason, Code: int32(code)})
		}
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		switch {
		case strings.HasSuffix(r.URL.Path, "/serviceaccounts/job-controller/token") && token == "manager":
			if !made.Load() {
				fail(http.StatusNotFound, metav1.StatusReasonNotFound)
				return
			}
			answer(http.StatusCreated, authnv1.TokenRequest{TypeMeta: metav1.TypeMeta{APIVersion: "authentication.k8s.io/v1", Kind: "TokenRequest"},
				Status: authnv1.TokenRequestStatus{Token: fmt.Sprint("job-", issued.Add(1)), ExpirationTimestamp: metav1.NewTime(time.Now().Add(time.Hour))}})
		case strings.HasSuffix(r.URL.Path, "/namespaces/kube-system/serviceaccounts") && token == "manager":
			made.Store(true)
			answer(http.StatusCreated, corev1.ServiceAccount{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"}})
		case strings.HasSuffix(r.URL.Path, "/pods/p") && token == "job-2":
			answer(http.StatusOK, corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}})
		default:
			fail(http.StatusUnauthorized, metav1.StatusReasonUnauthorized)
		}
	}))
	defer srv.Close()
	conf := &rest.Config{Host: srv.URL, BearerToken: "manager", QPS: -1}
	kube, err := kubernetes.NewForConfig(conf)
	if err != nil {
		t.Fatal(err)
	}
	own, _, err := (&Remote{Config: conf, Kube: kube}).As("job-controller")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	get := func() error {
		_, err := own.CoreV1().Pods("default").Get(ctx, "p", metav1.GetOptions{})
		return err
	}
	if err := get(); err == nil {
		t.Error("the first token was refused, and the request went well")
	}
	for range 2 {
		if err := get(); err != nil {
			t.Error(err)
		}
	}
	if n := issued.Load(); n != 2 {
		t.Errorf("%d tokens issued, want 2", n)
	}
}

// TestAccountsHaveRoles: every controller's account is one that the default
// policy of a standard cluster knows.
func TestAccountsHaveRoles(t *testing.T) {
	known := map[string]bool{}
	for _, r := range bootstrap.Default().ClusterRoles {
		known[strings.TrimPrefix(r.Name, "system:controller:")] = true
	}
	for _, d := range controllers.All() {
		account := cmp.Or(d.Account, d.Name)
		if account != controllers.Manages && !known[account] {
			t.Errorf("%s: no role system:controller:%s", d.Name, account)
		}
	}
}
