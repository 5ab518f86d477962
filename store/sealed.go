package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"hyperkube/store/backend"
	"hyperkube/store/seal"
)

// sealedPage is how many values a look for sealed ones holds at a time.
const sealedPage = 200

// SealedKeys tells which keys the values in etcd need that o.Keys does not open
// (without Keys: every sealed value), one line a key. Whoever finds the file
// of the keys missing asks this before it makes a new one, which would bury what
// the old one sealed; *seal.LostError is how it refuses.
func SealedKeys(ctx context.Context, o Options) ([]seal.Use, error) {
	uses := map[[2]string]*seal.Use{}
	err := eachLost(ctx, o, func(_ backend.Backend, kv backend.KV) error {
		provider, key, _ := seal.KeyOf(kv.Value)
		u := uses[[2]string{provider, key}]
		if u == nil {
			u = &seal.Use{Provider: provider, Key: key, Example: string(kv.Key)}
			uses[[2]string{provider, key}] = u
		}
		u.Objects++
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("store: looking for sealed values: %w", err)
	}
	out := make([]seal.Use, 0, len(uses))
	for _, k := range slices.SortedFunc(maps.Keys(uses), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		out = append(out, *uses[k])
	}
	return out, nil
}

// GiveUpSealed deletes the values that SealedKeys tells of, for whoever has
// lost the key and says so, and returns how many there were.
func GiveUpSealed(ctx context.Context, o Options) (int, error) {
	n := 0
	err := eachLost(ctx, o, func(b backend.Backend, kv backend.KV) error {
		_, ok, err := b.Remove(ctx, string(kv.Key), kv.Revision)
		if err == nil && !ok {
			err = fmt.Errorf("%s: %w", kv.Key, ErrConflict)
		}
		if err == nil {
			n++
		}
		return err
	})
	if err != nil {
		return n, fmt.Errorf("store: giving up sealed values: %w", err)
	}
	return n, nil
}

// eachLost visits the values below the prefix that o.Keys does not open.
func eachLost(ctx context.Context, o Options, visit func(backend.Backend, backend.KV) error) (err error) {
	b, err := connect(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	prefix := o.keyPrefix()
	r := backend.Range{Start: prefix, End: prefixEnd(prefix), Limit: sealedPage}
	for {
		p, err := b.Range(ctx, r)
		if err != nil {
			return err
		}
		r.Revision = p.Revision
		for _, kv := range p.KVs {
			if o.Keys.Opens(kv.Value, kv.Key) {
				continue
			}
			if err := visit(b, kv); err != nil {
				return err
			}
		}
		if !p.More {
			return nil
		}
		r.Start = string(p.KVs[len(p.KVs)-1].Key) + "\x00"
	}
}
