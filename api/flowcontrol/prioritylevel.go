package flowcontrol

import (
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
	"hyperkube/api/table"
)

// DefaultPriorityLevelConfiguration fills in the documented defaults.
func DefaultPriorityLevelConfiguration(p *flowcontrolv1.PriorityLevelConfiguration) {
	if l := p.Spec.Limited; l != nil {
		orDefault(&l.NominalConcurrencyShares, 30)
		orDefault(&l.LendablePercent, 0)
		if q := l.LimitResponse.Queuing; q != nil {
			positive(&q.Queues, 64)
			positive(&q.HandSize, 8)
			positive(&q.QueueLengthLimit, 50)
		}
	}
	if e := p.Spec.Exempt; e != nil {
		orDefault(&e.NominalConcurrencyShares, 0)
		orDefault(&e.LendablePercent, 0)
	}
}

func orDefault(p **int32, v int32) {
	if *p == nil {
		*p = &v
	}
}

func positive(p *int32, v int32) {
	if *p == 0 {
		*p = v
	}
}

// ValidatePriorityLevelConfiguration checks a level.
func ValidatePriorityLevelConfiguration(p *flowcontrolv1.PriorityLevelConfiguration) field.ErrorList {
	spec := field.NewPath("spec")
	errs := rules.OneOf(p.Spec.Type, spec.Child("type"), flowcontrolv1.PriorityLevelEnablementExempt, flowcontrolv1.PriorityLevelEnablementLimited)
	if (p.Name == exempt) != (p.Spec.Type == flowcontrolv1.PriorityLevelEnablementExempt) {
		errs = append(errs, field.Invalid(spec.Child("type"), p.Spec.Type, "type must be 'Exempt' if and only if `name` is 'exempt'"))
	}
	switch p.Spec.Type {
	case flowcontrolv1.PriorityLevelEnablementExempt:
		if p.Spec.Limited != nil {
			errs = append(errs, field.Forbidden(spec.Child("limited"), "must be nil if the type is Exempt"))
		}
		if e := p.Spec.Exempt; e != nil {
			at := spec.Child("exempt")
			errs = append(errs, rules.MaybeNotNegative(e.NominalConcurrencyShares, at.Child("nominalConcurrencyShares"))...)
			if e.LendablePercent != nil {
				errs = append(errs, rules.Between(*e.LendablePercent, 0, 100, at.Child("lendablePercent"))...)
			}
		}
	case flowcontrolv1.PriorityLevelEnablementLimited:
		if p.Spec.Exempt != nil {
			errs = append(errs, field.Forbidden(spec.Child("exempt"), "must be nil if the type is Limited"))
		}
		if p.Spec.Limited == nil {
			return append(errs, field.Required(spec.Child("limited"), "must not be empty when type is Limited"))
		}
		errs = append(errs, validateLimited(p.Spec.Limited, spec.Child("limited"))...)
	}
	return errs
}

func validateLimited(l *flowcontrolv1.LimitedPriorityLevelConfiguration, path *field.Path) field.ErrorList {
	errs := rules.MaybeNotNegative(l.NominalConcurrencyShares, path.Child("nominalConcurrencyShares"))
	if l.LendablePercent != nil {
		errs = append(errs, rules.Between(*l.LendablePercent, 0, 100, path.Child("lendablePercent"))...)
	}
	errs = append(errs, rules.MaybeNotNegative(l.BorrowingLimitPercent, path.Child("borrowingLimitPercent"))...)
	at, r := path.Child("limitResponse"), l.LimitResponse
	errs = append(errs, rules.OneOf(r.Type, at.Child("type"), flowcontrolv1.LimitResponseTypeQueue, flowcontrolv1.LimitResponseTypeReject)...)
	switch q := r.Queuing; {
	case r.Type == flowcontrolv1.LimitResponseTypeReject && q != nil:
		errs = append(errs, field.Forbidden(at.Child("queuing"), "must be nil if limited.limitResponse.type is not Queue"))
	case r.Type == flowcontrolv1.LimitResponseTypeQueue && q == nil:
		errs = append(errs, field.Required(at.Child("queuing"), "must not be empty if limited.limitResponse.type is Queue"))
	case q != nil:
		at = at.Child("queuing")
		errs = append(errs, rules.Positive(q.QueueLengthLimit, at.Child("queueLengthLimit"))...)
		errs = append(errs, rules.Between(q.Queues, 1, 10_000_000, at.Child("queues"))...)
		errs = append(errs, rules.Positive(q.HandSize, at.Child("handSize"))...)
		if q.HandSize > q.Queues {
			errs = append(errs, field.Invalid(at.Child("handSize"), q.HandSize, "should not be greater than queues"))
		}
	}
	return errs
}

// PriorityLevelConfigurationColumns are what kubectl prints.
func PriorityLevelConfigurationColumns() []metav1.TableColumnDefinition {
	q := flowcontrolv1.QueuingConfiguration{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		table.Name(),
		table.Text("Type", flowcontrolv1.PriorityLevelConfigurationSpec{}.SwaggerDoc()["type"]),
		table.Text("NominalConcurrencyShares", flowcontrolv1.LimitedPriorityLevelConfiguration{}.SwaggerDoc()["nominalConcurrencyShares"]),
		table.Text("Queues", q["queues"]),
		table.Text("HandSize", q["handSize"]),
		table.Text("QueueLengthLimit", q["queueLengthLimit"]),
		table.AgeColumn(),
	}
}

// PriorityLevelConfigurationRow fills PriorityLevelConfigurationColumns.
func PriorityLevelConfigurationRow(p *flowcontrolv1.PriorityLevelConfiguration, now time.Time) []any {
	var shares, queues, hand, length any = table.None, table.None, table.None, table.None
	if l := p.Spec.Limited; l != nil {
		if l.NominalConcurrencyShares != nil {
			shares = *l.NominalConcurrencyShares
		}
		if q := l.LimitResponse.Queuing; q != nil {
			queues, hand, length = q.Queues, q.HandSize, q.QueueLengthLimit
		}
	}
	return []any{p.Name, string(p.Spec.Type), shares, queues, hand, length, table.Age(p.CreationTimestamp, now)}
}
