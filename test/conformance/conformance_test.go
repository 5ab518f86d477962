package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
)

// TestConformance runs the behaviours and prints the report.
//
//	KUBECONFIG            the cluster; without, one is started
//	CONFORMANCE_FOCUS     run only behaviours whose testname or codename matches
//	CONFORMANCE_REPORT    write the report to this file
//	CONFORMANCE_KUBECTL   the client, default "<hyperkube> kubectl"
//	CONFORMANCE_BUSYBOX, CONFORMANCE_NGINX, CONFORMANCE_NGINX_NEXT, CONFORMANCE_NETTOOL  images
func TestConformance(t *testing.T) {
	entries, err := catalogue()
	if err != nil {
		t.Fatal(err)
	}
	focus, err := regexp.Compile(os.Getenv("CONFORMANCE_FOCUS"))
	if err != nil {
		t.Fatalf("CONFORMANCE_FOCUS: %v", err)
	}
	c := connect(t)
	out := newReport(entries)
	t.Run("parallel", func(t *testing.T) { runAll(t, c, out, focus, false) })
	t.Run("serial", func(t *testing.T) { runAll(t, c, out, focus, true) })
	awaitCleanup(t, c)
	t.Logf("\n%s", out)
	if path := os.Getenv("CONFORMANCE_REPORT"); path != "" {
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Errorf("writing the report: %v", err)
		}
	}
}

func runAll(t *testing.T, c *cluster, out *report, focus *regexp.Regexp, serial bool) {
	for _, b := range behaviours() {
		e, err := find(out.entries, b)
		if err != nil {
			t.Fatal(err)
		}
		if b.serial != serial || !focus.MatchString(e.Name) && !focus.MatchString(e.Code) {
			continue
		}
		t.Run(strings.ReplaceAll(e.Code, "/", "-"), func(t *testing.T) {
			if !serial {
				t.Parallel()
			}
			start := time.Now()
			defer func() { out.add(e, !t.Failed(), time.Since(start)) }()
			run(t, c, b)
		})
	}
}

func run(t *testing.T, c *cluster, b behaviour) {
	ctx, cancel := context.WithTimeout(t.Context(), behaviourTimeout)
	defer cancel()
	f := &fixture{T: t, cluster: c, ctx: ctx, id: "conformance-" + rand.String(6)}
	defer func() {
		switch r := recover().(type) {
		case nil:
		case failure:
			f.explain()
			t.Fatalf("%s: %v", r.where, r.err)
		default:
			panic(r)
		}
		if t.Failed() {
			f.explain()
		}
	}()
	f.ns = f.namespace(map[string]string{label: "true"})
	b.run(f)
}

// explain prints what is needed to understand a failure.
func (f *fixture) explain() {
	if f.ns == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	pods, err := f.kube.CoreV1().Pods(f.ns).List(ctx, metav1.ListOptions{Limit: 20})
	if err != nil {
		f.Logf("listing pods: %v", err)
		return
	}
	for _, p := range pods.Items {
		f.Logf("pod %s: %s", p.Name, podState(&p))
	}
	events, err := f.kube.CoreV1().Events(f.ns).List(ctx, metav1.ListOptions{Limit: 60})
	if err != nil {
		f.Logf("listing events: %v", err)
		return
	}
	for _, e := range events.Items {
		if e.Type == "Warning" {
			f.Logf("event %s/%s %s: %s", e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Reason, e.Message)
		}
	}
}

// awaitCleanup returns when the namespaces of the run are gone.
func awaitCleanup(t *testing.T, c *cluster) {
	err := poll(t.Context(), 3*time.Minute, func() error {
		left, err := c.kube.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{LabelSelector: label})
		if err != nil {
			return err
		}
		if len(left.Items) == 0 {
			return nil
		}
		var names []string
		for _, ns := range left.Items {
			names = append(names, fmt.Sprintf("%s %v", ns.Name, ns.Status.Conditions))
		}
		return errors.New("left behind: " + strings.Join(names, "; "))
	})
	if err != nil {
		t.Error(err)
	}
}
