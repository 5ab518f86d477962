package core

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/table"

	"hyperkube/api/rules"
)

// DefaultNode completes a node: what can be used is what is there, and the two
// spellings of the pod range agree.
func DefaultNode(n *corev1.Node) {
	if n.Status.Allocatable == nil && len(n.Status.Capacity) > 0 {
		n.Status.Allocatable = n.Status.Capacity.DeepCopy()
	}
	switch s := &n.Spec; {
	case s.PodCIDR != "" && (len(s.PodCIDRs) == 0 || s.PodCIDRs[0] != s.PodCIDR):
		s.PodCIDRs = []string{s.PodCIDR}
	case s.PodCIDR == "" && len(s.PodCIDRs) > 0:
		s.PodCIDR = s.PodCIDRs[0]
	}
}

// ValidateNode judges a new node.
func ValidateNode(n *corev1.Node) (errs field.ErrorList) {
	path := field.NewPath("spec")
	errs = validateTaints(n.Spec.Taints, path.Child("taints"))
	cidrs := rules.Seen[string]{}
	for i, c := range n.Spec.PodCIDRs {
		at := path.Child("podCIDRs").Index(i)
		errs = append(errs, validation.IsValidCIDRForLegacyField(at, c, false, nil)...)
		if cidrs.Again(c) {
			errs = append(errs, field.Duplicate(at, c))
		}
	}
	if c := n.Spec.PodCIDRs; len(c) > 2 || len(c) == 2 && sameFamily(c[0], c[1]) {
		errs = append(errs, field.Invalid(path.Child("podCIDRs"), c, "may specify no more than one CIDR for each IP family"))
	}
	return append(errs, validateNodeStatus(n)...)
}

func sameFamily(a, b string) bool {
	x, errX := netip.ParsePrefix(a)
	y, errY := netip.ParsePrefix(b)
	return errX == nil && errY == nil && x.Addr().Is4() == y.Addr().Is4()
}

func validateNodeStatus(n *corev1.Node) (errs field.ErrorList) {
	status := field.NewPath("status")
	for _, l := range []struct {
		name string
		list corev1.ResourceList
	}{{"capacity", n.Status.Capacity}, {"allocatable", n.Status.Allocatable}} {
		for name, q := range l.list {
			p := status.Child(l.name).Key(string(name))
			errs = checkQuantity(validateResourceName(errs, name, p), name, q, p)
		}
	}
	addresses := rules.Seen[corev1.NodeAddress]{}
	for i, a := range n.Status.Addresses {
		if addresses.Again(a) {
			errs = append(errs, field.Duplicate(status.Child("addresses").Index(i), a))
		}
	}
	return errs
}

func validateTaints(ts []corev1.Taint, path *field.Path) (errs field.ErrorList) {
	type pair struct {
		key    string
		effect corev1.TaintEffect
	}
	seen := rules.Seen[pair]{}
	for i := range ts {
		t, p := &ts[i], path.Index(i)
		errs = checkQualified(errs, t.Key, p.Child("key"))
		errs = checkName(errs, t.Value, p.Child("value"), isLabelValue, validation.IsValidLabelValue)
		if t.Effect == "" {
			errs = append(errs, field.Required(p.Child("effect"), ""))
		} else {
			errs = checkEffect(errs, t.Effect, p.Child("effect"))
		}
		if seen.Again(pair{t.Key, t.Effect}) {
			errs = append(errs, field.Duplicate(p, *t).WithOrigin("uniqueness"))
		}
	}
	return errs
}

// ValidateNodeUpdate judges a change: addresses of pods and the provider's id
// are set once.
func ValidateNodeUpdate(n, old *corev1.Node) (errs field.ErrorList) {
	if !equality.Semantic.DeepEqual(&n.Spec, &old.Spec) {
		errs = ValidateNode(n)
	}
	path := field.NewPath("spec")
	if len(old.Spec.PodCIDRs) > 0 && !slices.Equal(old.Spec.PodCIDRs, n.Spec.PodCIDRs) {
		errs = append(errs, field.Forbidden(path.Child("podCIDRs"), "node updates may not change podCIDR except from \"\" to valid"))
	}
	if old.Spec.ProviderID != "" && old.Spec.ProviderID != n.Spec.ProviderID {
		errs = append(errs, field.Forbidden(path.Child("providerID"), "node updates may not change providerID except from \"\" to valid"))
	}
	return errs
}

// ValidateNodeStatusUpdate judges what a kubelet reports.
func ValidateNodeStatusUpdate(n, _ *corev1.Node) field.ErrorList { return validateNodeStatus(n) }

// NodeColumns are printed by kubectl get nodes.
func NodeColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		table.Name(),
		table.Text("Status", "The status of the node"),
		table.Text("Roles", "The roles of the node"),
		table.AgeColumn(),
		table.Text("Version", "Version of the kubelet on the node."),
		table.Wide(table.Text("Internal-IP", "Address of the node inside the cluster.")),
		table.Wide(table.Text("External-IP", "Address of the node outside the cluster.")),
		table.Wide(table.Text("OS-Image", "Operating system of the node.")),
		table.Wide(table.Text("Kernel-Version", "Kernel of the node.")),
		table.Wide(table.Text("Container-Runtime", "Container runtime and its version.")),
	}
}

// NodeRow fills NodeColumns.
func NodeRow(n *corev1.Node, now time.Time) []any {
	info := &n.Status.NodeInfo
	return []any{n.Name, nodeState(n), nodeRoles(n), table.Age(n.CreationTimestamp, now), info.KubeletVersion,
		nodeAddress(n, corev1.NodeInternalIP), nodeAddress(n, corev1.NodeExternalIP),
		orUnknown(info.OSImage), orUnknown(info.KernelVersion), orUnknown(info.ContainerRuntimeVersion)}
}

func nodeState(n *corev1.Node) string {
	state := "Unknown"
	for _, c := range n.Status.Conditions {
		if c.Type != corev1.NodeReady {
			continue
		}
		if state = "NotReady"; c.Status == corev1.ConditionTrue {
			state = "Ready"
		}
	}
	if n.Spec.Unschedulable {
		state += ",SchedulingDisabled"
	}
	return state
}

const (
	rolePrefix = "node-role.kubernetes.io/"
	roleLabel  = "kubernetes.io/role"
)

func nodeRoles(n *corev1.Node) string {
	var roles []string
	for k, v := range n.Labels {
		role, found := strings.CutPrefix(k, rolePrefix)
		if k == roleLabel {
			role, found = v, true
		}
		if found && role != "" && !slices.Contains(roles, role) {
			roles = append(roles, role)
		}
	}
	slices.Sort(roles)
	return table.OrNone(strings.Join(roles, ","))
}

func nodeAddress(n *corev1.Node, t corev1.NodeAddressType) string {
	for _, a := range n.Status.Addresses {
		if a.Type == t {
			return a.Address
		}
	}
	return table.None
}

func orUnknown(s string) string {
	if s == "" {
		return table.Unknown
	}
	return s
}

// ValidateBinding judges the answer of a scheduler.
func ValidateBinding(b *corev1.Binding) (errs field.ErrorList) {
	target := field.NewPath("target")
	if b.Target.Kind != "" && b.Target.Kind != "Node" {
		errs = append(errs, field.NotSupported(target.Child("kind"), b.Target.Kind, []string{"Node", "<empty>"}))
	}
	if b.Target.Name == "" {
		return append(errs, field.Required(target.Child("name"), ""))
	}
	if !isDNSSubdomain(b.Target.Name) {
		errs = append(errs, field.Invalid(target.Child("name"), b.Target.Name, fmt.Sprint(validation.IsDNS1123Subdomain(b.Target.Name))))
	}
	return errs
}
