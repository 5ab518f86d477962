package e2e

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"github.com/anishathalye/porcupine"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// registerInput is an operation on one config map, whose data is one value that
// nobody else writes.
type registerInput struct {
	key, verb     string // get, create, put, swap, delete
	value, expect string // written; what a swap replaces
}

type registerOutput struct {
	unknown bool   // nobody saw the answer: it may have happened, now or later, or not
	value   string // read; "" when there is none
	done    bool   // written
}

// registerModel says what one object may answer; its state is the value, "" when absent.
func registerModel() porcupine.Model {
	return porcupine.Model{
		Partition: func(ops []porcupine.Operation) [][]porcupine.Operation {
			by, order := map[string][]porcupine.Operation{}, []string{}
			for _, op := range ops {
				key := op.Input.(registerInput).key
				if by[key] == nil {
					order = append(order, key)
				}
				by[key] = append(by[key], op)
			}
			out := make([][]porcupine.Operation, 0, len(by))
			for _, key := range order {
				out = append(out, by[key])
			}
			return out
		},
		Init: func() any { return "" },
		Step: func(state, input, output any) (bool, any) {
			return registerStep(state.(string), input.(registerInput), output.(registerOutput))
		},
		DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v → %+v", in, out) },
	}
}

func registerStep(now string, in registerInput, out registerOutput) (bool, any) {
	if in.verb == "get" {
		return out.unknown || out.value == now, now
	}
	may := map[string]bool{"create": now == "", "put": now != "", "swap": now != "" && now == in.expect, "delete": now != ""}[in.verb]
	next := now
	if may {
		next = in.value // "" of a delete
	}
	return out.unknown || out.done == may, next
}

// registerClient does one operation after the other, on either server.
type registerClient struct {
	p   *pairOfServers
	h   *history
	id  int
	n   int
	rng *rand.Rand
	// what was seen last of each key, for swaps
	seen map[string]*corev1.ConfigMap
}

func (c *registerClient) run(ctx context.Context) {
	c.seen = map[string]*corev1.ConfigMap{}
	for ctx.Err() == nil {
		epoch := c.h.epoch.Load()
		in := registerInput{key: fmt.Sprintf("k-%d-%d", epoch, c.rng.IntN(3)), verb: []string{"get", "get", "create", "put", "swap", "swap", "delete"}[c.rng.IntN(7)]}
		if have := c.seen[in.key]; in.verb == "swap" {
			if have == nil {
				in.verb = "get"
			} else {
				in.expect = have.Data["v"]
			}
		}
		if in.verb != "get" && in.verb != "delete" {
			c.n++
			in.value = fmt.Sprintf("%d.%d", c.id, c.n)
		}
		c.do(ctx, in)
		if len(c.seen) > 100 {
			clear(c.seen)
		}
	}
}

func (c *registerClient) do(ctx context.Context, in registerInput) {
	server := c.p.clients[c.rng.IntN(2)]
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	op := porcupine.Operation{ClientId: c.id, Input: in, Call: c.h.now()}
	m, err := c.request(limit, server, in)
	op.Return = c.h.now()
	var out registerOutput
	var rev int64
	switch {
	case err == nil && in.verb == "get":
		out.value = m.Data["v"]
	case err == nil:
		out.done = true
		if m != nil {
			rev = revision(m.ResourceVersion)
		}
	case apierrors.IsTooManyRequests(err):
		return // refused before it began
	case errors.Is(err, syscall.ECONNREFUSED): // nobody listens: it did not begin
		c.wait(ctx)
		return
	case apierrors.IsNotFound(err), apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
	default:
		out.unknown, op.Return = true, math.MaxInt64
		if in.verb == "get" {
			return
		}
	}
	if err == nil && m != nil {
		c.seen[in.key] = m
	} else {
		delete(c.seen, in.key)
	}
	op.Output = out
	c.h.add(op, rev)
	if out.unknown {
		c.wait(ctx)
	}
}

// wait lets a server that is away come back.
func (c *registerClient) wait(ctx context.Context) {
	select {
	case <-time.After(20 * time.Millisecond):
	case <-ctx.Done():
	}
}

func (c *registerClient) request(ctx context.Context, server *rest.RESTClient, in registerInput) (*corev1.ConfigMap, error) {
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: serversSpace, Name: in.key}, Data: map[string]string{"v": in.value}}
	verb := map[string]string{"get": http.MethodGet, "create": http.MethodPost, "put": http.MethodPut, "swap": http.MethodPut, "delete": http.MethodDelete}[in.verb]
	r := server.Verb(verb).Namespace(serversSpace).Resource("configmaps").MaxRetries(0)
	switch in.verb {
	case "create":
		r = r.Body(m)
	case "put":
		r = r.Name(in.key).Body(m)
	case "swap":
		m.ResourceVersion = c.seen[in.key].ResourceVersion
		r = r.Name(in.key).Body(m)
	case "delete":
		return nil, r.Name(in.key).Do(ctx).Error()
	default:
		r = r.Name(in.key)
	}
	got := &corev1.ConfigMap{}
	if err := r.Do(ctx).Into(got); err != nil {
		return nil, err
	}
	return got, nil
}

func listAll(ctx context.Context, c *rest.RESTClient) (*corev1.ConfigMapList, error) {
	list := &corev1.ConfigMapList{}
	return list, c.Get().Namespace(serversSpace).Resource("configmaps").Do(ctx).Into(list)
}

func revision(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64) // what is no number fits nothing
	return n
}

// coreJSON is what a REST client needs to speak core/v1.
func coreJSON() (*schema.GroupVersion, string, runtime.NegotiatedSerializer) {
	return &corev1.SchemeGroupVersion, "/api", scheme.Codecs.WithoutConversion()
}
