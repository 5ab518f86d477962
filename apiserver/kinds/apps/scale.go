package apps

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// selectorText is the selector as Scale carries it. It is empty for a selector
// that does not parse, which validation keeps out of the store.
func selectorText(s *metav1.LabelSelector) string {
	sel, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return ""
	}
	return sel.String()
}
