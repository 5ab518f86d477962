package verbs

import (
	"fmt"
	"net/http"
	"strconv"

	"hyperkube/store"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

func (c *call) get() error {
	fresh, err := c.atLeast()
	if err != nil {
		return err
	}
	e, err := c.ep.Collection.Get(c.ctx, c.key, fresh)
	if err != nil {
		return c.explain(err, c.key.Name)
	}
	return c.sendEntry(http.StatusOK, e)
}

// atLeast reads resourceVersion as a get means it.
func (c *call) atLeast() (store.Freshness, error) {
	rv := c.query.Get("resourceVersion")
	if rv == "" {
		return store.Freshness{}, nil
	}
	n, err := parseRevision(rv)
	return store.Freshness{Any: n == 0, Min: n}, err
}

func parseRevision(rv string) (int64, error) {
	if rv == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(rv, 10, 63)
	if err != nil {
		return 0, apierrors.NewBadRequest(fmt.Sprintf("Invalid value for resourceVersion %q: must be a non-negative number", rv))
	}
	return int64(n), nil
}
