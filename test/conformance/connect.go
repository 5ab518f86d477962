package conformance

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"hyperkube/test/harness"
)

// connect finds the cluster that KUBECONFIG names, or starts one.
func connect(t *testing.T) *cluster {
	c := &cluster{kubeconfig: os.Getenv("KUBECONFIG"), images: images{
		busybox:   cmp.Or(os.Getenv("CONFORMANCE_BUSYBOX"), "hyperkube.test/busybox:v1"),
		nginx:     cmp.Or(os.Getenv("CONFORMANCE_NGINX"), "hyperkube.test/nginx:v1"),
		nginxNext: cmp.Or(os.Getenv("CONFORMANCE_NGINX_NEXT"), "hyperkube.test/nginx:v2"),
		nettool:   cmp.Or(os.Getenv("CONFORMANCE_NETTOOL"), "hyperkube.test/nettool:v1"),
	}}
	c.kubectl = strings.Fields(os.Getenv("CONFORMANCE_KUBECTL"))
	if c.kubeconfig == "" {
		own := harness.Up(t, "--ephemeral")
		c.kubeconfig = expose(t, own)
		if len(c.kubectl) == 0 {
			c.kubectl = []string{own.Bin, "kubectl"}
		}
	}
	if len(c.kubectl) == 0 {
		c.kubectl = []string{"kubectl"}
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		t.Fatalf("reading the kubeconfig: %v", err)
	}
	cfg.QPS, cfg.Burst, cfg.UserAgent = -1, -1, "conformance"
	c.config = cfg
	if c.kube, err = kubernetes.NewForConfig(cfg); err != nil {
		t.Fatal(err)
	}
	if c.dynamic, err = dynamic.NewForConfig(cfg); err != nil {
		t.Fatal(err)
	}
	return c
}

// expose makes the API server of a cluster on a namespaced host reachable on
// loopback, and returns a kubeconfig that says so.
func expose(t *testing.T, c *harness.Cluster) string {
	cfg, err := clientcmd.LoadFromFile(c.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(c.Config.Host)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	forward(t, l, func(ctx context.Context) (net.Conn, error) { return c.Dial(ctx, "tcp", target.Host) })
	for _, cl := range cfg.Clusters {
		cl.Server, cl.TLSServerName = "https://"+l.Addr().String(), target.Hostname()
	}
	path := filepath.Join(c.Dir, "exposed.conf")
	if err := clientcmd.WriteToFile(*cfg, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// forward joins each connection to l with one that dial makes, until the test ends.
func forward(t *testing.T, l net.Listener, dial func(context.Context) (net.Conn, error)) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); l.Close(); running.Wait() })
	running.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("accepting: %v", err)
				}
				return
			}
			running.Go(func() { join(ctx, in, dial) })
		}
	})
}

func join(ctx context.Context, in net.Conn, dial func(context.Context) (net.Conn, error)) {
	defer in.Close()
	out, err := dial(ctx)
	if err != nil {
		return // the client sees its connection closed
	}
	defer out.Close()
	stop := context.AfterFunc(ctx, func() { in.Close(); out.Close() })
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(out, in)
		closeWrite(out)
	}()
	io.Copy(in, out)
	closeWrite(in)
	<-done
}

func closeWrite(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		t.CloseWrite()
	}
}
