package framework

import "slices"

// Stretch maps scores to 0..MaxScore in proportion to the largest.
func Stretch(scores []int64) {
	if len(scores) == 0 {
		return
	}
	top := slices.Max(scores)
	if top <= 0 {
		return
	}
	for i, s := range scores {
		scores[i] = s * MaxScore / top
	}
}

// Reverse is Stretch where less is better.
func Reverse(scores []int64) {
	Stretch(scores)
	for i, s := range scores {
		scores[i] = MaxScore - s
	}
}

// Span maps scores to 0..MaxScore between the smallest and the largest.
func Span(scores []int64) {
	if len(scores) == 0 {
		return
	}
	low, high := slices.Min(scores), slices.Max(scores)
	for i, s := range scores {
		if high == low {
			scores[i] = 0
			continue
		}
		scores[i] = (s - low) * MaxScore / (high - low)
	}
}
