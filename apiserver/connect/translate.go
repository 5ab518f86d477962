package connect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/util/exec"
	streamspdy "k8s.io/streaming/pkg/httpstream/spdy"
	"k8s.io/streaming/pkg/httpstream/wsstream"

	"hyperkube/internal/bounds"
	"hyperkube/internal/frames"
	"hyperkube/internal/supervise"
)

// Channels of the remote command protocols over WebSocket.
const (
	channelStdin = iota
	channelStdout
	channelStderr
	channelError
	channelResize
	channelCount
)

// translate serves a WebSocket client and runs the command over SPDY.
//
//	client ══WebSocket══ stdin ▸ ── SPDY streams ══ kubelet ══ runtime
//	                     ◂ stdout, stderr
//	                     ◂ status (from how the command ended)
//	                     resize ▸
func (h *Handler) translate(w http.ResponseWriter, r *http.Request, node string, to *url.URL, s streams) error {
	executor, err := h.executor(node, to)
	if err != nil {
		return err
	}
	conn := wsstream.NewConn(protocols(s))
	conn.SetIdleTimeout(idleTimeout)
	protocol, ch, err := conn.Open(frames.Bound(w, frames.WebSocket), r)
	if err != nil {
		h.logf(r, "websocket handshake failed", err)
		return nil // the client has been told
	}
	defer conn.Close()
	announce(ch, s)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	sizes := make(sizeQueue)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer cancel() // the client went away
		if err := supervise.Contain("reading terminal sizes", func() error { sizes.read(ctx, ch[channelResize]); return nil }); err != nil {
			h.logf(r, "reading terminal sizes failed", err)
		}
	}()
	err = executor.StreamWithContext(ctx, s.options(ch, sizes))
	writeStatus(ch[channelError], protocol, err)
	conn.Close()
	cancel()
	<-done
	return nil
}

func (h *Handler) logf(r *http.Request, what string, err error) {
	if h.Log != nil {
		h.Log.Info(what, "path", r.URL.Path, "err", err)
	}
}

// executor speaks SPDY with the kubelet.
func (h *Handler) executor(node string, to *url.URL) (remotecommand.Executor, error) {
	rt, err := streamspdy.NewRoundTripperWithConfig(streamspdy.RoundTripperConfig{UpgradeTransport: h.kubelets.of(node)})
	if err != nil {
		return nil, fmt.Errorf("preparing connection to kubelet: %w", err)
	}
	return remotecommand.NewSPDYExecutorForTransports(rt, spdy.NewUpgraderForStreaming(rt), http.MethodPost, to)
}

func protocols(s streams) map[string]wsstream.ChannelProtocolConfig {
	list := make([]wsstream.ChannelType, channelCount)
	set := func(i int, on bool, t wsstream.ChannelType) {
		if list[i] = wsstream.IgnoreChannel; on {
			list[i] = t
		}
	}
	set(channelStdin, s.stdin, wsstream.ReadChannel)
	set(channelStdout, s.stdout, wsstream.WriteChannel)
	set(channelStderr, s.stderr, wsstream.WriteChannel)
	set(channelError, true, wsstream.WriteChannel)
	set(channelResize, true, wsstream.ReadChannel)
	out := map[string]wsstream.ChannelProtocolConfig{}
	for _, name := range []string{"", "channel.k8s.io", "v4.channel.k8s.io", "v5.channel.k8s.io"} {
		out[name] = wsstream.ChannelProtocolConfig{Binary: true, Channels: list}
	}
	for _, name := range []string{"base64.channel.k8s.io", "v4.base64.channel.k8s.io"} {
		out[name] = wsstream.ChannelProtocolConfig{Channels: list}
	}
	return out
}

// announce tells the client that the connection stands: an empty message on the
// first channel that it reads.
func announce(ch []io.ReadWriteCloser, s streams) {
	switch {
	case s.stdout:
		ch[channelStdout].Write(nil)
	case s.stderr:
		ch[channelStderr].Write(nil)
	default:
		ch[channelError].Write(nil)
	}
}

func (s streams) options(ch []io.ReadWriteCloser, sizes sizeQueue) remotecommand.StreamOptions {
	o := remotecommand.StreamOptions{Tty: s.tty}
	if s.stdin {
		o.Stdin = ch[channelStdin]
	}
	if s.stdout {
		o.Stdout = ch[channelStdout]
	}
	if s.stderr {
		o.Stderr = ch[channelStderr]
	}
	if s.tty {
		o.TerminalSizeQueue = sizes
	}
	return o
}

// sizeQueue hands terminal sizes on; it ends when the client does.
type sizeQueue chan remotecommand.TerminalSize

// Next implements remotecommand.TerminalSizeQueue.
func (q sizeQueue) Next() *remotecommand.TerminalSize {
	s, ok := <-q
	if !ok {
		return nil
	}
	return &s
}

// read returns when the client's side of the connection is closed.
func (q sizeQueue) read(ctx context.Context, from io.Reader) {
	defer close(q)
	meter := &io.LimitedReader{R: from}
	d := json.NewDecoder(meter)
	for {
		meter.N = bounds.TerminalSize // of what is not decoded yet the decoder keeps everything
		var s remotecommand.TerminalSize
		if err := d.Decode(&s); err != nil {
			io.Copy(io.Discard, from) // malformed sizes are not the end of the connection
			return
		}
		select {
		case q <- s:
		case <-ctx.Done():
			return
		}
	}
}

// writeStatus tells how the command ended: a Status since version 4, text before.
func writeStatus(w io.Writer, protocol string, err error) {
	if !strings.HasPrefix(protocol, "v4.") && !strings.HasPrefix(protocol, "v5.") {
		if err != nil {
			fmt.Fprint(w, err)
		}
		return
	}
	status := exitStatus(err)
	if data, err := json.Marshal(status); err == nil {
		w.Write(data)
	}
}

func exitStatus(err error) metav1.Status {
	if err == nil {
		return metav1.Status{Status: metav1.StatusSuccess}
	}
	var exit exec.CodeExitError
	if errors.As(err, &exit) {
		return metav1.Status{
			Status: metav1.StatusFailure, Reason: "NonZeroExitCode",
			Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: "ExitCode", Message: strconv.Itoa(exit.Code)}}},
			Message: fmt.Sprintf("command terminated with non-zero exit code: %v", exit),
		}
	}
	return metav1.Status{
		Status: metav1.StatusFailure, Reason: metav1.StatusReasonInternalError, Code: http.StatusInternalServerError,
		Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Message: err.Error()}}},
		Message: fmt.Sprintf("Internal error occurred: %v", err),
	}
}
