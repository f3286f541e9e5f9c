package linux

import (
	"encoding/binary"
	"fmt"
	"runtime"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// The filter refuses system calls by which a builder could make what no store
// object may have, or could reach what a sandbox does not hide. Each rule is a
// few instructions of its own, so that it can be read by itself:
//
//   - setuid and setgid bits, in every call that sets a mode: EPERM;
//   - extended attributes and ACLs: ENOTSUP, which programs know from file
//     systems without them;
//   - openat2, io_uring and the kernel's key rings, which would go around the
//     rules above or outlive the build: ENOSYS, as on a kernel without them;
//   - sockets to the machine that this one is a guest of, which no network namespace
//     holds back: EAFNOSUPPORT. A 32-bit program can still make them by
//     socketcall, whose arguments a filter does not see;
//   - every other architecture's calls, but for the 32-bit one of this machine,
//     which has the same rules under its own numbers: ENOSYS.

// rule refuses one system call.
type rule struct {
	number uint32
	errno  unix.Errno
	// mode is the argument that must not have setuid or setgid bits, or -1;
	// flags is the argument that must ask for a new file for mode to count.
	mode, flags int
	first       uint32 // what the first argument must be, or 0
}

// set is the rules of one architecture.
type set struct {
	arch  uint32 // AUDIT_ARCH_…
	rules []rule
}

const (
	setidBits   = 0o6000
	creates     = unix.O_CREAT | 0o20000000 // or O_TMPFILE
	x32Bit      = 0x40000000
	unfiltered  = 0x7fff0000 // SECCOMP_RET_ALLOW
	refusedWith = 0x00050000 // SECCOMP_RET_ERRNO
)

// Offsets in struct seccomp_data.
const (
	offsetNumber = 0
	offsetArch   = 4
	offsetArgs   = 16
)

func refuse(errno unix.Errno, numbers ...uint32) (rules []rule) {
	for _, n := range numbers {
		rules = append(rules, rule{n, errno, -1, -1, 0})
	}
	return rules
}

func setMode(number uint32, mode int) rule { return rule{number, unix.EPERM, mode, -1, 0} }
func opens(number uint32, flags int) rule  { return rule{number, unix.EPERM, flags + 1, flags, 0} }

// socket is that of the family of sockets between a guest and its host.
func socket(number uint32) rule { return rule{number, unix.EAFNOSUPPORT, -1, -1, unix.AF_VSOCK} }

func join(lists ...[]rule) (all []rule) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// The numbers are those of the kernel's system call tables. From 424 on they
// are the same everywhere.
var (
	newCalls = join(
		[]rule{setMode(452, 2)},                 // fchmodat2
		refuse(unix.ENOTSUP, 463, 465, 466),     // setxattrat, listxattrat, removexattrat
		refuse(unix.ENOSYS, 425, 426, 427, 437)) // io_uring_*, openat2
	amd64Calls = set{unix.AUDIT_ARCH_X86_64, join(
		[]rule{setMode(90, 1), setMode(91, 1), setMode(268, 2), // chmod, fchmod, fchmodat
			setMode(83, 1), setMode(258, 2), setMode(133, 1), setMode(259, 2), // mkdir(at), mknod(at)
			setMode(85, 1), opens(2, 1), opens(257, 2), socket(41)}, // creat, open, openat, socket
		refuse(unix.ENOTSUP, 188, 189, 190, 194, 195, 196, 197, 198, 199),
		refuse(unix.ENOSYS, 248, 249, 250), newCalls)}
	i386Calls = set{unix.AUDIT_ARCH_I386, join(
		[]rule{setMode(15, 1), setMode(94, 1), setMode(306, 2),
			setMode(39, 1), setMode(296, 2), setMode(14, 1), setMode(297, 2),
			setMode(8, 1), opens(5, 1), opens(295, 2), socket(359)},
		refuse(unix.ENOTSUP, 226, 227, 228, 232, 233, 234, 235, 236, 237),
		refuse(unix.ENOSYS, 286, 287, 288), newCalls)}
	arm64Calls = set{unix.AUDIT_ARCH_AARCH64, join(
		[]rule{setMode(52, 1), setMode(53, 2), setMode(34, 2), setMode(33, 2), opens(56, 2), socket(198)},
		refuse(unix.ENOTSUP, 5, 6, 7, 11, 12, 13, 14, 15, 16),
		refuse(unix.ENOSYS, 217, 218, 219), newCalls)}
	armCalls = set{unix.AUDIT_ARCH_ARM, join(
		[]rule{setMode(15, 1), setMode(94, 1), setMode(333, 2),
			setMode(39, 1), setMode(323, 2), setMode(14, 1), setMode(324, 2),
			setMode(8, 1), opens(5, 1), opens(322, 2), socket(281)},
		refuse(unix.ENOTSUP, 226, 227, 228, 232, 233, 234, 235, 236, 237),
		refuse(unix.ENOSYS, 309, 310, 311), newCalls)}
)

// syscallFilter assembles the filter for this machine.
func syscallFilter() ([]byte, error) {
	switch runtime.GOARCH {
	case "amd64":
		return assemble(amd64Calls, i386Calls)
	case "arm64":
		return assemble(arm64Calls, armCalls)
	}
	return nil, fmt.Errorf("no system call filter is known for %s", runtime.GOARCH)
}

func assemble(sets ...set) ([]byte, error) {
	var program []bpf.Instruction
	for _, s := range sets {
		body := s.instructions()
		program = append(program,
			bpf.LoadAbsolute{Off: offsetArch, Size: 4},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: s.arch, SkipTrue: 1},
			bpf.Jump{Skip: uint32(len(body))})
		program = append(program, body...)
	}
	program = append(program, verdict(unix.ENOSYS))
	raw, err := bpf.Assemble(program)
	if err != nil {
		return nil, fmt.Errorf("assemble system call filter: %w", err)
	}
	var b []byte
	for _, i := range raw {
		b = binary.NativeEndian.AppendUint16(b, i.Op)
		b = append(b, i.Jt, i.Jf)
		b = binary.NativeEndian.AppendUint32(b, i.K)
	}
	return b, nil
}

func verdict(errno unix.Errno) bpf.Instruction {
	return bpf.RetConstant{Val: refusedWith | uint32(errno)}
}

// instructions end with a verdict in every case.
func (s set) instructions() []bpf.Instruction {
	program := []bpf.Instruction{bpf.LoadAbsolute{Off: offsetNumber, Size: 4}}
	if s.arch == unix.AUDIT_ARCH_X86_64 {
		program = append(program,
			bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: x32Bit, SkipTrue: 1}, verdict(unix.ENOSYS))
	}
	for _, r := range s.rules {
		body := r.instructions()
		program = append(program, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: r.number, SkipTrue: uint8(len(body))})
		program = append(program, body...)
	}
	return append(program, bpf.RetConstant{Val: unfiltered})
}

func (r rule) instructions() (body []bpf.Instruction) {
	switch {
	case r.first != 0:
		return []bpf.Instruction{
			bpf.LoadAbsolute{Off: argument(0), Size: 4},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: r.first, SkipFalse: 1},
			verdict(r.errno),
			bpf.RetConstant{Val: unfiltered},
		}
	case r.mode < 0:
		return []bpf.Instruction{verdict(r.errno)}
	}
	refusal := []bpf.Instruction{
		bpf.LoadAbsolute{Off: argument(r.mode), Size: 4},
		bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: setidBits, SkipTrue: 1},
		verdict(r.errno),
		bpf.RetConstant{Val: unfiltered},
	}
	if r.flags < 0 {
		return refusal
	}
	return append([]bpf.Instruction{
		bpf.LoadAbsolute{Off: argument(r.flags), Size: 4},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: creates, SkipTrue: 1},
		bpf.RetConstant{Val: unfiltered},
	}, refusal...)
}

// argument is the offset of an argument's low half; both kinds of machine are
// little-endian.
func argument(n int) uint32 { return uint32(offsetArgs + 8*n) }
