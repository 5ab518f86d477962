package cluster

import (
	"crypto/rand"
	"strings"
)

// What a person gives up (Options.NewCA and its like) is given up for the loss they know of,
// once. A keeper starts the cluster's process again with the same words for as long as it
// lives: said by it, they would give up what is lost, or only out of reach, years later, and
// nobody would be asked.
//
//	up --start-empty ──▶ --once=K7… ──▶ first start: heeded ──serves──▶ cluster.json: spent K7…
//	                     the same  ──▶ started again: K7… is spent, what is lost is refused

// givesUp reports whether anything is to be given up.
func (o *Options) givesUp() bool {
	return o.NewCA || o.NewServiceAccountKey || o.NewEncryptionKey || o.StartEmpty
}

// onceOnly names this start, so that those that repeat it are told from it.
func (o Options) onceOnly() Options {
	o.Once = ""
	if o.givesUp() {
		o.Once = strings.ToLower(rand.Text())
	}
	return o
}

// heed forgets what a start before this one, of the same command, has given up; have is what
// the data directory remembers.
func (o *Options) heed(have *Identity) {
	if o.Once != "" && have != nil && have.Spent == o.Once {
		o.NewCA, o.NewServiceAccountKey, o.NewEncryptionKey, o.StartEmpty = false, false, false, false
	}
}

// spend notes, before the keeper is told that the cluster serves, that nothing more is to be
// given up by this command.
func (c *control) spend() error {
	if c.o.Once == "" || c.identity.Spent == c.o.Once {
		return nil
	}
	c.identity.Spent = c.o.Once
	return c.identity.write(c.o.DataDir)
}
