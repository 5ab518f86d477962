package proxy

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// TestNoRequestIsLostWhileEndpointsChange asks without pause while endpoints come and
// go as in a rolling update: the old one leaves the slice before it stops.
func TestNoRequestIsLostWhileEndpointsChange(t *testing.T) {
	l := newLab(t)
	client := l.pod("10.88.0.9")
	ips := []string{"10.88.0.2", "10.88.0.3", "10.88.0.4", "10.88.0.5"}
	l.serve(8000, ips...)
	svc := service("web", "10.32.0.10", 80)
	l.add(svc, 8000, ips[0], ips[1])
	p := l.start()
	l.reach(client, "tcp", "10.32.0.10:80", ips[0], ips[1])
	stop := make(chan struct{})
	var asking sync.WaitGroup
	var lost error
	asked := 0
	asking.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := ask(client, "tcp", "10.32.0.10:80"); err != nil {
				lost = fmt.Errorf("request %d: %w", asked, err)
				return
			}
			asked++
		}
	})
	for i := range 60 {
		before := p.health.lastSync()
		a, b, c := ips[i%4], ips[(i+1)%4], ips[(i+2)%4]
		switch i % 3 {
		case 0:
			l.endpoints(svc, 8000, a, b, c)
		case 1:
			l.endpoints(svc, 8000, "!"+a, b, c)
		case 2:
			l.endpoints(svc, 8000, b)
		}
		l.eventually("sync", func() error {
			if p.health.lastSync().Equal(before) {
				return fmt.Errorf("none since %s", before.Format(time.TimeOnly))
			}
			return nil
		})
	}
	close(stop)
	asking.Wait()
	if lost != nil {
		t.Error(lost)
	}
	if asked == 0 {
		t.Error("nothing was asked")
	}
	t.Logf("%d requests, none lost", asked)
}
