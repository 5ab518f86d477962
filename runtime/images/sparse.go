package images

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// part is a stretch of a file that holds data; between parts are holes.
type part struct{ offset, length int64 }

// minHole is how much a file's holes must hold for the file to be packed without them.
const minHole = 64 << 10

// dataOf finds the parts of a file with holes, and none for one that is packed as it is. The
// last part may be empty: it marks the end of a file that ends with a hole.
func dataOf(f *os.File, size int64) ([]part, error) {
	var parts []part
	data := int64(0)
	for at := int64(0); at < size; {
		start, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // nothing but a hole follows
			break
		}
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) { // a file system without holes
			parts, data = nil, size
			break
		}
		if err != nil {
			return nil, fmt.Errorf("looking for holes: %w", err)
		}
		end, err := unix.Seek(int(f.Fd()), start, unix.SEEK_HOLE)
		if err != nil {
			return nil, fmt.Errorf("looking for holes: %w", err)
		}
		end = min(end, size)
		parts = append(parts, part{start, end - start})
		data += end - start
		at = end
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	if size-data < minHole {
		return nil, nil
	}
	if n := len(parts); n == 0 || parts[n-1].offset+parts[n-1].length < size {
		parts = append(parts, part{size, 0})
	}
	return parts, nil
}

// writeSparse adds a file without its holes in the way of GNU tar (format 1.0 of POSIX
// archives): its map leads its data. archive/tar reads such entries and cannot write them,
// so the two headers are written past it.
func writeSparse(tw *tar.Writer, w io.Writer, h *tar.Header, f *os.File, size int64, parts []part) error {
	if err := tw.Flush(); err != nil {
		return err
	}
	index, stored := sparseMap(parts)
	records := map[string]string{
		"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": h.Name, "GNU.sparse.realsize": strconv.FormatInt(size, 10),
	}
	for k, v := range h.PAXRecords {
		records[k] = v
	}
	stored += int64(len(index))
	name := path.Join(path.Dir(h.Name), "GNUSparseFile.0", path.Base(h.Name))
	if len(name) > 100 {
		records["path"] = name
	}
	for key, v := range map[string]int64{"size": stored, "uid": int64(h.Uid), "gid": int64(h.Gid)} {
		if v >= 1<<21 { // more than the octal digits of the short fields hold
			records[key] = strconv.FormatInt(v, 10)
		}
	}
	text := paxRecords(records)
	err := errors.Join(
		rawHeader(w, tar.TypeXHeader, "PaxHeaders.0/sparse", &tar.Header{Mode: 0o644}, int64(len(text))),
		padded(w, bytes.NewReader(text), int64(len(text))),
		rawHeader(w, tar.TypeReg, name, h, stored),
	)
	if err != nil {
		return err
	}
	if _, err := w.Write(index); err != nil {
		return err
	}
	for _, p := range parts {
		n, err := io.Copy(w, io.NewSectionReader(f, p.offset, p.length))
		if err == nil && n != p.length {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
	return padded(w, nil, stored)
}

// sparseMap is the map as it lies before the data, and how much data follows.
func sparseMap(parts []part) (index []byte, data int64) {
	index = fmt.Appendf(nil, "%d\n", len(parts))
	for _, p := range parts {
		index = fmt.Appendf(index, "%d\n%d\n", p.offset, p.length)
		data += p.length
	}
	return append(index, make([]byte, padding(int64(len(index))))...), data
}

func padding(n int64) int64 { return -n & 511 }

// padded copies body, when there is one, and fills the last block of size bytes.
func padded(w io.Writer, body io.Reader, size int64) error {
	if body != nil {
		if _, err := io.Copy(w, body); err != nil {
			return err
		}
	}
	_, err := w.Write(make([]byte, padding(size)))
	return err
}

// paxRecords are lines that begin with their own length.
func paxRecords(records map[string]string) []byte {
	var out []byte
	for _, k := range slices.Sorted(maps.Keys(records)) {
		rest := " " + k + "=" + records[k] + "\n"
		n := len(rest)
		for n != len(rest)+len(strconv.Itoa(n)) {
			n = len(rest) + len(strconv.Itoa(n))
		}
		out = append(out, strconv.Itoa(n)+rest...)
	}
	return out
}

// rawHeader writes one block in the ustar format. What is too long for it stands in the
// records before.
func rawHeader(w io.Writer, kind byte, name string, h *tar.Header, size int64) error {
	var b [512]byte
	copy(b[:100], name)
	octal := func(at, width int, v int64) {
		if limit := int64(1) << (3 * (width - 1)); v >= limit {
			v = 0
		}
		copy(b[at:at+width], fmt.Sprintf("%0*o\x00", width-1, v))
	}
	octal(100, 8, h.Mode)
	octal(108, 8, int64(h.Uid))
	octal(116, 8, int64(h.Gid))
	octal(124, 12, size)
	octal(136, 12, 0) // no clock: the same input gives the same digest
	b[156] = kind
	copy(b[257:], "ustar\x0000")
	copy(b[148:156], "        ")
	sum := int64(0)
	for _, c := range b {
		sum += int64(c)
	}
	copy(b[148:156], fmt.Sprintf("%06o\x00 ", sum))
	_, err := w.Write(b[:])
	return err
}
