/*
 * The two ways to say that something went wrong.
 *
 * A bug of ours stops the process: sb_assert stays on in release builds.  The world saying no
 * (disk, peer, file, setting) is a return of -1 and a filled struct sb_err: a code for the program,
 * which is also the exit code of the command (sysexits), and one sentence for the person.
 */
#ifndef SB_ERR_H
#define SB_ERR_H

enum sb_err_code {
    SB_OK = 0,
    SB_ERR_USAGE = 64,      /* wrong use of the command line */
    SB_ERR_DATA = 65,       /* content of data or model */
    SB_ERR_NO_INPUT = 66,   /* a file that is missing */
    SB_ERR_PEER = 69,       /* a peer that is lost or refuses us */
    SB_ERR_BUG = 70,        /* our bug */
    SB_ERR_CREATE = 73,     /* cannot create an output */
    SB_ERR_IO = 74,         /* input/output error */
    SB_ERR_TRY_AGAIN = 75,  /* may work later */
    SB_ERR_PERMISSION = 77, /* not authorised */
    SB_ERR_CONFIG = 78,     /* bad job file */
    SB_ERR_INTERRUPT = 130, /* stopped by Ctrl-C after a good checkpoint */
    SB_ERR_TERMINATE = 143, /* stopped by SIGTERM after a good checkpoint */
};

struct sb_err {
    enum sb_err_code code;
    char text[1024];
};

#define SB_ERR_INIT                                                                                \
    {                                                                                              \
        .code = SB_OK, .text = ""                                                                  \
    }

/* Fills err (which may be NULL) and returns -1, so that callers can `return sb_err_set(...)`. */
int sb_err_set(struct sb_err *err, enum sb_err_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As sb_err_set, and appends ": " and the text of errno. */
int sb_err_set_errno(struct sb_err *err, enum sb_err_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts what the caller was doing in front of the sentence: "loading 'x': <sentence>".  Returns -1.
 */
int sb_err_context(struct sb_err *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

_Noreturn void sb_assert_failed(const char *expression, const char *file, int line);

#define sb_assert(expression)                                                                      \
    ((expression) ? (void)0 : sb_assert_failed(#expression, __FILE__, __LINE__))

#endif
