package job

import (
	"slices"
	"strconv"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// span is a run of completion indexes, both ends included.
type span struct{ first, last int }

// indexes is a set of completion indexes as spans in order. A job may have 100,000 of
// them; spans keep the set as short as its text.
type indexes []span

// parseIndexes reads a status's "0,2-5". What is no index below n is left out.
func parseIndexes(text string, n int) indexes {
	var out indexes
	for part := range strings.SplitSeq(text, ",") {
		a, b, ranged := strings.Cut(part, "-")
		first, err := strconv.Atoi(a)
		if err != nil {
			continue
		}
		last := first
		if ranged {
			if last, err = strconv.Atoi(b); err != nil {
				continue
			}
		}
		if first >= n {
			break
		}
		out = append(out, span{first, min(last, n-1)})
	}
	return out
}

// String is the text form, "" for none; two neighbours are written "1,2".
func (x indexes) String() string {
	var b strings.Builder
	for i, s := range x {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(s.first))
		if s.last > s.first {
			sep := byte('-')
			if s.last == s.first+1 {
				sep = ','
			}
			b.WriteByte(sep)
			b.WriteString(strconv.Itoa(s.last))
		}
	}
	return b.String()
}

func (x indexes) count() int {
	n := 0
	for _, s := range x {
		n += s.last - s.first + 1
	}
	return n
}

func (x indexes) has(i int) bool {
	_, ok := x.spanOf(i)
	return ok
}

// search finds the span that holds i, or the one that would come next.
func (x indexes) search(i int) (int, bool) {
	return slices.BinarySearchFunc(x, i, func(s span, i int) int {
		switch {
		case s.last < i:
			return -1
		case s.first > i:
			return 1
		}
		return 0
	})
}

// with returns the set with more indexes, sorted ones, in it.
func (x indexes) with(more []int) indexes {
	spans := make(indexes, 0, len(more))
	for _, i := range more {
		spans = append(spans, span{i, i})
	}
	return x.join(spans)
}

// join returns what is in either set.
func (x indexes) join(y indexes) indexes {
	all := slices.Concat(x, y)
	slices.SortFunc(all, func(a, b span) int { return a.first - b.first })
	var out indexes
	for _, s := range all {
		if n := len(out); n > 0 && s.first <= out[n-1].last+1 {
			out[n-1].last = max(out[n-1].last, s.last)
			continue
		}
		out = append(out, s)
	}
	return out
}

// indexOf is the completion index of a pod, -1 when it has none.
func indexOf(p *corev1.Pod) int {
	i, err := strconv.Atoi(p.Annotations[batchv1.JobCompletionIndexAnnotation])
	if err != nil || i < 0 {
		return -1
	}
	return i
}

// firstFree returns up to n of the lowest indexes below total that are neither done nor taken.
func firstFree(n, total int, done indexes, taken map[int]bool) []int {
	var out []int
	for i := 0; i < total && len(out) < n; i++ {
		if at, ok := done.spanOf(i); ok {
			i = at.last
			continue
		}
		if !taken[i] {
			out = append(out, i)
		}
	}
	return out
}

func (x indexes) spanOf(i int) (span, bool) {
	at, _ := x.search(i)
	if at < len(x) && x[at].first <= i && i <= x[at].last {
		return x[at], true
	}
	return span{}, false
}
