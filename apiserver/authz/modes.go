package authz

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"hyperkube/apiserver/request"
)

// Modes of --authorization-mode.
const (
	ModeNode        = "Node"
	ModeRBAC        = "RBAC"
	ModeABAC        = "ABAC"
	ModeWebhook     = "Webhook"
	ModeAlwaysAllow = "AlwaysAllow"
	ModeAlwaysDeny  = "AlwaysDeny"
)

var modes = []string{ModeAlwaysAllow, ModeAlwaysDeny, ModeABAC, ModeWebhook, ModeRBAC, ModeNode}

// CheckModes says what is wrong with a list of modes.
func CheckModes(list []string) error {
	if len(list) == 0 {
		return fmt.Errorf("at least one authorization-mode must be passed: any of %s", strings.Join(modes, ", "))
	}
	for i, m := range list {
		switch {
		case !slices.Contains(modes, m):
			return fmt.Errorf("authorization-mode %q is not a valid mode: there are %s", m, strings.Join(modes, ", "))
		case slices.Contains(list[:i], m):
			return fmt.Errorf("authorization-mode %q has mode specified more than once", m)
		}
	}
	return nil
}

// Chain asks the modes in the order given; by has those that need something.
// Before all of them come the masters, whom no list of modes can lock out.
func Chain(list []string, by map[string]request.Authorizer) (request.Authorizer, error) {
	if err := CheckModes(list); err != nil {
		return nil, err
	}
	out := union{masters{lists: !slices.Contains(list, ModeRBAC)}}
	for _, m := range list {
		switch a := by[m]; {
		case m == ModeAlwaysAllow:
			out = append(out, AlwaysAllow())
		case m == ModeAlwaysDeny:
			out = append(out, never{})
		case a == nil:
			return nil, fmt.Errorf("authorization-mode %s is not configured", m)
		default:
			out = append(out, a)
		}
	}
	return out, nil
}

// masters lets the group of the administrators do everything. lists: nobody else
// lists their rules; RBAC does.
type masters struct{ lists bool }

func (masters) Authorize(_ context.Context, u *request.User, _ *request.Info) (request.Decision, string, error) {
	if u.In(request.GroupMasters) {
		return request.Allow, "", nil
	}
	return request.NoOpinion, "", nil
}

func (m masters) Rules(ctx context.Context, u *request.User, namespace string) ([]request.ResourceRule, []request.NonResourceRule, bool, error) {
	if m.lists && u.In(request.GroupMasters) {
		return always{}.Rules(ctx, u, namespace)
	}
	return nil, nil, false, nil
}

// never has no opinion on anything, which is a denial unless another mode allows.
type never struct{}

func (never) Authorize(context.Context, *request.User, *request.Info) (request.Decision, string, error) {
	return request.NoOpinion, "Everything is forbidden.", nil
}

func (never) Rules(context.Context, *request.User, string) ([]request.ResourceRule, []request.NonResourceRule, bool, error) {
	return nil, nil, false, nil
}
