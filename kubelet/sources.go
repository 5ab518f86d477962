package kubelet

import (
	"context"
	"fmt"
	"slices"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hyperkube/kubelet/node"
)

const apiTimeout = 15 * time.Second

// ConfigMap implements volume.Sources.
func (k *Kubelet) ConfigMap(ctx context.Context, namespace, name string) (*v1.ConfigMap, error) {
	return k.objects.ConfigMap(ctx, namespace, name)
}

// Secret implements volume.Sources.
func (k *Kubelet) Secret(ctx context.Context, namespace, name string) (*v1.Secret, error) {
	return k.objects.Secret(ctx, namespace, name)
}

// Token implements volume.Sources.
func (k *Kubelet) Token(ctx context.Context, namespace, account string, spec authv1.TokenRequestSpec) (*authv1.TokenRequest, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	return k.o.Kube.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, account, &authv1.TokenRequest{Spec: spec}, metav1.CreateOptions{})
}

// Allocatable implements volume.Sources.
func (k *Kubelet) Allocatable() v1.ResourceList { return k.agent.Allocatable() }

// Now implements volume.Sources.
func (k *Kubelet) Now() time.Time { return time.Now() }

// volumeImage makes the image of a volume present.
func (k *Kubelet) volumeImage(ctx context.Context, pod *v1.Pod, image string, policy v1.PullPolicy) (string, error) {
	ref := &v1.ObjectReference{Kind: "Pod", APIVersion: "v1", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion}
	got, err := k.images.Ensure(ctx, pod, &v1.Container{Image: image, ImagePullPolicy: policy}, func(eventType, reason, message string) {
		k.o.Recorder.Event(ref, eventType, reason, message)
	})
	return got.Ref, err
}

// servicesOf lists the services whose addresses a pod's environment tells.
func (k *Kubelet) servicesOf(namespace string) []*v1.Service {
	out := k.services.ListIn(namespace)
	if namespace != metav1.NamespaceDefault {
		if s, ok := k.services.Get(metav1.NamespaceDefault, "kubernetes"); ok {
			out = append(slices.Clone(out), s)
		}
	}
	return out
}

// handler is the runtime's name for a runtime class.
func (k *Kubelet) handler(ctx context.Context, class string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	rc, err := k.o.Kube.NodeV1().RuntimeClasses().Get(ctx, class, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("runtime class %q: %w", class, err)
	}
	return rc.Handler, nil
}

// deletePod removes the API object of a pod of which nothing is left here.
func (k *Kubelet) deletePod(ctx context.Context, pod *v1.Pod) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	err := k.o.Kube.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: new(int64(0)),
		Preconditions:      &metav1.Preconditions{UID: new(pod.UID)},
	})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// runtimeState reports what the runtime says of itself.
func (k *Kubelet) runtimeState(ctx context.Context) (node.RuntimeState, error) {
	var out node.RuntimeState
	st, err := k.client.Status(ctx)
	if err != nil {
		return out, err
	}
	v, err := k.client.Version(ctx)
	if err != nil {
		return out, err
	}
	out.Version = v.RuntimeName + "://" + v.RuntimeVersion
	for _, c := range st.Status.GetConditions() {
		if c.Status {
			continue
		}
		why := fmt.Sprintf("%s=false reason:%s message:%s", c.Type, c.Reason, c.Message)
		switch c.Type {
		case "RuntimeReady":
			out.NotReady = "container runtime status check may not have completed yet: " + why
		case "NetworkReady":
			out.NetworkNotReady = why
		}
	}
	for _, h := range st.RuntimeHandlers {
		out.Handlers = append(out.Handlers, v1.NodeRuntimeHandler{Name: h.Name, Features: &v1.NodeRuntimeHandlerFeatures{
			RecursiveReadOnlyMounts: new(h.Features.GetRecursiveReadOnlyMounts()), UserNamespaces: new(h.Features.GetUserNamespaces()),
		}})
	}
	slices.SortFunc(out.Handlers, func(a, b v1.NodeRuntimeHandler) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	if st.Features != nil {
		out.Features = &v1.NodeFeatures{SupplementalGroupsPolicy: new(st.Features.SupplementalGroupsPolicy)}
	}
	return out, nil
}

const nodeImagesMost = 50

// nodeImages lists the largest images for the node's status.
func (k *Kubelet) nodeImages(ctx context.Context) ([]v1.ContainerImage, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	resp, err := k.client.Images.ListImages(ctx, &runtimeapi.ListImagesRequest{})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(resp.Images, func(a, b *runtimeapi.Image) int {
		switch {
		case a.Size != b.Size && a.Size > b.Size, a.Size == b.Size && a.Id < b.Id:
			return -1
		}
		return 1
	})
	var out []v1.ContainerImage
	for _, img := range resp.Images[:min(len(resp.Images), nodeImagesMost)] {
		names := append(slices.Clone(img.RepoDigests), img.RepoTags...)
		if len(names) == 0 {
			continue
		}
		out = append(out, v1.ContainerImage{Names: names[:min(len(names), 5)], SizeBytes: int64(img.Size)})
	}
	return out, nil
}
