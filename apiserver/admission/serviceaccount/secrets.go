package serviceaccount

import (
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"hyperkube/apiserver/authz"
)

// enforceMountable on a service account holds its pods to the secrets that the
// account lists.
const enforceMountable = "kubernetes.io/enforce-mountable-secrets"

func enforces(sa *corev1.ServiceAccount) bool {
	on, err := strconv.ParseBool(sa.Annotations[enforceMountable])
	return err == nil && on
}

// notMountable says which reference of the pod the account does not list, "" for none.
// Every way to a secret counts: volumes of all types, env and envFrom of containers
// of all kinds, pull secrets. Of a pod that is there only ephemeral ones can be new.
func notMountable(sa *corev1.ServiceAccount, pod *corev1.Pod, ephemeral bool) (bad string) {
	mountable := map[string]bool{}
	for _, s := range sa.Secrets {
		mountable[s.Name] = true
	}
	pullable := map[string]bool{}
	for _, s := range sa.ImagePullSecrets {
		pullable[s.Name] = true
	}
	for at, name := range authz.Secrets(pod) {
		switch {
		case ephemeral && at.Container != authz.EphemeralContainer:
		case at.Pull && !pullable[name]:
			return fmt.Sprintf("imagePullSecrets[%d].name=%q is not allowed because service account %s does not reference that imagePullSecret", at.Index, name, sa.Name)
		case !at.Pull && !mountable[name]:
			return fmt.Sprintf("%s=%q is not allowed because service account %s does not reference that secret", at, name, sa.Name)
		}
	}
	return ""
}
