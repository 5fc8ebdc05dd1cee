/* A disk that goes wrong once: loaded before the C library (LD_PRELOAD) into a process of the tests.
 *
 * Calls on files below a folder whose name holds FAULTDISK_UNDER are counted from the moment in which the process opens
 * /faultdisk/arm/KIND/N. At the N-th call of its kind's sort:
 *   eio    a change fails with EIO                        full   six changes that need room fail with ENOSPC
 *   short  half is written, the rest fails with ENOSPC   read   a reading fails with EIO
 * What happened is written to the file FAULTDISK_TOLD, and after /faultdisk/disarm how many calls were counted. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum { OFF, EIO_ONCE, FULL, SHORT, READ };
enum { CHANGE = 1, GROWS = 2, READS = 4 };
#define FULL_CALLS 6

static atomic_int kind = OFF, count, at;

static void tell(const char *what, const char *path, int number) {
    const char *file = getenv("FAULTDISK_TOLD");
    char line[512];
    if (!file) return;
    int fd = syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND, 0600);
    int length = snprintf(line, sizeof line, "%s %s %d\n", what, path, number);
    if (length > (int)sizeof line - 1) length = sizeof line - 1;
    if (fd >= 0) {
        syscall(SYS_write, fd, line, length);
        syscall(SYS_close, fd);
    }
}

static const char *below(const char *path) {
    const char *under = getenv("FAULTDISK_UNDER");
    const char *found = under && path ? strstr(path, under) : NULL;
    return found ? found + strlen(under) : NULL;
}

/* The error that this call must fail with; 0: none; -1: half of it. */
static int fault(const char *what, int sort, const char *path) {
    int mode = atomic_load(&kind), number;
    const char *inside;
    if (mode == OFF || !(inside = below(path))) return 0;
    if (mode == READ ? !(sort & READS) : mode == EIO_ONCE ? !(sort & CHANGE) : !(sort & GROWS)) return 0;
    if (mode == SHORT && strcmp(what, "write")) return 0;
    number = atomic_fetch_add(&count, 1) + 1;
    if (number < at || number >= at + (mode == FULL ? FULL_CALLS : mode == SHORT ? 2 : 1)) return 0;
    tell(what, inside, number);
    return mode == FULL ? ENOSPC : mode != SHORT ? EIO : number == at ? -1 : ENOSPC;
}

static int fault_of(const char *what, int sort, int fd) {
    char name[64], path[512];
    if (atomic_load(&kind) == OFF) return 0;
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, name, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return fault(what, sort, path);
}

#define REFUSE(error) do { int e_ = (error); if (e_ > 0) { errno = e_; return -1; } } while (0)

static int asked(const char *path) {
    char word[16];
    int n = 0;
    if (sscanf(path, "/faultdisk/arm/%15[a-z]/%d", word, &n) == 2) {
        atomic_store(&count, 0);
        atomic_store(&at, n);
        atomic_store(&kind, !strcmp(word, "eio") ? EIO_ONCE : !strcmp(word, "full") ? FULL : !strcmp(word, "short") ? SHORT : READ);
    } else {
        atomic_store(&kind, OFF);
        tell("uses", "-", atomic_load(&count));
    }
    errno = ENOENT;
    return -1;
}

static int open_at(int dir, const char *path, int flags, int mode) {
    if (!strncmp(path, "/faultdisk/", 11)) return asked(path);
    REFUSE(fault("open", (flags & O_CREAT ? CHANGE | GROWS : 0) | READS, path));
    return syscall(SYS_openat, dir, path, flags, mode);
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list rest; va_start(rest, flags); int mode = va_arg(rest, int); va_end(rest); \
        return open_at(AT_FDCWD, path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int dir, const char *path, int flags, ...) { \
        va_list rest; va_start(rest, flags); int mode = va_arg(rest, int); va_end(rest); \
        return open_at(dir, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int fd, const void *bytes, size_t length) {
    int error = fault_of("write", CHANGE | GROWS, fd);
    if (error < 0) {
        if (length > 1) return syscall(SYS_write, fd, bytes, length / 2);
        error = ENOSPC;
    }
    REFUSE(error);
    return syscall(SYS_write, fd, bytes, length);
}

static ssize_t write_at(int fd, const void *bytes, size_t length, off_t offset) {
    int error = fault_of("write", CHANGE | GROWS, fd);
    if (error < 0) {
        if (length > 1) return syscall(SYS_pwrite64, fd, bytes, length / 2, offset);
        error = ENOSPC;
    }
    REFUSE(error);
    return syscall(SYS_pwrite64, fd, bytes, length, offset);
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) { return write_at(fd, bytes, length, offset); }
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) { return write_at(fd, bytes, length, offset); }

ssize_t read(int fd, void *bytes, size_t length) {
    REFUSE(fault_of("read", READS, fd));
    return syscall(SYS_read, fd, bytes, length);
}
ssize_t pread(int fd, void *bytes, size_t length, off_t offset) {
    REFUSE(fault_of("read", READS, fd));
    return syscall(SYS_pread64, fd, bytes, length, offset);
}
ssize_t pread64(int fd, void *bytes, size_t length, off64_t offset) { return pread(fd, bytes, length, offset); }

int fsync(int fd) {
    REFUSE(fault_of("fsync", CHANGE, fd));
    return syscall(SYS_fsync, fd);
}
int fdatasync(int fd) {
    REFUSE(fault_of("fdatasync", CHANGE, fd));
    return syscall(SYS_fdatasync, fd);
}
int ftruncate(int fd, off_t length) {
    REFUSE(fault_of("ftruncate", CHANGE, fd));
    return syscall(SYS_ftruncate, fd, length);
}
int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }
int rename(const char *from, const char *to) {
    REFUSE(fault("rename", CHANGE, from));
    return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}
int unlink(const char *path) {
    REFUSE(fault("unlink", CHANGE, path));
    return syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}
int mkdir(const char *path, mode_t mode) {
    REFUSE(fault("mkdir", CHANGE | GROWS, path));
    return syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}
