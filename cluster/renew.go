package cluster

import (
	"context"
	"log/slog"
	"time"

	"hyperkube/internal/pki"
	"hyperkube/internal/supervise"
	"hyperkube/internal/trouble"
)

// renewEvery is how often the certificates of a cluster that runs are looked at: when the
// clock of a machine is set right, they are made to fit within this time.
const renewEvery = 30 * time.Second

// renewal issues certificates and kubeconfigs anew while the cluster runs: one that is up for
// longer than they live goes on. Servers and clients read the files again. Nothing that others
// know is made here: a CA or key that is lost is told and left to a person.
type renewal struct {
	options pki.Options
	log     *slog.Logger
	trouble *trouble.Teller
}

func (c *control) buildRenewal() (func(context.Context) error, error) {
	r, err := c.newRenewal()
	if err != nil {
		return nil, err
	}
	return r.run, nil
}

func (c *control) newRenewal() (*renewal, error) {
	o, err := c.keyOptions()
	if err != nil {
		return nil, err
	}
	o.Renewal, o.Known, o.NewCA, o.NewServiceAccount = true, true, false, false
	return &renewal{options: o, log: c.log, trouble: trouble.New(c.log, failures("certificates", c.registries.fresh("certificates")), "renewing certificates")}, nil
}

func (r *renewal) run(ctx context.Context) error {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := supervise.Contain("renewing certificates", func() error { return r.look(time.Now()) })
		if err != nil {
			r.trouble.Failed(err)
		} else {
			r.trouble.Well()
		}
	}
}

// look makes what is not good any more.
func (r *renewal) look(now time.Time) error {
	o := r.options
	o.Now = now
	made, err := pki.Ensure(o)
	if err != nil {
		return adviseLost(err)
	}
	if len(made.Issued) > 0 {
		r.log.Info("issued certificates anew", "files", made.Issued)
	}
	return nil
}
