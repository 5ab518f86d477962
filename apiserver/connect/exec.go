package connect

import (
	"fmt"
	"net/http"
	"net/url"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/wsstream"

	"hyperkube/apiserver/request"
	"hyperkube/store"
)

func (h *Handler) exec(w http.ResponseWriter, r *http.Request, info *request.Info) error {
	s, err := parseStreams(r.URL.Query(), true)
	if err != nil {
		return err
	}
	pod, kubelet, err := h.podTarget(r.Context(), store.Key{Namespace: info.Namespace, Name: info.Name})
	if err != nil {
		return err
	}
	if p := pod.Status.Phase; p == corev1.PodSucceeded || p == corev1.PodFailed {
		return apierrors.NewBadRequest(fmt.Sprintf("cannot exec into a container in a completed pod; current phase is %s", p))
	}
	return h.stream(w, r, pod, kubelet.JoinPath("exec"), s)
}

func (h *Handler) attach(w http.ResponseWriter, r *http.Request, info *request.Info) error {
	s, err := parseStreams(r.URL.Query(), false)
	if err != nil {
		return err
	}
	pod, kubelet, err := h.podTarget(r.Context(), store.Key{Namespace: info.Namespace, Name: info.Name})
	if err != nil {
		return err
	}
	return h.stream(w, r, pod, kubelet.JoinPath("attach"), s)
}

// stream connects the client with a container: WebSocket by translation, SPDY
// byte for byte.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request, pod *corev1.Pod, base *url.URL, s streams) error {
	name, err := container(pod, s.container)
	if err != nil {
		return err
	}
	to := base.JoinPath(pod.Namespace, pod.Name, name)
	to.RawQuery = s.query().Encode()
	if wsstream.IsWebSocketRequest(r) {
		return h.translate(w, r, pod.Spec.NodeName, to, s)
	}
	return h.tunnel(w, r, pod.Spec.NodeName, to)
}

// tunnel forwards an upgraded connection as it is.
func (h *Handler) tunnel(w http.ResponseWriter, r *http.Request, node string, to *url.URL) error {
	if !httpstream.IsUpgradeRequest(r) {
		return apierrors.NewBadRequest("Upgrade request required")
	}
	if err := h.upgrade(w, r, to, h.kubelets.of(node)); err != nil {
		responder{h.Log}.Error(w, r, err)
	}
	return nil
}
