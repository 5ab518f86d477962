package steps

import (
	"context"
	"errors"
)

// claims holds back a pod that asks for devices by resource claims: this kubelet cannot prepare them, and the pod's
// containers must not run without them.
func claims() Step {
	return Step{
		Name: "claims",
		SetUp: func(_ context.Context, p *Pod) error {
			if len(p.API.Spec.ResourceClaims) == 0 {
				return nil
			}
			return &Told{"FailedPrepareDynamicResources", errors.New("Failed to prepare dynamic resources: this kubelet has no driver for resource claims")}
		},
	}
}
