package etcd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"google.golang.org/protobuf/proto"

	"hyperkube/internal/regular"
)

// checkData reads what etcd is about to read and finds what it would meet with
// a panic in a goroutine of its own (a damaged database), without a word (a log
// that ends before the database does), or by an empty cluster (a log that is gone).
func checkData(dir string, sole bool) error {
	db, logs := filepath.Join(dir, "member", "snap", "db"), filepath.Join(dir, "member", "wal")
	var applied uint64
	var log extent
	unusable := func(what string, err error) error {
		return &UnusableError{Dir: dir, Cause: fmt.Errorf("%s: %w", what, err)}
	}
	// A database without a byte is none: etcd writes it anew from a whole log.
	hasDB := false
	if info, err := os.Stat(db); err == nil {
		hasDB = info.Size() > 0
	}
	if hasDB {
		err := guarded(func() (err error) { applied, err = readDatabase(db); return err })
		if err != nil {
			return unusable("its database "+db+" is damaged", err)
		}
	}
	files, err := filepath.Glob(filepath.Join(logs, "*.wal"))
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	slices.Sort(files)
	if len(files) > 0 {
		err := guarded(func() (err error) { log, err = readLog(files); return err })
		if err != nil {
			return unusable("its write-ahead log "+logs+" is damaged", err)
		}
	}
	claimed, err := claimant(dir)
	if err != nil {
		return err
	}
	switch {
	case sole && len(files) > 0 && log.committed == 0 && applied == 0 && claimed == "":
		// Its first start was cut off before the member was one of its cluster: without
		// voters nothing can have been agreed on since, and none will ever lead.
		return discard(dir)
	case sole && len(files) > 0 && log.committed == 0 && applied == 0:
		return unusable("its write-ahead log is emptied", fmt.Errorf("%s holds nothing that was agreed on, but the member has served", logs))
	case len(files) == 0 && applied > 0:
		return unusable("its write-ahead log is gone", fmt.Errorf("%s has no *.wal file, the database holds entry %d", logs, applied))
	case len(files) == 0 && !hasDB && exists(db):
		return unusable("its data is lost", fmt.Errorf("%s is empty and %s has no *.wal file", db, logs))
	case len(files) > 0 && !hasDB && log.first > 0:
		return unusable("its database is gone", fmt.Errorf("%s is absent or empty, the write-ahead log begins after entry %d", db, log.first))
	case sole && len(files) > 0 && log.last < applied:
		return unusable("its write-ahead log is cut short", fmt.Errorf("%s ends with entry %d, the database holds entry %d", logs, log.last, applied))
	}
	return nil
}

// guarded turns a panic, and a fault in mapped memory whose file is too short,
// into an error.
func guarded(read func() error) (err error) {
	before := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(before)
		if p := recover(); p != nil {
			err = errors.New(firstLine(fmt.Sprint(p)))
		}
	}()
	return read()
}

// readDatabase visits every page that is in use and returns the index of the
// last log entry that went into the database, 0 for none.
func readDatabase(path string) (applied uint64, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	b, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	return applied, b.View(func(tx *bbolt.Tx) error {
		if tx.Size() > info.Size() {
			return fmt.Errorf("it has %d bytes of %d", info.Size(), tx.Size())
		}
		if meta := tx.Bucket([]byte("meta")); meta != nil {
			if v := meta.Get([]byte("consistent_index")); len(v) == 8 {
				applied = binary.BigEndian.Uint64(v)
			}
		}
		return tx.ForEach(func(_ []byte, bucket *bbolt.Bucket) error {
			return bucket.ForEach(func(_, _ []byte) error { return nil })
		})
	})
}

// discard removes a member that never was one.
func discard(dir string) error {
	if err := os.RemoveAll(filepath.Join(dir, "member")); err != nil {
		return fmt.Errorf("data directory: removing what an interrupted first start left: %w", err)
	}
	return nil
}

// extent is how far a log goes.
type extent struct {
	first     uint64 // the index before its first entry, that of its oldest snapshot
	last      uint64 // that of its last entry
	committed uint64 // that of the last entry known to be agreed on
}

// readLog finds how far the log goes. A last record that is torn was never
// acknowledged and is passed over, as etcd does.
func readLog(files []string) (log extent, err error) {
	readers := make([]fileutil.FileReader, 0, len(files))
	for _, name := range files {
		f, err := regular.Open(name)
		if err != nil {
			return log, err
		}
		defer f.Close()
		readers = append(readers, fileutil.NewFileReader(f))
	}
	decoder, rec, some := wal.NewDecoder(readers...), &walpb.Record{}, false
	for err = decoder.Decode(rec); err == nil; err = decoder.Decode(rec) {
		switch rec.GetType() {
		case wal.EntryType:
			log.last = wal.MustUnmarshalEntry(rec.Data).GetIndex()
			if !some {
				log.first, some = log.last-1, true
			}
		case wal.StateType:
			log.committed = max(log.committed, wal.MustUnmarshalState(rec.Data).GetCommit())
		case wal.SnapshotType: // a restored log may hold nothing else
			var snap walpb.Snapshot
			if err := proto.Unmarshal(rec.Data, &snap); err != nil {
				return log, err
			}
			log.last = max(log.last, snap.GetIndex())
			log.committed = max(log.committed, snap.GetIndex())
		case wal.CrcType:
			if crc := decoder.LastCRC(); crc != 0 && rec.Validate(crc) != nil {
				return log, wal.ErrCRCMismatch
			}
			decoder.UpdateCRC(rec.GetCrc())
		}
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return log, err
	}
	return log, nil
}
