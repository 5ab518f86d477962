package core

import (
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/api/table"
)

// ServiceColumns are printed by kubectl get services.
func ServiceColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		table.Name(),
		table.Text("Type", "How the service is exposed."),
		table.Text("Cluster-IP", "Address of the service inside the cluster."),
		table.Text("External-IP", "Addresses of the service outside the cluster."),
		table.Text("Port(s)", "Ports of the service, with their node ports."),
		table.AgeColumn(),
		table.Wide(table.Text("Selector", "Labels of the pods that traffic goes to.")),
	}
}

// ServiceRow fills ServiceColumns.
func ServiceRow(s *corev1.Service, now time.Time) []any {
	ip := table.None
	if len(s.Spec.ClusterIPs) > 0 {
		ip = s.Spec.ClusterIPs[0]
	} else if s.Spec.ClusterIP != "" {
		ip = s.Spec.ClusterIP
	}
	return []any{s.Name, string(s.Spec.Type), ip, externalIP(s), servicePorts(s.Spec.Ports),
		table.Age(s.CreationTimestamp, now), table.Labels(s.Spec.Selector)}
}

func externalIP(s *corev1.Service) string {
	out := s.Spec.ExternalIPs
	switch s.Spec.Type {
	case corev1.ServiceTypeExternalName:
		return s.Spec.ExternalName
	case corev1.ServiceTypeLoadBalancer:
		var all []string
		for _, in := range s.Status.LoadBalancer.Ingress {
			if in.IP != "" {
				all = append(all, in.IP)
			} else if in.Hostname != "" {
				all = append(all, in.Hostname)
			}
		}
		if out = append(all, out...); len(out) == 0 {
			return "<pending>"
		}
	}
	return table.OrNone(strings.Join(out, ","))
}

func servicePorts(ps []corev1.ServicePort) string {
	out := make([]string, len(ps))
	for i := range ps {
		p := &ps[i]
		out[i] = strconv.Itoa(int(p.Port))
		if p.NodePort > 0 {
			out[i] += ":" + strconv.Itoa(int(p.NodePort))
		}
		out[i] += "/" + string(p.Protocol)
	}
	return table.OrNone(strings.Join(out, ","))
}
