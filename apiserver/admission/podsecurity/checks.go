package podsecurity

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// check is one control of the standards. run says what is wrong, or "".
type check struct {
	level  Level
	since  Version // the version of the standards that brought it
	reason string
	run    func(*pod) string
	// instead: at the restricted level this one says more about the same fields
	// and is asked alone, from its own version on.
	instead *check
}

// checks in the order in which they are told.
var checks = func() []check {
	volumes := &check{Restricted, 0, "restricted volume types", volumeTypes, nil}
	capabilities := &check{Restricted, 22, "unrestricted capabilities", restrictedCapabilities, nil}
	proc := &check{Restricted, 0, "procMount", procMount, nil}
	seccomp := &check{Restricted, 19, "seccompProfile", seccompRequired, nil}
	return []check{
		{Baseline, 0, "forbidden AppArmor profile", appArmor, nil},
		{Baseline, 0, "non-default capabilities", addedCapabilities, capabilities},
		{Baseline, 0, "host namespaces", hostNamespaces, nil},
		{Baseline, 0, "hostPath volumes", hostPaths, volumes},
		{Baseline, 0, "hostPort", hostPorts, nil},
		{Baseline, 34, "probe or lifecycle host", hostProbes, nil},
		{Baseline, 0, "privileged", privilegedContainers, nil},
		{Baseline, 0, "procMount", procMountUnlessOwnUsers, proc},
		{Baseline, 0, "seLinuxOptions", seLinux, nil},
		{Baseline, 0, "seccompProfile", seccompUnconfined, seccomp},
		{Baseline, 0, "forbidden sysctls", sysctls, nil},
		{Baseline, 0, "hostProcess", hostProcess, nil},
		{Restricted, 8, "allowPrivilegeEscalation != false", privilegeEscalation, nil},
		*capabilities, *proc, *volumes,
		{Restricted, 0, "runAsNonRoot != true", runAsNonRoot, nil},
		{Restricted, 23, "runAsUser=0", runAsUser, nil},
		*seccomp,
	}
}()

// Violation of one control.
type Violation struct{ Reason, Detail string }

func (v Violation) String() string {
	if v.Detail == "" {
		return v.Reason
	}
	return v.Reason + " (" + v.Detail + ")"
}

// Violations lists what keeps a pod from a bar, in the words that users know.
func Violations(b Bar, meta *metav1.ObjectMeta, spec *corev1.PodSpec) (out []Violation) {
	if b.Level == Privileged {
		return nil
	}
	p := newPod(meta, spec, b.Version)
	for i := range checks {
		c := &checks[i]
		if c.level > b.Level || c.since > b.Version || c.instead != nil && b.Level == Restricted && c.instead.since <= b.Version {
			continue
		}
		if detail := c.run(p); detail != "" {
			out = append(out, Violation{c.reason, detail})
		}
	}
	return out
}

// told joins violations as refusals and warnings tell them.
func told(list []Violation) string {
	all := make([]string, len(list))
	for i, v := range list {
		all[i] = v.String()
	}
	return strings.Join(all, ", ")
}
