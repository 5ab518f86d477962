package verbs

import (
	"slices"

	"hyperkube/store"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// deleteCollection removes what a list with the same selectors would show and
// answers with the objects as they were left. An object that somebody else
// removes meanwhile is no error.
func (c *call) deleteCollection() error {
	lo, err := c.deletionList()
	if err != nil {
		return err
	}
	o, err := c.deleteOptions()
	if err != nil {
		return err
	}
	l, err := c.ep.Collection.List(c.ctx, lo)
	if err != nil {
		return c.explainList(err, lo)
	}
	var gone []*store.Entry
	for e := range l.Entries {
		left, _, err := c.remove(e.Key, o)
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return err
		default:
			gone = append(gone, left)
		}
	}
	return c.sendList(&store.List{Revision: l.Revision, Entries: slices.Values(gone), Continue: l.Continue, Remaining: l.Remaining})
}

func (c *call) deletionList() (store.ListOptions, error) {
	o, err := c.listOptions()
	if err != nil {
		return store.ListOptions{}, err
	}
	o.ResourceVersion, o.ResourceVersionMatch = "", metav1.ResourceVersionMatch("")
	return c.listRequest(o)
}
