package cri

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hyperkube/internal/bounds"
	"hyperkube/kubelet/downward"
)

// EnvSource is where a container's environment comes from besides its spec.
type EnvSource struct {
	ConfigMap func(name string) (*v1.ConfigMap, error) // nil, nil when there is none
	Secret    func(name string) (*v1.Secret, error)
	// File reads a file of a volume; an error that is fs.ErrNotExist where there is none.
	File        func(volume, path string) ([]byte, error)
	Services    []*v1.Service // of the pod's namespace, and the API server's own
	Allocatable v1.ResourceList
}

// Env renders a container's environment in order: services, envFrom, env. pod carries its addresses in its status.
// The map is what $(VAR) in commands refers to. What the environment becomes is bounded while it is made.
func Env(pod *v1.Pod, c *v1.Container, src EnvSource) ([]*runtimeapi.KeyValue, map[string]string, error) {
	vars := map[string]string{}
	links := pod.Spec.EnableServiceLinks == nil || *pod.Spec.EnableServiceLinks
	services := serviceEnv(pod.Namespace, src.Services, links)
	room := newRoom(bounds.Environment)
	for _, from := range c.EnvFrom {
		if err := envFrom(vars, from, src, room); err != nil {
			return nil, nil, err
		}
	}
	order := slices.Sorted(maps.Keys(vars))
	for _, e := range c.Env {
		value, ok, err := envValue(pod, c, e, src, func(name string) (string, bool) {
			if v, ok := vars[name]; ok {
				return v, true
			}
			v, ok := services[name]
			return v, ok
		}, room)
		if err != nil {
			return nil, nil, err
		}
		if !ok {
			continue
		}
		if _, dup := vars[e.Name]; !dup {
			order = append(order, e.Name)
		}
		vars[e.Name] = value
	}
	var out []*runtimeapi.KeyValue
	for _, name := range slices.Sorted(maps.Keys(services)) {
		if _, own := vars[name]; !own {
			out = append(out, &runtimeapi.KeyValue{Key: name, Value: []byte(services[name])})
		}
	}
	for _, name := range order {
		out = append(out, &runtimeapi.KeyValue{Key: name, Value: []byte(vars[name])})
	}
	for name, v := range services {
		if _, own := vars[name]; !own {
			vars[name] = v
		}
	}
	return out, vars, nil
}

func envFrom(vars map[string]string, from v1.EnvFromSource, src EnvSource, room *room) error {
	switch {
	case from.ConfigMapRef != nil:
		cm, err := src.ConfigMap(from.ConfigMapRef.Name)
		if err != nil {
			return err
		}
		if cm == nil {
			return missing("configmap", from.ConfigMapRef.Name, from.ConfigMapRef.Optional)
		}
		for k, v := range cm.Data {
			if err := room.entry(from.Prefix+k, len(v)); err != nil {
				return err
			}
			vars[from.Prefix+k] = v
		}
	case from.SecretRef != nil:
		s, err := src.Secret(from.SecretRef.Name)
		if err != nil {
			return err
		}
		if s == nil {
			return missing("secret", from.SecretRef.Name, from.SecretRef.Optional)
		}
		for k, v := range s.Data {
			if err := room.entry(from.Prefix+k, len(v)); err != nil {
				return err
			}
			vars[from.Prefix+k] = string(v)
		}
	}
	return nil
}

func missing(kind, name string, optional *bool) error {
	if optional != nil && *optional {
		return nil
	}
	return fmt.Errorf("%s %q not found", kind, name)
}

// envValue is the value of one variable; false where it is optional and there is none.
func envValue(pod *v1.Pod, c *v1.Container, e v1.EnvVar, src EnvSource, lookup func(string) (string, bool), room *room) (string, bool, error) {
	if e.Value != "" || e.ValueFrom == nil {
		if err := room.entry(e.Name, 0); err != nil {
			return "", false, err
		}
		v, err := room.expand(e.Value, lookup)
		if err != nil {
			return "", false, fmt.Errorf("environment variable %q: %w", e.Name, err)
		}
		return v, true, nil
	}
	v, ok, err := envFromSource(pod, c, e, src)
	if err == nil && ok {
		err = room.entry(e.Name, len(v))
	}
	return v, ok, err
}

func envFromSource(pod *v1.Pod, c *v1.Container, e v1.EnvVar, src EnvSource) (string, bool, error) {
	switch from := e.ValueFrom; {
	case from.FieldRef != nil:
		v, err := downward.Field(pod, from.FieldRef.FieldPath)
		return v, true, err
	case from.ResourceFieldRef != nil:
		v, err := downward.Resource(pod, c.Name, from.ResourceFieldRef, src.Allocatable)
		return v, true, err
	case from.ConfigMapKeyRef != nil:
		return configMapKey(pod.Namespace, from.ConfigMapKeyRef, src)
	case from.SecretKeyRef != nil:
		return secretKey(pod.Namespace, from.SecretKeyRef, src)
	case from.FileKeyRef != nil:
		return fileKey(from.FileKeyRef, src)
	}
	return "", false, fmt.Errorf("environment variable %q: the source is not supported", e.Name)
}

func configMapKey(ns string, ref *v1.ConfigMapKeySelector, src EnvSource) (string, bool, error) {
	cm, err := src.ConfigMap(ref.Name)
	if err != nil {
		return "", false, err
	}
	if cm == nil {
		return "", false, missing("configmap", ref.Name, ref.Optional)
	}
	if v, ok := cm.Data[ref.Key]; ok {
		return v, true, nil
	}
	if ref.Optional != nil && *ref.Optional {
		return "", false, nil
	}
	return "", false, fmt.Errorf("couldn't find key %v in ConfigMap %v/%v", ref.Key, ns, ref.Name)
}

func secretKey(ns string, ref *v1.SecretKeySelector, src EnvSource) (string, bool, error) {
	s, err := src.Secret(ref.Name)
	if err != nil {
		return "", false, err
	}
	if s == nil {
		return "", false, missing("secret", ref.Name, ref.Optional)
	}
	if v, ok := s.Data[ref.Key]; ok {
		return string(v), true, nil
	}
	if ref.Optional != nil && *ref.Optional {
		return "", false, nil
	}
	return "", false, fmt.Errorf("couldn't find key %v in Secret %v/%v", ref.Key, ns, ref.Name)
}

// serviceEnv renders the variables of services that have a cluster address. Without links only the API server's remain.
func serviceEnv(ns string, services []*v1.Service, links bool) map[string]string {
	out := map[string]string{}
	for _, s := range services {
		master := s.Namespace == "default" && s.Name == "kubernetes"
		if !master && (s.Namespace != ns || !links) {
			continue
		}
		if s.Spec.ClusterIP == "" || s.Spec.ClusterIP == v1.ClusterIPNone || len(s.Spec.Ports) == 0 {
			continue
		}
		addService(out, s)
	}
	return out
}

func envName(s string) string { return strings.ToUpper(strings.ReplaceAll(s, "-", "_")) }

func addService(out map[string]string, s *v1.Service) {
	prefix, ip := envName(s.Name), s.Spec.ClusterIP
	out[prefix+"_SERVICE_HOST"] = ip
	out[prefix+"_SERVICE_PORT"] = strconv.Itoa(int(s.Spec.Ports[0].Port))
	for i, p := range s.Spec.Ports {
		port := strconv.Itoa(int(p.Port))
		if p.Name != "" {
			out[prefix+"_SERVICE_PORT_"+envName(p.Name)] = port
		}
		proto := string(p.Protocol)
		if proto == "" {
			proto = string(v1.ProtocolTCP)
		}
		url := strings.ToLower(proto) + "://" + net.JoinHostPort(ip, port)
		if i == 0 {
			out[prefix+"_PORT"] = url
		}
		one := fmt.Sprintf("%s_PORT_%s_%s", prefix, port, strings.ToUpper(proto))
		out[one] = url
		out[one+"_PROTO"] = strings.ToLower(proto)
		out[one+"_PORT"] = port
		out[one+"_ADDR"] = ip
	}
}
