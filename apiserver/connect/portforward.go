package connect

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/gorilla/websocket"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	constants "k8s.io/apimachinery/pkg/util/portforward"
	"k8s.io/apimachinery/pkg/util/proxy"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream/wsstream"

	"hyperkube/apiserver/request"
	"hyperkube/internal/supervise"
	"hyperkube/store"
)

func (h *Handler) portForward(w http.ResponseWriter, r *http.Request, info *request.Info) error {
	pod, kubelet, err := h.podTarget(r.Context(), store.Key{Namespace: info.Namespace, Name: info.Name})
	if err != nil {
		return err
	}
	to := kubelet.JoinPath("portForward", pod.Namespace, pod.Name)
	if ports := r.URL.Query()["ports"]; len(ports) > 0 {
		to.RawQuery = url.Values{"port": ports}.Encode()
	}
	if wsstream.IsWebSocketRequestWithTunnelingProtocol(r) {
		return h.unwrap(w, r, pod.Spec.NodeName, to)
	}
	return h.tunnel(w, r, pod.Spec.NodeName, to)
}

// unwrap serves SPDY inside a WebSocket: the messages' payload is the SPDY
// connection, which goes to the kubelet bare.
func (h *Handler) unwrap(w http.ResponseWriter, r *http.Request, node string, to *url.URL) error {
	up, buffered, err := h.dialSPDY(r.Context(), node, to)
	if err != nil {
		return err
	}
	defer up.Close()
	u := websocket.Upgrader{
		Subprotocols: []string{constants.WebsocketsSPDYTunnelingPortForwardV1},
		// Credentials come with every request; a foreign origin has none.
		CheckOrigin: func(*http.Request) bool { return true },
	}
	conn, err := u.Upgrade(w, r, nil)
	if err != nil {
		h.logf(r, "websocket handshake failed", err)
		return nil // the client has been told
	}
	down := portforward.NewTunnelingConnectionWithLogger(klog.LoggerWithName(klog.Background(), "portforward"), conn)
	defer down.Close()
	join(r.Context(), down, up, down, buffered)
	return nil
}

// join copies both ways until one side ends or ctx is done. What comes from either side is
// read from the readers, as some of it may have been read already.
func join(ctx context.Context, down, up net.Conn, fromDown, fromUp io.Reader) {
	ended := make(chan struct{}, 2)
	go func() { relay(up, fromDown); ended <- struct{}{} }()
	go func() { relay(down, fromUp); ended <- struct{}{} }()
	left := 2
	select {
	case <-ended:
		left--
	case <-ctx.Done():
	}
	down.Close()
	up.Close()
	for ; left > 0; left-- {
		<-ended
	}
}

// relay copies until either side ends. What a library makes of odd bytes ends this
// connection, not the process.
func relay(to io.Writer, from io.Reader) {
	_ = supervise.Contain("relaying a connection", func() error { _, err := io.Copy(to, from); return err })
}

// dialSPDY opens a SPDY connection to the kubelet and returns it raw, with what
// was already read of it.
func (h *Handler) dialSPDY(ctx context.Context, node string, to *url.URL) (net.Conn, *bufio.Reader, error) {
	dialing, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := proxy.DialURL(dialing, to, h.kubelets.of(node))
	if err != nil {
		return nil, nil, apierrors.NewServiceUnavailable(fmt.Sprintf("connecting to the kubelet: %v", err))
	}
	buffered, err := handshakeSPDY(conn, to)
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, buffered, nil
}

func handshakeSPDY(conn net.Conn, to *url.URL) (*bufio.Reader, error) {
	req, err := http.NewRequest(http.MethodPost, to.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "SPDY/3.1")
	req.Header.Set("X-Stream-Protocol-Version", constants.PortForwardV1Name)
	if err := conn.SetDeadline(time.Now().Add(headerTimeout)); err != nil {
		return nil, err
	}
	if err := req.Write(conn); err != nil {
		return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("speaking to the kubelet: %v", err))
	}
	answer, err := readHead(conn, req)
	if err != nil {
		return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("speaking to the kubelet: %v", err))
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		return nil, refused(answer.Response)
	}
	return answer.from, conn.SetDeadline(time.Time{})
}
