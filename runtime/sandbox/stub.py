"""Give the few hundred bytes of machine code through which a command is started, and which are its init if wanted.

Two things cannot be done by a Python process. An executable that is the link /proc/self/exe, or names it in its
`#!` line, would start the interpreter of the host, whose file the container could then write to (CVE-2019-5736): the
process that calls execve for the command must itself run from a file that is worth nothing. And an init must show
nothing of the host for as long as the container lives. So both are a static program of one page in a sealed memfd.

It is started with the arguments `MODE PATH ARGV...`, the environment of the command, and descriptor 3, a socket:

- where MODE begins with "e" (exec), marks descriptor 3 close-on-exec and executes PATH with ARGV; if that fails, sends
  the errno (4 bytes) to 3 and exits 127;
- where MODE begins with "i" (init), first blocks all signals and forks: the child does the above, in a process group of
  its own that is in the foreground of the terminal, if there is one; the parent sends each signal it gets on to the
  child, reaps whatever ends, and exits as the child did (128 + n for signal n);
- started in any other way, as by a script of the container that says `#!/proc/self/exe`, it exits 126.
"""

from __future__ import annotations

import os
from errno import EINVAL
from fcntl import F_ADD_SEALS, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE, fcntl
from struct import pack

_MFD_EXEC = 0x10
_BASE = 0x400000
_EM = {"x86_64": 62, "aarch64": 183}

# Machine code, a line for each step; the assembler text beside it is what it was made of (GNU as, Intel syntax).
_CODE = {
    "x86_64": (
        ("4889e3488b4308", "_start: mov rbx,rsp; mov rax,QWORD PTR [rbx+0x8]"),
        ("8a003c6974476a7e", "mov al,BYTE PTR [rax]; cmp al,0x69; je init; push 0x7e"),
        ("5f3c650f85f8000000", "pop rdi; cmp al,0x65; jne done"),
        ("6a48586a035f6a02", "command: push 0x48; pop rax; push 0x3; pop rdi; push 0x2"),
        ("5e6a015a0f05", "pop rsi; push 0x1; pop rdx; syscall"),
        ("488b7b10488d7318", "mov rdi,QWORD PTR [rbx+0x10]; lea rsi,[rbx+0x18]"),
        ("488b03488d54c3106a3b", "mov rax,QWORD PTR [rbx]; lea rdx,[rbx+rax*8+0x10]; push 0x3b"),
        ("580f05", "pop rax; syscall"),
        ("f7d8506a01586a035f", "neg eax; push rax; push 0x1; pop rax; push 0x3; pop rdi"),
        ("4889e66a045a0f05", "mov rsi,rsp; push 0x4; pop rdx; syscall"),
        ("6a7f5f6a3c580f05", "push 0x7f; pop rdi; push 0x3c; pop rax; syscall"),
        ("6aff6a0e586a02", "init: push 0xffffffffffffffff; push 0xe; pop rax; push 0x2"),
        ("5f4889e631d26a08415a", "pop rdi; mov rsi,rsp; xor edx,edx; push 0x8; pop r10"),
        ("0f05", "syscall"),
        ("6a39580f05", "push 0x39; pop rax; syscall"),
        ("85c075366a6d5831ff", "test eax,eax; jne parent; push 0x6d; pop rax; xor edi,edi"),
        ("31f60f05", "xor esi,esi; syscall"),
        ("6a27580f05", "push 0x27; pop rax; syscall"),
        ("506a105831ffbe10540000", "push rax; push 0x10; pop rax; xor edi,edi; mov esi,0x5410"),
        ("4889e20f05", "mov rdx,rsp; syscall"),
        ("6a006a0e586a025f4889e6", "push 0x0; push 0xe; pop rax; push 0x2; pop rdi; mov rsi,rsp"),
        ("31d26a08415a0f05", "xor edx,edx; push 0x8; pop r10; syscall"),
        ("e972ffffff", "jmp command"),
        ("4189c46a03586a035f", "parent: mov r12d,eax; push 0x3; pop rax; push 0x3; pop rdi"),
        ("0f05", "syscall"),
        ("6affb8800000004889e7", "next: push 0xffffffffffffffff; mov eax,0x80; mov rdi,rsp"),
        ("31f631d26a08415a0f05", "xor esi,esi; xor edx,edx; push 0x8; pop r10; syscall"),
        ("5983f811741085c07ee2", "pop rcx; cmp eax,0x11; je reap; test eax,eax; jle next"),
        ("89c64489e76a3e580f05", "mov esi,eax; mov edi,r12d; push 0x3e; pop rax; syscall"),
        ("ebd6", "jmp next"),
        ("6a006a3d586aff", "reap: push 0x0; push 0x3d; pop rax; push 0xffffffffffffffff"),
        ("5f4889e66a015a4531d2", "pop rdi; mov rsi,rsp; push 0x1; pop rdx; xor r10d,r10d"),
        ("0f05", "syscall"),
        ("5f85c07ebe4439e075e3", "pop rdi; test eax,eax; jle next; cmp eax,r12d; jne reap"),
        ("89f883e07f74088db880000000", "mov eax,edi; and eax,0x7f; je exited; lea edi,[rax+0x80]"),
        ("eb09", "jmp done"),
        ("c1ef0881e7ff000000", "exited: shr edi,0x8; and edi,0xff"),
        ("b8e70000000f05", "done: mov eax,0xe7; syscall"),
    ),
    "aarch64": (
        ("f3030091600640f900004039", "_start: mov x19, sp; ldr x0, [x19, #8]; ldrb w0, [x0]"),
        ("1fa40171400300541f940171c00f8052", "cmp w0, #0x69; b.eq init; cmp w0, #0x65; mov w0, #0x7e"),
        ("010c0054", "b.ne done"),
        ("600080d2410080d2220080d2", "command: mov x0, #0x3; mov x1, #0x2; mov x2, #0x1"),
        ("280380d2010000d4", "mov x8, #0x19; svc #0x0"),
        ("600a40f961620091620240f9", "ldr x0, [x19, #16]; add x1, x19, #0x18; ldr x2, [x19]"),
        ("620e028b42400091a81b80d2", "add x2, x19, x2, lsl #3; add x2, x2, #0x10; mov x8, #0xdd"),
        ("010000d4", "svc #0x0"),
        ("e003004be00f1ff8600080d2e1030091", "neg w0, w0; str x0, [sp, #-16]!; mov x0, #0x3; mov x1, sp"),
        ("820080d2080880d2010000d4", "mov x2, #0x4; mov x8, #0x40; svc #0x0"),
        ("e00f80d2a80b80d2010000d4", "mov x0, #0x7f; mov x8, #0x5d; svc #0x0"),
        ("00008092e00f1ff8", "init: mov x0, #0xffffffffffffffff; str x0, [sp, #-16]!"),
        ("400080d2e1030091020080d2030180d2", "mov x0, #0x2; mov x1, sp; mov x2, #0x0; mov x3, #0x8"),
        ("e81080d2010000d4", "mov x8, #0x87; svc #0x0"),
        ("200280d2010080d2020080d2030080d2", "mov x0, #0x11; mov x1, #0x0; mov x2, #0x0; mov x3, #0x0"),
        ("040080d2881b80d2010000d4", "mov x4, #0x0; mov x8, #0xdc; svc #0x0"),
        ("a0020035000080d2010080d2481380d2", "cbnz w0, parent; mov x0, #0x0; mov x1, #0x0; mov x8, #0x9a"),
        ("010000d4", "svc #0x0"),
        ("881580d2010000d4", "mov x8, #0xac; svc #0x0"),
        ("e00f1ff8000080d201828ad2", "str x0, [sp, #-16]!; mov x0, #0x0; mov x1, #0x5410"),
        ("e2030091a80380d2010000d4", "mov x2, sp; mov x8, #0x1d; svc #0x0"),
        ("ff0300f9400080d2e1030091020080d2", "str xzr, [sp]; mov x0, #0x2; mov x1, sp; mov x2, #0x0"),
        ("030180d2e81080d2010000d4", "mov x3, #0x8; mov x8, #0x87; svc #0x0"),
        ("c7ffff17", "b command"),
        ("f403002a600080d2280780d2010000d4", "parent: mov w20, w0; mov x0, #0x3; mov x8, #0x39; svc #0x0"),
        ("00008092e00300f9e0030091", "next: mov x0, #0xffffffffffffffff; str x0, [sp]; mov x0, sp"),
        ("010080d2020080d2030180d2281180d2", "mov x1, #0x0; mov x2, #0x0; mov x3, #0x8; mov x8, #0x89"),
        ("010000d4", "svc #0x0"),
        ("1f440071000100541f000071adfeff54", "cmp w0, #0x11; b.eq reap; cmp w0, #0x0; b.le next"),
        ("e103002ae003142a281080d2010000d4", "mov w1, w0; mov w0, w20; mov x8, #0x81; svc #0x0"),
        ("f0ffff17", "b next"),
        ("00008092e1030091220080d2", "reap: mov x0, #0xffffffffffffffff; mov x1, sp; mov x2, #0x1"),
        ("030080d2882080d2010000d4", "mov x3, #0x0; mov x8, #0x104; svc #0x0"),
        ("1f0000710dfdff541f00146be1feff54", "cmp w0, #0x0; b.le next; cmp w0, w20; b.ne reap"),
        ("e10340b92018007260000054", "ldr w1, [sp]; ands w0, w1, #0x7f; b.eq exited"),
        ("0000021102000014", "add w0, w0, #0x80; b done"),
        ("203c0853", "exited: ubfx w0, w1, #8, #8"),
        ("c80b80d2010000d4", "done: mov x8, #0x5e; svc #0x0"),
    ),
}


def available(machine: str) -> bool:
    """Whether there is code for this architecture (as `uname -m` says it)."""
    return machine in _CODE


def image(machine: str) -> bytes:
    """Give the whole ELF executable: a header, one segment that is read and executed, and a stack that is not."""
    code = bytes.fromhex("".join([line for line, _ in _CODE[machine]]))
    headers = 64 + 2 * 56
    size = headers + len(code)
    header = b"\x7fELF" + bytes([2, 1, 1, 0]) + bytes(8)
    header += pack("<HHIQQQIHHHHHH", 2, _EM[machine], 1, _BASE + headers, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    stack = pack("<IIQQQQQQ", 0x6474E551, 6, 0, 0, 0, 0, 0, 16)
    return header + load + stack + code


def sealed(machine: str) -> int:
    """Put the program into a memory file that nobody can write to again; the descriptor is close-on-exec."""
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        fd = os.memfd_create("init", flags | _MFD_EXEC)
    except OSError as error:  # before Linux 6.3 memory files are executable without being asked
        if error.errno != EINVAL:
            raise
        fd = os.memfd_create("init", flags)
    os.write(fd, image(machine))
    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
    return fd
