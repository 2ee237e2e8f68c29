/* Stands in for a worker that has been broken into, under the walls of its container alone: it says
 * hello, waits for its program and tries to get out. Its exit code tells what it could do; 32 says
 * that it tried at all. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const unsigned char hello[] = {HELLO};

static int network(void) {
    return socket(AF_INET, SOCK_STREAM, 0) >= 0 || socket(AF_UNIX, SOCK_STREAM, 0) >= 0 ||
           socket(AF_NETLINK, SOCK_RAW, 0) >= 0;
}

static int files(void) {
    return open("/new", O_CREAT | O_WRONLY, 0600) >= 0 || open(WORKER, O_WRONLY) >= 0 ||
           mkdir("/new.d", 0700) == 0 || open("/etc/shadow", O_RDONLY) >= 0;
}

static int privileges(void) {
    return setuid(0) == 0 || unshare(CLONE_NEWUSER) == 0 || unshare(CLONE_NEWNS) == 0 ||
           mount("none", "/tmp", "tmpfs", 0, "") == 0 || chroot("/") == 0;
}

static int others(void) {
    return ptrace(PTRACE_TRACEME, 0, 0, 0) == 0 || kill(-1, 0) == 0 ||
           syscall(SYS_bpf, 0, 0, 0) >= 0 || errno == EINVAL ||
           syscall(SYS_io_uring_setup, 1, 0) >= 0 || errno == EFAULT ||
           syscall(SYS_memfd_create, "x", 0) >= 0;
}

int main(void) {
    char program;
    int found = 32;
    if (write(1, hello, sizeof hello) != sizeof hello || read(0, &program, 1) != 1) return 1;
    errno = 0;
    found |= network() ? 1 : 0;
    found |= files() ? 2 : 0;
    found |= privileges() ? 4 : 0;
    errno = 0;
    found |= others() ? 8 : 0;
    /* Scratch files are there, in bounds. */
    static char block[1 << 20];
    int scratch = open("/tmp/scratch", O_CREAT | O_WRONLY, 0600), written = 0;
    while (written < 64 && write(scratch, block, sizeof block) == sizeof block) written++;
    if (written < 4 || written > 32) found |= 16;
    return found;
}
