// Package connect carries the requests that are connections: exec, attach,
// port-forward and log of pods, and the proxies to nodes, pods and services.
//
//	verbs (authorized, admitted) ──▶ ServeHTTP ──▶ kubelet :10250   exec attach portforward log
//	                                          └──▶ pod or service   proxy
//
// Contract:
//   - Who may connect was decided before; this package finds the other end and
//     moves bytes. It never follows an address that points back at the server's
//     own loopback or link-local networks, but for kubelets.
//   - Kubelets are spoken to with the server's client certificate and verified
//     by the given CA; a certificate of another node or of an API server is refused.
//   - SPDY is forwarded byte for byte. WebSocket clients of exec and attach are
//     translated to SPDY, because runtimes speak an older WebSocket protocol
//     than kubectl; SPDY tunnelled in a WebSocket (port-forward) is unwrapped.
//   - Dialling has a timeout; a connection lasts until either side ends it, or
//     the request's context does.
package connect

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"hyperkube/apiserver/codec"
	"hyperkube/apiserver/request"
	"hyperkube/internal/bounds"
	"hyperkube/store"
)

// Deps of a Handler.
type Deps struct {
	Reader store.Reader
	Log    *slog.Logger
	// KubeletClient identifies this server to kubelets, at each handshake anew; nil: nothing does.
	KubeletClient func(*tls.CertificateRequestInfo) (*tls.Certificate, error)
	// KubeletCAs verify kubelets; nil trusts any, as --kubelet-certificate-authority
	// left empty does.
	KubeletCAs *x509.CertPool
	// AddressTypes are tried in this order (--kubelet-preferred-address-types).
	AddressTypes []corev1.NodeAddressType
	// Dial, when set, is how all targets are reached (tests, tunnels).
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Handler serves all connecting subresources.
type Handler struct {
	Deps
	kubelets  *kubelets       // verified
	insecure  *http.Transport // for insecureSkipTLSVerifyBackend
	backends  *http.Transport // pods and services
	tlsConfig *tls.Config
}

// timeouts of connecting; what follows has none.
const (
	dialTimeout   = 10 * time.Second
	headerTimeout = 30 * time.Second
	idleTimeout   = 4 * time.Hour
)

// New prepares the transports.
func New(d Deps) (*Handler, error) {
	if d.Reader == nil {
		return nil, errors.New("connect needs a store")
	}
	if d.Dial == nil {
		d.Dial = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext
	}
	if len(d.AddressTypes) == 0 {
		d.AddressTypes = []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeHostName, corev1.NodeInternalDNS, corev1.NodeExternalDNS, corev1.NodeExternalIP}
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: d.KubeletCAs, NextProtos: []string{"http/1.1"}, InsecureSkipVerify: d.KubeletCAs == nil}
	c.GetClientCertificate = d.KubeletClient
	skip := c.Clone()
	skip.InsecureSkipVerify = true
	all, err := newKubelets(d, c)
	if err != nil {
		return nil, err
	}
	h := &Handler{Deps: d, tlsConfig: c, kubelets: all, insecure: transport(d, skip)}
	h.backends = transport(d, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}) // pods have no names to verify
	return h, nil
}

func transport(d Deps, c *tls.Config) *http.Transport {
	return &http.Transport{
		DialContext: d.Dial, TLSClientConfig: c, TLSHandshakeTimeout: dialTimeout,
		MaxIdleConns: bounds.IdleBackends, MaxIdleConnsPerHost: 8, IdleConnTimeout: 90 * time.Second, MaxResponseHeaderBytes: bounds.BackendHead,
	}
}

// Close ends idle connections.
func (h *Handler) Close() {
	h.kubelets.close()
	for _, t := range []*http.Transport{h.insecure, h.backends} {
		t.CloseIdleConnections()
	}
}

// ServeHTTP dispatches by resource and subresource of the request's Info.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	info := request.InfoFrom(r.Context())
	if info == nil || !info.IsResource {
		http.NotFound(w, r)
		return
	}
	var err error
	switch info.Resource + "/" + info.Subresource {
	case "pods/exec":
		err = h.exec(w, r, info)
	case "pods/attach":
		err = h.attach(w, r, info)
	case "pods/portforward":
		err = h.portForward(w, r, info)
	case "pods/log":
		err = h.log(w, r, info)
	case "pods/proxy":
		err = h.podProxy(w, r, info)
	case "services/proxy":
		err = h.serviceProxy(w, r, info)
	case "nodes/proxy":
		err = h.nodeProxy(w, r, info)
	default:
		http.NotFound(w, r)
	}
	if err != nil {
		codec.WriteError(w, r, err)
	}
}

// responder reports what goes wrong while a proxy connects.
type responder struct{ log *slog.Logger }

// Error implements proxy.ErrorResponder.
func (p responder) Error(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // the client is gone
	}
	if p.log != nil {
		p.log.Debug("proxied connection failed", "path", r.URL.Path, "err", err)
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		err = apierrors.NewServiceUnavailable(fmt.Sprintf("error trying to reach service: %v", err))
	}
	codec.WriteError(w, r, err)
}

func find[T store.Object](ctx context.Context, r store.Reader, resource string, key store.Key) (obj T, err error) {
	c, ok := r.Collection("", resource)
	if !ok {
		return obj, fmt.Errorf("no collection of %s", resource)
	}
	e, err := c.Get(ctx, key, store.Freshness{})
	if errors.Is(err, store.ErrNotFound) {
		return obj, apierrors.NewNotFound(schema.GroupResource{Resource: resource}, key.Name)
	}
	if err != nil {
		return obj, fmt.Errorf("looking up %s %s: %w", resource, key.Name, err)
	}
	obj, ok = e.Object.(T)
	if !ok {
		return obj, fmt.Errorf("%s %s is a %T", resource, key.Name, e.Object)
	}
	return obj, nil
}
