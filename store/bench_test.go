package store

import (
	"context"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// bigPod is about what a real pod is: 1.5 KB stored.
func bigPod(ns, name, node string) *corev1.Pod {
	p := pod(ns, name, node)
	p.UID = "0b4b3c1e-5c1f-4d7c-9d4e-2f7f4b9f0a11"
	p.Annotations = map[string]string{"a": fmt.Sprintf("%0500d", 1)}
	p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{
		"cpu": resource.MustParse("100m"), "memory": resource.MustParse("100Mi"),
	}
	p.Spec.Volumes = []corev1.Volume{{Name: "kube-api-access"}}
	p.Status.Phase = corev1.PodPending
	return p
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func reportCPU(b *testing.B, began time.Duration) {
	b.ReportMetric(float64((cpu()-began).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

func BenchmarkCreate(b *testing.B) {
	for _, clients := range []int{1, 32} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) {
			c := pods(b, openStore(b, Options{}))
			var n atomic.Int64
			b.SetParallelism(max(1, clients/2))
			b.ReportAllocs()
			b.ResetTimer()
			began := cpu()
			work := func() {
				if _, err := c.Create(context.Background(), bigPod("default", fmt.Sprint("pod-", n.Add(1)), "")); err != nil {
					b.Error(err)
				}
			}
			if clients == 1 {
				for b.Loop() {
					work()
				}
			} else {
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						work()
					}
				})
			}
			reportCPU(b, began)
		})
	}
}

func fill(b testing.TB, c *collection, n int) {
	b.Helper()
	for i := range n {
		if _, err := c.Create(context.Background(), bigPod(fmt.Sprint("ns-", i%50), fmt.Sprint("pod-", i), fmt.Sprint("node-", i%100))); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	c := pods(b, openStore(b, Options{}))
	fill(b, c, 5000)
	keys := make([]Key, 5000)
	for i := range keys {
		keys[i] = Key{fmt.Sprint("ns-", i%50), fmt.Sprint("pod-", i)}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := c.Get(context.Background(), keys[i%5000], Freshness{}); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func BenchmarkUpdate(b *testing.B) {
	c := pods(b, openStore(b, Options{}))
	fill(b, c, 1000)
	var n atomic.Int64
	b.SetParallelism(16)
	b.ReportAllocs()
	b.ResetTimer()
	began := cpu()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := n.Add(1)
			key := Key{fmt.Sprint("ns-", i%1000%50), fmt.Sprint("pod-", i%1000)}
			_, err := c.Update(context.Background(), key, func(e *Entry) (Object, error) {
				p := e.Object.DeepCopyObject().(*corev1.Pod)
				p.Status.Message = fmt.Sprint(i)
				return p, nil
			})
			if err != nil {
				b.Error(err)
			}
		}
	})
	reportCPU(b, began)
}

func BenchmarkList5000(b *testing.B) {
	c := pods(b, openStore(b, Options{}))
	fill(b, c, 5000)
	b.ReportAllocs()
	for b.Loop() {
		l, err := c.List(context.Background(), ListOptions{})
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for range l.Entries {
			n++
		}
		if n != 5000 {
			b.Fatal(n)
		}
	}
}

func BenchmarkWatchFanOut200(b *testing.B) {
	c := pods(b, openStore(b, Options{}))
	fill(b, c, 1)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var seen atomic.Int64
	for range 200 {
		w, err := c.Watch(ctx, WatchOptions{})
		if err != nil {
			b.Fatal(err)
		}
		go func() {
			for {
				evs, err := w.Next(ctx)
				if err != nil {
					return
				}
				seen.Add(int64(len(evs)))
			}
		}()
	}
	b.ReportAllocs()
	i := 0
	began := cpu()
	for b.Loop() {
		i++
		_, err := c.Update(ctx, Key{"ns-0", "pod-0"}, func(e *Entry) (Object, error) {
			p := e.Object.DeepCopyObject().(*corev1.Pod)
			p.Status.Message = fmt.Sprint(i)
			return p, nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	reportCPU(b, began)
}

// BenchmarkListIndexed5000 lists the ten pods of one node among 5,000.
func BenchmarkListIndexed5000(b *testing.B) {
	s := openStore(b, Options{})
	c := pods(b, s)
	for i := range 5000 {
		if _, err := c.Create(b.Context(), bigPod("default", fmt.Sprint("pod-", i), fmt.Sprint("n", i%500))); err != nil {
			b.Fatal(err)
		}
	}
	o := ListOptions{Freshness: Freshness{Any: true}, Filter: Filter{IndexName: "spec.nodeName", IndexValue: "n7"}}
	b.ReportAllocs()
	for b.Loop() {
		l, err := c.List(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for range l.Entries {
			n++
		}
		if n != 10 {
			b.Fatal(n)
		}
	}
}
