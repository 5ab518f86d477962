package assembly_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"hyperkube/internal/pki"
)

const manifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: nginx, image: "nginx:1", ports: [{containerPort: 80}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
`

const (
	definition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.a.b}
spec:
  group: a.b
  names: {kind: Thing, plural: things}
  scope: Namespaced
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
`
	review = `
apiVersion: authorization.k8s.io/v1
kind: SubjectAccessReview
spec: {user: someone, groups: ["system:masters"], resourceAttributes: {verb: get, resource: pods}}
`
	lonePod = "---\n{apiVersion: v1, kind: Pod, metadata: {name: alone}, spec: {containers: [{name: c, image: i}]}}"
	binding = "---\n{apiVersion: v1, kind: Binding, metadata: {name: alone}, target: {kind: Node, name: n1}}"
)

// TestStockKubectl drives the server with whatever kubectl this machine has.
func TestStockKubectl(t *testing.T) {
	kubectl, err := exec.LookPath("kubectl")
	if err != nil {
		t.Skip("no kubectl here")
	}
	c, home := start(t), t.TempDir()
	run := func(input string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), kubectl, args...)
		cmd.Env = append(os.Environ(), "HOME="+home, "KUBECONFIG="+c.files.Layout.Kubeconfig(pki.ConfAdmin))
		cmd.Stdin = strings.NewReader(input)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	scaled := strings.Replace(manifest, "replicas: 2", "replicas: 3", 1)
	wrong := strings.Replace(manifest, "replicas: 2", "replicaz: 2", 1)
	for _, s := range []struct {
		args, input string
		fails       bool
		wants       []string
	}{
		{args: "apply -f -", input: manifest, wants: []string{"deployment.apps/web created", "service/web created"}},
		{args: "apply -f -", input: manifest, wants: []string{"deployment.apps/web unchanged", "service/web unchanged"}},
		{args: "diff -f -", input: scaled, fails: true, wants: []string{"-  replicas: 2", "+  replicas: 3"}},
		{args: "apply -f -", input: scaled, wants: []string{"deployment.apps/web configured", "service/web unchanged"}},
		{args: "apply -f -", input: wrong, fails: true, wants: []string{`unknown field "spec.replicaz"`}},
		{args: "apply --server-side --field-manager=other -f -", input: manifest, fails: true,
			wants: []string{"Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using apps/v1: .spec.replicas"}},
		{args: "apply --server-side --field-manager=other --force-conflicts -f -", input: manifest, wants: []string{"deployment.apps/web serverside-applied"}},
		{args: "explain deployment.spec.strategy --recursive", wants: []string{"KIND:       Deployment", "rollingUpdate\t<RollingUpdateDeployment>", "maxSurge\t<IntOrString>"}},
		{args: "explain pod.spec.containers.resources", wants: []string{"FIELD: resources <ResourceRequirements>", "limits\t<map[string]Quantity>"}},
		{args: "get deploy,svc -o wide", wants: []string{"NAME                  READY   UP-TO-DATE   AVAILABLE   AGE   CONTAINERS   IMAGES    SELECTOR", "deployment.apps/web   0/2", "nginx        nginx:1   app=web"}},
		{args: "get all", wants: []string{"deployment.apps/web", "service/web"}},
		{args: "scale deploy/web --replicas=5", wants: []string{"deployment.apps/web scaled"}},
		{args: "get deploy web -o jsonpath={.spec.replicas}/{.metadata.labels}", wants: []string{`5/{"app":"web"}`}},
		{args: "get deploy web --show-managed-fields -o yaml", wants: []string{"manager: other", "operation: Apply", "subresource: scale", `k:{"name":"nginx"}`}},
		{args: "set image deploy/web nginx=nginx:2", wants: []string{"deployment.apps/web image updated"}},
		{args: "create job pi --image=pi", wants: []string{"job.batch/pi created"}},
		{args: "create cronjob tick --image=pi --schedule=*/5_*_*_*_*", wants: []string{"cronjob.batch/tick created"}},
		{args: "create role reader --verb=get --resource=pods", wants: []string{"role.rbac.authorization.k8s.io/reader created"}},
		{args: "create ingress web --rule=a.b/=web:80", wants: []string{"ingress.networking.k8s.io/web created"}},
		{args: "create priorityclass high --value=5", wants: []string{"priorityclass.scheduling.k8s.io/high created"}},
		{args: "create pdb web --selector=app=web --min-available=1", wants: []string{"poddisruptionbudget.policy/web created"}},
		{args: "autoscale deploy web --max=3", wants: []string{"horizontalpodautoscaler.autoscaling/web autoscaled"}},
		{args: "get job,cj,role,ing,pc,pdb,hpa,sc,netpol,csr", wants: []string{"job.batch/pi", "cronjob.batch/tick", "N/A"}},
		{args: "auth whoami", wants: []string{"kubernetes-admin", "system:masters"}},
		{args: "auth can-i delete pods", wants: []string{"yes"}},
		{args: "auth can-i --list", wants: []string{"*.*"}},
		{args: "api-resources --sort-by=name", wants: []string{"deployments", "poddisruptionbudgets"}},
		{args: "describe deploy web", wants: []string{"RollingUpdateStrategy:  25% max unavailable, 25% max surge"}},
		{args: "get crds", wants: []string{"No resources found"}},
		{args: "apply -f -", input: "---\n{apiVersion: v1, kind: Nothing, metadata: {name: a}}", fails: true,
			wants: []string{`no matches for kind "Nothing" in version "v1"`}},
		{args: "create -f -", input: definition, fails: true,
			wants: []string{"MethodNotAllowed", "create is not supported on resources of kind \"customresourcedefinitions.apiextensions.k8s.io\""}},
		{args: "create -o jsonpath={.status.allowed} -f -", input: review, wants: []string{"true"}},
		{args: "create serviceaccount default", wants: []string{"created"}}, // no controllers run here
		{args: "create -f -", input: lonePod, wants: []string{"pod/alone created"}},
		{args: "create -f -", input: binding, wants: []string{"binding/alone created"}},
		{args: "get pod alone -o jsonpath={.spec.nodeName}", wants: []string{"n1"}},
		{args: "create ns going", wants: []string{"created"}},
		{args: "delete ns going --wait=false", wants: []string{`namespace "going" deleted`}},
		{args: "get ns going -o jsonpath={.status.phase}/{.metadata.deletionGracePeriodSeconds}/", wants: []string{"Terminating//"}},
		{args: "delete deploy web", wants: []string{`deployment.apps "web" deleted`}},
	} {
		args := strings.Fields(s.args)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "_", " ")
		}
		out, err := run(s.input, args...)
		if (err != nil) != s.fails {
			t.Errorf("kubectl %s: %v\n%s", s.args, err, out)
			continue
		}
		for _, w := range s.wants {
			if !strings.Contains(out, w) {
				t.Errorf("kubectl %s: no %q in\n%s", s.args, w, out)
			}
		}
	}
}
