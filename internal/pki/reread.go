package pki

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"hyperkube/internal/trouble"
)

const (
	// lookEvery is how often files are looked at, at most and only when somebody asks.
	lookEvery = time.Second
	// youngFile is how old a file's last change must be to tell it from a next one by its time.
	youngFile = 2 * time.Second
	// fileMax bounds a file of certificates or keys. A large bundle has some hundred kilobytes.
	fileMax = 8 << 20
)

// Reread is what some files hold, which may be changed under a process that runs: they are
// read again when somebody asks and finds them changed. What cannot be read, holds nothing
// or holds what must not be leaves in use what was there before, is told and is counted.
type Reread[T any] struct {
	paths []string
	parse func(contents [][]byte) (T, error)
	told  *trouble.Teller // nil tells nobody

	mu     sync.Mutex
	looked time.Time
	have   []fileState
	value  T
}

// fileState is what changes when a file does.
type fileState struct {
	size    int64
	changed time.Time
	same    os.FileInfo
}

// NewReread reads the files, which must be good now. what names them in the error.
func NewReread[T any](what string, paths []string, parse func([][]byte) (T, error), told *trouble.Teller) (*Reread[T], error) {
	f := &Reread[T]{paths: paths, parse: parse, told: told}
	f.looked = time.Now()
	if err := f.read(); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return f, nil
}

// Get is what the files hold.
func (f *Reread[T]) Get() T {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.looked) < lookEvery {
		return f.value
	}
	f.looked = time.Now()
	err := f.read()
	switch {
	case f.told == nil:
	case err != nil:
		f.told.Failed(fmt.Errorf("what was read before stays in use: %w", err))
	default:
		f.told.Well()
	}
	return f.value
}

// read takes over the files if they have changed.
func (f *Reread[T]) read() error {
	now := make([]fileState, len(f.paths))
	changed := f.have == nil
	for i, p := range f.paths {
		st, err := os.Stat(p)
		if err != nil {
			return err
		}
		now[i] = fileState{st.Size(), st.ModTime(), st}
		changed = changed || !now[i].is(f.have[i]) || f.looked.Sub(st.ModTime()) < youngFile
	}
	if !changed {
		return nil
	}
	contents := make([][]byte, len(f.paths))
	for i, p := range f.paths {
		var err error
		if contents[i], err = readBounded(p); err != nil {
			return err
		}
	}
	value, err := f.parse(contents)
	if err != nil {
		return err
	}
	f.value, f.have = value, now
	return nil
}

func (s fileState) is(o fileState) bool {
	return s.size == o.size && s.changed.Equal(o.changed) && os.SameFile(s.same, o.same)
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, fileMax+1))
	if err == nil && len(data) > fileMax {
		err = fmt.Errorf("%s has more than %d bytes", path, fileMax)
	}
	return data, err
}
