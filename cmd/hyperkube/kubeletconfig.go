package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	kubeletv1beta1 "k8s.io/kubelet/config/v1beta1"
	"sigs.k8s.io/yaml"

	"hyperkube/cluster"
	"hyperkube/kubelet"
)

// taken are the fields of a KubeletConfiguration that readConfig uses.
var taken = []string{
	"apiVersion", "kind", "staticPodPath", "podLogsDir", "fileCheckFrequency", "address", "port", "tlsCertFile", "tlsPrivateKeyFile", "healthzPort",
	"healthzBindAddress", "clusterDomain", "clusterDNS", "cgroupRoot", "maxPods", "podPidsLimit", "resolvConf", "kubeAPIQPS", "kubeAPIBurst", "contentType",
	"allowedUnsafeSysctls", "serializeImagePulls", "maxParallelImagePulls", "containerLogMaxSize", "containerLogMaxFiles", "systemReserved", "kubeReserved", "providerID",
	"seccompDefault", "registerWithTaints", "registerNode", "containerRuntimeEndpoint", "imageServiceEndpoint", "authentication", "authorization",
}

// harmless are the fields that may say what is so anyway, with what they may say, as JSON.
var harmless = map[string][]string{
	"enableServer": {"true"}, "readOnlyPort": {"0"}, "tlsMinVersion": {`"VersionTLS12"`}, "rotateCertificates": {"false"}, "serverTLSBootstrap": {"false"},
	"cgroupsPerQOS": {"true"}, "cgroupDriver": {`"cgroupfs"`}, "cpuManagerPolicy": {`"none"`}, "memoryManagerPolicy": {`"None"`}, "topologyManagerPolicy": {`"none"`},
	"topologyManagerScope": {`"container"`}, "failSwapOn": {"false"}, "cpuCFSQuota": {"true"}, "cpuCFSQuotaPeriod": {`"100ms"`}, "enableControllerAttachDetach": {"true"},
	"configMapAndSecretChangeDetectionStrategy": {`"Watch"`}, "enforceNodeAllocatable": {`["pods"]`}, "enableDebuggingHandlers": {"true"},
	"localStorageCapacityIsolation": {"true"}, "nodeStatusUpdateFrequency": {`"10s"`}, "nodeLeaseDurationSeconds": {"40"}, "syncFrequency": {`"1m0s"`, `"1m"`},
	"protectKernelDefaults": {"false"}, "makeIPTablesUtilChains": {"true", "false"}, "hairpinMode": {`"hairpin-veth"`, `"promiscuous-bridge"`, `"none"`},
	"enableProfilingHandler": {"false"}, "enableSystemLogHandler": {"false"}, "enableSystemLogQuery": {"false"}, "enableDebugFlagsHandler": {"false"},
	"enableContentionProfiling": {"false"}, "runOnce": {"false"}, "singleProcessOOMKill": {"false"},
}

// readConfig takes from the file what no flag said. Fields that nobody knows, or
// that say what this kubelet does not do, are refused by name.
func (v *kubeletFlags) readConfig(f *pflag.FlagSet, o *kubelet.Options, c *cluster.Client) error {
	var k kubeletv1beta1.KubeletConfiguration
	if err := readStrict(v.config, &k, "kubelet.config.k8s.io/v1beta1", "KubeletConfiguration"); err != nil {
		return err
	}
	if err := refuseUnsupported(v.config); err != nil {
		return err
	}
	a, z := k.Authentication, k.Authorization
	if a.Anonymous.Enabled != nil && *a.Anonymous.Enabled || a.Webhook.Enabled != nil && !*a.Webhook.Enabled || z.Mode != "" && z.Mode != kubeletv1beta1.KubeletAuthorizationModeWebhook {
		return fmt.Errorf("--config %s: only authentication.anonymous false, authentication.webhook true and authorization.mode Webhook are supported: the API server judges", v.config)
	}
	take := func(flag string, there bool, use func()) {
		if there && !f.Changed(flag) {
			use()
		}
	}
	text := func(flag string, to *string, from string) { take(flag, from != "", func() { *to = from }) }
	text("pod-manifest-path", &o.ManifestDir, k.StaticPodPath)
	text("pod-logs-dir", &v.podLogs, k.PodLogsDir)
	text("address", &o.Address, k.Address)
	text("tls-cert-file", &v.cert, k.TLSCertFile)
	text("tls-private-key-file", &v.key, k.TLSPrivateKeyFile)
	text("client-ca-file", &v.clientCA, a.X509.ClientCAFile)
	text("healthz-bind-address", &v.healthz, k.HealthzBindAddress)
	text("cluster-domain", &o.Domain, k.ClusterDomain)
	text("cgroup-root", &o.CgroupRoot, k.CgroupRoot)
	text("kube-api-content-type", &c.ContentType, k.ContentType)
	text("container-log-max-size", &v.logSize, k.ContainerLogMaxSize)
	text("provider-id", &o.ProviderID, k.ProviderID)
	text("container-runtime-endpoint", &v.endpoint, k.ContainerRuntimeEndpoint)
	text("image-service-endpoint", &v.imageEndpoint, k.ImageServiceEndpoint)
	take("resolv-conf", k.ResolverConfig != nil, func() { o.ResolvConf = *k.ResolverConfig })
	take("file-check-frequency", k.FileCheckFrequency.Duration > 0, func() { o.FileCheck = k.FileCheckFrequency.Duration })
	take("port", k.Port != 0, func() { o.Port = int(k.Port) })
	take("healthz-port", k.HealthzPort != nil, func() { v.healthzPort = int(*k.HealthzPort) })
	take("cluster-dns", len(k.ClusterDNS) > 0, func() { o.ClusterDNS = k.ClusterDNS })
	take("max-pods", k.MaxPods != 0, func() { o.MaxPods = int64(k.MaxPods) })
	take("pod-max-pids", k.PodPidsLimit != nil, func() { o.PodPIDs = *k.PodPidsLimit })
	take("kube-api-qps", k.KubeAPIQPS != nil, func() { c.QPS = float32(*k.KubeAPIQPS) })
	take("kube-api-burst", k.KubeAPIBurst != 0, func() { c.Burst = int(k.KubeAPIBurst) })
	take("serialize-image-pulls", k.SerializeImagePulls != nil, func() { v.serialize = *k.SerializeImagePulls })
	take("max-parallel-image-pulls", k.MaxParallelImagePulls != nil, func() { v.parallel = int(*k.MaxParallelImagePulls) })
	take("container-log-max-files", k.ContainerLogMaxFiles != nil, func() { o.ContainerLogMaxFile = int(*k.ContainerLogMaxFiles) })
	take("system-reserved", len(k.SystemReserved) > 0, func() { v.systemReserved = k.SystemReserved })
	take("kube-reserved", len(k.KubeReserved) > 0, func() { v.kubReserved = k.KubeReserved })
	take("allowed-unsafe-sysctls", len(k.AllowedUnsafeSysctls) > 0, func() { o.UnsafeSysctls = k.AllowedUnsafeSysctls })
	take("seccomp-default", k.SeccompDefault != nil, func() { v.seccomp = *k.SeccompDefault })
	take("register-node", k.RegisterNode != nil, func() { v.register = *k.RegisterNode })
	take("register-with-taints", true, func() { v.registered = k.RegisterWithTaints })
	return nil
}

// refuseUnsupported names the fields that a file sets and this kubelet would pass over.
func refuseUnsupported(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	var fields map[string]any
	if err := yaml.Unmarshal(data, &fields); err != nil {
		return fmt.Errorf("--config %s: %w", path, err)
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		value := fields[name]
		if slices.Contains(taken, name) || unset(value) {
			continue
		}
		b, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("--config %s: %w", path, err)
		}
		allowed, ok := harmless[name]
		switch {
		case !ok:
			return fmt.Errorf("--config %s: %s is not supported: leave it out", path, name)
		case !slices.Contains(allowed, string(b)):
			return fmt.Errorf("--config %s: %s: %s is not supported, only %s", path, name, b, strings.Join(allowed, " or "))
		}
	}
	return nil
}

// unset values are written by tools that print whole structures, and mean the default.
func unset(v any) bool {
	switch x := v.(type) {
	case nil:
		return true
	case string:
		return x == "" || x == "0" || x == "0s"
	case float64:
		return x == 0
	case []any:
		return len(x) == 0
	case map[string]any:
		for _, e := range x {
			if !unset(e) {
				return false
			}
		}
		return true
	}
	return false
}
