package conformance

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// disruption: budgets, preemption, and what other controllers do by the clock.
func disruption() []behaviour {
	return []behaviour{
		{name: "PodDisruptionBudget: Status updates", run: budgetCounted},
		{name: "PodDisruptionBudget: block an eviction until the PDB is updated to allow it", run: budgetBlocks},
		{name: "EndpointSlice Mirroring", run: mirrored},
		{name: "Scheduler, Basic Preemption", run: preempts(""), serial: true},
		{name: "Scheduler, Preemption for critical pod", run: preempts("system-cluster-critical"), serial: true},
		{name: "Verify the DisruptionTarget condition is added to the preempted pod", run: preemptedTold, serial: true},
		{name: "Pod preemption verification", run: preemptsLevels, serial: true},
		{name: "CronJob AllowConcurrent", run: cron(batchv1.AllowConcurrent)},
		{name: "CronJob ForbidConcurrent", run: cron(batchv1.ForbidConcurrent)},
		{name: "CronJob ReplaceConcurrent", run: cron(batchv1.ReplaceConcurrent)},
		{name: "CronJob Suspend", run: cronSuspended},
	}
}

func budgetCounted(f *fixture) {
	c := f.kube.PolicyV1().PodDisruptionBudgets(f.ns)
	b := newBudget(f, "one")
	b.Spec.MinAvailable = to(intstr.FromInt32(2))
	must(c.Create(f.ctx, b, metav1.CreateOptions{}))
	allowed := func(want int32) {
		f.Helper()
		f.eventually(fmt.Sprintf("%d disruptions are allowed", want), func() error {
			b, err := c.Get(f.ctx, "one", metav1.GetOptions{})
			if err != nil {
				return err
			}
			return errUnless(b.Status.ObservedGeneration == b.Generation && b.Status.DisruptionsAllowed == want, "status %+v", b.Status)
		})
	}
	allowed(0)
	must(f.kube.AppsV1().ReplicaSets(f.ns).Create(f.ctx, newReplicaSet(f, "web", 3), metav1.CreateOptions{}))
	f.awaitReady("web", 3)
	allowed(1)
}

func budgetBlocks(f *fixture) {
	c := f.kube.PolicyV1().PodDisruptionBudgets(f.ns)
	must(f.kube.AppsV1().ReplicaSets(f.ns).Create(f.ctx, newReplicaSet(f, "web", 3), metav1.CreateOptions{}))
	pod := f.awaitReady("web", 3)[0].Name
	evict := func() error {
		return f.pods().EvictV1(f.ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod, Namespace: f.ns}})
	}
	b := newBudget(f, "one")
	b.Spec.MinAvailable = to(intstr.FromInt32(3))
	must(c.Create(f.ctx, b, metav1.CreateOptions{}))
	f.eventually("the budget counts the pods", func() error {
		b, err := c.Get(f.ctx, "one", metav1.GetOptions{})
		if err != nil {
			return err
		}
		return errUnless(b.Status.CurrentHealthy == 3 && b.Status.ObservedGeneration == b.Generation, "status %+v", b.Status)
	})
	f.fails(evict(), apierrors.IsTooManyRequests, "evicting against the budget")
	must(c.Patch(f.ctx, "one", types.MergePatchType, []byte(`{"spec":{"minAvailable":2}}`), metav1.PatchOptions{}))
	f.eventually("the eviction is allowed", evict)
	f.eventually("the evicted pod is gone", func() error {
		_, err := f.pods().Get(f.ctx, pod, metav1.GetOptions{})
		return gone(err)
	})
}

// mirrored: Endpoints made by hand for a service without selector show as slices.
func mirrored(f *fixture) {
	f.createService(newService("own", nil, corev1.ServicePort{Name: "http", Port: 80}))
	c := f.kube.CoreV1().Endpoints(f.ns)
	slices := func(want ...string) {
		f.Helper()
		f.awaitEndpoints("own", want...)
		l := must(f.kube.DiscoveryV1().EndpointSlices(f.ns).List(f.ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=own"})).Items
		for _, s := range l {
			f.expect(s.Labels[discoveryv1.LabelManagedBy] == "endpointslicemirroring-controller.k8s.io", "labels %v", s.Labels)
		}
	}
	must(c.Create(f.ctx, &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: "own"}, Subsets: []corev1.EndpointSubset{{ //nolint:staticcheck // the old API is what is tested
		Addresses: []corev1.EndpointAddress{{IP: "10.1.2.3"}}, Ports: []corev1.EndpointPort{{Name: "http", Port: 80}}}}}, metav1.CreateOptions{})) //nolint:staticcheck // the old API is what is tested
	slices("10.1.2.3:80")
	must(c.Patch(f.ctx, "own", types.MergePatchType, []byte(`{"subsets":[{"addresses":[{"ip":"10.2.3.4"}],"ports":[{"name":"http","port":9090}]}]}`), metav1.PatchOptions{}))
	slices("10.2.3.4:9090")
	check(c.Delete(f.ctx, "own", metav1.DeleteOptions{}))
	slices()
}

// dongle is a resource that only this behaviour's node has, so that filling it up
// concerns nobody else.
func dongle(f *fixture, node string, count int) string {
	name := "hyperkube.test/" + f.id
	set := func(ctx context.Context, value string) error {
		patch := fmt.Sprintf(`{"status":{"capacity":{%q:%s},"allocatable":{%q:%s}}}`, name, value, name, value)
		_, err := f.kube.CoreV1().Nodes().Patch(ctx, node, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
		return err
	}
	f.later(func(ctx context.Context) error { return set(ctx, "null") })
	check(set(f.ctx, fmt.Sprintf("%q", fmt.Sprint(count))))
	f.eventually("the node has the resource", func() error {
		n, err := f.kube.CoreV1().Nodes().Get(f.ctx, node, metav1.GetOptions{})
		if err != nil {
			return err
		}
		have := n.Status.Allocatable[corev1.ResourceName(name)]
		return errUnless(have.Value() == int64(count), "allocatable %v", n.Status.Allocatable)
	})
	return name
}

func (f *fixture) priorityClass(name string, value int32) option {
	name = f.id + "-" + name
	c := f.kube.SchedulingV1().PriorityClasses()
	must(c.Create(f.ctx, &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Value: value}, metav1.CreateOptions{}))
	f.later(func(ctx context.Context) error { return c.Delete(ctx, name, metav1.DeleteOptions{}) })
	return func(p *corev1.Pod) { p.Spec.PriorityClassName = name }
}

// preempts: a pod of high priority takes the place of a low one, not of a middle one.
func preempts(class string) func(*fixture) {
	return func(f *fixture) {
		node := f.start(f.sleeper("finder")).Spec.NodeName
		r := dongle(f, node, 2)
		f.start(f.sleeper("low", f.priorityClass("low", 1), requests(r, "1")))
		f.start(f.sleeper("middle", f.priorityClass("middle", 100), requests(r, "1")))
		high := f.sleeper("high", requests(r, "1"))
		if class == "" {
			f.priorityClass("high", 1000)(high)
		} else {
			high.Spec.PriorityClassName = class
		}
		f.start(high)
		f.eventually("the low pod is gone", func() error {
			_, err := f.pods().Get(f.ctx, "low", metav1.GetOptions{})
			return gone(err)
		})
		check(notDeleted(f, "middle"))
	}
}

func preemptedTold(f *fixture) {
	node := f.start(f.sleeper("finder")).Spec.NodeName
	r := dongle(f, node, 1)
	victim := f.sleeper("victim", f.priorityClass("low", 1), requests(r, "1"))
	victim.Finalizers = []string{"hyperkube.test/hold"}
	f.later(dropFinalizers(f, "victim"))
	f.start(victim)
	f.create(f.sleeper("high", f.priorityClass("high", 1000), requests(r, "1")))
	p := f.awaitPod("victim", "is preempted", func(p *corev1.Pod) bool { return p.DeletionTimestamp != nil })
	f.expect(podCondition(p, corev1.DisruptionTarget) == corev1.ConditionTrue, "conditions %v", p.Status.Conditions)
	check(dropFinalizers(f, "victim")(f.ctx))
	f.awaitPod("high", "ready", podReady)
}

// preemptsLevels: three levels fill a node; the fourth takes the places of the lowest two.
func preemptsLevels(f *fixture) {
	node := f.start(f.sleeper("finder")).Spec.NodeName
	r := dongle(f, node, 3)
	level := func(i int, replicas int32, each string) {
		p := f.sleeper("x", f.priorityClass(fmt.Sprint(i), int32(i*100)), requests(r, each))
		rs := newReplicaSet(f, fmt.Sprintf("level-%d", i), replicas)
		rs.Spec.Template.Spec = p.Spec
		must(f.kube.AppsV1().ReplicaSets(f.ns).Create(f.ctx, rs, metav1.CreateOptions{}))
		f.eventually(fmt.Sprintf("level %d runs", i), func() error {
			rs, err := f.kube.AppsV1().ReplicaSets(f.ns).Get(f.ctx, rs.Name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			return errUnless(rs.Status.ReadyReplicas == replicas, "status %+v", rs.Status)
		})
	}
	for i := 1; i <= 3; i++ {
		level(i, 1, "1")
	}
	level(4, 1, "2")
	for i, want := range map[int]int32{1: 0, 2: 0, 3: 1, 4: 1} {
		f.eventually(fmt.Sprintf("level %d has %d", i, want), func() error {
			rs, err := f.kube.AppsV1().ReplicaSets(f.ns).Get(f.ctx, fmt.Sprintf("level-%d", i), metav1.GetOptions{})
			if err != nil {
				return err
			}
			return errUnless(rs.Status.ReadyReplicas == want, "status %+v", rs.Status)
		})
	}
}

func newCron(f *fixture, policy batchv1.ConcurrencyPolicy) *batchv1.CronJob {
	j := newJob(f, "exec sleep 1000", nil)
	return &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: "cron"}, Spec: batchv1.CronJobSpec{
		Schedule: "*/1 * * * ?", ConcurrencyPolicy: policy, JobTemplate: batchv1.JobTemplateSpec{Spec: j.Spec}}}
}

// cronPatience is two minutes of a schedule and some.
const cronPatience = 2*time.Minute + 30*time.Second

// cron waits for a second turn while the job of the first still runs.
func cron(policy batchv1.ConcurrencyPolicy) func(*fixture) {
	return func(f *fixture) {
		c := f.kube.BatchV1().CronJobs(f.ns)
		must(c.Create(f.ctx, newCron(f, policy), metav1.CreateOptions{}))
		live := func() (*batchv1.CronJob, []batchv1.Job, error) {
			cj, err := c.Get(f.ctx, "cron", metav1.GetOptions{})
			if err != nil {
				return nil, nil, err
			}
			l, err := f.jobs().List(f.ctx, metav1.ListOptions{})
			if err != nil {
				return nil, nil, err
			}
			return cj, l.Items, nil
		}
		var first types.UID
		f.within(cronPatience, "the first job", func() error {
			cj, jobs, err := live()
			if err != nil || len(jobs) != 1 || len(cj.Status.Active) != 1 {
				return fmt.Errorf("%d jobs, %v", len(jobs), err)
			}
			first = jobs[0].UID
			return nil
		})
		// A second turn comes within the next minute.
		switch policy {
		case batchv1.AllowConcurrent:
			f.within(cronPatience, "two jobs at once", func() error {
				cj, jobs, err := live()
				return errUnless(err == nil && len(jobs) >= 2 && len(cj.Status.Active) >= 2, "%d jobs, %v", len(jobs), err)
			})
		case batchv1.ForbidConcurrent:
			f.holds(65*time.Second, "no second job while the first runs", func() error {
				_, jobs, err := live()
				return errUnless(err == nil && len(jobs) == 1 && jobs[0].UID == first, "%d jobs, %v", len(jobs), err)
			})
		case batchv1.ReplaceConcurrent:
			f.within(cronPatience, "the job is replaced", func() error {
				cj, jobs, err := live()
				return errUnless(err == nil && len(jobs) == 1 && jobs[0].UID != first && len(cj.Status.Active) == 1, "%d jobs, %v", len(jobs), err)
			})
		}
	}
}

func cronSuspended(f *fixture) {
	cj := newCron(f, batchv1.AllowConcurrent)
	cj.Spec.Suspend = to(true)
	must(f.kube.BatchV1().CronJobs(f.ns).Create(f.ctx, cj, metav1.CreateOptions{}))
	f.holds(65*time.Second, "no job of a suspended cron job", func() error {
		l, err := f.jobs().List(f.ctx, metav1.ListOptions{})
		return errUnless(err == nil && len(l.Items) == 0, "%v", err)
	})
}
