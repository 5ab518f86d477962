// Package apiextensions holds the rules of apiextensions.k8s.io/v1: so far only
// how a CustomResourceDefinition is printed. Pure functions.
package apiextensions

import (
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/api/table"
)

// CustomResourceDefinitionColumns are what kubectl prints.
func CustomResourceDefinitionColumns() []metav1.TableColumnDefinition {
	created := table.Text("Created At", metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"])
	created.Type = "date"
	return []metav1.TableColumnDefinition{table.Name(), created}
}

// CustomResourceDefinitionRow fills CustomResourceDefinitionColumns.
func CustomResourceDefinitionRow(d *apiextensionsv1.CustomResourceDefinition, _ time.Time) []any {
	return []any{d.Name, d.CreationTimestamp.UTC().Format(time.RFC3339)}
}
