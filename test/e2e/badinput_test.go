package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"hyperkube/test/harness"
)

const badPod = `apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  containers:
  - name: c
    image: hyperkube.test/busybox:v1
    EXTRA
`

// TestBadInput: each mistake gets its status and words, and leaves nothing behind.
func TestBadInput(t *testing.T) {
	c := harness.Up(t)
	k := &client{c, t, []string{c.Bin, "kubectl"}}
	pod := func(name, extra string) string {
		return k.write("bad.yaml", strings.NewReplacer("NAME", name, "EXTRA", extra).Replace(badPod))
	}
	k.fails(`unknown field "spec.containers[0].imagePullPolcy"`, "apply", "-f", pod("typo", "imagePullPolcy: Always"))
	k.fails("BadRequest|quantities must match the regular expression", "apply", "--validate=false", "-f", pod("quantity", "resources: {limits: {cpu: 1x}}"))
	k.fails("no matches for kind|Nothing", "apply", "-f", k.write("kind.yaml", "apiVersion: v1\nkind: Nothing\nmetadata: {name: x}\n"))
	k.fails("metadata.name: Invalid value|must be no more than 253", "apply", "-f", pod(strings.Repeat("a", 254), ""))
	k.fails("spec.containers[0].ports[0].containerPort: Invalid value: 70000", "apply", "-f", pod("port", "ports: [{containerPort: 70000}]"))
	k.fails("spec.containers[0].resources.requests: Invalid value", "apply", "-f", pod("much", "resources: {requests: {cpu: 2}, limits: {cpu: 1}}"))
	k.fails(`namespaces "absent" not found`, "apply", "-n", "absent", "-f", pod("nowhere", ""))
	k.fails(`pods "absent" not found`, "get", "pod", "absent")
	k.fails(`Forbidden|User "jane" cannot list resource "secrets" in API group "" in the namespace "default"`, "get", "secrets", "--as=jane")
	if out := k.ok("get", "pods", "-o", "name"); strings.TrimSpace(out) != "" {
		t.Errorf("left behind: %s", out)
	}
	conflict(t, c)
	tokens(t, c)
}

// conflict: an update of an old version is refused with 409.
func conflict(t *testing.T, c *harness.Cluster) {
	ctx := c.Context
	maps := c.Kube.CoreV1().ConfigMaps("default")
	old, err := maps.Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	first := old.DeepCopy()
	first.Labels = map[string]string{"a": "1"}
	if _, err := maps.Update(ctx, first, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	second := old.DeepCopy()
	second.Labels = map[string]string{"a": "2"}
	if _, err := maps.Update(ctx, second, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("update of an old version: %v, want a conflict", err)
	}
}

// tokens: a token works for its audience, and stops working with its account.
func tokens(t *testing.T, c *harness.Cluster) {
	ctx := c.Context
	sa := c.Kube.CoreV1().ServiceAccounts("default")
	lifetime := int64(600)
	got, err := sa.CreateToken(ctx, "default", &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &lifetime}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	with := func(token string) error {
		cfg := rest.AnonymousClientConfig(c.Config)
		cfg.Dial, cfg.BearerToken = c.Config.Dial, token
		kube, err := kubernetes.NewForConfig(cfg)
		if err != nil {
			return err
		}
		_, err = kube.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		return err
	}
	if err := with(got.Status.Token); err != nil {
		t.Errorf("a fresh token: %v", err)
	}
	if err := with(got.Status.Token + "x"); !apierrors.IsUnauthorized(err) {
		t.Errorf("a forged token: %v, want 401", err)
	}
	tooShort := int64(1)
	if _, err := sa.CreateToken(ctx, "default", &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &tooShort}}, metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("a token for a second: %v, want invalid", err)
	}
	if err := sa.Delete(ctx, "default", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.Eventually(10*time.Second, "401 after the account is gone", func() error {
		if err := with(got.Status.Token); !apierrors.IsUnauthorized(err) {
			return err
		}
		return nil
	})
}

// TestBadStart: what keeps a cluster from starting is said with the next step.
func TestBadStart(t *testing.T) {
	c := harness.Up(t)
	start := func(words string, args ...string) {
		t.Helper()
		out, err := c.Try(30*time.Second, append([]string{c.Bin, "up"}, args...)...)
		if err == nil {
			t.Errorf("up %v started: %s", args, out)
			return
		}
		for w := range strings.SplitSeq(words, "|") {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("up %v does not say %q: %v", args, w, err)
			}
		}
	}
	other := filepath.Join(c.Dir, "other")
	free := []string{"--port", "7443", "--kubelet-port", "11250", "--proxy-port", "11256", "--metrics-port", "11257"}
	start("port 6443 for the API server is in use|--port", "--data-dir", other)
	start("absolute path", "--data-dir", "here")
	start("mount options", "--data-dir", other+",a")
	start("cannot be the name of a node|--node-name", append(free, "--data-dir", other, "--node-name", "my_node")...)
	foreign := filepath.Join(c.Dir, "foreign")
	if err := os.MkdirAll(foreign, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(foreign, "thesis.txt"), []byte("years of work"), 0o600); err != nil {
		t.Fatal(err)
	}
	start("not a Hyperkube cluster's|thesis.txt", append(free, "--data-dir", foreign)...)
	start("overlap", append(free, "--data-dir", other, "--pod-cidr", "10.96.0.0/16")...)
	c.Run(time.Minute, c.Bin, "down", "--data-dir", c.DataDir)
	start("--pod-cidr=10.244.0.0/16", "--data-dir", c.DataDir, "--node-name", "node-1", "--pod-cidr", "10.200.0.0/16")
	if _, err := os.Stat(other); err == nil {
		t.Error("refused starts left something behind")
	}
	foreignReset(t, c)
	noRoot, err := c.Try(30*time.Second, "setpriv", "--reuid=65534", "--clear-groups", c.Bin, "up", "--data-dir", "/tmp/hyperkube-nobody")
	os.RemoveAll("/tmp/hyperkube-nobody")
	if err == nil || !strings.Contains(err.Error(), "root") {
		t.Errorf("up without root: %s %v", noRoot, err)
	}
	startsRace(t, c)
}

// foreignReset: a folder that holds what a cluster's could is not removed.
func foreignReset(t *testing.T, c *harness.Cluster) {
	t.Helper()
	mail := filepath.Join(c.Dir, "mail", "log")
	if err := os.MkdirAll(mail, 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := c.Try(30*time.Second, c.Bin, "reset", "--yes", "--data-dir", filepath.Dir(mail))
	if err == nil || !strings.Contains(err.Error(), "not a Hyperkube cluster's") {
		t.Errorf("reset of a foreign folder: %s %v", out, err)
	}
	if _, err := os.Stat(mail); err != nil {
		t.Error(err)
	}
}

// startsRace: a start that is called off in its first moment leaves nothing running, and of
// two starts at once one waits for the other.
func startsRace(t *testing.T, c *harness.Cluster) {
	t.Helper()
	up := func() chan error {
		done := make(chan error, 1)
		go func() {
			out, err := c.Try(2*time.Minute, c.Bin, "up", "--data-dir", c.DataDir)
			if err == nil && !strings.Contains(out, "The cluster is up") {
				err = errors.New(out)
			}
			done <- err
		}()
		return done
	}
	first := up()
	c.Eventually(20*time.Second, "a start to call off", func() error {
		out, err := c.Try(2*time.Minute, c.Bin, "down", "--data-dir", c.DataDir)
		if err == nil && strings.Contains(out, "not running") {
			err = errors.New(out)
		}
		return err
	})
	if err := <-first; err == nil {
		t.Error("a start that was called off says it is up")
	}
	if out, err := c.Try(30*time.Second, c.Bin, "down", "--data-dir", c.DataDir); err != nil || !strings.Contains(out, "not running") {
		t.Errorf("something runs on: %s %v", out, err)
	}
	a, b := up(), up()
	if err := errors.Join(<-a, <-b); err != nil {
		t.Error(err)
	}
}
