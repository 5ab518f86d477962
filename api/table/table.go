// Package table is what the columns of several kinds have in common when kubectl
// prints them: the Name and Age columns, ages, container lists, label and selector
// text. Pure; the kinds themselves declare their columns in api/<group>.
package table

import (
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/duration"
)

// Texts kubectl users know for what is missing.
const (
	None    = "<none>"
	Unset   = "<unset>"
	Unknown = "<unknown>"
)

// Name is the first column of nearly every kind.
func Name() metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{Name: "Name", Type: "string", Format: "name", Description: metav1.ObjectMeta{}.SwaggerDoc()["name"]}
}

// AgeColumn is the time since creation.
func AgeColumn() metav1.TableColumnDefinition {
	return Text("Age", metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"])
}

// Text declares a string column.
func Text(name, description string) metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{Name: name, Type: "string", Description: description}
}

// Integer declares a number column.
func Integer(name, description string) metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{Name: name, Type: "integer", Description: description}
}

// Boolean declares a true/false column.
func Boolean(name, description string) metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{Name: name, Type: "boolean", Description: description}
}

// Wide moves a column to `-o wide`.
func Wide(c metav1.TableColumnDefinition) metav1.TableColumnDefinition {
	c.Priority = 1
	return c
}

// Workload are the wide columns of everything with a pod template and a selector.
func Workload() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		Wide(Text("Containers", "Names of each container in the template.")),
		Wide(Text("Images", "Images referenced by each container in the template.")),
		Wide(Text("Selector", "Label selector of the pods that belong to this object.")),
	}
}

// WorkloadCells fill the columns of Workload.
func WorkloadCells(pod *corev1.PodSpec, selector *metav1.LabelSelector) []any {
	names, images := Containers(pod.Containers)
	return []any{names, images, metav1.FormatLabelSelector(selector)}
}

// Age renders the time between t and now as kubectl does ("5m", "3d4h").
func Age(t metav1.Time, now time.Time) string {
	if t.IsZero() {
		return Unknown
	}
	return duration.HumanDuration(now.Sub(t.Time))
}

// Containers joins names and images with commas.
func Containers(list []corev1.Container) (names, images string) {
	n, i := make([]string, len(list)), make([]string, len(list))
	for at := range list {
		n[at], i[at] = list[at].Name, list[at].Image
	}
	return strings.Join(n, ","), strings.Join(i, ",")
}

// Labels renders a set as k=v,k=v or <none>.
func Labels(set map[string]string) string {
	if len(set) == 0 {
		return None
	}
	return labels.FormatLabels(set)
}

// Some joins at most limit of list with commas and says how many were left out.
func Some(list []string, limit int) string {
	if len(list) <= limit {
		return strings.Join(list, ",")
	}
	return strings.Join(list[:limit], ",") + " + " + strconv.Itoa(len(list)-limit) + " more..."
}

// OrNone is the text, or <none> when it is empty.
func OrNone(s string) string { return or(s, None) }

// OrUnset is the text, or <unset> when it is empty.
func OrUnset(s string) string { return or(s, Unset) }

func or(s, empty string) string {
	if s == "" {
		return empty
	}
	return s
}

// Columns joins column lists.
func Columns(first []metav1.TableColumnDefinition, more ...metav1.TableColumnDefinition) []metav1.TableColumnDefinition {
	return slices.Concat(first, more)
}
