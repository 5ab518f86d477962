package runtime

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"hyperkube/internal/regular"
)

// readBlob is the largest blob that is read to see whether it is whole: configurations and
// manifests are, which containerd reads each time an image is used. Layers are read once.
const readBlob = 256 << 10

// wholeBlob wants a blob to be there, as long as it was written and, when it is small, with
// what its name is the hash of.
func wholeBlob(path, sum string, size int64) error {
	if err := present(path); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("looking at what containerd has: %w", err)
	}
	if info.Size() != size {
		return &damage{what: fmt.Sprintf("%s has %d bytes of %d", path, info.Size(), size)}
	}
	if size > readBlob || len(sum) != hex.EncodedLen(sha256.Size) {
		return nil
	}
	b, err := regular.ReadMost(path, readBlob)
	if err != nil {
		return fmt.Errorf("looking at what containerd has: %w", err)
	}
	if have := sha256.Sum256(b); hex.EncodeToString(have[:]) != sum {
		return &damage{what: path + " is garbled"}
	}
	return nil
}

// nameFile is containerd's name of itself. It writes it without waiting for the disk, and
// answers nobody whose start finds there what is none, as after a power cut.
const nameFile = "io.containerd.grpc.v1.introspection/uuid"

var goodName = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// dropName removes a name that is none; containerd makes another one, which nothing depends on.
func dropName(root string) error {
	path := filepath.Join(root, nameFile)
	b, err := regular.ReadMost(path, 1<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && goodName.Match(b) {
		return nil
	}
	return os.Remove(path)
}
