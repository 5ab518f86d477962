package connect

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/streaming/pkg/httpstream/wsstream"

	"hyperkube/api/invalid"
	"hyperkube/apiserver/request"
	"hyperkube/internal/frames"
	"hyperkube/store"
)

// maxRefusal bounds how much of a kubelet's error text is shown.
const maxRefusal = 4 << 10

// log streams a container's log from the kubelet, flushing as it comes.
func (h *Handler) log(w http.ResponseWriter, r *http.Request, info *request.Info) error {
	o, err := parseLog(r.URL.Query())
	if err != nil {
		return err
	}
	if errs := validateLog(o); len(errs) > 0 {
		return invalid.New(schema.GroupKind{Kind: "PodLogOptions"}, info.Name, errs)
	}
	pod, err := find[*corev1.Pod](r.Context(), h.Reader, "pods", store.Key{Namespace: info.Namespace, Name: info.Name})
	if err != nil {
		return err
	}
	name, err := container(pod, o.Container)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain")
	if pod.Spec.NodeName == "" { // nothing has run, nothing was logged
		w.WriteHeader(http.StatusOK)
		return nil
	}
	kubelet, err := h.kubelet(r.Context(), pod.Spec.NodeName)
	if err != nil {
		return err
	}
	to := kubelet.JoinPath("containerLogs", pod.Namespace, pod.Name, name)
	to.RawQuery = logQuery(o).Encode()
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, to.String(), nil)
	if err != nil {
		return fmt.Errorf("asking kubelet for logs: %w", err)
	}
	t := h.kubelets.of(pod.Spec.NodeName)
	if o.InsecureSkipTLSVerifyBackend {
		t = h.insecure
	}
	resp, err := t.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("Get %q: %w", to, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return refused(resp)
	}
	if wsstream.IsWebSocketRequest(r) {
		// Buffered, because the copy drops what is read together with the end.
		body := bufio.NewReader(resp.Body)
		if err := wsstream.NewReader(body, true, wsstream.NewDefaultReaderProtocols()).Copy(frames.Bound(w, frames.WebSocket), r); err != nil {
			h.logf(r, "sending a log over WebSocket", err)
		}
		return nil
	}
	copyFlushing(w, resp.Body, o.Follow)
	return nil
}

// copyFlushing sends what comes as it comes; errors end it, the client sees a
// log that stops.
func copyFlushing(w http.ResponseWriter, from io.Reader, flush bool) {
	w.WriteHeader(http.StatusOK)
	rc := http.NewResponseController(w)
	if flush {
		rc.Flush() // headers: the client knows that it follows
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return
			}
			if flush {
				rc.Flush()
			}
		}
		if err != nil {
			return
		}
	}
}

// refused turns a kubelet's answer into the status the client gets.
func refused(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	text := strings.TrimSpace(string(body))
	switch resp.StatusCode {
	case http.StatusBadRequest:
		return apierrors.NewBadRequest(text)
	case http.StatusInternalServerError:
		return apierrors.NewInternalError(fmt.Errorf("%s", text))
	}
	return apierrors.NewGenericServerResponse(resp.StatusCode, resp.Request.Method, schema.GroupResource{}, "", text, 0, true)
}
