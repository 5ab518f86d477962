package apiserver

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"hyperkube/apiserver/kinds"
	"hyperkube/store"
)

// BenchmarkOthersWrites is what one tenant's watches and writes cost another's: how long
// the writes of one take who has nothing to do with a namespace, while others watch that
// namespace as often as is said and four write there without a pause.
func BenchmarkOthersWrites(b *testing.B) {
	for _, watches := range []int{0, 1000, 8000} {
		b.Run(fmt.Sprint("watches=", watches), func(b *testing.B) { othersWrites(b, watches) })
	}
}

func othersWrites(b *testing.B, watches int) {
	address := fastCluster(b)
	as := func(user string) *kubernetes.Clientset {
		return kubernetes.NewForConfigOrDie(&rest.Config{
			Host: "https://" + address, TLSClientConfig: rest.TLSClientConfig{Insecure: true}, QPS: -1,
			WrapTransport: func(next http.RoundTripper) http.RoundTripper { return named{user, next} },
		})
	}
	var seen atomic.Int64
	for left := watches; left > 0; left -= 1000 {
		manyWatches(b, address, min(left, 1000), "/api/v1/namespaces/greedy/configmaps?watch=1&resourceVersion=0", &seen)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var writes atomic.Int64
	done := make(chan struct{})
	const writers = 4
	for i := range writers {
		go func() {
			defer func() { done <- struct{}{} }()
			maps := as("greedy").CoreV1().ConfigMaps("greedy")
			m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("m", i)}, Data: map[string]string{"a": fmt.Sprintf("%01000d", 1)}}
			if _, err := maps.Create(ctx, m, metav1.CreateOptions{}); err != nil && ctx.Err() == nil {
				b.Error(err)
			}
			for n := 0; ctx.Err() == nil && watches > 0; n++ {
				m.Data["n"] = fmt.Sprint(n)
				if _, err := maps.Update(ctx, m, metav1.UpdateOptions{}); err != nil && ctx.Err() == nil {
					b.Error(err)
					return
				}
				writes.Add(1)
			}
		}()
	}
	maps := as("other").CoreV1().ConfigMaps("other")
	var took []time.Duration
	b.ResetTimer()
	began, start, seenBefore, writesBefore := cpuTime(), time.Now(), seen.Load(), writes.Load()
	for i := 0; b.Loop(); i++ {
		at := time.Now()
		if _, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("m", i)}}, metav1.CreateOptions{}); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(at))
	}
	b.StopTimer()
	used, lasted := cpuTime()-began, time.Since(start)
	kilobytes := float64(seen.Load()-seenBefore) / 1024
	cancel()
	for range writers {
		<-done
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(writes.Load()-writesBefore)/lasted.Seconds(), "greedy-writes/s")
	b.ReportMetric(kilobytes/lasted.Seconds(), "KB/s")
	if kilobytes > 0 {
		b.ReportMetric(float64(used.Nanoseconds())/kilobytes, "cpu-ns/KB") // an event has 1.2 KB
	}
}

// named sends requests in a user's name.
type named struct {
	user string
	next http.RoundTripper
}

func (n named) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-User", n.user)
	return n.next.RoundTrip(r)
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// fastCluster is newCluster without the checks that tests want, with users by header.
func fastCluster(t testing.TB) (address string) {
	ctx, cancel := context.WithCancel(context.Background())
	st, err := store.Open(ctx, store.Options{Etcd: newMember(t), AllowPlain: true})
	if err != nil {
		t.Fatal(err)
	}
	all := served(t, st, kinds.All())
	if err := st.Start(ctx); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pair := selfSigned(t)
	s, err := New(Options{Store: st, Served: all, Listener: ln, TLS: TLS{Certificate: &pair}, Authenticator: who{}, Authorizer: who{}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		st.Close()
	})
	<-s.Ready()
	return ln.Addr().String()
}

// manyWatches opens n watches on one connection and counts the bytes that come.
func manyWatches(t testing.TB, address string, n int, path string, seen *atomic.Int64) {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	framer.SetReuseFrames()
	const window = 1<<31 - 1
	if err := framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}); err != nil {
		t.Fatal(err)
	}
	if err := framer.WriteWindowUpdate(0, window-65535); err != nil {
		t.Fatal(err)
	}
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	enc.SetMaxDynamicTableSize(0)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "x"}, {":path", path}, {"x-user", "greedy"}} {
		if err := enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			t.Fatal(err)
		}
	}
	begun := make(chan struct{}, n)
	var mu sync.Mutex // of writing
	go func() {
		var data uint32
		for {
			f, err := framer.ReadFrame()
			if err != nil {
				return
			}
			switch f := f.(type) {
			case *http2.HeadersFrame:
				begun <- struct{}{}
			case *http2.DataFrame:
				seen.Add(int64(f.Length))
				if data += f.Length; data > 1<<28 {
					mu.Lock()
					_ = framer.WriteWindowUpdate(0, data) // the connection is gone: reading fails too
					mu.Unlock()
					data = 0
				}
			case *http2.SettingsFrame:
				if !f.IsAck() {
					mu.Lock()
					_ = framer.WriteSettingsAck()
					mu.Unlock()
				}
			}
		}
	}()
	for i := range n {
		mu.Lock()
		err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
		mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
	}
	for range n {
		select {
		case <-begun:
		case <-time.After(20 * time.Second):
			t.Fatal("a watch did not begin")
		}
	}
}
