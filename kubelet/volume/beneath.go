package volume

import (
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// ReadBeneath reads a regular file of at most that many bytes inside root, whatever links, pipes or devices a
// container put there instead. What is no regular file is not even opened: that alone sets some devices going.
func ReadBeneath(root, sub string, most int64) ([]byte, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening volume: %w", err)
	}
	defer unix.Close(dir)
	how := &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(dir, sub, how)
	if err != nil {
		return nil, fmt.Errorf("opening %.255q in volume: %w", sub, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("%.255q is not a regular file", sub)
	}
	f, err := os.Open("/proc/self/fd/" + strconv.Itoa(fd)) // the very file that was looked at
	if err != nil {
		return nil, fmt.Errorf("opening %.255q in volume: %w", sub, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%.255q is larger than %d bytes", sub, most)
	}
	return data, err
}
