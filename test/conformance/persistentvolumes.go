package conformance

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func persistentVolumes() []behaviour {
	return []behaviour{
		{name: "PersistentVolumes(Claims), lifecycle", run: volumeLifecycle},
		{name: "PersistentVolumes(Claims), apply changes to a pv/pvc status", run: volumeStatus},
	}
}

// makeVolume makes a volume and a claim that do not match: nothing binds them.
func makeVolume(f *fixture) {
	sel := metav1.ListOptions{LabelSelector: "test=" + f.id}
	f.later(func(ctx context.Context) error {
		return f.kube.CoreV1().PersistentVolumes().DeleteCollection(ctx, metav1.DeleteOptions{}, sel)
	})
	size := corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	must(f.kube.CoreV1().PersistentVolumes().Create(f.ctx, &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: f.id, Labels: map[string]string{"test": f.id}}, Spec: corev1.PersistentVolumeSpec{
		Capacity: size, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: f.id, PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
		PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: "none.example.com", VolumeHandle: f.id}},
	}}, metav1.CreateOptions{}))
	must(f.kube.CoreV1().PersistentVolumeClaims(f.ns).Create(f.ctx, &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "claim", Labels: map[string]string{"test": f.id}}, Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: to("other-" + f.id), Resources: corev1.VolumeResourceRequirements{Requests: size},
	}}, metav1.CreateOptions{}))
}

func volumeLifecycle(f *fixture) {
	pvs, pvcs, sel := f.kube.CoreV1().PersistentVolumes(), f.kube.CoreV1().PersistentVolumeClaims(f.ns), metav1.ListOptions{LabelSelector: "test=" + f.id}
	absent := func() {
		f.eventually("volume and claim are gone", func() error {
			if _, err := pvcs.Get(f.ctx, "claim", metav1.GetOptions{}); gone(err) != nil {
				return gone(err)
			}
			_, err := pvs.Get(f.ctx, f.id, metav1.GetOptions{})
			return gone(err)
		})
	}
	makeVolume(f)
	f.expect(len(must(pvs.List(f.ctx, sel)).Items) == 1 && len(must(pvcs.List(f.ctx, metav1.ListOptions{})).Items) == 1, "volume or claim is not listed")
	patch := []byte(`{"metadata":{"labels":{"patched":"yes"}}}`)
	pv := must(pvs.Patch(f.ctx, f.id, types.StrategicMergePatchType, patch, metav1.PatchOptions{}))
	pvc := must(pvcs.Patch(f.ctx, "claim", types.StrategicMergePatchType, patch, metav1.PatchOptions{}))
	f.expect(pv.Labels["patched"] == "yes" && pvc.Labels["patched"] == "yes", "a patch is lost")
	f.expect(must(pvs.Get(f.ctx, f.id, metav1.GetOptions{})).UID == pv.UID && must(pvcs.Get(f.ctx, "claim", metav1.GetOptions{})).UID == pvc.UID, "another object")
	check(pvcs.Delete(f.ctx, "claim", metav1.DeleteOptions{}))
	check(pvs.Delete(f.ctx, f.id, metav1.DeleteOptions{}))
	absent()

	makeVolume(f)
	f.eventually("updates", func() error {
		pv, err := pvs.Get(f.ctx, f.id, metav1.GetOptions{})
		if err != nil {
			return err
		}
		pv.Labels["updated"] = "yes"
		if pv, err = pvs.Update(f.ctx, pv, metav1.UpdateOptions{}); err != nil {
			return err
		}
		pvc, err := pvcs.Get(f.ctx, "claim", metav1.GetOptions{})
		if err != nil {
			return err
		}
		pvc.Labels["updated"] = "yes"
		if pvc, err = pvcs.Update(f.ctx, pvc, metav1.UpdateOptions{}); err != nil {
			return err
		}
		return errUnless(pv.Labels["updated"] == "yes" && pvc.Labels["updated"] == "yes", "an update is lost")
	})
	check(pvcs.DeleteCollection(f.ctx, metav1.DeleteOptions{}, sel))
	check(pvs.DeleteCollection(f.ctx, metav1.DeleteOptions{}, sel))
	absent()
}

func volumeStatus(f *fixture) {
	makeVolume(f)
	pvs, pvcs := f.kube.CoreV1().PersistentVolumes(), f.kube.CoreV1().PersistentVolumeClaims(f.ns)
	pvc := must(pvcs.Patch(f.ctx, "claim", types.MergePatchType, []byte(`{"status":{"conditions":[{"type":"StatusPatch","status":"True","reason":"E2E"}]}}`), metav1.PatchOptions{}, "status"))
	f.expect(len(pvc.Status.Conditions) == 1 && pvc.Status.Conditions[0].Type == "StatusPatch", "conditions %v", pvc.Status.Conditions)
	pv := must(pvs.Patch(f.ctx, f.id, types.MergePatchType, []byte(`{"status":{"message":"patched","reason":"E2E"}}`), metav1.PatchOptions{}, "status"))
	f.expect(pv.Status.Message == "patched" && pv.Status.Reason == "E2E", "status %+v", pv.Status)
	f.eventually("updates of the status", func() error {
		pvc, err := pvcs.Get(f.ctx, "claim", metav1.GetOptions{})
		if err != nil {
			return err
		}
		pvc.Status.Conditions = append(pvc.Status.Conditions, corev1.PersistentVolumeClaimCondition{Type: "StatusUpdate", Status: corev1.ConditionTrue})
		if pvc, err = pvcs.UpdateStatus(f.ctx, pvc, metav1.UpdateOptions{}); err != nil {
			return err
		}
		pv, err := pvs.Get(f.ctx, f.id, metav1.GetOptions{})
		if err != nil {
			return err
		}
		pv.Status.Reason = "Updated"
		if pv, err = pvs.UpdateStatus(f.ctx, pv, metav1.UpdateOptions{}); err != nil {
			return err
		}
		return errUnless(len(pvc.Status.Conditions) == 2 && pv.Status.Reason == "Updated", "an update is lost")
	})
}
