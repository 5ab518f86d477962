package main

import (
	"cmp"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"hyperkube/cluster"
)

func schedulerCommand() *cobra.Command {
	o := cluster.Scheduler{Client: cluster.Client{Agent: "kube-scheduler"}}
	var (
		port      portFlags
		verbosity int
		config    string
	)
	c, f := roleCommand("scheduler", "Run the scheduler (kube-scheduler)", func(c *cobra.Command) (err error) {
		o.Log = roleLog("scheduler", verbosity)
		if config != "" {
			if err := readSchedulerConfig(config, c, &o); err != nil {
				return err
			}
		}
		if o.Port, err = port.typed(); err != nil {
			return err
		}
		return small(c.Context(), o.Run)
	})
	f.everyFlag(&verbosity)
	f.clientFlags(&o.Client, 50, 100)
	f.electionFlags(&o.Election, "kube-scheduler")
	port.add(f, 10259)
	f.StringVar(&config, "config", "", "file with a KubeSchedulerConfiguration; flags that it repeats are read from it")
	f.refuse("say it in the profiles of --config", "pod-max-in-unschedulable-pods-duration", "scheduler-name", "policy-config-file", "algorithm-provider")
	f.refuse("the configuration cannot be written out", "write-config-to")
	return c
}

// schedulerConfig is what we take of a KubeSchedulerConfiguration.
type schedulerConfig struct {
	metav1.TypeMeta  `json:",inline"`
	ClientConnection struct {
		Kubeconfig  string  `json:"kubeconfig"`
		ContentType string  `json:"contentType"`
		QPS         float32 `json:"qps"`
		Burst       int     `json:"burst"`
	} `json:"clientConnection"`
	LeaderElection struct {
		LeaderElect       *bool           `json:"leaderElect"`
		LeaseDuration     metav1.Duration `json:"leaseDuration"`
		RenewDeadline     metav1.Duration `json:"renewDeadline"`
		RetryPeriod       metav1.Duration `json:"retryPeriod"`
		ResourceLock      string          `json:"resourceLock"`
		ResourceName      string          `json:"resourceName"`
		ResourceNamespace string          `json:"resourceNamespace"`
	} `json:"leaderElection"`
	Profiles []struct {
		SchedulerName string `json:"schedulerName"`
	} `json:"profiles"`
}

func readSchedulerConfig(path string, c *cobra.Command, o *cluster.Scheduler) error {
	var s schedulerConfig
	if err := readStrict(path, &s, "kubescheduler.config.k8s.io/v1", "KubeSchedulerConfiguration"); err != nil {
		return err
	}
	if l := s.LeaderElection.ResourceLock; l != "" && l != "leases" {
		return fmt.Errorf("--config %s: leaderElection.resourceLock %q is not supported: use leases", path, l)
	}
	for _, p := range s.Profiles {
		if p.SchedulerName == "" && len(s.Profiles) > 1 {
			return fmt.Errorf("--config %s: several profiles need a schedulerName each", path)
		}
		o.Names = append(o.Names, cmp.Or(p.SchedulerName, "default-scheduler"))
	}
	// A configuration file replaces the flags it stands for, as in the standard daemon.
	cc, le := s.ClientConnection, s.LeaderElection
	o.Client.Kubeconfig, o.Client.ContentType = cmp.Or(cc.Kubeconfig, o.Client.Kubeconfig), cmp.Or(cc.ContentType, o.Client.ContentType)
	o.Client.QPS, o.Client.Burst = cmp.Or(cc.QPS, o.Client.QPS), cmp.Or(cc.Burst, o.Client.Burst)
	e := &o.Election
	if le.LeaderElect != nil && !c.Flags().Changed("leader-elect") {
		e.Enabled = *le.LeaderElect
	}
	for _, d := range []struct {
		to   *time.Duration
		from metav1.Duration
	}{{&e.Duration, le.LeaseDuration}, {&e.Renew, le.RenewDeadline}, {&e.Retry, le.RetryPeriod}} {
		*d.to = cmp.Or(d.from.Duration, *d.to)
	}
	e.Name, e.Namespace = cmp.Or(le.ResourceName, e.Name), cmp.Or(le.ResourceNamespace, e.Namespace)
	return nil
}

// readStrict reads a component's configuration file. A field that into does not
// have is refused by name.
func readStrict(path string, into any, version, kind string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	var t metav1.TypeMeta
	if err := yaml.Unmarshal(data, &t); err != nil {
		return fmt.Errorf("--config %s: %w", path, err)
	}
	if t.APIVersion != version || t.Kind != kind {
		return fmt.Errorf("--config %s holds %s %q: want apiVersion %s, kind %s", path, cmp.Or(t.APIVersion, "no apiVersion"), t.Kind, version, kind)
	}
	text, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return fmt.Errorf("--config %s: %w", path, err)
	}
	unknown, err := json.UnmarshalStrict(text, into)
	if err != nil {
		return fmt.Errorf("--config %s: %w", path, err)
	}
	if len(unknown) > 0 {
		return fmt.Errorf("--config %s: not known or not supported: %w", path, unknown[0])
	}
	return nil
}
