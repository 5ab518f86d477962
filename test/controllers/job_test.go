package controllers_test

import (
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/kit"
)

// finishPods ends every pod at once as phase says.
func (c *cluster) finishPods(phase func(*corev1.Pod) corev1.PodPhase) {
	pods := informer[*corev1.Pod](c, corev1.SchemeGroupVersion, "pods")
	pods.OnChange(kit.Handler[*corev1.Pod]{
		Add: func(p *corev1.Pod, _ bool) {
			go func() {
				out := p.DeepCopy()
				out.Status.Phase = phase(p)
				_, _ = c.kube.CoreV1().Pods(p.Namespace).UpdateStatus(c.ctx, out, metav1.UpdateOptions{})
			}()
		},
	})
}

func newJob(change func(*batchv1.JobSpec)) *batchv1.Job {
	j := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "pi", Namespace: "default"},
		Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "pi", Image: "perl"}}}}},
	}
	change(&j.Spec)
	return j
}

func jobCondition(j *batchv1.Job, t batchv1.JobConditionType) string {
	for _, c := range j.Status.Conditions {
		if c.Type == t && c.Status == corev1.ConditionTrue {
			return c.Reason
		}
	}
	return ""
}

// evenFails: pods of even indexes fail.
func evenFails(p *corev1.Pod) corev1.PodPhase {
	switch p.Annotations[batchv1.JobCompletionIndexAnnotation] {
	case "0", "2", "4":
		return corev1.PodFailed
	}
	return corev1.PodSucceeded
}

func TestJobs(t *testing.T) {
	five, three, two, one, zero := int32(5), int32(3), int32(2), int32(1), int32(0)
	indexed := batchv1.IndexedCompletion
	succeed := func(*corev1.Pod) corev1.PodPhase { return corev1.PodSucceeded }
	cases := map[string]struct {
		spec  func(*batchv1.JobSpec)
		phase func(*corev1.Pod) corev1.PodPhase
		done  func(*batchv1.Job) bool
	}{
		"completes": {
			spec:  func(s *batchv1.JobSpec) { s.Completions, s.Parallelism = &five, &three },
			phase: succeed,
			done: func(j *batchv1.Job) bool {
				return jobCondition(j, batchv1.JobComplete) == "CompletionsReached" && j.Status.Succeeded == 5 && j.Status.CompletionTime != nil
			},
		},
		"indexed": {
			spec:  func(s *batchv1.JobSpec) { s.Completions, s.Parallelism, s.CompletionMode = &five, &three, &indexed },
			phase: succeed,
			done: func(j *batchv1.Job) bool {
				return jobCondition(j, batchv1.JobComplete) != "" && j.Status.CompletedIndexes == "0-4"
			},
		},
		"fails": {
			spec:  func(s *batchv1.JobSpec) { s.BackoffLimit = &zero },
			phase: func(*corev1.Pod) corev1.PodPhase { return corev1.PodFailed },
			done: func(j *batchv1.Job) bool {
				return jobCondition(j, batchv1.JobFailed) == "BackoffLimitExceeded" && j.Status.Failed == 1
			},
		},
		"some indexes fail": {
			spec: func(s *batchv1.JobSpec) {
				s.Completions, s.Parallelism, s.CompletionMode, s.BackoffLimitPerIndex = &five, &five, &indexed, &zero
			},
			phase: evenFails,
			done: func(j *batchv1.Job) bool {
				return jobCondition(j, batchv1.JobFailed) == "FailedIndexes" && j.Status.CompletedIndexes == "1,3" &&
					*j.Status.FailedIndexes == "0,2,4" && j.Status.Failed == 3 && j.Status.Succeeded == 2
			},
		},
		"too many indexes fail": {
			spec: func(s *batchv1.JobSpec) {
				s.Completions, s.Parallelism, s.CompletionMode, s.BackoffLimitPerIndex, s.MaxFailedIndexes = &five, &one, &indexed, &zero, &zero
			},
			phase: evenFails,
			done: func(j *batchv1.Job) bool {
				return jobCondition(j, batchv1.JobFailed) == "MaxFailedIndexesExceeded" && *j.Status.FailedIndexes == "0"
			},
		},
		"enough succeed": {
			spec: func(s *batchv1.JobSpec) {
				s.Completions, s.Parallelism, s.CompletionMode, s.BackoffLimitPerIndex = &five, &five, &indexed, &one
				s.SuccessPolicy = &batchv1.SuccessPolicy{Rules: []batchv1.SuccessPolicyRule{{SucceededCount: &two}}}
			},
			phase: evenFails,
			done: func(j *batchv1.Job) bool {
				return jobCondition(j, batchv1.JobComplete) == "SuccessPolicy" && jobCondition(j, batchv1.JobSuccessCriteriaMet) == "SuccessPolicy" &&
					j.Status.CompletedIndexes == "1,3"
			},
		},
	}
	for name, k := range cases {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			c.finishPods(k.phase)
			jobs := informer[*batchv1.Job](c, batchv1.SchemeGroupVersion, "jobs")
			pods := informer[*corev1.Pod](c, corev1.SchemeGroupVersion, "pods")
			must[*batchv1.Job](t)(c.kube.BatchV1().Jobs("default").Create(c.ctx, newJob(k.spec), metav1.CreateOptions{}))
			until(c, jobs, "end", func() bool {
				j, ok := jobs.Get("default", "pi")
				return ok && k.done(j)
			})
			until(c, pods, "no pod is held", func() bool {
				for _, p := range pods.List() {
					if len(p.Finalizers) > 0 {
						return false
					}
				}
				return true
			})
		})
	}
}
