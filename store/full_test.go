package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hyperkube/store/etcd"
)

// smallDisk is a file system of its own, of so many MiB.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", size)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fillDisk takes all the room there is.
func fillDisk(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for chunk := make([]byte, 1<<20); ; {
		n, err := f.Write(chunk)
		if errors.Is(err, unix.ENOSPC) {
			if len(chunk) == 1 {
				return
			}
			chunk = chunk[:len(chunk)/2]
			continue
		}
		if err != nil || n == 0 {
			t.Fatal(n, err)
		}
	}
}

// TestFullDisk fills the disk under a store that is being written to: what is
// stored can be read, writes are refused with the reason, and go on by
// themselves when there is room.
func TestFullDisk(t *testing.T) {
	disk := smallDisk(t, 384)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	member, err := etcd.Start(ctx, etcd.Config{Dir: filepath.Join(disk, "etcd")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(member.Stop)
	s := openStore(t, Options{Etcd: member})
	c := pods(t, s)
	kept := pod("a", "first", "")
	kept.Annotations = map[string]string{"n": "0"}
	first, err := c.Create(ctx, kept)
	if err != nil {
		t.Fatal(err)
	}
	writing, stop := context.WithCancel(ctx)
	var writers sync.WaitGroup
	var n, stored, refused atomic.Int64
	for range 4 {
		writers.Go(func() {
			for writing.Err() == nil {
				p := pod("a", fmt.Sprint("p", n.Add(1)), "")
				p.Annotations = map[string]string{"bulk": string(make([]byte, 4<<10))}
				switch _, err := c.Create(ctx, p); {
				case err == nil:
					stored.Add(1)
				case errors.Is(err, ErrFull):
					refused.Add(1)
				default:
					if writing.Err() == nil {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	until := func(what string, limit time.Duration, ok func() bool) {
		t.Helper()
		began := time.Now()
		for !ok() {
			select {
			case <-time.After(5 * time.Millisecond):
			case <-ctx.Done():
				t.Fatal(what, ctx.Err())
			}
			if time.Since(began) > limit {
				t.Fatalf("%s: not within %v", what, limit)
			}
		}
	}
	for round := range 2 {
		had := stored.Load()
		until("writes", 10*time.Second, func() bool { return stored.Load() > had+50 })
		big := filepath.Join(disk, "big")
		fillDisk(t, big)
		none := refused.Load()
		until("refusals", 5*time.Second, func() bool { return refused.Load() > none+1000 })
		fillDisk(t, big) // what was given up too
		again := refused.Load()
		until("refusals", 5*time.Second, func() bool { return refused.Load() > again+1000 })
		if got, err := c.Get(ctx, first.Key, Freshness{}); err != nil || got != first {
			t.Fatal("reads while the disk is full:", got, err)
		}
		l, err := c.List(ctx, ListOptions{})
		if err != nil {
			t.Fatal("lists while the disk is full:", err)
		}
		count := int64(0)
		for range l.Entries {
			count++
		}
		if count < stored.Load() {
			t.Error("stored", stored.Load(), "listed", count)
		}
		if _, err := c.Update(ctx, first.Key, increment); round == 0 && !errors.Is(err, ErrFull) {
			t.Error("update:", err)
		}
		_, err = c.Create(ctx, pod("a", "x", ""))
		var full *etcd.FullError
		if !errors.As(err, &full) || full.Dir != filepath.Join(disk, "etcd") {
			t.Fatal(err)
		}
		if err := os.Remove(big); err != nil {
			t.Fatal(err)
		}
	}
	had := stored.Load()
	until("writes", 10*time.Second, func() bool { return stored.Load() > had+50 })
	stop()
	writers.Wait()
	t.Log(stored.Load(), "stored", refused.Load(), "refused")
	// Everything acknowledged is there after a start from the disk.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	member.Stop()
	if err := member.Err(); err != nil {
		t.Fatal(err)
	}
	e, again := openDir(t, filepath.Join(disk, "etcd"))
	defer e.Stop()
	defer again.Close()
	l, err := pods(t, again).List(ctx, ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	count := int64(0)
	for range l.Entries {
		count++
	}
	if count < stored.Load()+1 {
		t.Error("stored", stored.Load(), "found", count)
	}
}
