package assembly

import (
	"bytes"
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hyperkube/internal/trouble"
	"hyperkube/store/seal"
)

const (
	// keysEvery is how often the encryption configuration is looked at (the published minute).
	keysEvery = time.Minute
	// keysTime is how long it may take to see that nothing would be lost by another one.
	keysTime = 10 * time.Minute
)

// reloads are the standard metrics of an encryption configuration that is read again.
type reloads struct {
	total *prometheus.CounterVec
	last  *prometheus.GaugeVec
}

func newReloads(r prometheus.Registerer) *reloads {
	m := &reloads{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "apiserver_encryption_config_controller_automatic_reloads_total",
			Help: "Total number of reload successes and failures of encryption configuration split by status."}, []string{"status"}),
		last: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "apiserver_encryption_config_controller_automatic_reload_last_timestamp_seconds",
			Help: "Timestamp of the last successful or failed automatic reload of encryption configuration."}, []string{"status"}),
	}
	r.MustRegister(m.total, m.last)
	return m
}

func (m *reloads) count(err error) {
	status := "success"
	if err != nil {
		status = "failure"
	}
	m.total.WithLabelValues(status).Inc()
	m.last.WithLabelValues(status).SetToCurrentTime()
}

// keepKeys has the store use the encryption configuration as its file says. One that cannot
// be read, or without a key that something stored needs, changes nothing, is told, counted
// and tried again.
func (a *Assembly) keepKeys(ctx context.Context) error {
	if a.o.KeysFile == "" {
		return nil
	}
	failing, counts := trouble.New(a.o.Log, trouble.Metric(a.o.Registry), "taking over the encryption configuration"), newReloads(a.o.Registry)
	tick := time.NewTicker(keysEvery)
	defer tick.Stop()
	file := keysFile{path: a.o.KeysFile, in: a.o.Keys.Sum(), rekey: a.Store.Rekey}
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		changed, err := file.look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if changed || err != nil {
			counts.count(err)
		}
		if err != nil {
			failing.Failed(err, "file", a.o.KeysFile)
			continue
		}
		failing.Well()
		if changed {
			a.o.Log.Info("the encryption configuration was taken over", "file", a.o.KeysFile)
		}
	}
}

// keysFile is an encryption configuration that is in use.
type keysFile struct {
	path  string
	in    []byte // seal.Config.Sum of what is in use
	rekey func(context.Context, *seal.Config) error
}

// look takes over what the file holds if that is not in use.
func (f *keysFile) look(ctx context.Context) (changed bool, err error) {
	next, err := seal.Load(f.path)
	if err != nil || bytes.Equal(next.Sum(), f.in) {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, keysTime)
	defer cancel()
	if err := f.rekey(ctx, next); err != nil {
		return false, err
	}
	f.in = next.Sum()
	return true, nil
}
