package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/test/harness"
)

// A container that has a shell, for the manifests below.
const box = `image: "hyperkube.test/busybox:v1"`

// oddPods are pods whose containers must not start, or not start as they would by themselves.
const oddPods = `
apiVersion: v1
kind: Pod
metadata: {name: root}
spec:
  securityContext: {runAsNonRoot: true}
  containers: [{name: c, BOX, command: [id]}]
---
apiVersion: v1
kind: Pod
metadata: {name: floor}
spec:
  containers: [{name: c, BOX, command: [id], volumeMounts: [{name: h, mountPath: /h, subPath: a}]}]
  volumes: [{name: h, hostPath: {path: /does-not-exist}}]
---
apiVersion: v1
kind: Pod
metadata: {name: nope}
spec:
  containers: [{name: c, BOX, command: [id], volumeMounts: [{name: e, mountPath: /e, subPathExpr: $(NOPE)}]}]
  volumes: [{name: e, emptyDir: {}}]
---
apiVersion: v1
kind: Pod
metadata: {name: keyless}
spec:
  containers: [{name: c, BOX, command: [id], env: [{name: A, valueFrom: {secretKeyRef: {name: absent, key: k}}}]}]
---
apiVersion: v1
kind: Pod
metadata: {name: doubling}
spec:
  containers: [{name: c, BOX, command: [id], env: DOUBLING}]
---
apiVersion: v1
kind: Pod
metadata: {name: dot}
spec:
  containers: [{name: c, BOX, command: [id], volumeMounts: [{name: d, mountPath: /d}]}]
  volumes: [{name: d, downwardAPI: {items: [{path: ".", fieldRef: {fieldPath: metadata.name}}]}}]
---
apiVersion: v1
kind: Pod
metadata: {name: claims}
spec:
  nodeName: node-1
  resourceClaims: [{name: gpu, resourceClaimName: absent}]
  containers: [{name: c, BOX, command: [id]}]
---
apiVersion: v1
kind: Pod
metadata: {name: writer}
spec:
  restartPolicy: Never
  containers:
  - {name: c, BOX, command: [sh, -c, "head -c 20000000 /dev/zero > /x; sleep 1000"], resources: {limits: {ephemeral-storage: 2Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: envfile}
spec:
  restartPolicy: Never
  initContainers:
  - {name: w, BOX, command: [sh, -c, "printf \"# by init\nDB='a b'\n\" > /d/config.env"], volumeMounts: [{name: d, mountPath: /d}]}
  containers:
  - {name: c, BOX, command: [sh, -c, 'echo "db=$DB"'], env: [{name: DB, valueFrom: {fileKeyRef: {path: config.env, volumeName: d, key: DB}}}]}
  volumes: [{name: d, emptyDir: {}}]
---
apiVersion: v1
kind: Pod
metadata: {name: users}
spec:
  restartPolicy: Never
  hostUsers: false
  containers:
  - name: c
    BOX
    command: [sh, -c, "cat /proc/self/uid_map; touch /e/mine /m/mine /s/mine; ls -ln /e /m /s | grep mine; head -c 1 /etc/hosts /var/run/secrets/kubernetes.io/serviceaccount/namespace"]
    volumeMounts: [{name: e, mountPath: /e}, {name: m, mountPath: /m}, {name: e, mountPath: /s, subPath: sub}]
  volumes: [{name: e, emptyDir: {}}, {name: m, emptyDir: {medium: Memory}}]
`

// TestOddContainers: what a pod asks for is had or refused with an event, never passed over; and no pod ends the
// process that runs them.
func TestOddContainers(t *testing.T) {
	c := harness.Up(t)
	k := &client{c, t, []string{c.Bin, "kubectl"}}
	pid, err := c.PID("hyperkube.pid")
	if err != nil {
		t.Fatal(err)
	}
	doubling := "[{name: V0, value: '0123456789'}"
	for i := range 30 {
		doubling += fmt.Sprintf(", {name: V%d, value: $(V%d)$(V%d)}", i+1, i, i)
	}
	k.ok("apply", "-f", k.write("odd.yaml", strings.NewReplacer("BOX", box, "DOUBLING", doubling+"]").Replace(oddPods)))
	for pod, want := range map[string]string{
		"root":     "Failed Error: container has runAsNonRoot and image will run as root (pod: ",
		"floor":    `Failed Error: failed to prepare subPath for volumeMount "h" of container "c": opening volume: no such file or directory`,
		"nope":     `Failed Error: subPathExpr "$(NOPE)": missing value for "NOPE"`,
		"keyless":  `Failed Error: secret "absent" not found`,
		"doubling": `Failed Error: environment variable "V`,
		"dot":      `FailedMount MountVolume.SetUp failed for volume "d" : invalid path "."`,
		"claims":   "FailedPrepareDynamicResources Failed to prepare dynamic resources: ",
		"writer":   "Evicted Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. ",
	} {
		c.Eventually(40*time.Second, pod+" is told", func() error { return told(c, pod, want) })
	}
	for _, pod := range []string{"root", "floor", "nope", "keyless", "doubling"} {
		p, err := c.Kube.CoreV1().Pods("default").Get(c.Context, pod, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if w := p.Status.ContainerStatuses[0].State.Waiting; w == nil || w.Reason != "CreateContainerConfigError" {
			t.Errorf("%s: %+v", pod, p.Status.ContainerStatuses[0].State)
		}
	}
	for pod, want := range map[string][]string{"envfile": {"db=a b"}, "users": {" 0      65536      65536", " 0        0 ", "mine"}} {
		c.Eventually(40*time.Second, pod+" has run", func() error {
			p, err := c.Kube.CoreV1().Pods("default").Get(c.Context, pod, metav1.GetOptions{})
			if err == nil && p.Status.Phase != corev1.PodSucceeded {
				err = fmt.Errorf("%s %+v", p.Status.Phase, p.Status.ContainerStatuses)
			}
			return err
		})
		out := k.ok("logs", pod, "-c", "c")
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("%s: no %q in\n%s", pod, w, out)
			}
		}
	}
	if now, err := c.PID("hyperkube.pid"); err != nil || now != pid {
		t.Errorf("the process was replaced: %d, %d, %v", pid, now, err)
	}
}

// told looks for an event of a pod.
func told(c *harness.Cluster, pod, want string) error {
	list, err := c.Kube.CoreV1().Events("default").List(c.Context, metav1.ListOptions{FieldSelector: "involvedObject.name=" + pod})
	if err != nil {
		return err
	}
	var have []string
	for _, e := range list.Items {
		if strings.HasPrefix(e.Reason+" "+e.Message, want) {
			return nil
		}
		have = append(have, e.Reason+" "+e.Message)
	}
	return fmt.Errorf("told only: %s", strings.Join(have, "; "))
}
