//go:build amd64 && !race && !msan && !asan

#include "textflag.h"

// func cloneOnto(number, first, second, third, fourth uintptr) (pid uintptr, e syscall.Errno)
//
// The kernel keeps all registers but AX, CX and R11, in the new process too: R14, in
// which Go has its goroutine, is the parent's, and nothing there looks at it.
TEXT ·cloneOnto(SB), NOSPLIT|NOFRAME, $0-56
	MOVQ number+0(FP), AX
	MOVQ first+8(FP), DI
	MOVQ second+16(FP), SI
	MOVQ third+24(FP), DX
	MOVQ fourth+32(FP), R10
	SYSCALL
	CMPQ AX, $0xfffffffffffff001
	JLS  began
	NEGQ AX
	MOVQ $-1, pid+40(FP)
	MOVQ AX, e+48(FP)
	RET

began:
	TESTQ AX, AX
	JZ    stage
	MOVQ  AX, pid+40(FP)
	MOVQ  $0, e+48(FP)
	RET

stage:
	CALL ·play(SB)
	INT  $3
