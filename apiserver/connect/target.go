package connect

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"hyperkube/store"
)

const kubeletPort = 10250

// kubelet finds the address at which a node's kubelet serves.
func (h *Handler) kubelet(ctx context.Context, name string) (*url.URL, error) {
	node, err := find[*corev1.Node](ctx, h.Reader, "nodes", store.Key{Name: name})
	if err != nil {
		return nil, err
	}
	port := node.Status.DaemonEndpoints.KubeletEndpoint.Port
	if port == 0 {
		port = kubeletPort
	}
	for _, t := range h.AddressTypes {
		for _, a := range node.Status.Addresses {
			if a.Type == t && a.Address != "" {
				return &url.URL{Scheme: "https", Host: net.JoinHostPort(a.Address, strconv.Itoa(int(port)))}, nil
			}
		}
	}
	return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("node %s has no address in its status: is its kubelet running?", name))
}

// podTarget is the pod and its kubelet.
func (h *Handler) podTarget(ctx context.Context, key store.Key) (*corev1.Pod, *url.URL, error) {
	pod, err := find[*corev1.Pod](ctx, h.Reader, "pods", key)
	if err != nil {
		return nil, nil, err
	}
	if pod.Spec.NodeName == "" {
		return pod, nil, apierrors.NewBadRequest(fmt.Sprintf("pod %s does not have a host assigned", pod.Name))
	}
	u, err := h.kubelet(ctx, pod.Spec.NodeName)
	return pod, u, err
}

// container is the one that is asked for, or the only one there is.
func container(pod *corev1.Pod, name string) (string, error) {
	var plain, inits, ephemeral []string
	for _, c := range pod.Spec.Containers {
		plain = append(plain, c.Name)
	}
	for _, c := range pod.Spec.InitContainers {
		inits = append(inits, c.Name)
	}
	for _, c := range pod.Spec.EphemeralContainers {
		ephemeral = append(ephemeral, c.Name)
	}
	if name == "" {
		if len(plain) == 1 {
			return plain[0], nil
		}
		text := fmt.Sprintf("a container name must be specified for pod %s", pod.Name)
		if len(plain) > 0 {
			text += ", choose one of: [" + strings.Join(plain, " ") + "]"
		}
		if len(inits) > 0 {
			text += " or one of the init containers: [" + strings.Join(inits, " ") + "]"
		}
		if len(ephemeral) > 0 {
			text += " or one of the ephemeral containers: [" + strings.Join(ephemeral, " ") + "]"
		}
		return "", apierrors.NewBadRequest(text)
	}
	for _, list := range [][]string{plain, inits, ephemeral} {
		for _, n := range list {
			if n == name {
				return name, nil
			}
		}
	}
	return "", apierrors.NewBadRequest(fmt.Sprintf("container %s is not valid for pod %s", name, pod.Name))
}
