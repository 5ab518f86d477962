package kit

import (
	"context"
	"sync"

	"k8s.io/client-go/util/retry"

	"hyperkube/internal/supervise"
)

// SlowStart calls fn n times, 1, 2, 4, … at once (start with more for another first step),
// and stops growing at the first batch with an error: what fails for one mostly fails
// for all. It returns how many succeeded and the first error. A panic of fn is its error.
func SlowStart(ctx context.Context, n, first int, fn func(ctx context.Context, i int) error) (int, error) {
	done := 0
	for size := min(max(first, 1), n); size > 0; size = min(2*size, n-done) {
		errs := make([]error, size)
		var batch sync.WaitGroup
		for i := range size {
			batch.Go(func() { errs[i] = supervise.Contain("batch", func() error { return fn(ctx, done+i) }) })
		}
		batch.Wait()
		ok := 0
		var err error
		for _, e := range errs {
			if e == nil {
				ok++
			} else if err == nil {
				err = e
			}
		}
		done += ok
		if err != nil {
			return done, err
		}
		if ctx.Err() != nil {
			return done, ctx.Err()
		}
	}
	return done, nil
}

// Parallel calls fn n times, at most width at once, and returns the first error after all are done.
// A panic of fn is its error.
func Parallel(ctx context.Context, n, width int, fn func(ctx context.Context, i int) error) error {
	var (
		wg    sync.WaitGroup
		once  sync.Once
		first error
		next  = make(chan int)
	)
	for range min(width, n) {
		wg.Go(func() {
			for i := range next {
				if err := supervise.Contain("batch", func() error { return fn(ctx, i) }); err != nil {
					once.Do(func() { first = err })
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	return first
}

// RetryConflict calls fn again, a few times with short pauses, while it answers
// that the object was changed meanwhile. fn reads the object anew each time.
func RetryConflict(ctx context.Context, fn func(ctx context.Context) error) error {
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return fn(ctx)
	})
}
