// Package webhook asks a service elsewhere (--authorization-webhook-config-file, a
// kubeconfig file): it gets a SubjectAccessReview and answers with its status.
//
//	question ──▶ remembered? ──▶ POST SubjectAccessReview ──▶ allowed, denied or no opinion
//
// Contract: what was answered is remembered for a time, allowances longer than
// refusals, in a bounded cache. A service that does not answer, or answers
// something else, gives no opinion and an error; it is asked again a few times
// when the fault may pass, and never beyond the request's own time.
package webhook

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	authorizationv1 "k8s.io/api/authorization/v1"
	authorizationv1beta1 "k8s.io/api/authorization/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"hyperkube/apiserver/request"
	"hyperkube/internal/bounds"
	"hyperkube/internal/supervise"
	"hyperkube/internal/trouble"
)

// Config of the authorizer.
type Config struct {
	File    string // a kubeconfig
	Version string // v1beta1 (the published default) or v1
	// How long allowances and refusals are remembered; 0: not at all.
	Authorized, Unauthorized time.Duration
	// Teller, when set, tells when the service does not answer, and when it does again.
	Teller *trouble.Teller
}

const (
	patience = 10 * time.Second // of one attempt
	attempts = 3
	pause    = 500 * time.Millisecond // before the second; then twice as long
)

// Authorizer asks the service.
type Authorizer struct {
	c      Config
	url    string
	client *http.Client
	known  *lru.Cache[[sha256.Size]byte, answer]
	now    func() time.Time
}

type answer struct {
	decision request.Decision
	reason   string
	until    time.Time
}

var _ request.Authorizer = (*Authorizer)(nil)

// New reads the file.
func New(c Config) (*Authorizer, error) {
	if c.Version != authorizationv1.SchemeGroupVersion.Version && c.Version != authorizationv1beta1.SchemeGroupVersion.Version {
		return nil, fmt.Errorf("authorization webhook version %q: want v1 or v1beta1", c.Version)
	}
	loader := &clientcmd.ClientConfigLoadingRules{ExplicitPath: c.File}
	conf, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(loader, &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("authorization webhook %s: %w", c.File, err)
	}
	client, err := rest.HTTPClientFor(conf)
	if err != nil {
		return nil, fmt.Errorf("authorization webhook %s: %w", c.File, err)
	}
	known, err := lru.New[[sha256.Size]byte, answer](bounds.WebhookAnswers)
	return &Authorizer{c: c, url: conf.Host, client: client, known: known, now: time.Now}, err
}

// Authorize implements request.Authorizer.
func (a *Authorizer) Authorize(ctx context.Context, u *request.User, i *request.Info) (request.Decision, string, error) {
	body, err := json.Marshal(review(a.c.Version, u, i))
	if err != nil {
		return request.NoOpinion, "", fmt.Errorf("authorization webhook: %w", err)
	}
	key := sha256.Sum256(body)
	if k, ok := a.known.Get(key); ok && a.now().Before(k.until) {
		return k.decision, k.reason, nil
	}
	status, err := a.ask(ctx, body)
	if err != nil {
		if a.c.Teller != nil && ctx.Err() == nil {
			a.c.Teller.Failed(err)
		}
		return request.NoOpinion, "", fmt.Errorf("authorization webhook: %w", err)
	}
	if a.c.Teller != nil {
		a.c.Teller.Well()
	}
	k, life := answer{decision: request.NoOpinion, reason: status.Reason}, a.c.Unauthorized
	switch {
	case status.Allowed && status.Denied:
		return request.NoOpinion, "", errors.New("authorization webhook: the answer is both allowed and denied")
	case status.Allowed:
		k.decision, life = request.Allow, a.c.Authorized
	case status.Denied:
		k.decision = request.Deny
	}
	if len(body) <= bounds.WebhookQuestion {
		k.until = a.now().Add(life)
		a.known.Add(key, k)
	}
	return k.decision, k.reason, nil
}

// review is the question in the words of the API; both versions differ in one name.
func review(version string, u *request.User, i *request.Info) any {
	spec := authorizationv1.SubjectAccessReviewSpec{User: u.Name, UID: u.UID, Groups: u.Groups}
	for k, v := range u.Extra {
		if spec.Extra == nil {
			spec.Extra = map[string]authorizationv1.ExtraValue{}
		}
		spec.Extra[k] = v
	}
	if i.IsResource {
		spec.ResourceAttributes = &authorizationv1.ResourceAttributes{Namespace: i.Namespace, Verb: i.Verb, Group: i.Group, Version: i.Version,
			Resource: i.Resource, Subresource: i.Subresource, Name: i.Name}
		if i.FieldSelector != "" {
			spec.ResourceAttributes.FieldSelector = &authorizationv1.FieldSelectorAttributes{RawSelector: i.FieldSelector}
		}
		if i.LabelSelector != "" {
			spec.ResourceAttributes.LabelSelector = &authorizationv1.LabelSelectorAttributes{RawSelector: i.LabelSelector}
		}
	} else {
		spec.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Path: i.Path, Verb: i.Verb}
	}
	kind := metav1.TypeMeta{APIVersion: authorizationv1.GroupName + "/" + version, Kind: "SubjectAccessReview"}
	if version == authorizationv1.SchemeGroupVersion.Version {
		return &authorizationv1.SubjectAccessReview{TypeMeta: kind, Spec: spec}
	}
	old := &authorizationv1beta1.SubjectAccessReview{TypeMeta: kind, Spec: authorizationv1beta1.SubjectAccessReviewSpec{
		User: spec.User, UID: spec.UID, Groups: spec.Groups}}
	for k, v := range spec.Extra {
		if old.Spec.Extra == nil {
			old.Spec.Extra = map[string]authorizationv1beta1.ExtraValue{}
		}
		old.Spec.Extra[k] = authorizationv1beta1.ExtraValue(v)
	}
	if r := spec.ResourceAttributes; r != nil {
		old.Spec.ResourceAttributes = &authorizationv1beta1.ResourceAttributes{Namespace: r.Namespace, Verb: r.Verb, Group: r.Group, Version: r.Version,
			Resource: r.Resource, Subresource: r.Subresource, Name: r.Name, FieldSelector: r.FieldSelector, LabelSelector: r.LabelSelector}
	}
	if n := spec.NonResourceAttributes; n != nil {
		old.Spec.NonResourceAttributes = &authorizationv1beta1.NonResourceAttributes{Path: n.Path, Verb: n.Verb}
	}
	return old
}

// ask tries a few times.
func (a *Authorizer) ask(ctx context.Context, body []byte) (status authorizationv1.SubjectAccessReviewStatus, err error) {
	tries := supervise.Tries{Growth: supervise.Growth{First: pause, Most: patience}}
	for n := 1; ; n++ {
		var again bool
		if status, again, err = a.once(ctx, body); err == nil || !again || n == attempts {
			return status, err
		}
		if !tries.Again(ctx) {
			return status, errors.Join(err, context.Cause(ctx))
		}
	}
}

// once reports whether asking again may help.
func (a *Authorizer) once(ctx context.Context, body []byte) (status authorizationv1.SubjectAccessReviewStatus, again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url, bytes.NewReader(body))
	if err != nil {
		return status, false, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	resp, err := a.client.Do(r)
	if err != nil {
		return status, true, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, bounds.WebhookAnswer+1))
	if err != nil {
		return status, true, err
	}
	switch {
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return status, true, fmt.Errorf("%s answered %s", a.url, resp.Status)
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return status, false, fmt.Errorf("%s answered %s", a.url, resp.Status)
	case len(text) > bounds.WebhookAnswer:
		return status, false, fmt.Errorf("%s answered more than %d bytes", a.url, bounds.WebhookAnswer)
	}
	var out authorizationv1.SubjectAccessReview
	if err := json.Unmarshal(text, &out); err != nil {
		return status, false, fmt.Errorf("%s answered no SubjectAccessReview: %w", a.url, err)
	}
	if want := authorizationv1.GroupName + "/" + a.c.Version; out.APIVersion != want || out.Kind != "SubjectAccessReview" {
		return status, false, fmt.Errorf("%s answered %s %s, want %s SubjectAccessReview", a.url, out.APIVersion, out.Kind, want)
	}
	return out.Status, false, nil
}
