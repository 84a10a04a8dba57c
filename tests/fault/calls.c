/*
 * A library to be preloaded: it counts a program's calls that may fail, lets one of them fail, or
 * writes down what they did to the files below a folder.
 *
 *   SB_CALLS_COUNT=FILE          at the end, a line "NAME COUNT" for each call
 *   SB_CALLS_FAIL=NAME:N:ERRNO   the Nth call of that name (from 1) fails with that error number
 *   SB_CALLS_SLOW=MS             each fsync below SB_CALLS_UNDER takes so much longer
 *   SB_CALLS_WHO=WORDS           only the process whose command line has all of these words
 *   SB_CALLS_RECORD=FILE         operations on files below SB_CALLS_UNDER (a whole path), in order:
 *                                create PATH | write PATH OFFSET BYTES, and the bytes | sync PATH |
 *                                syncdir PATH | rename PATH<tab>PATH | unlink PATH | mkdir PATH |
 *                                rmdir PATH
 *
 * Memory is watched where the program itself asks for it (its JSON's memory too), and as
 * head_malloc where the library of its messages' heads does.
 *
 * Streams are watched where the program calls them (fwrite), not where the C library writes:
 * between two syncs the order of writes means nothing anyway.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CALLS(X)                                                                                   \
    X(fopen)                                                                                       \
    X(fwrite)                                                                                      \
    X(fflush)                                                                                      \
    X(fclose)                                                                                      \
    X(fsync)                                                                                       \
    X(rename)                                                                                      \
    X(unlink)                                                                                      \
    X(mkdir) X(rmdir) X(open) X(opendir) X(mmap) X(malloc) X(calloc) X(realloc) X(pthread_create)  \
        X(socket) X(bind) X(listen) X(connect) X(accept4) X(eventfd) X(epoll_create1) X(fork)      \
            X(head_malloc)

enum call {
#define CALL(name) CALL_##name,
    CALLS(CALL)
#undef CALL
        CALL_COUNT,
};

static const char *const names[] = {
#define CALL(name) #name,
    CALLS(CALL)
#undef CALL
};

static unsigned long counts[CALL_COUNT];
static int fail_call = -1, fail_errno;
static unsigned long fail_at;
static long slow_ms;
static FILE *record;
static const char *under;
static bool ignored;        /* nothing that this process does */
static __thread int inside; /* our own work is not watched */

static void *real(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

/* True, with errno, if this call is the one that fails. */
static bool fails(enum call call)
{
    if (inside || ignored)
        return false;
    unsigned long n = __atomic_add_fetch(&counts[call], 1, __ATOMIC_RELAXED);
    if ((int)call != fail_call || n != fail_at)
        return false;
    errno = fail_errno;
    return true;
}

/* Where the code of those lies whose memory is watched. */
static struct module {
    const char *name; /* part of its path; the program has none */
    enum call call;
    uintptr_t begin, end;
} modules[] = {
    {"", CALL_malloc, 0, 0},
    {"libprotobuf-c", CALL_head_malloc, 0, 0},
};
enum { MODULE_COUNT = sizeof(modules) / sizeof(modules[0]) };

static int find_modules(struct dl_phdr_info *info, size_t bytes, void *seen)
{
    (void)bytes;
    bool first = !(*(int *)seen)++; /* the first object is the program */
    for (size_t m = 0; m < MODULE_COUNT; m++) {
        struct module *module = &modules[m];
        if (first ? m > 0 : m == 0 || !strstr(info->dlpi_name, module->name))
            continue;
        for (int i = 0; i < info->dlpi_phnum; i++) {
            uintptr_t begin = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            if (info->dlpi_phdr[i].p_type != PT_LOAD)
                continue;
            module->begin = module->begin ? module->begin : begin;
            module->end = begin + info->dlpi_phdr[i].p_memsz;
        }
    }
    return 0;
}

static bool is_of(const struct module *module, const void *caller)
{
    return (uintptr_t)caller >= module->begin && (uintptr_t)caller < module->end;
}

static bool of_program(const void *caller)
{
    return is_of(&modules[0], caller);
}

/* This process's command line has all words. */
static bool has_words(const char *words)
{
    char line[16384], list[256], *rest = list;
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t bytes = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
    if (fd >= 0)
        close(fd);
    for (ssize_t i = 0; i < bytes; i++)
        line[i] = line[i] ? line[i] : ' ';
    line[bytes < 0 ? 0 : bytes] = 0;
    snprintf(list, sizeof(list), "%s", words);
    for (char *word; (word = strsep(&rest, " "));)
        if (!strstr(line, word))
            return false;
    return true;
}

static const char *path_of(int fd, char path[4096])
{
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t bytes = readlink(link, path, 4095);
    path[bytes < 0 ? 0 : bytes] = 0;
    return path;
}

static bool is_under(const char *path)
{
    return !inside && under && !strncmp(path, under, strlen(under));
}

static bool watched(const char *path)
{
    return record && is_under(path);
}

/* With the bytes that belong to it: several threads may write. */
static void note_with(const void *data, size_t bytes, const char *format, va_list args)
{
    size_t (*write_bytes)(const void *, size_t, size_t, FILE *) = real("fwrite");
    inside++;
    flockfile(record);
    vfprintf(record, format, args);
    if (bytes)
        write_bytes(data, 1, bytes, record);
    fflush(record);
    funlockfile(record);
    inside--;
}

static void note_bytes(const void *data, size_t bytes, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    note_with(data, bytes, format, args);
    va_end(args);
}

static void note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    note_with(NULL, 0, format, args);
    va_end(args);
}

__attribute__((constructor)) static void begin(void)
{
    const char *fail = getenv("SB_CALLS_FAIL"), *to = getenv("SB_CALLS_RECORD");
    const char *who = getenv("SB_CALLS_WHO"), *slow = getenv("SB_CALLS_SLOW");
    char name[32];
    inside++;
    if (strncmp(program_invocation_short_name, "shardbert", 9) != 0 || (who && !has_words(who))) {
        ignored = true; /* a shell, a timeout around the program, or another process */
        inside--;
        return;
    }
    int seen = 0;
    dl_iterate_phdr(find_modules, &seen);
    if (fail && sscanf(fail, "%31[^:]:%lu:%d", name, &fail_at, &fail_errno) == 3)
        for (int i = 0; i < CALL_COUNT; i++)
            if (!strcmp(names[i], name))
                fail_call = i;
    under = getenv("SB_CALLS_UNDER");
    slow_ms = atol(slow ? slow : "0");
    if (to) {
        FILE *(*open_stream)(const char *, const char *) = real("fopen");
        record = open_stream(to, "ae");
    }
    memset(counts, 0, sizeof(counts));
    inside--;
}

__attribute__((destructor)) static void end(void)
{
    const char *to = ignored ? NULL : getenv("SB_CALLS_COUNT");
    inside++;
    FILE *file = to ? fopen(to, "we") : NULL;
    for (int i = 0; file && i < CALL_COUNT; i++)
        fprintf(file, "%s %lu\n", names[i], counts[i]);
    if (file)
        fclose(file);
    inside--;
}

FILE *fopen(const char *path, const char *mode)
{
    FILE *(*call)(const char *, const char *) = real("fopen");
    if (mode[0] == 'r')
        return call(path, mode); /* reading: open stands for it */
    if (fails(CALL_fopen))
        return NULL;
    FILE *stream = call(path, mode);
    if (stream && watched(path))
        note("create %s\n", path);
    return stream;
}

size_t fwrite(const void *data, size_t size, size_t count, FILE *stream)
{
    size_t (*call)(const void *, size_t, size_t, FILE *) = real("fwrite");
    char path[4096];
    if (inside || stream == stderr || stream == stdout)
        return call(data, size, count, stream);
    if (fails(CALL_fwrite))
        return 0;
    if (record && watched(path_of(fileno(stream), path)))
        note_bytes(data, size * count, "write %s %ld %zu\n", path, ftell(stream), size * count);
    return call(data, size, count, stream);
}

int fflush(FILE *stream)
{
    int (*call)(FILE *) = real("fflush");
    if (!inside && stream && stream != stderr && stream != stdout && fails(CALL_fflush))
        return EOF;
    return call(stream);
}

int fclose(FILE *stream)
{
    int (*call)(FILE *) = real("fclose");
    if (!inside && fails(CALL_fclose)) {
        int saved = errno;
        call(stream); /* as close: it is closed all the same */
        errno = saved;
        return EOF;
    }
    return call(stream);
}

int fsync(int fd)
{
    int (*call)(int) = real("fsync");
    char path[4096];
    struct stat st;
    if (fails(CALL_fsync))
        return -1;
    if (record && fstat(fd, &st) == 0 && watched(path_of(fd, path)))
        note("%s %s\n", S_ISDIR(st.st_mode) ? "syncdir" : "sync", path);
    if (slow_ms && is_under(path_of(fd, path)))
        nanosleep(&(struct timespec){slow_ms / 1000, slow_ms % 1000 * 1000000}, NULL);
    return call(fd);
}

int rename(const char *from, const char *to)
{
    int (*call)(const char *, const char *) = real("rename");
    if (fails(CALL_rename))
        return -1;
    if (watched(to))
        note("rename %s\t%s\n", from, to);
    return call(from, to);
}

#define ON_PATH(name)                                                                              \
    int name(const char *path)                                                                     \
    {                                                                                              \
        int (*call)(const char *) = real(#name);                                                   \
        if (fails(CALL_##name))                                                                    \
            return -1;                                                                             \
        int rc = call(path);                                                                       \
        if (rc == 0 && watched(path))                                                              \
            note(#name " %s\n", path);                                                             \
        return rc;                                                                                 \
    }
ON_PATH(unlink)
ON_PATH(rmdir)

int remove(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) ? rmdir(path) : unlink(path);
}

int mkdir(const char *path, mode_t mode)
{
    int (*call)(const char *, mode_t) = real("mkdir");
    if (fails(CALL_mkdir))
        return -1;
    int rc = call(path, mode);
    if (rc == 0 && watched(path))
        note("mkdir %s\n", path);
    return rc;
}

int open(const char *path, int flags, ...)
{
    int (*call)(const char *, int, ...) = real("open");
    va_list args;
    va_start(args, flags);
    int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, int) : 0;
    va_end(args);
    return fails(CALL_open) ? -1 : call(path, flags, mode);
}

DIR *opendir(const char *path)
{
    DIR *(*call)(const char *) = real("opendir");
    return fails(CALL_opendir) ? NULL : call(path);
}

void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    void *(*call)(void *, size_t, int, int, int, off_t) = real("mmap");
    return fails(CALL_mmap) ? MAP_FAILED : call(at, bytes, protection, flags, fd, offset);
}

/* The C library's own names: dlsym itself takes memory. */
extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *memory, size_t bytes);

void *malloc(size_t bytes)
{
    const void *caller = __builtin_return_address(0);
    for (size_t m = 0; m < MODULE_COUNT; m++)
        if (is_of(&modules[m], caller) && fails(modules[m].call))
            return NULL;
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    return of_program(__builtin_return_address(0)) && fails(CALL_calloc)
               ? NULL
               : __libc_calloc(count, bytes);
}

void *realloc(void *memory, size_t bytes)
{
    return of_program(__builtin_return_address(0)) && fails(CALL_realloc)
               ? NULL
               : __libc_realloc(memory, bytes);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *),
                   void *context)
{
    int (*call)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
        real("pthread_create");
    return fails(CALL_pthread_create) ? errno : call(thread, attributes, body, context);
}

int socket(int domain, int type, int protocol)
{
    int (*call)(int, int, int) = real("socket");
    return fails(CALL_socket) ? -1 : call(domain, type, protocol);
}

int listen(int fd, int backlog)
{
    int (*call)(int, int) = real("listen");
    return fails(CALL_listen) ? -1 : call(fd, backlog);
}

#define ON_ADDRESS(name)                                                                           \
    int name(int fd, const struct sockaddr *address, socklen_t bytes)                              \
    {                                                                                              \
        int (*call)(int, const struct sockaddr *, socklen_t) = real(#name);                        \
        return fails(CALL_##name) ? -1 : call(fd, address, bytes);                                 \
    }
ON_ADDRESS(bind)
ON_ADDRESS(connect)

int accept4(int fd, struct sockaddr *address, socklen_t *bytes, int flags)
{
    int (*call)(int, struct sockaddr *, socklen_t *, int) = real("accept4");
    return fails(CALL_accept4) ? -1 : call(fd, address, bytes, flags);
}

int eventfd(unsigned value, int flags)
{
    int (*call)(unsigned, int) = real("eventfd");
    return fails(CALL_eventfd) ? -1 : call(value, flags);
}

int epoll_create1(int flags)
{
    int (*call)(int) = real("epoll_create1");
    return fails(CALL_epoll_create1) ? -1 : call(flags);
}

pid_t fork(void)
{
    pid_t (*call)(void) = real("fork");
    return fails(CALL_fork) ? -1 : call();
}
