package store

import (
	"hash/maphash"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/tidwall/btree"
	"k8s.io/apimachinery/pkg/runtime"
)

// snapshot is the state of a collection after the change at rev. It is never
// changed; the loop that makes snapshots copies the nodes it touches.
type snapshot struct {
	rev     int64
	before  int64 // bytes that were replaced or deleted in the collection until then
	tree    *btree.BTreeG[*Entry]
	indexes []indexTree
	brokens *brokens // what is stored and cannot be read
}

func newTree() *btree.BTreeG[*Entry] {
	return btree.NewBTreeGOptions(lessEntry, btree.Options{NoLocks: true})
}

func lessEntry(a, b *Entry) bool { return a.Key.compare(b.Key) < 0 }

// compare orders keys as etcd orders "<namespace>/<name>", so that pages from
// a snapshot and pages from etcd fit together.
func (k Key) compare(o Key) int {
	if k.Namespace == o.Namespace {
		return strings.Compare(k.Name, o.Name)
	}
	a, b := k.Namespace, o.Namespace
	n := min(len(a), len(b))
	if c := strings.Compare(a[:n], b[:n]); c != 0 {
		return c
	}
	if len(a) < len(b) { // compare "/" with what follows in the longer one
		return int('/') - int(b[n])
	}
	return int(a[n]) - int('/')
}

// path is the key below the collection's prefix.
func (k Key) path() string {
	if k.Namespace == "" {
		return k.Name
	}
	return k.Namespace + "/" + k.Name
}

// pivots are entries that only carry a key to look for.
type pivots struct{ pool sync.Pool }

func (p *pivots) get(k Key) *Entry {
	e, _ := p.pool.Get().(*Entry)
	if e == nil {
		e = new(Entry)
	}
	e.Key = k
	return e
}

func (p *pivots) put(e *Entry) {
	e.Key = Key{}
	p.pool.Put(e)
}

func (s *snapshot) get(p *pivots, k Key) *Entry {
	pivot := p.get(k)
	e, _ := s.tree.Get(pivot)
	p.put(pivot)
	return e
}

// ascend visits the entries from a key on, in one namespace or in all.
func (s *snapshot) ascend(from Key, namespace string, visit func(*Entry) bool) {
	s.tree.Ascend(&Entry{Key: from}, func(e *Entry) bool {
		if namespace != "" && e.Key.Namespace != namespace {
			return false
		}
		return visit(e)
	})
}

// at is the entry as it looks under another revision: the same content, shared,
// with its own resourceVersion.
func (e *Entry) at(rev int64) *Entry {
	return &Entry{Key: e.Key, Revision: rev, Object: withRevision(e.Object, strconv.FormatInt(rev, 10)), sum: e.sum, shape: e.shape, size: e.size}
}

// withRevision copies as little of obj as its resourceVersion needs.
func withRevision(obj Object, rv string) Object {
	var c Object
	v := reflect.ValueOf(obj)
	if _, untyped := obj.(runtime.Unstructured); untyped || v.Kind() != reflect.Pointer {
		c = obj.DeepCopyObject().(Object)
	} else {
		s := reflect.New(v.Type().Elem())
		s.Elem().Set(v.Elem())
		c = s.Interface().(Object)
	}
	c.SetResourceVersion(rv)
	return c
}

// takes says whether an entry passes the filter. Narrowing by index uses value.
func (f *Filter) takes(e *Entry, value func(Object) string) bool {
	if f.Namespace != "" && e.Key.Namespace != f.Namespace {
		return false
	}
	if f.Name != "" && e.Key.Name != f.Name {
		return false
	}
	if value != nil && value(e.Object) != f.IndexValue {
		return false
	}
	return f.Match == nil || f.Match(e.Object)
}

// whole says that the filter takes everything in its namespace.
func (f *Filter) whole() bool { return f.Name == "" && f.IndexName == "" && f.Match == nil }

func (s *Store) hash(data []byte) uint64 { return maphash.Bytes(s.seed, data) }
