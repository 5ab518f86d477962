package cluster

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// NodeName makes a node's name of what the host or a flag says, as the standard kubelet
// does: without spaces around it and in lower case. The name is also the value of a label,
// so that its length is that of a label's.
func NodeName(from, flag string) (string, error) {
	name := strings.ToLower(strings.TrimSpace(from))
	if len(validation.IsDNS1123Subdomain(name)) > 0 || len(validation.IsValidLabelValue(name)) > 0 {
		return "", fmt.Errorf("%q cannot be the name of a node: want lower-case letters, digits, '-' and '.', a letter or digit at both ends, at most %d characters; say another with %s",
			from, validation.LabelValueMaxLength, flag)
	}
	return name, nil
}
