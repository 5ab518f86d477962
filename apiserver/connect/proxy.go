package connect

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/proxy"
	"k8s.io/streaming/pkg/httpstream"

	"hyperkube/apiserver/request"
	"hyperkube/store"
)

// target splits [scheme:]name[:port].
func target(id string) (scheme, name, port string, err error) {
	parts := strings.Split(id, ":")
	switch len(parts) {
	case 1:
		return "", parts[0], "", nil
	case 2:
		return "", parts[0], parts[1], nil
	case 3:
		if parts[0] != "" && parts[0] != "http" && parts[0] != "https" {
			return "", "", "", apierrors.NewBadRequest(fmt.Sprintf("scheme %q is not http or https", parts[0]))
		}
		return parts[0], parts[1], parts[2], nil
	}
	return "", "", "", apierrors.NewBadRequest(fmt.Sprintf("invalid target %q: want name, name:port or scheme:name:port", id))
}

func (h *Handler) podProxy(w http.ResponseWriter, r *http.Request, info *request.Info) error {
	scheme, name, port, err := target(info.Name)
	if err != nil {
		return err
	}
	pod, err := find[*corev1.Pod](r.Context(), h.Reader, "pods", store.Key{Namespace: info.Namespace, Name: name})
	if err != nil {
		return err
	}
	if pod.Status.PodIP == "" {
		return apierrors.NewServiceUnavailable(fmt.Sprintf("pod %s has no address yet", name))
	}
	host, err := podHost(pod, port)
	if err != nil {
		return err
	}
	return h.forward(w, r, info, scheme, host, h.backends)
}

// podHost adds the port: a number, a container port's name, or the first one declared.
func podHost(pod *corev1.Pod, port string) (string, error) {
	ip := pod.Status.PodIP
	if n, err := strconv.ParseUint(port, 10, 16); err == nil && n > 0 {
		return net.JoinHostPort(ip, port), nil
	}
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			if port == "" || p.Name == port {
				return net.JoinHostPort(ip, strconv.Itoa(int(p.ContainerPort))), nil
			}
		}
	}
	if port != "" {
		return "", apierrors.NewBadRequest(fmt.Sprintf("no port %q found for pod %q", port, pod.Name))
	}
	if strings.Contains(ip, ":") {
		ip = "[" + ip + "]"
	}
	return ip, nil
}

func (h *Handler) serviceProxy(w http.ResponseWriter, r *http.Request, info *request.Info) error {
	scheme, name, port, err := target(info.Name)
	if err != nil {
		return err
	}
	svc, err := find[*corev1.Service](r.Context(), h.Reader, "services", store.Key{Namespace: info.Namespace, Name: name})
	if err != nil {
		return err
	}
	portName, err := servicePort(svc, port)
	if err != nil {
		return err
	}
	host, err := h.endpoint(r.Context(), svc, portName)
	if err != nil {
		return err
	}
	return h.forward(w, r, info, scheme, host, h.backends)
}

// servicePort is the name of the service's port that was given by name or number.
func servicePort(svc *corev1.Service, port string) (string, error) {
	if port == "" && len(svc.Spec.Ports) == 1 {
		return svc.Spec.Ports[0].Name, nil
	}
	for _, p := range svc.Spec.Ports {
		if p.Name == port || strconv.Itoa(int(p.Port)) == port {
			return p.Name, nil
		}
	}
	return "", apierrors.NewServiceUnavailable(fmt.Sprintf("no service port %q found for service %q", port, svc.Name))
}

// endpoint is one of the service's ready addresses, at random.
func (h *Handler) endpoint(ctx context.Context, svc *corev1.Service, port string) (string, error) {
	c, ok := h.Reader.Collection(discoveryv1.GroupName, "endpointslices")
	if !ok {
		return "", fmt.Errorf("no collection of endpointslices")
	}
	l, err := c.List(ctx, store.ListOptions{Filter: store.Filter{Namespace: svc.Namespace, Match: func(o store.Object) bool {
		return o.GetLabels()[discoveryv1.LabelServiceName] == svc.Name
	}}})
	if err != nil {
		return "", fmt.Errorf("listing endpoints of service %s: %w", svc.Name, err)
	}
	var hosts []string
	for e := range l.Entries {
		if s, ok := e.Object.(*discoveryv1.EndpointSlice); ok {
			hosts = append(hosts, ready(s, port)...)
		}
	}
	if len(hosts) == 0 {
		return "", apierrors.NewServiceUnavailable(fmt.Sprintf("no endpoints available for service %q", svc.Name))
	}
	return hosts[rand.IntN(len(hosts))], nil
}

func ready(s *discoveryv1.EndpointSlice, port string) (hosts []string) {
	for _, p := range s.Ports {
		if p.Port == nil || p.Name != nil && *p.Name != port || p.Name == nil && port != "" {
			continue
		}
		for _, e := range s.Endpoints {
			if e.Conditions.Ready != nil && !*e.Conditions.Ready || len(e.Addresses) == 0 {
				continue
			}
			hosts = append(hosts, net.JoinHostPort(e.Addresses[0], strconv.Itoa(int(*p.Port))))
		}
	}
	return hosts
}

func (h *Handler) nodeProxy(w http.ResponseWriter, r *http.Request, info *request.Info) error {
	scheme, name, port, err := target(info.Name)
	if err != nil {
		return err
	}
	u, err := h.kubelet(r.Context(), name)
	if err != nil {
		return err
	}
	// Only the kubelet's own port gets the server's credentials.
	if port == "" || port == u.Port() {
		return h.connectTo(w, r, info, u, h.kubelets.of(name))
	}
	return h.forward(w, r, info, scheme, net.JoinHostPort(u.Hostname(), port), h.backends)
}

// forward refuses addresses that lead back into this machine or nowhere.
func (h *Handler) forward(w http.ResponseWriter, r *http.Request, info *request.Info, scheme, host string, t *http.Transport) error {
	if scheme == "" {
		scheme = "http"
	}
	u := &url.URL{Scheme: scheme, Host: host}
	if ip := net.ParseIP(u.Hostname()); ip == nil || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsLinkLocalMulticast() ||
		ip.IsInterfaceLocalMulticast() || ip.IsUnspecified() {
		return apierrors.NewBadRequest("address not allowed")
	}
	return h.connectTo(w, r, info, u, t)
}

func (h *Handler) connectTo(w http.ResponseWriter, r *http.Request, info *request.Info, u *url.URL, t *http.Transport) error {
	if info.Rest != "" || strings.HasSuffix(r.URL.Path, "/") {
		u.Path = "/" + info.Rest
	}
	if httpstream.IsUpgradeRequest(r) {
		if err := h.upgrade(w, r, u, t); err != nil {
			responder{h.Log}.Error(w, r, err)
		}
		return nil
	}
	suffix := u.Path
	if strings.HasSuffix(r.URL.Path, "/") && !strings.HasSuffix(suffix, "/") {
		suffix += "/"
	}
	p := proxy.NewUpgradeAwareHandler(u, pages{t, strings.TrimSuffix(r.URL.Path, suffix)}, false, false, responder{h.Log})
	p.UseLocationHost = true
	p.FlushInterval = -1 // at once: what is proxied may be a stream
	p.ServeHTTP(w, r)
	return nil
}
