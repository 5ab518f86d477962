// Package projected shows several sources as one directory: secrets, config maps, the downward API and
// service account tokens, which it renews when 80 % of their life is over.
package projected

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"sync"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	v1 "k8s.io/api/core/v1"

	"hyperkube/internal/bounds"
	"hyperkube/kubelet/volume"
	"hyperkube/kubelet/volume/atomic"
	"hyperkube/kubelet/volume/configmap"
	"hyperkube/kubelet/volume/downwardapi"
	"hyperkube/kubelet/volume/mount"
	"hyperkube/kubelet/volume/secret"
)

// causes is how many sources that fail are told of at once.
const causes = 10

// Kind is the projected volume. It keeps the tokens of running pods until they are due.
type Kind struct {
	Sources volume.Sources

	mu     sync.Mutex
	tokens map[tokenKey]token
}

type tokenKey struct{ uid, volume, path string }

type token struct {
	text string
	due  time.Time
}

// New returns the kind.
func New(s volume.Sources) *Kind { return &Kind{Sources: s, tokens: map[tokenKey]token{}} }

// Dir implements volume.Kind.
func (*Kind) Dir() string { return "projected" }

// Matches implements volume.Kind.
func (*Kind) Matches(v *v1.Volume) bool { return v.Projected != nil }

// InMemory tells the manager that each is a mount.
func (*Kind) InMemory(*v1.Volume) bool { return true }

// SetUp implements volume.Kind.
func (k *Kind) SetUp(ctx context.Context, r volume.Request) (volume.Mounted, error) {
	mode := fs.FileMode(0o644)
	if m := r.Volume.Projected.DefaultMode; m != nil {
		mode = fs.FileMode(*m)
	}
	payload, due := atomic.Payload{}, time.Time{}
	var errs []error
	for i := range r.Volume.Projected.Sources {
		files, next, err := k.source(ctx, r, &r.Volume.Projected.Sources[i], mode)
		if err != nil {
			if errs = append(errs, err); len(errs) == causes {
				break
			}
			continue
		}
		if !next.IsZero() && (due.IsZero() || next.Before(due)) {
			due = next
		}
		maps.Copy(payload, files)
	}
	if err := errors.Join(errs...); err != nil {
		return volume.Mounted{}, err
	}
	if err := os.MkdirAll(r.Dir, 0o755); err != nil {
		return volume.Mounted{}, err
	}
	if err := mount.Tmpfs(r.Dir, 0, 0o755); err != nil {
		return volume.Mounted{}, err
	}
	_, err := atomic.Write(r.Dir, volume.ForGroup(payload, r.Pod), volume.FSGroup(r.Pod), k.Sources.Now())
	return volume.Mounted{Path: r.Dir, RefreshAt: due}, err
}

func (k *Kind) source(ctx context.Context, r volume.Request, s *v1.VolumeProjection, mode fs.FileMode) (atomic.Payload, time.Time, error) {
	var none time.Time
	switch ns := r.Pod.Namespace; {
	case s.ConfigMap != nil:
		cm, err := k.Sources.ConfigMap(ctx, ns, s.ConfigMap.Name)
		if err != nil {
			return nil, none, err
		}
		p, err := configmap.Payload(cm, s.ConfigMap.Name, s.ConfigMap.Items, mode, s.ConfigMap.Optional != nil && *s.ConfigMap.Optional, r.Budget)
		return p, none, err
	case s.Secret != nil:
		sec, err := k.Sources.Secret(ctx, ns, s.Secret.Name)
		if err != nil {
			return nil, none, err
		}
		p, err := secret.Payload(sec, s.Secret.Name, s.Secret.Items, mode, s.Secret.Optional != nil && *s.Secret.Optional, r.Budget)
		return p, none, err
	case s.DownwardAPI != nil:
		p, err := downwardapi.Payload(r.Pod, s.DownwardAPI.Items, mode, k.Sources.Allocatable(), r.Budget)
		return p, none, err
	case s.ServiceAccountToken != nil:
		return k.token(ctx, r, s.ServiceAccountToken, mode)
	}
	return nil, none, errors.New("projected source is not supported yet by this kubelet")
}

func (k *Kind) token(ctx context.Context, r volume.Request, s *v1.ServiceAccountTokenProjection, mode fs.FileMode) (atomic.Payload, time.Time, error) {
	key := tokenKey{string(r.Pod.UID), r.Volume.Name, s.Path}
	k.mu.Lock()
	have, ok := k.tokens[key]
	k.mu.Unlock()
	if !ok || !k.Sources.Now().Before(have.due) {
		fresh, err := k.request(ctx, r.Pod, s)
		if err != nil {
			return nil, time.Time{}, fmt.Errorf("failed to fetch token: %w", err)
		}
		have = fresh
		k.mu.Lock()
		k.tokens[key] = have
		k.mu.Unlock()
	}
	if err := r.Budget.Take(len(have.text)); err != nil {
		return nil, time.Time{}, err
	}
	f := atomic.File{Data: []byte(have.text), Mode: mode, UID: -1}
	if uid := owner(r.Pod); uid >= 0 && volume.FSGroup(r.Pod) < 0 {
		f.UID, f.Mode = uid, 0o600
	} else if volume.FSGroup(r.Pod) >= 0 {
		f.Mode = 0o600
	}
	return atomic.Payload{s.Path: f}, have.due, nil
}

func (k *Kind) request(ctx context.Context, pod *v1.Pod, s *v1.ServiceAccountTokenProjection) (token, error) {
	spec := authv1.TokenRequestSpec{
		ExpirationSeconds: s.ExpirationSeconds,
		BoundObjectRef:    &authv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID},
	}
	if s.Audience != "" {
		spec.Audiences = []string{s.Audience}
	}
	tr, err := k.Sources.Token(ctx, pod.Namespace, pod.Spec.ServiceAccountName, spec)
	if err != nil {
		return token{}, err
	}
	now := k.Sources.Now()
	life := tr.Status.ExpirationTimestamp.Sub(now)
	if s.ExpirationSeconds != nil {
		// The server may lengthen the life of a token; it is renewed as if it had not.
		life = min(life, bounds.Seconds(*s.ExpirationSeconds))
	}
	return token{text: tr.Status.Token, due: now.Add(min(life*8/10, 24*time.Hour))}, nil
}

// Forget drops the tokens of a pod that is gone.
func (k *Kind) Forget(uid string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.DeleteFunc(k.tokens, func(key tokenKey, _ token) bool { return key.uid == uid })
}

// owner is the one user that all containers of a pod run as; -1 when they differ or it is not known.
func owner(pod *v1.Pod) int {
	uid := int64(-1)
	if s := pod.Spec.SecurityContext; s != nil && s.RunAsUser != nil {
		uid = *s.RunAsUser
	}
	own := int64(-2)
	for _, list := range [][]v1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for _, c := range list {
			u := uid
			if c.SecurityContext != nil && c.SecurityContext.RunAsUser != nil {
				u = *c.SecurityContext.RunAsUser
			}
			if own != -2 && own != u {
				return -1
			}
			own = u
		}
	}
	return int(max(own, -1))
}
