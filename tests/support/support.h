/*
 * What tests share: fresh folders, the shared data, waiting with an end, errors by code and words.
 *
 * Include this instead of cmocka.h; it brings the headers that cmocka asks for.
 */
#ifndef SB_SUPPORT_H
#define SB_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clock.h"
#include "err.h"
#include "file.h"

/* A fresh empty folder, removed with its contents when the test program ends.  Lives until then. */
const char *sb_test_dir(void);

/* "folder/name", valid until the program ends. */
const char *sb_test_path(const char *folder, const char *name);

/* Writes text to folder/name and returns that path. */
const char *sb_test_write(const char *folder, const char *name, const char *text);

/*
 * The path of a file or folder of the shared data ($SHARDBERT_SHARED, by default ../shared).  Where
 * it is absent the running test says so and is skipped; under CI=true it fails.
 */
const char *sb_test_shared(const char *name);

/* The error has this code, and its sentence contains these words. */
void sb_test_err_is(const struct sb_err *err, enum sb_err_code code, const char *words);

void sb_test_sleep_ms(unsigned ms);

/* Waits until the condition holds, testing it every millisecond: true, or false after timeout_ms.
 */
#define sb_wait_until(condition, timeout_ms)                                                       \
    ({                                                                                             \
        uint64_t wait_end_ns_ = sb_clock_ns() + (uint64_t)(timeout_ms)*1000000u;                   \
        bool wait_held_;                                                                           \
        while (!(wait_held_ = (condition)) && sb_clock_ns() < wait_end_ns_)                        \
            sb_test_sleep_ms(1);                                                                   \
        wait_held_;                                                                                \
    })

#endif
