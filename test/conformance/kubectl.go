package conformance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"
	"sigs.k8s.io/yaml"
)

// commandLine: the standard client against the server.
func commandLine() []behaviour {
	return []behaviour{
		{name: "Kubectl, check version v1", run: kubectlVersions},
		{name: "Kubectl, version", run: kubectlVersion},
		{name: "Kubectl, cluster info", run: kubectlClusterInfo},
		{name: "Kubectl, describe pod or rc", run: kubectlDescribe},
		{name: "Kubectl, diff Deployment", run: kubectlDiff},
		{name: "Kubectl, create service, replication controller", run: kubectlExpose},
		{name: "Kubectl, label update", run: kubectlLabel},
		{name: "Kubectl, patch to annotate", run: kubectlPatch},
		{name: "Kubectl, replace", run: kubectlReplace},
		{name: "Kubectl, run pod", run: kubectlRun},
		{name: "Kubectl, server-side dry-run Pod", run: kubectlDryRun},
		{name: "Kubectl, logs", run: kubectlLogs},
		{name: "Kubectl, proxy port zero", run: kubectlProxyPort},
		{name: "Kubectl, proxy socket", run: kubectlProxySocket},
		{name: "Kubectl, replication controller", run: kubectlController},
		{name: "Kubectl, scale replication controller", run: kubectlScale},
	}
}

// client is the command of kubectl with the cluster and namespace of the behaviour.
func (f *fixture) client(args ...string) *exec.Cmd {
	args = append(append(append([]string{}, f.kubectl[1:]...), "--kubeconfig", f.kubeconfig, "--namespace", f.ns), args...)
	return exec.CommandContext(f.ctx, f.kubectl[0], args...)
}

// kubectlIn runs kubectl with an input and returns what it printed, or fails.
func (f *fixture) kubectlIn(input string, args ...string) string {
	f.Helper()
	c := f.client(args...)
	var out, errs bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(input), &out, &errs
	if err := c.Run(); err != nil {
		f.Fatalf("kubectl %s: %v\n%s%s", strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String()
}

func (f *fixture) ctl(args ...string) string { f.Helper(); return f.kubectlIn("", args...) }

// manifest is an object as YAML.
func manifest(o any, apiVersion, kind string) string {
	raw := must(json.Marshal(o))
	var m map[string]any
	check(json.Unmarshal(raw, &m))
	m["apiVersion"], m["kind"] = apiVersion, kind
	delete(m, "status")
	return string(must(yaml.Marshal(m)))
}

func kubectlVersions(f *fixture) {
	f.expect(strings.Contains("\n"+f.ctl("api-versions"), "\nv1\n"), "v1 is not among the API versions")
}

func kubectlVersion(f *fixture) {
	var v struct {
		ClientVersion, ServerVersion struct{ Major, Minor, GitVersion, GitCommit, GoVersion, Platform string }
	}
	check(json.Unmarshal([]byte(f.ctl("version", "-o", "json")), &v))
	f.expect(v.ServerVersion.Major != "" && v.ServerVersion.Minor != "" && v.ServerVersion.GitCommit != "" && v.ClientVersion.Major != "", "versions %+v", v)
	must(version.ParseSemantic(v.ServerVersion.GitVersion))
	f.says(f.ctl("version"), "Client Version:", "Server Version:")
}

func kubectlClusterInfo(f *fixture) {
	f.says(f.ctl("cluster-info"), "Kubernetes control plane", "is running at")
}

func kubectlDescribe(f *fixture) {
	f.kubectlIn(manifest(servingController(f, 1), "v1", "ReplicationController"), "create", "-f", "-")
	f.kubectlIn(manifest(webService(corev1.ServiceTypeClusterIP), "v1", "Service"), "create", "-f", "-")
	p := f.awaitReady("web", 1)[0]
	f.says(f.ctl("describe", "pod", p.Name), "Name:", "Namespace:", "Node:", "Labels:", "app=web", "Status:", "Running", "IP:", "Controlled By:", "ReplicationController/web", "Image:", "State:", "QoS Class:")
	f.says(f.ctl("describe", "rc", "web"), "Name:", "web", "Namespace:", "Selector:", "app=web", "Replicas:", "1 current", "1 desired", "Pods Status:", "1 Running", "Pod Template:", "Image:", "Events:", "SuccessfulCreate")
	f.eventually("describe service", func() error {
		out, err := f.client("describe", "service", "web").Output()
		return errUnless(err == nil && strings.Contains(string(out), p.Status.PodIP+":8080"), "%s %v", out, err)
	})
	f.says(f.ctl("describe", "service", "web"), "Name:", "Selector:", "app=web", "Type:", "ClusterIP", "IP:", "Port:", "Endpoints:", "Session Affinity:")
	f.says(f.ctl("describe", "node", p.Spec.NodeName), "Name:", "Labels:", "CreationTimestamp:", "Conditions:", "MemoryPressure", "Ready", "Addresses:", "Capacity:", "Version:", "Kubelet Version:", "Pods:")
	f.says(f.ctl("describe", "namespace", f.ns), "Name:", f.ns, "Labels:", "Status:", "Active", "No resource quota", "No LimitRange resource")
}

func kubectlDiff(f *fixture) {
	d := newDeployment(f, "web", 0)
	f.kubectlIn(manifest(d, "apps/v1", "Deployment"), "apply", "-f", "-")
	old := d.Spec.Template.Spec.Containers[0].Image
	d.Spec.Template.Spec.Containers[0].Image = f.images.busybox
	c := f.client("diff", "-f", "-")
	c.Stdin = strings.NewReader(manifest(d, "apps/v1", "Deployment"))
	out, err := c.Output()
	var exit *exec.ExitError
	f.expect(asExit(err, &exit) && exit.ExitCode() == 1, "diff of different objects: %v", err)
	has := func(sign, image string) bool {
		return regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(sign) + `\s+(- )?image: ` + regexp.QuoteMeta(image) + `$`).Match(out)
	}
	f.expect(has("-", old) && has("+", f.images.busybox), "the difference: %s", out)
}

func kubectlExpose(f *fixture) {
	f.kubectlIn(manifest(servingController(f, 1), "v1", "ReplicationController"), "create", "-f", "-")
	f.awaitReady("web", 1)
	f.ctl("expose", "rc", "web", "--name=rm2", "--port=1234", "--target-port=8080")
	f.ctl("expose", "service", "rm2", "--name=rm3", "--port=2345", "--target-port=8080")
	for name, port := range map[string]int32{"rm2": 1234, "rm3": 2345} {
		s := must(f.services().Get(f.ctx, name, metav1.GetOptions{}))
		f.expect(len(s.Spec.Ports) == 1 && s.Spec.Ports[0].Port == port && s.Spec.Ports[0].TargetPort.IntValue() == 8080, "ports of %s: %v", name, s.Spec.Ports)
		f.eventually("endpoints of "+name, func() error {
			e, err := f.endpointsOf(name)
			if err != nil {
				return err
			}
			return errUnless(len(e) == 1, "%v", e)
		})
	}
}

func kubectlLabel(f *fixture) {
	f.start(f.sleeper("pod"))
	f.ctl("label", "pods", "pod", "testing-label=testing-label-value")
	f.says(f.ctl("get", "pod", "pod", "-L", "testing-label"), "testing-label-value")
	f.ctl("label", "pods", "pod", "testing-label-")
	f.expect(!strings.Contains(f.ctl("get", "pod", "pod", "-L", "testing-label"), "testing-label-value"), "the label is still there")
}

func kubectlPatch(f *fixture) {
	f.kubectlIn(manifest(servingController(f, 2), "v1", "ReplicationController"), "create", "-f", "-")
	for _, p := range f.awaitReady("web", 2) {
		f.ctl("patch", "pod", p.Name, "-p", `{"metadata":{"annotations":{"x":"y"}}}`)
		f.expect(must(f.pods().Get(f.ctx, p.Name, metav1.GetOptions{})).Annotations["x"] == "y", "the annotation is lost")
	}
}

func kubectlReplace(f *fixture) {
	f.ctl("run", "pod", "--image="+f.images.nginx, "--labels=run=pod", "--pod-running-timeout=2m")
	f.awaitPod("pod", "runs", podReady)
	live := f.ctl("get", "pod", "pod", "-o", "json")
	f.kubectlIn(strings.Replace(live, f.images.nginx, f.images.nginxNext, 1), "replace", "-f", "-")
	p := must(f.pods().Get(f.ctx, "pod", metav1.GetOptions{}))
	f.expect(p.Spec.Containers[0].Image == f.images.nginxNext, "the image is %s", p.Spec.Containers[0].Image)
}

func kubectlRun(f *fixture) {
	f.ctl("run", "pod", "--restart=Never", "--image="+f.images.nginx)
	p := must(f.pods().Get(f.ctx, "pod", metav1.GetOptions{}))
	f.expect(len(p.Spec.Containers) == 1 && p.Spec.Containers[0].Image == f.images.nginx && p.Spec.RestartPolicy == corev1.RestartPolicyNever, "spec %+v", p.Spec)
}

func kubectlDryRun(f *fixture) {
	f.ctl("run", "pod", "--image="+f.images.nginx, "--labels=run=pod")
	f.ctl("patch", "pod", "pod", "-p", fmt.Sprintf(`{"spec":{"containers":[{"name":"pod","image":%q}]}}`, f.images.nginxNext), "--dry-run=server")
	p := must(f.pods().Get(f.ctx, "pod", metav1.GetOptions{}))
	f.expect(p.Spec.Containers[0].Image == f.images.nginx, "a dry run changed the image to %s", p.Spec.Containers[0].Image)
}

func kubectlLogs(f *fixture) {
	f.create(f.shell("talker", "i=0; while [ $i -lt 20 ]; do echo line $i; i=$((i+1)); done; sleep 1000"))
	f.eventuallyLogs("talker", "", "line 19")
	lines := func(s string) int { return len(strings.Split(strings.TrimSpace(s), "\n")) }
	out := f.ctl("logs", "talker", "--tail=1")
	f.expect(out == "line 19\n", "--tail=1: %q", out)
	out = f.ctl("logs", "talker", "--limit-bytes=1")
	f.expect(len(out) == 1, "--limit-bytes=1: %q", out)
	out = f.ctl("logs", "talker", "--tail=1", "--timestamps")
	f.expect(lines(out) == 1, "--tail=1 --timestamps: %q", out)
	stamp, _, _ := strings.Cut(out, " ")
	must(time.Parse(time.RFC3339Nano, stamp))
	f.eventually("--since leaves out what is older", func() error {
		out, err := f.client("logs", "talker", "--since=1s").Output()
		return errUnless(err == nil && len(bytes.TrimSpace(out)) == 0, "%q %v", out, err)
	})
	f.expect(lines(f.ctl("logs", "talker", "--since=24h")) == 20, "--since=24h leaves lines out")
}

// proxy runs kubectl proxy and returns its first line; it is stopped when the behaviour ends.
func (f *fixture) proxy(flags ...string) string {
	f.Helper()
	ctx, cancel := context.WithCancel(f.ctx)
	c := f.client(append([]string{"proxy"}, flags...)...)
	out := must(c.StdoutPipe())
	check(c.Start())
	context.AfterFunc(ctx, func() { c.Process.Kill() })
	f.Cleanup(func() { cancel(); c.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	check(err)
	return line
}

func versionsAt(f *fixture, client *http.Client, url string) {
	req := must(http.NewRequestWithContext(f.ctx, http.MethodGet, url, nil))
	resp := must(client.Do(req))
	defer resp.Body.Close()
	var v metav1.APIVersions
	check(json.Unmarshal(must(io.ReadAll(io.LimitReader(resp.Body, 1<<20))), &v))
	f.expect(len(v.Versions) > 0, "no versions")
}

func kubectlProxyPort(f *fixture) {
	line := f.proxy("--port=0")
	at := regexp.MustCompile(`127\.0\.0\.1:[0-9]+`).FindString(line)
	f.expect(at != "", "no port in %q", line)
	versionsAt(f, &http.Client{Timeout: 20 * time.Second}, "http://"+at+"/api")
}

func kubectlProxySocket(f *fixture) {
	path := filepath.Join(f.TempDir(), "s")
	f.proxy("--unix-socket=" + path)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	versionsAt(f, &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}, "http://localhost/api")
}

func kubectlController(f *fixture) {
	f.kubectlIn(manifest(servingController(f, 2), "v1", "ReplicationController"), "create", "-f", "-")
	serving(f, 2)
	f.ctl("delete", "rc", "web", "--grace-period=1")
	f.awaitPods("web", 0)
}

func kubectlScale(f *fixture) {
	f.kubectlIn(manifest(servingController(f, 2), "v1", "ReplicationController"), "create", "-f", "-")
	f.awaitReady("web", 2)
	f.ctl("scale", "rc", "web", "--replicas=1", "--timeout=2m")
	f.awaitReady("web", 1)
	f.ctl("scale", "rc", "web", "--replicas=2", "--timeout=2m")
	f.awaitReady("web", 2)
}
