package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"hyperkube/kit"
)

// Client says how a role that has a process of its own reaches the API server.
type Client struct {
	Kubeconfig  string // empty: what a pod finds in its service account
	Master      string // overrides the kubeconfig's server
	Agent       string // name of the role, shown to the API server
	QPS         float32
	Burst       int
	ContentType string // protobuf when empty
}

// Remote is the API server as a role in another process sees it.
type Remote struct {
	Config *rest.Config
	Kube   kubernetes.Interface
	Source kit.Source
}

// Connect reads the kubeconfig and prepares clients. It sends nothing, so that a
// role may start before its API server.
func (c Client) Connect() (*Remote, error) {
	conf, err := c.load()
	if err != nil {
		return nil, err
	}
	conf.QPS, conf.Burst = c.QPS, c.Burst
	conf.WarningHandler = rest.NoWarnings{} // they are for people
	rest.AddUserAgent(conf, c.Agent)
	r := &Remote{Config: conf}
	if r.Kube, err = kubernetes.NewForConfig(asProtobuf(conf, c.ContentType)); err != nil {
		return nil, fmt.Errorf("client of the API server: %w", err)
	}
	if r.Source, err = kit.Remote(conf); err != nil {
		return nil, err
	}
	return r, nil
}

// asProtobuf is conf for a client of the types that client-go knows.
func asProtobuf(conf *rest.Config, contentType string) *rest.Config {
	typed := rest.CopyConfig(conf)
	typed.ContentType = cmp.Or(contentType, runtime.ContentTypeProtobuf)
	typed.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	return typed
}

func (c Client) load() (*rest.Config, error) {
	if c.Kubeconfig == "" && c.Master == "" {
		conf, err := rest.InClusterConfig()
		if errors.Is(err, rest.ErrNotInCluster) {
			return nil, errors.New("--kubeconfig is missing and this is not a pod: name the file that says where the API server is and who this role is")
		}
		return conf, err
	}
	conf, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: c.Kubeconfig}, &clientcmd.ConfigOverrides{ClusterInfo: api.Cluster{Server: c.Master}}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig %s: %w", c.Kubeconfig, err)
	}
	return conf, nil
}

// Election says whether and how a role takes turns with its like on other servers.
type Election struct {
	Enabled                bool
	Namespace, Name        string
	Duration, Renew, Retry time.Duration
}

// lease is nil when there is no election.
func (e Election) lease(kube kubernetes.Interface, log *slog.Logger, failures *prometheus.CounterVec) (*kit.Lease, error) {
	if !e.Enabled {
		return nil, nil
	}
	if e.Renew >= e.Duration || e.Retry >= e.Renew || e.Retry <= 0 {
		return nil, fmt.Errorf("--leader-elect-lease-duration %s, --leader-elect-renew-deadline %s, --leader-elect-retry-period %s: each must be longer than the next",
			e.Duration, e.Renew, e.Retry)
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("naming this candidate: %w", err)
	}
	return &kit.Lease{
		Kube: kube, Namespace: e.Namespace, Name: e.Name, Identity: host + "_" + string(uuid.NewUUID()), Log: log,
		Duration: e.Duration, Renew: e.Renew, Retry: e.Retry, Failures: failures,
	}, nil
}
