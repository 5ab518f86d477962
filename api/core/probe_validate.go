package core

import (
	"fmt"
	"math"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

type probeUse uint8

const (
	liveness probeUse = iota
	readiness
	startup
)

func validateProbe(p *corev1.Probe, use probeUse, path *field.Path) field.ErrorList {
	if p == nil {
		return nil
	}
	errs := validateHandler(handler{exec: p.Exec, http: p.HTTPGet, tcp: p.TCPSocket, grpc: p.GRPC}, path)
	errs = checkNotNegative(errs, int64(p.InitialDelaySeconds), path.Child("initialDelaySeconds"))
	errs = checkNotNegative(errs, int64(p.TimeoutSeconds), path.Child("timeoutSeconds"))
	errs = checkNotNegative(errs, int64(p.PeriodSeconds), path.Child("periodSeconds"))
	errs = checkNotNegative(errs, int64(p.SuccessThreshold), path.Child("successThreshold"))
	errs = checkNotNegative(errs, int64(p.FailureThreshold), path.Child("failureThreshold"))
	if use != readiness && p.SuccessThreshold != 1 {
		errs = append(errs, field.Invalid(path.Child("successThreshold"), p.SuccessThreshold, "must be 1"))
	}
	if g := p.TerminationGracePeriodSeconds; g != nil {
		if use == readiness {
			errs = append(errs, field.Invalid(path.Child("terminationGracePeriodSeconds"), *g, "must not be set for readinessProbes"))
		} else if *g <= 0 {
			errs = append(errs, field.Invalid(path.Child("terminationGracePeriodSeconds"), *g, "must be greater than 0"))
		}
	}
	return errs
}

// handler is a probe's or a hook's action in one shape.
type handler struct {
	exec  *corev1.ExecAction
	http  *corev1.HTTPGetAction
	tcp   *corev1.TCPSocketAction
	grpc  *corev1.GRPCAction
	sleep *corev1.SleepAction
	grace *int64
}

func validateHandler(h handler, path *field.Path) (errs field.ErrorList) {
	n := 0
	one := func(name string, set bool, check func(*field.Path) field.ErrorList) {
		if !set {
			return
		}
		if n++; n > 1 {
			errs = append(errs, field.Forbidden(path.Child(name), "may not specify more than 1 handler type"))
			return
		}
		errs = append(errs, check(path.Child(name))...)
	}
	one("exec", h.exec != nil, func(p *field.Path) (e field.ErrorList) {
		if len(h.exec.Command) == 0 {
			e = append(e, field.Required(p.Child("command"), ""))
		}
		return e
	})
	one("httpGet", h.http != nil, func(p *field.Path) field.ErrorList { return validateHTTPGet(h.http, p) })
	one("tcpSocket", h.tcp != nil, func(p *field.Path) field.ErrorList { return validatePort(h.tcp.Port, p.Child("port")) })
	one("grpc", h.grpc != nil, func(p *field.Path) field.ErrorList {
		return validatePort(intstr.FromInt32(h.grpc.Port), p.Child("port"))
	})
	one("sleep", h.sleep != nil, func(p *field.Path) field.ErrorList { return validateSleep(h.sleep, h.grace, p) })
	if n == 0 {
		errs = append(errs, field.Required(path, "must specify a handler type"))
	}
	return errs
}

func validateHTTPGet(a *corev1.HTTPGetAction, path *field.Path) (errs field.ErrorList) {
	if a.Path == "" {
		errs = append(errs, field.Required(path.Child("path"), ""))
	}
	errs = append(errs, validatePort(a.Port, path.Child("port"))...)
	errs = oneOf(errs, a.Scheme, path.Child("scheme"), corev1.URISchemeHTTP, corev1.URISchemeHTTPS)
	for i, h := range a.HTTPHeaders {
		for _, msg := range validation.IsHTTPHeaderName(h.Name) {
			errs = append(errs, field.Invalid(path.Child("httpHeaders").Index(i).Child("name"), h.Name, msg))
		}
	}
	return errs
}

// validatePort judges a port given as number or name.
func validatePort(port intstr.IntOrString, path *field.Path) (errs field.ErrorList) {
	switch port.Type {
	case intstr.Int:
		if port.IntVal < 1 || port.IntVal > 65535 {
			for _, msg := range validation.IsValidPortNum(port.IntValue()) {
				errs = append(errs, field.Invalid(path, port.IntValue(), msg))
			}
		}
	case intstr.String:
		for _, msg := range validation.IsValidPortName(port.StrVal) {
			errs = append(errs, field.Invalid(path, port.StrVal, msg))
		}
	default:
		errs = append(errs, field.InternalError(path, fmt.Errorf("unknown type: %v", port.Type)))
	}
	return errs
}

func validateSleep(a *corev1.SleepAction, grace *int64, path *field.Path) (errs field.ErrorList) {
	most := int64(math.MaxInt64)
	if grace != nil {
		most = *grace
	}
	if a.Seconds < 0 || a.Seconds > most {
		errs = append(errs, field.Invalid(path.Child("seconds"), a.Seconds,
			fmt.Sprintf("must be non-negative and no more than terminationGracePeriodSeconds (%d)", most)))
	}
	return errs
}

func validateLifecycle(l *corev1.Lifecycle, grace *int64, os *corev1.PodOS, path *field.Path) (errs field.ErrorList) {
	if l == nil {
		return nil
	}
	hook := func(h *corev1.LifecycleHandler, p *field.Path) {
		if h != nil {
			errs = append(errs, validateHandler(handler{exec: h.Exec, http: h.HTTPGet, tcp: h.TCPSocket, sleep: h.Sleep, grace: grace}, p)...)
		}
	}
	hook(l.PostStart, path.Child("postStart"))
	hook(l.PreStop, path.Child("preStop"))
	if l.StopSignal != nil {
		errs = append(errs, validateStopSignal(*l.StopSignal, os, path.Child("stopSignal"))...)
	}
	return errs
}

func validateStopSignal(s corev1.Signal, os *corev1.PodOS, path *field.Path) field.ErrorList {
	if os == nil {
		return field.ErrorList{field.Forbidden(path, "may not be set for containers with empty `spec.os.name`")}
	}
	if os.Name == corev1.Windows {
		return oneOf(nil, s, path, corev1.SIGKILL, corev1.SIGTERM)
	}
	if len(s) < 4 || s[:3] != "SIG" {
		return field.ErrorList{field.Invalid(path, s, "must be the name of a signal, such as SIGTERM")}
	}
	return nil
}
