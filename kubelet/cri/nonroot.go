package cri

import (
	"fmt"
	"math"

	v1 "k8s.io/api/core/v1"
)

// ImageUser is the user that an image's own configuration names. An image that names none runs as root.
type ImageUser struct {
	UID      *int64
	Username string
}

// effective is the user that a container of the image runs as when its pod says nothing.
func (u ImageUser) effective() ImageUser {
	if u.UID == nil && u.Username == "" {
		return ImageUser{UID: new(int64(0))}
	}
	return u
}

// CheckNonRoot refuses a container that promised not to run as root and would, or might.
func CheckNonRoot(pod *v1.Pod, c *v1.Container, user ImageUser) error {
	nonRoot, uid := effectiveNonRoot(pod, c), effectiveUser(pod, c)
	if nonRoot == nil || !*nonRoot {
		return nil
	}
	if uid != nil {
		if !plainUser(*uid) {
			return fmt.Errorf("container's runAsUser breaks non-root policy (pod: %q, container: %s)", podRef(pod), c.Name)
		}
		return nil
	}
	user = user.effective()
	switch {
	case user.UID == nil:
		return fmt.Errorf("container has runAsNonRoot and image has non-numeric user (%s), cannot verify user is non-root (pod: %q, container: %s)",
			user.Username, podRef(pod), c.Name)
	case !plainUser(*user.UID):
		return fmt.Errorf("container has runAsNonRoot and image will run as root (pod: %q, container: %s)", podRef(pod), c.Name)
	}
	return nil
}

// plainUser tells whether a number is a user's who is not root. Numbers beyond what the kernel knows count as root:
// cut to its size they may be.
func plainUser(uid int64) bool { return uid > 0 && uid <= math.MaxInt32 }

func podRef(pod *v1.Pod) string { return fmt.Sprintf("%s_%s(%s)", pod.Name, pod.Namespace, pod.UID) }

func effectiveNonRoot(pod *v1.Pod, c *v1.Container) *bool {
	if s := c.SecurityContext; s != nil && s.RunAsNonRoot != nil {
		return s.RunAsNonRoot
	}
	if s := pod.Spec.SecurityContext; s != nil {
		return s.RunAsNonRoot
	}
	return nil
}
