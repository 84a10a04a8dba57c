/*
 * A library to be preloaded: one thread of one process stands still for ever, or miscomputes once.
 *
 *   SB_HANG=WHERE:N:HOW    WHERE  gemm    the Nth matrix product of a process (any compute thread)
 *                                 send    the Nth message that it sends (its own thread)
 *                                 thread  the Nth thread that the program makes, as soon as it runs
 *                          HOW    sleep   waits for a lock that nobody gives back
 *                                 spin    computes for ever
 *                                 nan     does not hang: the product (gemm) has a NaN in it
 *   SB_HANG_WHO=WORDS      only in a process whose command line has all of these words in this
 *                          order, like "--index=1 --life=0"; default: in any
 */
#include <dlfcn.h>
#include <link.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

static char where[16], how[16];
static unsigned long at, count;
static uintptr_t program_begin, program_end;

/* The first object is the program: threads of libraries are left alone. */
static int find_program(struct dl_phdr_info *info, size_t bytes, void *unused)
{
    (void)bytes;
    (void)unused;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        uintptr_t begin = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        if (info->dlpi_phdr[i].p_type != PT_LOAD)
            continue;
        program_begin = program_begin ? program_begin : begin;
        program_end = begin + info->dlpi_phdr[i].p_memsz;
    }
    return 1;
}

static bool is_meant(void)
{
    static char line[65536];
    char *words = getenv("SB_HANG_WHO");
    FILE *file = fopen("/proc/self/cmdline", "re");
    size_t bytes = file ? fread(line, 1, sizeof(line) - 1, file) : 0;
    if (file)
        fclose(file);
    for (size_t i = 0; i + 1 < bytes; i++)
        if (!line[i])
            line[i] = ' ';
    char *found = line, *rest = words ? strdup(words) : NULL;
    for (char *word; rest && (word = strsep(&rest, " ")) && found;)
        found = strstr(found, word);
    return found;
}

__attribute__((constructor)) static void begin(void)
{
    const char *text = getenv("SB_HANG");
    if (!text || sscanf(text, "%15[^:]:%lu:%15s", where, &at, how) != 3 || !is_meant())
        where[0] = 0;
    dl_iterate_phdr(find_program, NULL);
}

static void stand_still(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    fprintf(stderr, "hang: a thread of process %ld stands still (%s)\n", (long)getpid(), how);
    pthread_mutex_lock(&lock);
    for (volatile unsigned long i = 0; !strcmp(how, "spin"); i++)
        ;
    pthread_mutex_lock(&lock);
}

static bool is_due(const char *place)
{
    return !strcmp(where, place) && __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED) == at;
}

int zmq_msg_send(zmq_msg_t *part, void *socket, int flags)
{
    static int (*call)(zmq_msg_t *, void *, int);
    if (!call)
        call = dlsym(RTLD_NEXT, "zmq_msg_send");
    if (is_due("send"))
        stand_still();
    return call(part, socket, flags);
}

void cblas_sgemm(int order, int ta, int tb, int M, int N, int K, float alpha, const float *A,
                 int lda, const float *B, int ldb, float beta, float *C, int ldc)
{
    static void (*call)(int, int, int, int, int, int, float, const float *, int, const float *, int,
                        float, float *, int);
    if (!call)
        call = dlsym(RTLD_NEXT, "cblas_sgemm");
    bool due = is_due("gemm"), spoils = due && !strcmp(how, "nan");
    if (due && !spoils)
        stand_still();
    call(order, ta, tb, M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
    if (spoils) {
        fprintf(stderr, "hang: process %ld has computed a NaN\n", (long)getpid());
        C[0] = NAN;
    }
}

static void *hung(void *start)
{
    stand_still();
    return start;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *),
                   void *context)
{
    static int (*call)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    uintptr_t caller = (uintptr_t)__builtin_return_address(0);
    if (!call)
        call = dlsym(RTLD_NEXT, "pthread_create");
    if (caller >= program_begin && caller < program_end && is_due("thread"))
        body = hung;
    return call(thread, attributes, body, context);
}
