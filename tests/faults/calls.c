/* Makes the n-th call of the system that concerns a folder fail, or ends the process at it.

   Loaded before the C library (LD_PRELOAD), so that it stands between it and everybody, HDF5 and torch too. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char watched[4096];
static long failing = 0, reason = 0;
static long counted = 0;

/* reason: an errno, or minus the number of a signal */
void arm(const char *folder, long number, long why) {
    strncpy(watched, folder, sizeof watched - 1);
    failing = number, reason = why, counted = 0;
}
long count(void) { return counted; }

static int fails(void) {
    if (__sync_add_and_fetch(&counted, 1) != failing) return 0;
    if (reason < 0) {
        kill(getpid(), (int)-reason);
        pause();
    }
    errno = (int)reason;
    return 1;
}

static int concerns(const char *path) {
    char whole[8192];
    if (!watched[0] || !path) return 0;
    if (path[0] == '/') return strncmp(path, watched, strlen(watched)) == 0;
    return getcwd(whole, sizeof whole) && strncmp(whole, watched, strlen(watched)) == 0;
}

static int concerns_handle(int handle) {
    char link[64], path[4096];
    if (!watched[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return path[0] == '/' && concerns(path);
}

#define REAL(result, name, ...) ((result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))

#define OPENING(name)                                                                    \
    int name(const char *path, int flags, ...) {                                         \
        va_list more;                                                                    \
        va_start(more, flags);                                                           \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0;        \
        va_end(more);                                                                    \
        if (concerns(path) && fails()) return -1;                                        \
        return REAL(int, name, const char *, int, mode_t)(path, flags, mode);            \
    }
#define OPENING_AT(name)                                                                 \
    int name(int folder, const char *path, int flags, ...) {                             \
        va_list more;                                                                    \
        va_start(more, flags);                                                           \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0;        \
        va_end(more);                                                                    \
        if (concerns(path) && fails()) return -1;                                        \
        return REAL(int, name, int, const char *, int, mode_t)(folder, path, flags, mode); \
    }
#define FOPENING(name)                                                                   \
    FILE *name(const char *path, const char *mode) {                                     \
        if (concerns(path) && fails()) return NULL;                                      \
        return REAL(FILE *, name, const char *, const char *)(path, mode);               \
    }
OPENING(open)
OPENING(open64)
OPENING_AT(openat)
OPENING_AT(openat64)
FOPENING(fopen)
FOPENING(fopen64)

#define WITH_HANDLE(result, name, arguments, types, ...)                                 \
    result name arguments {                                                              \
        if (concerns_handle(handle) && fails()) return -1;                               \
        return REAL(result, name, types)(__VA_ARGS__);                                   \
    }
#define T(...) __VA_ARGS__
WITH_HANDLE(ssize_t, write, (int handle, const void *from, size_t size), T(int, const void *, size_t), handle, from, size)
WITH_HANDLE(ssize_t, pwrite, (int handle, const void *from, size_t size, off_t at), T(int, const void *, size_t, off_t), handle, from, size, at)
WITH_HANDLE(ssize_t, pwrite64, (int handle, const void *from, size_t size, off64_t at), T(int, const void *, size_t, off64_t), handle, from, size, at)
WITH_HANDLE(ssize_t, writev, (int handle, const struct iovec *from, int count), T(int, const struct iovec *, int), handle, from, count)
WITH_HANDLE(int, fsync, (int handle), T(int), handle)
WITH_HANDLE(int, ftruncate, (int handle, off_t size), T(int, off_t), handle, size)
WITH_HANDLE(int, ftruncate64, (int handle, off64_t size), T(int, off64_t), handle, size)

#define WITH_PATH(name, arguments, types, ...)                                           \
    int name arguments {                                                                 \
        if (concerns(path) && fails()) return -1;                                        \
        return REAL(int, name, types)(__VA_ARGS__);                                      \
    }
WITH_PATH(rename, (const char *path, const char *to), T(const char *, const char *), path, to)
WITH_PATH(unlink, (const char *path), T(const char *), path)
WITH_PATH(unlinkat, (int folder, const char *path, int flags), T(int, const char *, int), folder, path, flags)
WITH_PATH(mkdir, (const char *path, mode_t mode), T(const char *, mode_t), path, mode)
WITH_PATH(rmdir, (const char *path), T(const char *), path)
