package core

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	rules "hyperkube/api/core"
	"hyperkube/api/invalid"
	"hyperkube/apiserver/allocate"
	"hyperkube/apiserver/kind"
	"hyperkube/store"
)

// What a service holds of the cluster, by type:
//
//	               address   node ports   health port
//	ExternalName      –          –            –
//	ClusterIP None    –          –            –
//	ClusterIP         x          –            –
//	NodePort          x          x            –
//	LoadBalancer      x          x (unless refused)  x (traffic policy Local)
//
// A create takes what the new object holds; an update takes what is new and
// gives back what is gone once the write held; a delete gives back all.
func serviceHooks() kind.Hooks[*corev1.Service] {
	return kind.Hooks[*corev1.Service]{BeforeCreate: serviceCreate, BeforeUpdate: serviceUpdate, AfterDelete: serviceDelete}
}

// checker is a Network that can answer a dry run; family tells its addresses' kind.
type checker interface {
	CheckIP(ctx context.Context, want string) error
	CheckPort(ctx context.Context, want int32) error
}

type family interface{ Family() corev1.IPFamily }

// allocation is what one write has taken so far.
type allocation struct {
	env     kind.Env
	key     store.Key
	dryRun  bool
	ips     []string
	ports   []int32
	service *corev1.Service
}

func serviceCreate(ctx context.Context, env kind.Env, s *corev1.Service, dryRun bool) (func(bool), error) {
	if errs := rules.ValidateService(s); len(errs) > 0 {
		return nil, invalidService(s, errs...)
	}
	return allocateService(ctx, env, s, nil, dryRun)
}

func serviceUpdate(ctx context.Context, env kind.Env, s, old *corev1.Service, dryRun bool) (func(bool), error) {
	if errs := rules.ValidateServiceUpdate(s, old); len(errs) > 0 {
		return nil, invalidService(s, errs...)
	}
	return allocateService(ctx, env, s, old, dryRun)
}

func serviceDelete(ctx context.Context, env kind.Env, old *corev1.Service) {
	ctx, cancel := detached(ctx)
	defer cancel()
	giveBack(ctx, env, rules.ServiceIPs(old), rules.ServiceNodePorts(old))
}

// allocateService takes for s what old (nil on create) does not hold yet.
func allocateService(ctx context.Context, env kind.Env, s, old *corev1.Service, dryRun bool) (func(bool), error) {
	if env.Network() == nil {
		return nil, apierrors.NewInternalError(errors.New("this server gives out no service addresses"))
	}
	var heldIPs []string
	var heldPorts []int32
	if old != nil {
		heldIPs, heldPorts = rules.ServiceIPs(old), rules.ServiceNodePorts(old)
	}
	a := &allocation{env: env, key: store.Key{Namespace: s.Namespace, Name: s.Name}, dryRun: dryRun, service: s}
	err := a.families(old)
	if err == nil {
		err = a.address(ctx, heldIPs)
	}
	if err == nil {
		err = a.nodePorts(ctx, heldPorts)
	}
	if err != nil {
		a.undo(ctx)
		return nil, err
	}
	keepIPs, keepPorts := rules.ServiceIPs(s), rules.ServiceNodePorts(s)
	return func(held bool) {
		if !held {
			a.undo(ctx)
			return
		}
		ctx, cancel := detached(ctx)
		defer cancel()
		giveBack(ctx, env, without(heldIPs, keepIPs), without(heldPorts, keepPorts))
	}, nil
}

// families settles the address families; this cluster has one service range.
func (a *allocation) families(old *corev1.Service) error {
	only := corev1.IPv4Protocol
	if f, ok := a.env.Network().(family); ok {
		only = f.Family()
	}
	s := &a.service.Spec
	headless := s.ClusterIP == corev1.ClusterIPNone && len(s.Selector) == 0
	asked := s.IPFamilyPolicy != nil
	rules.DefaultServiceFamilies(a.service, only)
	if s.Type == corev1.ServiceTypeExternalName || headless || old != nil && !asked {
		return nil
	}
	if s.IPFamilyPolicy != nil && *s.IPFamilyPolicy == corev1.IPFamilyPolicyRequireDualStack {
		return invalidService(a.service, field.Invalid(field.NewPath("spec", "ipFamilyPolicy"), *s.IPFamilyPolicy, "this cluster is not configured for dual-stack services"))
	}
	for i, f := range s.IPFamilies {
		if f != only {
			return invalidService(a.service, field.Invalid(field.NewPath("spec", "ipFamilies").Index(i), f, "not configured on this cluster"))
		}
	}
	return nil
}

func (a *allocation) address(ctx context.Context, held []string) error {
	s := &a.service.Spec
	if !rules.HasClusterIP(a.service) || len(held) > 0 && contains(held, s.ClusterIP) {
		return nil
	}
	ip, err := s.ClusterIP, error(nil)
	switch check, can := a.env.Network().(checker); {
	case !a.dryRun:
		if ip, err = a.env.Network().AllocateIP(ctx, a.key, s.ClusterIP); err == nil {
			a.ips = append(a.ips, ip)
		}
	case ip != "" && can:
		err = check.CheckIP(ctx, ip)
	}
	if err != nil {
		return a.addressRefused(ctx, err)
	}
	if ip != "" {
		s.ClusterIP, s.ClusterIPs = ip, []string{ip}
	}
	return nil
}

// addressRefused words the refusal. Of two creates of one service with the same
// address the later one is told that the service exists.
func (a *allocation) addressRefused(ctx context.Context, err error) error {
	s := a.service
	if s.Spec.ClusterIP == "" {
		return apierrors.NewInternalError(fmt.Errorf("failed to allocate a serviceIP: %w", err))
	}
	if c, ok := a.env.Collection("", "services"); ok && errors.Is(err, allocate.ErrAllocated) {
		if e, gerr := c.Get(ctx, a.key, store.Freshness{}); gerr == nil && e.Object.GetUID() != s.UID {
			return apierrors.NewAlreadyExists(schema.GroupResource{Resource: "services"}, s.Name)
		}
	}
	return invalidService(s, field.Invalid(field.NewPath("spec", "clusterIPs"), s.Spec.ClusterIPs,
		fmt.Sprintf("failed to allocate IP %v: %v", s.Spec.ClusterIP, err)))
}

// nodePorts takes the ports that are named and finds others for those that are
// not. Ports of one number and different protocols share a node port.
func (a *allocation) nodePorts(ctx context.Context, held []int32) error {
	if !rules.HasNodePorts(a.service) {
		return nil
	}
	s := &a.service.Spec
	have := append([]int32(nil), held...)
	byNumber := map[int32]int32{}
	for i := range s.Ports {
		if p := &s.Ports[i]; p.NodePort != 0 {
			byNumber[p.Port] = p.NodePort
			if err := a.port(ctx, &have, &p.NodePort, field.NewPath("spec", "ports").Index(i).Child("nodePort")); err != nil {
				return err
			}
		}
	}
	refused := s.Type == corev1.ServiceTypeLoadBalancer && s.AllocateLoadBalancerNodePorts != nil && !*s.AllocateLoadBalancerNodePorts
	for i := range s.Ports {
		p := &s.Ports[i]
		if p.NodePort != 0 || refused {
			continue
		}
		if shared := byNumber[p.Port]; shared != 0 && !usesPort(s.Ports, p.Protocol, shared) {
			p.NodePort = shared
			continue
		}
		if err := a.port(ctx, &have, &p.NodePort, field.NewPath("spec", "ports").Index(i).Child("nodePort")); err != nil {
			return err
		}
		byNumber[p.Port] = p.NodePort
	}
	if !rules.NeedsHealthPort(a.service) || s.HealthCheckNodePort != 0 && contains(held, s.HealthCheckNodePort) {
		return nil
	}
	return a.port(ctx, &have, &s.HealthCheckNodePort, field.NewPath("spec", "healthCheckNodePort"))
}

func usesPort(ports []corev1.ServicePort, protocol corev1.Protocol, node int32) bool {
	for i := range ports {
		if ports[i].Protocol == protocol && ports[i].NodePort == node {
			return true
		}
	}
	return false
}

// port takes *port, or any when it is 0, unless the service has it.
func (a *allocation) port(ctx context.Context, have *[]int32, port *int32, path *field.Path) error {
	if *port != 0 && contains(*have, *port) {
		return nil
	}
	got, err := *port, error(nil)
	switch check, can := a.env.Network().(checker); {
	case !a.dryRun:
		if got, err = a.env.Network().AllocatePort(ctx, a.key, *port); err == nil {
			a.ports = append(a.ports, got)
		}
	case *port != 0 && can:
		err = check.CheckPort(ctx, *port)
	}
	if err != nil && *port == 0 {
		return apierrors.NewInternalError(fmt.Errorf("failed to allocate a nodePort: %w", err))
	}
	if err != nil {
		return invalidService(a.service, field.Invalid(path, *port, err.Error()))
	}
	*port = got
	*have = append(*have, got)
	return nil
}

func invalidService(s *corev1.Service, errs ...*field.Error) error {
	return invalid.New(schema.GroupKind{Kind: "Service"}, s.Name, errs)
}
