// Package images makes sure that a container's image is on the node: pull policies, credentials, one pull of an
// image at a time. When to try again is decided by the pod worker.
package images

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/distribution/reference"
	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hyperkube/internal/bounds"
	"hyperkube/kubelet/cri"
)

// Reasons that a container waits for its image.
const (
	ErrImagePull      = "ErrImagePull"
	ImagePullBackOff  = "ImagePullBackOff"
	ErrImageNeverPull = "ErrImageNeverPull"
	InvalidImageName  = "InvalidImageName"
	ErrImageInspect   = "ImageInspectError"
)

// Error is an image that could not be made present.
type Error struct {
	Reason  string
	Message string
}

func (e *Error) Error() string { return e.Reason + ": " + e.Message }

// Image is an image that is present.
type Image struct {
	Ref  string // what the runtime calls it
	User cri.ImageUser
	// Ports are the TCP ports that the image says it listens on.
	Ports []int32
}

// Tell reports progress as an event of the container.
type Tell func(eventType, reason, message string)

// Puller pulls through the runtime.
type Puller struct {
	client  *cri.Client
	secrets func(ctx context.Context, namespace, name string) (*v1.Secret, error)
	slots   *slots // of pulls that have just begun
	slow    *crowd // the others
	// Here is closed once images are on the node that are imported at its start and can be pulled from nowhere: what
	// is not there before may be there then. Nil where nothing is imported.
	Here <-chan struct{}

	mu    sync.Mutex
	pulls map[string]chan struct{}
}

// NewPuller returns a puller of at most parallel images at a time.
func NewPuller(c *cri.Client, parallel int, secrets func(ctx context.Context, namespace, name string) (*v1.Secret, error)) *Puller {
	return &Puller{client: c, secrets: secrets, slots: newSlots(max(parallel, 1)),
		slow: &crowd{most: bounds.SlowPulls}, pulls: map[string]chan struct{}{}}
}

// Ensure makes a container's image present by its pull policy. Its errors are *Error.
func (p *Puller) Ensure(ctx context.Context, pod *v1.Pod, c *v1.Container, tell Tell) (Image, error) {
	name, err := Normalize(c.Image)
	if err != nil {
		msg := fmt.Sprintf("Failed to apply default image tag %q: %v", c.Image, err)
		tell(v1.EventTypeWarning, "InspectFailed", msg)
		return Image{}, &Error{InvalidImageName, msg}
	}
	if err := Await(ctx, p.Here); err != nil {
		return Image{}, &Error{ErrImagePull, err.Error()}
	}
	img, err := p.inspect(ctx, name)
	if err != nil {
		msg := fmt.Sprintf("Failed to inspect image %q: %v", c.Image, err)
		tell(v1.EventTypeWarning, "InspectFailed", msg)
		return Image{}, &Error{ErrImageInspect, msg}
	}
	switch {
	case img.Image != nil && c.ImagePullPolicy != v1.PullAlways:
		tellPresent(c, tell)
		return present(img), nil
	case c.ImagePullPolicy == v1.PullNever:
		msg := fmt.Sprintf("Container image %q is not present with pull policy of Never", c.Image)
		tell(v1.EventTypeWarning, "ErrImageNeverPull", msg)
		return Image{}, &Error{ErrImageNeverPull, msg}
	}
	return p.pull(ctx, pod, c, name, tell)
}

// Look finds an image that is on the node, whatever brought it there.
func (p *Puller) Look(ctx context.Context, c *v1.Container, tell Tell) (Image, bool) {
	name, err := Normalize(c.Image)
	if err != nil {
		return Image{}, false
	}
	img, err := p.inspect(ctx, name)
	if err != nil || img.Image == nil {
		return Image{}, false
	}
	tellPresent(c, tell)
	return present(img), true
}

func tellPresent(c *v1.Container, tell Tell) {
	tell(v1.EventTypeNormal, "Pulled", fmt.Sprintf("Container image %q already present on machine and can be accessed by the pod", c.Image))
}

// Await waits for images that are being imported; nil has none.
func Await(ctx context.Context, here <-chan struct{}) error {
	if here == nil {
		return nil
	}
	select {
	case <-here:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the node's own images to be imported: %w", ctx.Err())
	}
}

// Normalize adds the default tag.
func Normalize(image string) (string, error) {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return "", fmt.Errorf("couldn't parse image name %q: %w", image, err)
	}
	if reference.IsNameOnly(named) {
		return image + ":latest", nil
	}
	return image, nil
}

func (p *Puller) inspect(ctx context.Context, name string) (*runtimeapi.ImageStatusResponse, error) {
	return p.client.Images.ImageStatus(ctx, &runtimeapi.ImageStatusRequest{Image: &runtimeapi.ImageSpec{Image: name}, Verbose: true})
}

func present(r *runtimeapi.ImageStatusResponse) Image {
	img := r.Image
	out := Image{Ref: img.Id, User: cri.ImageUser{Username: img.Username}, Ports: exposed(r.Info["info"])}
	if img.Uid != nil {
		uid := img.Uid.Value
		out.User.UID = &uid
	}
	return out
}

// exposed reads the TCP ports out of what a runtime says of an image when it is
// asked for everything. Runtimes that say it otherwise expose nothing.
func exposed(info string) []int32 {
	var said struct {
		ImageSpec struct {
			Config struct {
				ExposedPorts map[string]struct{}
			} `json:"config"`
		} `json:"imageSpec"`
	}
	if json.Unmarshal([]byte(info), &said) != nil {
		return nil
	}
	var out []int32
	for port := range said.ImageSpec.Config.ExposedPorts {
		number, proto, _ := strings.Cut(port, "/")
		if n, err := strconv.ParseUint(number, 10, 16); err == nil && (proto == "" || proto == "tcp") {
			out = append(out, int32(n))
		}
	}
	slices.Sort(out)
	return out[:min(len(out), bounds.Ports)]
}

func (p *Puller) pull(ctx context.Context, pod *v1.Pod, c *v1.Container, name string, tell Tell) (Image, error) {
	tell(v1.EventTypeNormal, "Pulling", fmt.Sprintf("Pulling image %q", c.Image))
	asked := time.Now()
	t, err := p.acquire(ctx, name, pod.Namespace)
	if err != nil {
		return Image{}, &Error{ErrImagePull, err.Error()}
	}
	defer t.end()
	began := time.Now()
	if err := t.run(ctx, func(ctx context.Context) error { return p.try(ctx, pod, name, tell) }); err != nil {
		msg := fmt.Sprintf("Failed to pull image %q: %v", c.Image, err)
		tell(v1.EventTypeWarning, "Failed", msg)
		return Image{}, &Error{ErrImagePull, fmt.Sprintf("failed to pull image %q: %v", c.Image, err)}
	}
	img, err := p.inspect(ctx, name)
	if err == nil && img.Image == nil {
		err = fmt.Errorf("image is not there after the pull")
	}
	if err != nil {
		msg := fmt.Sprintf("Failed to inspect image %q: %v", c.Image, err)
		tell(v1.EventTypeWarning, "InspectFailed", msg)
		return Image{}, &Error{ErrImageInspect, msg}
	}
	tell(v1.EventTypeNormal, "Pulled", fmt.Sprintf("Successfully pulled image %q in %v (%v including waiting). Image size: %d bytes.", c.Image,
		time.Since(began).Truncate(time.Millisecond), time.Since(asked).Truncate(time.Millisecond), img.Image.Size))
	return present(img), nil
}

// acquire waits for another pull of the same image, and then for a slot.
func (p *Puller) acquire(ctx context.Context, name, namespace string) (*turn, error) {
	done := make(chan struct{})
	for {
		p.mu.Lock()
		other := p.pulls[name]
		if other == nil {
			p.pulls[name] = done
		}
		p.mu.Unlock()
		if other == nil {
			break
		}
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	t := &turn{p: p, name: name, namespace: namespace, done: done}
	if err := p.slots.take(ctx, namespace); err != nil {
		t.end()
		return nil, err
	}
	t.leave = p.slots.leave
	return t, nil
}

func (p *Puller) try(ctx context.Context, pod *v1.Pod, name string, tell Tell) error {
	auths := p.auths(ctx, pod, name, tell)
	if len(auths) == 0 {
		auths = []*runtimeapi.AuthConfig{nil}
	}
	var last error
	for _, a := range auths {
		_, last = p.client.Images.PullImage(ctx, &runtimeapi.PullImageRequest{Image: &runtimeapi.ImageSpec{Image: name}, Auth: a})
		if last == nil {
			return nil
		}
	}
	return last
}

type dockerConfig struct {
	Auths map[string]dockerAuth `json:"auths"`
}

type dockerAuth struct {
	Username      string `json:"username"`
	Password      string `json:"password"`
	Auth          string `json:"auth"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

// auths are the credentials for an image among a pod's pull secrets, each tried in turn. Secrets that are not there are
// told, and no reason not to try.
func (p *Puller) auths(ctx context.Context, pod *v1.Pod, name string, tell Tell) (out []*runtimeapi.AuthConfig) {
	var missing []string
	for _, ref := range pod.Spec.ImagePullSecrets {
		s, err := p.secrets(ctx, pod.Namespace, ref.Name)
		if err != nil || s == nil {
			missing = append(missing, ref.Name)
			continue
		}
		auths := parseSecret(s)
		for _, registry := range slices.Sorted(maps.Keys(auths)) {
			if Matches(registry, name) && len(out) < bounds.Credentials {
				out = append(out, auths[registry].config())
			}
		}
	}
	if len(missing) > 0 {
		tell(v1.EventTypeWarning, "FailedToRetrieveImagePullSecret",
			fmt.Sprintf("Unable to retrieve some image pull secrets (%s); attempting to pull the image may not succeed.", strings.Join(missing[:min(len(missing), bounds.Credentials)], ", ")))
	}
	return out
}

func parseSecret(s *v1.Secret) map[string]dockerAuth {
	var cfg dockerConfig
	if data, ok := s.Data[v1.DockerConfigJsonKey]; ok && json.Unmarshal(data, &cfg) == nil {
		return cfg.Auths
	}
	if data, ok := s.Data[v1.DockerConfigKey]; ok && json.Unmarshal(data, &cfg.Auths) == nil {
		return cfg.Auths
	}
	return nil
}

func (a dockerAuth) config() *runtimeapi.AuthConfig {
	if a.Username == "" && a.Auth != "" {
		if plain, err := base64.StdEncoding.DecodeString(a.Auth); err == nil {
			a.Username, a.Password, _ = strings.Cut(string(plain), ":")
		}
	}
	return &runtimeapi.AuthConfig{Username: a.Username, Password: a.Password, IdentityToken: a.IdentityToken, RegistryToken: a.RegistryToken}
}

// Matches tells whether a registry entry of a docker configuration is meant for an image.
func Matches(registry, image string) bool {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return false
	}
	registry = strings.TrimPrefix(strings.TrimPrefix(registry, "https://"), "http://")
	host, prefix, _ := strings.Cut(registry, "/")
	prefix = strings.Trim(strings.TrimSuffix(strings.TrimSuffix(prefix, "v1/"), "v2/"), "/")
	domain := reference.Domain(named)
	if host == "index.docker.io" {
		host = "docker.io"
	}
	if ok, err := path.Match(host, domain); err != nil || !ok || strings.Count(host, ".") != strings.Count(domain, ".") {
		return false
	}
	repo := reference.Path(named)
	return prefix == "" || repo == prefix || strings.HasPrefix(repo, prefix+"/")
}
