// Package measure takes the figures of docs/performance.md on a real cluster:
// start, idle memory and CPU of each process, and how long a pod takes. It
// asserts nothing about speed; `make measure` prints a table.
package measure

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"hyperkube/test/harness"
)

const (
	idle     = time.Minute
	podCount = 20
)

func TestMeasure(t *testing.T) {
	c := harness.Up(t) // its log line has the stages of a first start
	reset := c.Reset()
	t.Logf("reset:\n%s", reset)
	began := time.Now()
	stages := c.Up()
	t.Logf("up on an empty data directory (programs carried, images built from the binary): %.2f s\n%s", time.Since(began).Seconds(), stages)
	c.Connect()
	c.LoadImages()
	t.Logf("one pod, image present, create to Ready as a watch sees it, ms: %s", pods(t, c))
	t.Log(idleTable(t, c))
	c.Run(time.Minute, c.Bin, "down", "--data-dir", c.DataDir)
	began = time.Now()
	stages = c.Up()
	t.Logf("up again over the same data and containers: %.2f s\n%s", time.Since(began).Seconds(), stages)
}

// pods starts pods one after the other and returns their quantiles.
func pods(t *testing.T, c *harness.Cluster) string {
	var took []float64
	for i := range podCount {
		took = append(took, onePod(t, c, fmt.Sprintf("timed-%d", i)))
	}
	slices.Sort(took)
	return fmt.Sprintf("min %.0f, p50 %.0f, p90 %.0f, max %.0f (%d pods)", took[0], took[len(took)/2], took[len(took)*9/10], took[len(took)-1], len(took))
}

func onePod(t *testing.T, c *harness.Cluster, name string) float64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(c.Context, time.Minute)
	defer cancel()
	api := c.Kube.CoreV1().Pods("default")
	w, err := api.Watch(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String()})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	zero := int64(0)
	began := time.Now()
	_, err = api.Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{
		TerminationGracePeriodSeconds: &zero,
		Containers:                    []corev1.Container{{Name: "c", Image: "hyperkube.local/pause:v1"}},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for e := range w.ResultChan() {
		p, ok := e.Object.(*corev1.Pod)
		if !ok {
			t.Fatalf("watching %s: %v", name, e.Object)
		}
		for _, cond := range p.Status.Conditions {
			if cond.Type == corev1.PodReady && cond.Status == corev1.ConditionTrue {
				took := time.Since(began)
				if err := api.Delete(ctx, name, metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
					t.Fatal(err)
				}
				return float64(took.Microseconds()) / 1000
			}
		}
	}
	t.Fatalf("pod %s was not ready within a minute", name)
	return 0
}

// idleTable watches the cluster's processes for a minute in which nothing is asked of it.
func idleTable(t *testing.T, c *harness.Cluster) string {
	t.Helper()
	c.Eventually(time.Minute, "the timed pods gone", func() error {
		list, err := c.Kube.CoreV1().Pods("default").List(c.Context, metav1.ListOptions{})
		if err == nil && len(list.Items) > 0 {
			err = fmt.Errorf("%d left", len(list.Items))
		}
		return err
	})
	before := processes(c.Dir)
	timer := time.NewTimer(idle)
	defer timer.Stop()
	<-timer.C
	after := processes(c.Dir)
	var b strings.Builder
	fmt.Fprintf(&b, "idle for %s\n| process | PSS MiB | anonymous MiB | CPU %% of a core |\n|---|---|---|---|\n", idle)
	var pss, anon, cpu float64
	for _, p := range after {
		i := slices.IndexFunc(before, func(q process) bool { return q.pid == p.pid })
		if i < 0 {
			continue
		}
		used := (p.cpu - before[i].cpu).Seconds() / idle.Seconds() * 100
		fmt.Fprintf(&b, "| %s | %.1f | %.1f | %.2f |\n", p.name, p.pss, p.anon, used)
		pss, anon, cpu = pss+p.pss, anon+p.anon, cpu+used
	}
	fmt.Fprintf(&b, "| all | %.1f | %.1f | %.2f |\n", pss, anon, cpu)
	return b.String()
}

type process struct {
	pid       int
	name      string
	pss, anon float64 // MiB
	cpu       time.Duration
}

// processes are those of the cluster: its own by their command line, containers by their parents.
func processes(mark string) []process {
	ours := map[int]bool{}
	var out []process
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for range 3 { // children of children of ours
		for _, d := range dirs {
			pid, _ := strconv.Atoi(filepath.Base(d))
			if ours[pid] {
				continue
			}
			cmd, err := os.ReadFile(d + "/cmdline")
			if err != nil || len(cmd) == 0 {
				continue
			}
			words := strings.Split(strings.TrimSuffix(string(cmd), "\x00"), "\x00")
			if strings.Contains(string(cmd), mark) && !strings.Contains(words[0], "nsenter") || ours[parent(d)] {
				ours[pid] = true
				out = append(out, measure(d, pid, words))
			}
		}
	}
	return out
}

func parent(dir string) int {
	b, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return 0
	}
	w := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	pid, _ := strconv.Atoi(w[1])
	return pid
}

func measure(dir string, pid int, words []string) process {
	p := process{pid: pid, name: filepath.Base(words[0])}
	if len(words) > 1 && !strings.HasPrefix(words[1], "-") {
		p.name += " " + words[1]
	}
	if b, err := os.ReadFile(dir + "/smaps_rollup"); err == nil {
		p.pss, p.anon = field(string(b), "Pss:"), field(string(b), "Anonymous:")
	}
	if b, err := os.ReadFile(dir + "/stat"); err == nil {
		w := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		user, _ := strconv.Atoi(w[11])
		sys, _ := strconv.Atoi(w[12])
		p.cpu = time.Duration(user+sys) * 10 * time.Millisecond
	}
	return p
}

func field(text, name string) float64 {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			kib, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib / 1024
		}
	}
	return 0
}
