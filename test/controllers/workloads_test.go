package controllers_test

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func nginx(replicas int32, image string) *appsv1.Deployment {
	labels := map[string]string{"app": "nginx"}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "nginx", Namespace: "default", Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "nginx", Image: image,
					Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 80}}}}},
			},
		},
	}
}

func reason(d *appsv1.Deployment, t appsv1.DeploymentConditionType) string {
	for _, c := range d.Status.Conditions {
		if c.Type == t {
			return c.Reason
		}
	}
	return ""
}

func TestDeploymentRollsOutAndBack(t *testing.T) {
	t.Run("in process", func(t *testing.T) { rollOutAndBack(t, newCluster(t)) })
	t.Run("over HTTP", func(t *testing.T) { rollOutAndBack(t, newRemoteCluster(t)) })
}

func rollOutAndBack(t *testing.T, c *cluster) {
	c.runPods()
	must := must[*appsv1.Deployment](t)
	api := c.kube.AppsV1().Deployments("default")
	deployments := informer[*appsv1.Deployment](c, appsv1.SchemeGroupVersion, "deployments")
	sets := informer[*appsv1.ReplicaSet](c, appsv1.SchemeGroupVersion, "replicasets")
	complete := func(revision string) func() bool {
		return func() bool {
			d, ok := deployments.Get("default", "nginx")
			return ok && d.Status.ObservedGeneration == d.Generation && d.Status.AvailableReplicas == *d.Spec.Replicas &&
				d.Status.UpdatedReplicas == *d.Spec.Replicas && d.Status.Replicas == *d.Spec.Replicas &&
				d.Annotations["deployment.kubernetes.io/revision"] == revision &&
				reason(d, appsv1.DeploymentProgressing) == "NewReplicaSetAvailable" &&
				reason(d, appsv1.DeploymentAvailable) == "MinimumReplicasAvailable"
		}
	}
	must(api.Create(c.ctx, nginx(3, "nginx:1"), metav1.CreateOptions{}))
	until(c, deployments, "first rollout", complete("1"))

	edit(c, api, "nginx", func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "nginx:2" })
	until(c, deployments, "second rollout", complete("2"))

	n := int32(5)
	edit(c, api, "nginx", func(d *appsv1.Deployment) {
		d.Spec.Template.Spec.Containers[0].Image = "nginx:1"
		d.Spec.Replicas = &n
	})
	until(c, deployments, "rollback and scaling", complete("3"))
	if got := len(sets.List()); got != 2 {
		t.Errorf("%d replica sets, want 2: a rollback uses the old one again", got)
	}

	events := informer[*corev1.Event](c, corev1.SchemeGroupVersion, "events")
	until(c, events, "events", func() bool {
		var up, made bool
		for _, e := range events.List() {
			up = up || e.Reason == "ScalingReplicaSet" && strings.HasPrefix(e.Message, "Scaled up replica set nginx-") &&
				strings.HasSuffix(e.Message, " from 0 to 3") && e.Source.Component == "deployment-controller"
			made = made || e.Reason == "SuccessfulCreate" && strings.HasPrefix(e.Message, "Created pod: nginx-") && e.InvolvedObject.Kind == "ReplicaSet"
		}
		return up && made
	})
}

func TestRecreateNeverMixesVersions(t *testing.T) {
	c := newCluster(t)
	c.runPods()
	pods := informer[*corev1.Pod](c, corev1.SchemeGroupVersion, "pods")
	deployments := informer[*appsv1.Deployment](c, appsv1.SchemeGroupVersion, "deployments")
	d := nginx(3, "nginx:1")
	d.Spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType
	must := must[*appsv1.Deployment](t)
	api := c.kube.AppsV1().Deployments("default")
	must(api.Create(c.ctx, d, metav1.CreateOptions{}))
	done := func(image string) func() bool {
		return func() bool {
			images := map[string]bool{}
			for _, p := range pods.List() {
				images[p.Spec.Containers[0].Image] = true
			}
			if len(images) > 1 {
				t.Errorf("pods of two versions at once")
			}
			d, ok := deployments.Get("default", "nginx")
			return ok && images[image] && d.Status.AvailableReplicas == 3 && d.Status.UpdatedReplicas == 3
		}
	}
	until(c, deployments, "first rollout", done("nginx:1"))
	edit(c, api, "nginx", func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "nginx:2" })
	until(c, deployments, "second rollout", done("nginx:2"))
}

func TestServiceHasSlices(t *testing.T) {
	c := newCluster(t)
	c.runPods()
	slicesOf := informer[*discoveryv1.EndpointSlice](c, discoveryv1.SchemeGroupVersion, "endpointslices")
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "nginx", Namespace: "default"},
		Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "nginx"}, ClusterIP: "None",
			Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromString("http")}}},
	}
	must[*corev1.Service](t)(c.kube.CoreV1().Services("default").Create(c.ctx, svc, metav1.CreateOptions{}))
	ready := func(n int) func() bool {
		return func() bool {
			all := slicesOf.List()
			if len(all) != 1 || all[0].Labels["kubernetes.io/service-name"] != "nginx" || !strings.HasPrefix(all[0].Name, "nginx-") {
				return false
			}
			got := 0
			for _, e := range all[0].Endpoints {
				if *e.Conditions.Ready {
					got++
				}
			}
			return got == n && (n == 0 || *all[0].Ports[0].Port == 80)
		}
	}
	until(c, slicesOf, "an empty slice", ready(0))
	must[*appsv1.Deployment](t)(c.kube.AppsV1().Deployments("default").Create(c.ctx, nginx(3, "nginx:1"), metav1.CreateOptions{}))
	until(c, slicesOf, "three ready endpoints", ready(3))
}

func TestNamespaceLife(t *testing.T) {
	c := newCluster(t)
	c.runPods()
	c.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
	accounts := informer[*corev1.ServiceAccount](c, corev1.SchemeGroupVersion, "serviceaccounts")
	maps := informer[*corev1.ConfigMap](c, corev1.SchemeGroupVersion, "configmaps")
	namespaces := informer[*corev1.Namespace](c, corev1.SchemeGroupVersion, "namespaces")
	until(c, accounts, "service account", func() bool { _, ok := accounts.Get("shop", "default"); return ok })
	until(c, maps, "root CA", func() bool {
		m, ok := maps.Get("shop", "kube-root-ca.crt")
		return ok && m.Data["ca.crt"] != ""
	})
	d := nginx(2, "nginx:1")
	d.Namespace = "shop"
	must[*appsv1.Deployment](t)(c.kube.AppsV1().Deployments("shop").Create(c.ctx, d, metav1.CreateOptions{}))
	pods := informer[*corev1.Pod](c, corev1.SchemeGroupVersion, "pods")
	until(c, pods, "pods", func() bool { return len(pods.ListIn("shop")) == 2 })
	if err := c.kube.CoreV1().Namespaces().Delete(c.ctx, "shop", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	until(c, namespaces, "namespace gone", func() bool { _, ok := namespaces.Get("", "shop"); return !ok })
	left := must[*corev1.ServiceAccountList](t)(c.kube.CoreV1().ServiceAccounts("shop").List(c.ctx, metav1.ListOptions{}))
	for _, sa := range left.Items {
		t.Errorf("left: %v", sa)
	}
	if sets := must[*appsv1.ReplicaSetList](t)(c.kube.AppsV1().ReplicaSets("shop").List(c.ctx, metav1.ListOptions{})); len(sets.Items) > 0 {
		t.Errorf("left: %v", sets.Items)
	}
}

func TestNodesGetDifferentCIDRs(t *testing.T) {
	c := newCluster(t)
	nodes := informer[*corev1.Node](c, corev1.SchemeGroupVersion, "nodes")
	for _, name := range []string{"a", "b", "c"} {
		must[*corev1.Node](t)(c.kube.CoreV1().Nodes().Create(c.ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}))
	}
	until(c, nodes, "podCIDRs", func() bool {
		var cidrs []string
		for _, n := range nodes.List() {
			if n.Spec.PodCIDR != "" {
				cidrs = append(cidrs, n.Spec.PodCIDR)
			}
		}
		slices.Sort(cidrs)
		return slices.Equal(cidrs, []string{"10.244.0.0/24", "10.244.1.0/24", "10.244.2.0/24"})
	})
}
