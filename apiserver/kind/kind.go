// Package kind is the descriptor of an API kind: the one place where a kind says
// what it is called, how it is stored, what create and update reset, its
// defaults, its validation, its columns and its subresources. Routing, storage,
// discovery, OpenAPI, printing and RBAC bootstrap are derived from the list of
// descriptors in apiserver/kinds; nothing else knows kinds by name.
//
//	kinds/<group>/<kind>.go ── kind.New(kind.Spec[*T]{…}) ──▶ *Kind (types erased)
//	                                                            │
//	     verbs ◀── routing      discovery, openapi, table ◀─────┘
//
// Every function in a Spec is pure unless its comment says otherwise: it sees
// the object, never a client, a clock or the store. What needs the cluster
// (allocating an address, binding a pod) gets an Env.
package kind

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/apiserver/request"
	"hyperkube/store"
)

// Names are how a kind is called in URLs, discovery and kubectl.
type Names struct {
	Group, Version, Kind string
	Plural, Singular     string
	ShortNames           []string
	Categories           []string // "all"
	Namespaced           bool
}

// GVK and GVR of the stored version.
func (n Names) GVK() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: n.Group, Version: n.Version, Kind: n.Kind}
}
func (n Names) GVR() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: n.Group, Version: n.Version, Resource: n.Plural}
}

// Spec declares a kind whose Go type is T. Only Names, New and NewList are required.
type Spec[T store.Object] struct {
	Names
	New     func() T
	NewList func() runtime.Object
	// Prefix is the folder below /registry when it is not Plural ("minions" for nodes).
	Prefix string
	// Verbs limits what is served; nil means all eight.
	Verbs []string

	// Default fills in what the client left out, on create, update and on reading old data.
	Default func(T)
	// PrepareCreate resets what a client may not set (status) and derives fields.
	PrepareCreate func(ctx context.Context, obj T)
	// PrepareUpdate resets what an update of the main resource may not change (status).
	PrepareUpdate func(ctx context.Context, obj, old T)
	// Generation reports whether the change must bump metadata.generation; nil means
	// the kind has no generation. New objects of kinds with one start at 1.
	Generation func(obj, old T) bool
	// Validate checks an object to be created, ValidateUpdate a change (it also
	// repeats what Validate would find wrong in obj).
	Validate       func(obj T) field.ErrorList
	ValidateUpdate func(obj, old T) field.ErrorList
	// ValidateName checks metadata.name; nil means DNS subdomain.
	ValidateName func(name string, prefix bool) []string
	// Warnings are shown to the client of a create or update, besides those for any object.
	Warnings func(obj, old T) []string
	// Deprecated, when set, is the warning of every request for this kind.
	Deprecated string
	// AllowCreateOnUpdate lets PUT create (leases, RBAC); DenyUnconditionalUpdate
	// makes PUT require resourceVersion.
	AllowCreateOnUpdate     bool
	DenyUnconditionalUpdate bool

	// Fields are the selectable fields besides metadata.name and metadata.namespace.
	Fields []Field[T]
	// Columns and Row are the table kubectl prints, the Name and Age columns
	// included. now is for ages. A wide column has Priority 1.
	Columns []metav1.TableColumnDefinition
	Row     func(obj T, now time.Time) []any

	// GracefulDelete decides how a DELETE goes: it may adjust options and returns
	// false to remove at once. A true answer keeps the object with
	// deletionTimestamp and deletionGracePeriodSeconds set (pods), the latter unless
	// it is nil in the options (namespaces). nil: at once.
	GracefulDelete func(ctx context.Context, obj T, o *metav1.DeleteOptions) bool
	// ReturnDeleted: a DELETE that removes the object answers with it instead of a Status.
	ReturnDeleted bool
	// Held reports whether something besides metadata.finalizers keeps an object that is
	// being deleted (a namespace's spec.finalizers).
	Held  func(obj T) bool
	Hooks Hooks[T]

	TTLSeconds int64 // 0: forever. Events: 3600.
	Encrypted  bool  // sealed in etcd (secrets)

	Subresources []Subresource
	// Status, when set, serves <plural>/status: the same object under other rules.
	Status *SubRules[T]
	// Scale, when set, serves <plural>/scale (autoscaling/v1 Scale).
	Scale *ScaleRules[T]

	// Virtual kinds are created but never stored (reviews): the answer is the result. A dry run
	// changes nothing else either.
	Virtual func(ctx context.Context, env Env, obj T, o CreateOptions) (T, error)
	// Also served as these further group-versions (events.k8s.io): conversion to and from T.
	Versions []Version
}

// Field is a selectable field. Indexed ones narrow watches at no cost.
type Field[T store.Object] struct {
	Path    string
	Value   func(T) string
	Indexed bool
}

// Hooks touch the world around a write (allocation). Each may be nil. done(true)
// is called after the write held, done(false) when it did not; a dry run never calls them.
type Hooks[T store.Object] struct {
	BeforeCreate func(ctx context.Context, env Env, obj T, dryRun bool) (done func(ok bool), err error)
	BeforeUpdate func(ctx context.Context, env Env, obj, old T, dryRun bool) (done func(ok bool), err error)
	AfterDelete  func(ctx context.Context, env Env, old T)
}

// SubRules are what an update through a subresource may do.
type SubRules[T store.Object] struct {
	// Prepare resets everything in obj that this subresource may not change from old.
	Prepare  func(ctx context.Context, obj, old T)
	Validate func(obj, old T) field.ErrorList
}

// ScaleRules map a kind to autoscaling/v1 Scale.
type ScaleRules[T store.Object] struct {
	Get func(T) (spec, status int32, selector string)
	Set func(obj T, replicas int32)
}

// Subresource is any other one: its own request and answer types.
type Subresource struct {
	Name string // "binding", "eviction", "token", "ephemeralcontainers", "resize", "finalize", "approval"
	// GVK of what is sent and answered; discovery shows it.
	GVK schema.GroupVersionKind
	New func() runtime.Object
	// Create handles POST. parent is the object's key.
	Create func(ctx context.Context, env Env, parent store.Key, body runtime.Object, o CreateOptions) (runtime.Object, error)
	// Rules, instead, serves GET, PUT and PATCH of the parent object under other rules.
	Rules *AnyRules
	// Connect lists the verbs that are handed to apiserver/connect (exec, attach, log, portforward, proxy).
	Connect []string
	// Needs is a verb that a connection takes besides that of its method: a GET that runs a
	// command changes as much as a POST. UpgradeNeeds is one that only upgraded ones take.
	Needs, UpgradeNeeds string
}

// CreateOptions of a subresource POST.
type CreateOptions struct{ DryRun bool }

// Version is a further group-version under which the same stored objects are
// served. To and From convert between the stored type and that version.
type Version struct {
	Names
	New     func() runtime.Object
	NewList func() runtime.Object
	To      func(stored store.Object) (runtime.Object, error)
	From    func(served runtime.Object) (store.Object, error)
	Columns []metav1.TableColumnDefinition
	Row     func(obj store.Object, now time.Time) []any
}

// Env is what rules with effects may use.
type Env interface {
	store.Reader
	// Now is the server's clock.
	Now() time.Time
	Authorizer() request.Authorizer
	Authenticate(ctx context.Context, token string, audiences []string) (*request.User, []string, error)
	Tokens() TokenIssuer
	Network() Network
}

// TokenIssuer signs service-account tokens (KEP-1205 bound tokens).
type TokenIssuer interface {
	// Audiences are those of this API server: what a token is for when the
	// request names none.
	Audiences() []string
	Issue(ctx context.Context, claims TokenClaims) (token string, expires time.Time, err error)
}

// TokenClaims of a bound token. The reference fields are empty when not bound.
type TokenClaims struct {
	Namespace, ServiceAccount, UID string
	Audiences                      []string
	Lifetime                       time.Duration
	BoundKind, BoundName, BoundUID string // Pod, Secret or Node
	NodeName, NodeUID              string
}

// Network hands out service addresses and node ports, safely across several
// servers. Release is idempotent.
type Network interface {
	AllocateIP(ctx context.Context, service store.Key, want string) (ip string, err error)
	ReleaseIP(ctx context.Context, ip string)
	AllocatePort(ctx context.Context, service store.Key, want int32) (port int32, err error)
	ReleasePort(ctx context.Context, port int32)
}
