#include "child.h"

#include "arena.h"
#include "file.h"
#include "signals.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { POLL_MS = 20 };

void sb_argv_release(struct sb_argv *words)
{
    for (size_t i = 0; i < words->count; i++)
        free(words->items[i]);
    free(words->items);
    *words = (struct sb_argv)SB_ARGV_INIT;
}

void sb_argv_add(struct sb_argv *words, const char *word)
{
    words->items = sb_realloc(words->items, (words->count + 2) * sizeof(*words->items));
    words->items[words->count++] = sb_strdup(word);
    words->items[words->count] = NULL;
}

void sb_argv_set_text(struct sb_argv *words, const char *key, const char *value)
{
    json_t *json = json_stringn_nocheck(value, strlen(value));
    char *quoted = json_dumps(json, JSON_ENCODE_ANY);
    struct sb_bytes text = SB_BYTES_INIT;
    /* A path that is not UTF-8 has no JSON form; config will refuse it by name. */
    sb_bytes_printf(&text, "%s=%s", key, quoted ? quoted : value);
    sb_argv_add(words, "--set");
    sb_argv_add(words, text.data);
    sb_bytes_release(&text);
    free(quoted);
    json_decref(json);
}

/* In the child: becomes `shardbert train`. */
static _Noreturn void become(char *const *argv, pid_t parent)
{
    /* Of a Ctrl-C on the terminal it hears through us alone: once, not twice. */
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(SB_ERR_PEER);
    execv("/proc/self/exe", argv);
    fprintf(stderr, "shardbert: cannot start itself: %s\n", strerror(errno));
    _exit(SB_ERR_BUG);
}

/* Waits; a stop signal, and the same again, is passed on as the child would get it alone. */
static int wait_for(pid_t pid, struct sb_err *err)
{
    int status, passed_on = 0;
    for (;;) {
        pid_t ended = waitpid(pid, &status, WNOHANG);
        if (ended == pid)
            break;
        if (ended < 0 && errno != EINTR)
            return sb_err_set_errno(err, SB_ERR_BUG, "cannot wait for the training");
        if (sb_stop_code != passed_on || sb_stop_now) {
            passed_on = sb_stop_code;
            kill(pid, passed_on == SB_ERR_INTERRUPT ? SIGINT : SIGTERM);
        }
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    }
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    return sb_err_set(err, SB_ERR_PEER, "the training was killed by signal %d", WTERMSIG(status));
}

int sb_child_train(const struct sb_argv *words, struct sb_err *err)
{
    char **argv = sb_calloc(words->count + 3, sizeof(*argv));
    char program[] = "shardbert", command[] = "train";
    argv[0] = program;
    argv[1] = command;
    memcpy(argv + 2, words->items, words->count * sizeof(*argv));
    sb_signals_install(SB_SIGNALS_SUPERVISOR, 0);
    pid_t parent = getpid();
    fflush(NULL);
    sb_signals_hold(); /* one that comes before the child's handlers are there waits for them */
    pid_t pid = fork();
    if (pid == 0)
        become(argv, parent);
    int error = errno;
    sb_signals_let_go();
    errno = error;
    int code = pid < 0 ? sb_err_set_errno(err, SB_ERR_TRY_AGAIN, "cannot start a training")
                       : wait_for(pid, err);
    free(argv);
    return code;
}
