package conformance

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"time"

	"github.com/gorilla/websocket"
	"k8s.io/client-go/rest"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// podLogSocket reads a log as messages of a WebSocket.
func podLogSocket(f *fixture) {
	p := f.shell("talker", "echo container is alive; exec sleep 1000")
	f.create(p)
	f.eventuallyLogs("talker", "", "container is alive")
	u := f.kube.CoreV1().RESTClient().Get().Namespace(f.ns).Resource("pods").Name("talker").SubResource("log").Param("container", "main").URL()
	u.Scheme = strings.Replace(u.Scheme, "http", "ws", 1)
	tls := must(rest.TLSConfigFor(f.config))
	header := http.Header{}
	if f.config.BearerToken != "" {
		header.Set("Authorization", "Bearer "+f.config.BearerToken)
	}
	ctx, cancel := context.WithTimeout(f.ctx, 30*time.Second)
	defer cancel()
	dialer := websocket.Dialer{TLSClientConfig: tls, Subprotocols: []string{"binary.k8s.io"}, Proxy: f.config.Proxy}
	c, _, err := dialer.DialContext(ctx, u.String(), header)
	check(err)
	defer c.Close()
	check(c.SetReadDeadline(time.Now().Add(30 * time.Second)))
	var got strings.Builder
	for !strings.Contains(got.String(), "container is alive\n") {
		_, r, err := c.NextReader()
		if err != nil {
			f.Fatalf("after %q: %v", got.String(), err)
		}
		if _, err := io.Copy(&got, r); err != nil {
			f.Fatal(err)
		}
	}
}

// dropFinalizers lets a pod go.
func dropFinalizers(f *fixture, pod string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := f.pods().Patch(ctx, pod, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
		return err
	}
}

// decodeSegment decodes a part of a JWT.
func decodeSegment(s string) ([]byte, error) { return base64.RawURLEncoding.DecodeString(s) }

func asExit(err error, into **exec.ExitError) bool { return errors.As(err, into) }
