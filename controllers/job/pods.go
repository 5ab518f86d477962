package job

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/kit"
)

// orphanPrefix marks keys of pods whose job is gone; no name of a job has a slash.
const orphanPrefix = "pod/"

func orphanName(key kit.Key) (string, bool) { return strings.CutPrefix(key.Name, orphanPrefix) }

// owner resolves the job that controls a pod. ours says that its controller is a job at all.
func (c *controller) owner(p *corev1.Pod) (key kit.Key, found, ours bool) {
	ref := metav1.GetControllerOfNoCopy(p)
	if ref == nil || ref.Kind != gvk.Kind {
		return kit.Key{}, false, false
	}
	key = kit.Key{Namespace: p.Namespace, Name: ref.Name}
	j, ok := c.jobs.Get(key.Namespace, key.Name)
	return key, ok && j.UID == ref.UID, true
}

func (c *controller) podAdded(p *corev1.Pod) {
	if key, found, _ := c.owner(p); found {
		c.expect.Created(key)
		if p.DeletionTimestamp != nil {
			c.expect.Deleted(key, p.UID)
		}
		c.loop.Add(key)
		return
	}
	c.stray(p)
}

func (c *controller) podChanged(old, p *corev1.Pod) {
	if old.ResourceVersion == p.ResourceVersion {
		return
	}
	key, found, _ := c.owner(p)
	if was, had, _ := c.owner(old); had && was != key {
		c.loop.Add(was)
	}
	if !found {
		c.stray(p)
		return
	}
	if p.DeletionTimestamp != nil {
		c.expect.Deleted(key, p.UID)
	}
	c.loop.Add(key)
}

func (c *controller) podGone(p *corev1.Pod) {
	if key, found, _ := c.owner(p); found {
		c.expect.Deleted(key, p.UID)
		c.loop.Add(key)
	}
}

// stray sees to a pod without a job that exists: it must not be held for ever, and if nobody owns it
// some job may want it.
func (c *controller) stray(p *corev1.Pod) {
	if tracked(p) {
		c.loop.Add(kit.Key{Namespace: p.Namespace, Name: orphanPrefix + p.Name})
	}
	if metav1.GetControllerOfNoCopy(p) != nil || len(p.Labels) == 0 || p.DeletionTimestamp != nil {
		return
	}
	c.offers.Offer(c.loop, p.Namespace, p.Labels)
}

func (c *controller) jobGone(j *batchv1.Job) {
	c.loop.Add(kit.KeyOf(j))
	for _, p := range kit.Owned(c.pods, j.UID) {
		c.stray(p)
	}
}

// freeOrphan takes the finalizer off a pod when its job is gone indeed.
func (c *controller) freeOrphan(ctx context.Context, namespace, name string) error {
	p, ok := c.pods.Get(namespace, name)
	if !ok || !tracked(p) {
		return nil
	}
	if _, found, ours := c.owner(p); found {
		return nil
	} else if ours {
		ref := metav1.GetControllerOfNoCopy(p)
		j, err := c.kube.BatchV1().Jobs(namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		if err == nil && j.UID == ref.UID {
			return fmt.Errorf("job %s of pod %s is not seen yet", ref.Name, name)
		}
	}
	return c.free(ctx, p)
}

// giveIndex makes a pod the one of a completion index.
func giveIndex(p *corev1.Pod, j *batchv1.Job, index int) {
	text := strconv.Itoa(index)
	p.Labels, p.Annotations = maps.Clone(p.Labels), maps.Clone(p.Annotations)
	metav1.SetMetaDataLabel(&p.ObjectMeta, batchv1.JobCompletionIndexAnnotation, text)
	metav1.SetMetaDataAnnotation(&p.ObjectMeta, batchv1.JobCompletionIndexAnnotation, text)
	p.GenerateName = j.Name + "-" + text + "-"
	p.Spec.Hostname = j.Name + "-" + text
	env := corev1.EnvVar{Name: "JOB_COMPLETION_INDEX", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{
		APIVersion: "v1", FieldPath: "metadata.labels['" + batchv1.JobCompletionIndexAnnotation + "']"}}}
	for _, list := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range list {
			if !hasEnv(list[i].Env, env.Name) {
				list[i].Env = append(list[i].Env, env)
			}
		}
	}
}

func hasEnv(list []corev1.EnvVar, name string) bool {
	for i := range list {
		if list[i].Name == name {
			return true
		}
	}
	return false
}
