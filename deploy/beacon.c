#include "beacon.h"

#include "file.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static const char NAME[] = ".coordinator.json";

/* When the kernel says that a process began: a number may be another process's by now.  0: not
 * known. */
static uint64_t started_at(int64_t process)
{
    char path[64], text[1024];
    uint64_t ticks = 0;
    snprintf(path, sizeof(path), "/proc/%" PRId64 "/stat", process);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    size_t bytes = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[bytes] = 0;
    /* The name may hold anything, and ends at the last parenthesis; the 20th field after it. */
    const char *field = strrchr(text, ')');
    /* Dead, and not yet waited for by whoever started it. */
    if (field && strlen(field) > 2 && strchr("ZXx", field[2]))
        return 0;
    for (int i = 0; field && i < 20; i++)
        field = strchr(field + 1, ' ');
    if (field)
        ticks = strtoull(field + 1, NULL, 10);
    return ticks;
}

static void name_host(char host[SB_BEACON_TEXT_BYTES])
{
    memset(host, 0, SB_BEACON_TEXT_BYTES);
    gethostname(host, SB_BEACON_TEXT_BYTES - 1);
}

int sb_beacon_light(struct sb_beacon *beacon, const char *output_dir, const char *address,
                    bool watched, struct sb_err *err)
{
    char path[SB_PATH_BYTES];
    uint64_t bits = 0;
    *beacon = (struct sb_beacon){.process = getpid(), .watcher = watched ? getppid() : 0};
    beacon->started = started_at(beacon->process);
    snprintf(beacon->address, sizeof(beacon->address), "%s", address);
    name_host(beacon->host);
    if (getrandom(&bits, sizeof(bits), 0) != (ssize_t)sizeof(bits))
        bits = (uint64_t)getpid();
    snprintf(beacon->run, sizeof(beacon->run), "%016" PRIx64, bits);
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:I, s:I, s:I}", "run", beacon->run, "address", beacon->address,
                  "host", beacon->host, "process", (json_int_t)beacon->process, "started",
                  (json_int_t)beacon->started, "watcher", (json_int_t)beacon->watcher);
    char *text = json_dumps(object, JSON_INDENT(2));
    int rc =
        text ? sb_file_write_atomic(sb_path_join(path, output_dir, NAME), text, strlen(text), err)
             : sb_err_set(err, SB_ERR_BUG, "the name of this host is not UTF-8");
    free(text);
    json_decref(object);
    if (rc < 0)
        beacon->run[0] = 0;
    return rc;
}

void sb_beacon_out(struct sb_beacon *beacon, const char *output_dir)
{
    char path[SB_PATH_BYTES];
    struct sb_beacon found;
    if (beacon->run[0] && sb_beacon_read(&found, output_dir, NULL) > 0 &&
        !strcmp(found.run, beacon->run))
        unlink(sb_path_join(path, output_dir, NAME));
    beacon->run[0] = 0;
}

static bool take_text(char *out, size_t bytes, const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text && strlen(text) < bytes && strcpy(out, text);
}

static bool take_number(int64_t *out, const json_t *object, const char *key)
{
    const json_t *number = json_object_get(object, key);
    *out = json_integer_value(number);
    return json_is_integer(number) && *out >= 0;
}

int sb_beacon_read(struct sb_beacon *beacon, const char *output_dir, struct sb_err *err)
{
    char path[SB_PATH_BYTES];
    struct sb_bytes text = SB_BYTES_INIT;
    int64_t started = 0;
    *beacon = (struct sb_beacon){0};
    if (!sb_file_exists(sb_path_join(path, output_dir, NAME)))
        return 0;
    if (sb_file_read(&text, path, err) < 0)
        return -1;
    json_t *object =
        json_loadb(text.data ? text.data : "", text.count, JSON_REJECT_DUPLICATES, NULL);
    bool ours = take_text(beacon->run, sizeof(beacon->run), object, "run") && beacon->run[0] &&
                take_text(beacon->address, sizeof(beacon->address), object, "address") &&
                take_text(beacon->host, sizeof(beacon->host), object, "host") &&
                take_number(&beacon->process, object, "process") &&
                take_number(&beacon->watcher, object, "watcher") &&
                take_number(&started, object, "started");
    beacon->started = (uint64_t)started;
    json_decref(object);
    sb_bytes_release(&text);
    return ours ? 1 : sb_err_set(err, SB_ERR_DATA, "'%s' is not a file of a coordinator", path);
}

bool sb_beacon_is_here(const struct sb_beacon *beacon)
{
    char host[SB_BEACON_TEXT_BYTES];
    name_host(host);
    return !strcmp(host, beacon->host);
}

bool sb_beacon_alive(const struct sb_beacon *beacon)
{
    return beacon->process > 0 && beacon->started && started_at(beacon->process) == beacon->started;
}

bool sb_beacon_watched(const struct sb_beacon *beacon)
{
    return beacon->watcher > 1 && (kill((pid_t)beacon->watcher, 0) == 0 || errno == EPERM);
}
