package conformance

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	typedbatchv1 "k8s.io/client-go/kubernetes/typed/batch/v1"
	"k8s.io/client-go/util/retry"
)

func jobs() []behaviour {
	const oddFail = "[ $((JOB_COMPLETION_INDEX % 2)) -eq 0 ] || exit "
	const firstOnly = "[ $JOB_COMPLETION_INDEX -eq 0 ] || exec sleep 1000"
	indexed := func(n int32, change func(*batchv1.JobSpec)) func(*batchv1.JobSpec) {
		return func(s *batchv1.JobSpec) {
			s.CompletionMode, s.Completions, s.Parallelism = to(batchv1.IndexedCompletion), &n, &n
			change(s)
		}
	}
	success := func(n int32, rule batchv1.SuccessPolicyRule) func(*batchv1.JobSpec) {
		return indexed(n, func(s *batchv1.JobSpec) {
			s.SuccessPolicy = &batchv1.SuccessPolicy{Rules: []batchv1.SuccessPolicyRule{rule}}
		})
	}
	onExit := func(action batchv1.PodFailurePolicyAction, code int32) *batchv1.PodFailurePolicy {
		return &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{Action: action,
			OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{Operator: batchv1.PodFailurePolicyOnExitCodesOpIn, Values: []int32{code}}}}}
	}
	return []behaviour{
		{name: "Jobs, completion after task failure", run: jobEnds{script: "if [ -e /work/again ]; then exit 0; fi; touch /work/again; exit 1", local: true,
			change: func(s *batchv1.JobSpec) { s.Completions, s.Parallelism = to[int32](2), to[int32](2) }, condition: batchv1.JobComplete, succeeded: 2}.run},
		{name: "Verify Pod Failure policy allows to fail job early on exit code.", run: jobEnds{script: "exit 42",
			change: func(s *batchv1.JobSpec) { s.PodFailurePolicy = onExit(batchv1.PodFailurePolicyActionFailJob, 42) }, condition: batchv1.JobFailed, reason: "PodFailurePolicy", failed: 1}.run},
		{name: "Ensure Pods of an Indexed Job get a unique index.", run: jobIndexes},
		{name: "Ensure that all indexes are executed for an indexed job with backoffLimitPerIndex despite some failing", run: jobEnds{script: oddFail + "1",
			change: indexed(4, func(s *batchv1.JobSpec) { s.BackoffLimitPerIndex = to[int32](1) }), condition: batchv1.JobFailed, reason: "FailedIndexes", succeeded: 2, failed: 4, failedIndexes: "1,3", completedIndexes: "0,2"}.run},
		{name: "Terminate job execution when the maxFailedIndexes is exceeded", run: jobEnds{script: oddFail + "1",
			change: indexed(4, func(s *batchv1.JobSpec) { s.BackoffLimitPerIndex, s.MaxFailedIndexes = to[int32](0), to[int32](0) }), condition: batchv1.JobFailed, reason: "MaxFailedIndexesExceeded"}.run},
		{name: "Mark indexes as failed when the FailIndex action is matched in podFailurePolicy", run: jobEnds{script: oddFail + "42",
			change: indexed(4, func(s *batchv1.JobSpec) {
				s.BackoffLimitPerIndex, s.PodFailurePolicy = to[int32](1), onExit(batchv1.PodFailurePolicyActionFailIndex, 42)
			}), condition: batchv1.JobFailed, reason: "FailedIndexes", succeeded: 2, failed: 2, failedIndexes: "1,3", completedIndexes: "0,2"}.run},
		{name: "Ensure that job with successPolicy succeeded when all indexes succeeded", run: jobEnds{script: "exit 0",
			change: success(2, batchv1.SuccessPolicyRule{SucceededCount: to[int32](2)}), condition: batchv1.JobComplete, reason: "SuccessPolicy", met: true, completedIndexes: "0,1"}.run},
		{name: "Ensure that job with successPolicy succeededIndexes rule succeeded even when some indexes remain pending", run: jobEnds{script: firstOnly,
			change: success(3, batchv1.SuccessPolicyRule{SucceededIndexes: to("0")}), condition: batchv1.JobComplete, reason: "SuccessPolicy", met: true, completedIndexes: "0"}.run},
		{name: "Ensure that job with successPolicy succeededCount rule succeeded even when some indexes remain pending", run: jobEnds{script: firstOnly,
			change: success(3, batchv1.SuccessPolicyRule{SucceededCount: to[int32](1)}), condition: batchv1.JobComplete, reason: "SuccessPolicy", met: true, completedIndexes: "0"}.run},
		{name: "Ensure pod failure policy allows to ignore failure matching on the DisruptionTarget condition", run: jobDisrupted},
		{name: "Jobs, orphan pods, re-adoption", run: jobAdopts},
		{name: "Jobs, active pods, graceful termination", run: jobDeleted},
		{name: "Jobs, apply changes to status", run: jobStatus},
		{name: "Jobs, manage lifecycle", run: jobLifecycle},
	}
}

func (f *fixture) jobs() typedbatchv1.JobInterface { return f.kube.BatchV1().Jobs(f.ns) }

func newJob(f *fixture, script string, change func(*batchv1.JobSpec)) *batchv1.Job {
	p := f.shell("job", script, withVolume("work", "/work", emptyDir(false)))
	j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "job", Labels: map[string]string{"test": f.id}}, Spec: batchv1.JobSpec{
		BackoffLimit: to[int32](6), Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "job"}}, Spec: p.Spec}}}
	if change != nil {
		change(&j.Spec)
	}
	if j.Spec.BackoffLimitPerIndex != nil {
		j.Spec.BackoffLimit = nil
	}
	return j
}

// jobEnds is how a job must end.
type jobEnds struct {
	script                          string
	local                           bool // restarted in place
	change                          func(*batchv1.JobSpec)
	condition                       batchv1.JobConditionType
	reason                          string
	met                             bool // by its success policy
	succeeded, failed               int32
	completedIndexes, failedIndexes string
}

func (e jobEnds) run(f *fixture) {
	j := newJob(f, e.script, e.change)
	if e.local {
		j.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
	}
	must(f.jobs().Create(f.ctx, j, metav1.CreateOptions{}))
	j = f.awaitJob("ends", func(j *batchv1.Job) bool {
		return jobCondition(j, batchv1.JobComplete) != nil || jobCondition(j, batchv1.JobFailed) != nil
	})
	c := jobCondition(j, e.condition)
	f.expect(c != nil, "conditions %v, want %s", j.Status.Conditions, e.condition)
	f.expect(e.reason == "" || c.Reason == e.reason, "reason %s, want %s", c.Reason, e.reason)
	if e.met {
		m := jobCondition(j, batchv1.JobSuccessCriteriaMet)
		f.expect(m != nil && m.Reason == "SuccessPolicy", "conditions %v, want SuccessCriteriaMet", j.Status.Conditions)
	}
	f.expect(e.succeeded == 0 || j.Status.Succeeded == e.succeeded, "succeeded %d, want %d", j.Status.Succeeded, e.succeeded)
	f.expect(e.failed == 0 || j.Status.Failed == e.failed, "failed %d, want %d", j.Status.Failed, e.failed)
	f.expect(e.completedIndexes == "" || j.Status.CompletedIndexes == e.completedIndexes, "completed indexes %q, want %q", j.Status.CompletedIndexes, e.completedIndexes)
	if e.failedIndexes != "" {
		f.expect(j.Status.FailedIndexes != nil && *j.Status.FailedIndexes == e.failedIndexes, "failed indexes %v, want %q", j.Status.FailedIndexes, e.failedIndexes)
	}
}

func (f *fixture) awaitJob(what string, ok func(*batchv1.Job) bool) *batchv1.Job {
	f.Helper()
	var j *batchv1.Job
	f.eventually("the job "+what, func() (err error) {
		if j, err = f.jobs().Get(f.ctx, "job", metav1.GetOptions{}); err != nil {
			return err
		}
		return errUnless(ok(j), "status %+v", j.Status)
	})
	return j
}

func jobCondition(j *batchv1.Job, kind batchv1.JobConditionType) *batchv1.JobCondition {
	i := slices.IndexFunc(j.Status.Conditions, func(c batchv1.JobCondition) bool { return c.Type == kind && c.Status == corev1.ConditionTrue })
	if i < 0 {
		return nil
	}
	return &j.Status.Conditions[i]
}

func jobIndexes(f *fixture) {
	must(f.jobs().Create(f.ctx, newJob(f, "echo index=$JOB_COMPLETION_INDEX host=$(hostname).", func(s *batchv1.JobSpec) {
		s.CompletionMode, s.Completions, s.Parallelism = to(batchv1.IndexedCompletion), to[int32](4), to[int32](2)
	}), metav1.CreateOptions{}))
	f.awaitJob("completes", func(j *batchv1.Job) bool { return jobCondition(j, batchv1.JobComplete) != nil })
	seen := map[string]bool{}
	for _, p := range must(f.podsOf("job")) {
		index := p.Annotations["batch.kubernetes.io/job-completion-index"]
		f.expect(p.Labels["batch.kubernetes.io/job-completion-index"] == index && p.Spec.Hostname == "job-"+index, "pod %s: index %q, labels %v, hostname %q", p.Name, index, p.Labels, p.Spec.Hostname)
		f.says(f.log(p.Name, ""), fmt.Sprintf("index=%s host=job-%s.", index, index))
		seen[index] = true
	}
	for i := range 4 {
		f.expect(seen[fmt.Sprint(i)], "no pod of index %d", i)
	}
}

// jobDisrupted: pods that are evicted do not count as failures.
func jobDisrupted(f *fixture) {
	must(f.jobs().Create(f.ctx, newJob(f, "exec sleep 1000", func(s *batchv1.JobSpec) {
		s.CompletionMode, s.Completions, s.Parallelism, s.BackoffLimit = to(batchv1.IndexedCompletion), to[int32](2), to[int32](2), to[int32](0)
		s.PodFailurePolicy = &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{Action: batchv1.PodFailurePolicyActionIgnore,
			OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}}}}}
	}), metav1.CreateOptions{}))
	for _, p := range f.awaitReady("job", 2) {
		check(f.pods().EvictV1(f.ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: f.ns}}))
		f.eventually("the evicted pod is gone", func() error {
			_, err := f.pods().Get(f.ctx, p.Name, metav1.GetOptions{})
			return gone(err)
		})
	}
	f.awaitReady("job", 2) // others in their place
	j := must(f.jobs().Get(f.ctx, "job", metav1.GetOptions{}))
	f.expect(jobCondition(j, batchv1.JobFailed) == nil && j.Status.Failed == 0, "the job counts evictions as failures: %+v", j.Status)
}

func sleepingJob(f *fixture, parallel int32) {
	must(f.jobs().Create(f.ctx, newJob(f, "exec sleep 1000", func(s *batchv1.JobSpec) { s.Parallelism, s.Completions = &parallel, to[int32](4) }), metav1.CreateOptions{}))
	f.awaitJob("runs", func(j *batchv1.Job) bool { return j.Status.Active == parallel })
}

func jobAdopts(f *fixture) {
	sleepingJob(f, 2)
	pod := f.awaitPods("job", 2)[0].Name
	must(f.pods().Patch(f.ctx, pod, types.MergePatchType, []byte(`{"metadata":{"ownerReferences":null}}`), metav1.PatchOptions{}))
	f.adopted(pod, "Job")
	check(retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		p, err := f.pods().Get(f.ctx, pod, metav1.GetOptions{})
		if err != nil {
			return err
		}
		p.Labels = nil
		_, err = f.pods().Update(f.ctx, p, metav1.UpdateOptions{})
		return err
	}))
	f.adopted(pod, "")
}

func jobDeleted(f *fixture) {
	sleepingJob(f, 2)
	f.awaitPods("job", 2)
	check(f.jobs().Delete(f.ctx, "job", metav1.DeleteOptions{PropagationPolicy: to(metav1.DeletePropagationForeground)}))
	f.eventually("the job is gone", func() error {
		_, err := f.jobs().Get(f.ctx, "job", metav1.GetOptions{})
		return gone(err)
	})
	f.awaitPods("job", 0)
}

func jobStatus(f *fixture) {
	sleepingJob(f, 2)
	got := must(f.jobs().Patch(f.ctx, "job", types.MergePatchType, []byte(`{"metadata":{"annotations":{"patchedstatus":"true"}},"status":{"startTime":"2024-01-01T00:00:00Z"}}`), metav1.PatchOptions{}, "status"))
	f.expect(got.Annotations["patchedstatus"] == "true", "the annotation is lost")
	check(retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		j, err := f.jobs().Get(f.ctx, "job", metav1.GetOptions{})
		if err != nil {
			return err
		}
		j.Annotations["updatedstatus"] = "true"
		got, err = f.jobs().UpdateStatus(f.ctx, j, metav1.UpdateOptions{})
		return err
	}))
	u := must(f.dynamic.Resource(v1("batch", "jobs")).Namespace(f.ns).Get(f.ctx, "job", metav1.GetOptions{}, "status"))
	f.expect(string(u.GetUID()) == string(got.UID), "the status subresource is another object's")
}

func jobLifecycle(f *fixture) {
	sel := metav1.ListOptions{LabelSelector: "test=" + f.id}
	must(f.jobs().Create(f.ctx, newJob(f, "exit 0", func(s *batchv1.JobSpec) { s.Suspend = to(true) }), metav1.CreateOptions{}))
	f.awaitJob("is suspended", func(j *batchv1.Job) bool { return jobCondition(j, batchv1.JobSuspended) != nil })
	got := must(f.jobs().Patch(f.ctx, "job", types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"patched":"yes"}}}`), metav1.PatchOptions{}))
	f.expect(got.Labels["patched"] == "yes", "the patch is lost")
	check(retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		j, err := f.jobs().Get(f.ctx, "job", metav1.GetOptions{})
		if err != nil {
			return err
		}
		j.Annotations, j.Spec.Suspend = map[string]string{"updated": "true"}, to(false)
		got, err = f.jobs().Update(f.ctx, j, metav1.UpdateOptions{})
		return err
	}))
	f.expect(got.Annotations["updated"] == "true", "the update is lost")
	f.awaitJob("completes once resumed", func(j *batchv1.Job) bool { return jobCondition(j, batchv1.JobComplete) != nil })
	f.expect(len(must(f.kube.BatchV1().Jobs("").List(f.ctx, sel)).Items) == 1, "the job is not listed in all namespaces")
	check(f.jobs().DeleteCollection(f.ctx, metav1.DeleteOptions{PropagationPolicy: to(metav1.DeletePropagationBackground)}, sel))
	f.eventually("the job is gone", func() error {
		l, err := f.jobs().List(f.ctx, sel)
		if err != nil {
			return err
		}
		return errUnless(len(l.Items) == 0, "%d jobs", len(l.Items))
	})
}
