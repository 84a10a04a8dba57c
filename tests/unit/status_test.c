/* What `shardbert status` says of what it was told or found, and the account of a run. */
#include "account.h"
#include "beacon.h"
#include "file.h"
#include "http_get.h"
#include "metrics.h"
#include "status_look.h"
#include "status_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the account ---- */

static void account_says(const struct sb_account *account, const char *expected)
{
    struct sb_bytes words = SB_BYTES_INIT;
    assert_int_equal(sb_account_say(account, &words), expected != NULL);
    if (expected)
        assert_string_equal(words.data, expected);
    sb_bytes_release(&words);
}

static void a_run_that_lost_nothing_has_no_account(void **state)
{
    (void)state;
    account_says(&(struct sb_account){.saved = 7, .twice = 1}, NULL);
}

static void an_account_counts_what_came_back_and_was_done_again(void **state)
{
    (void)state;
    account_says(&(struct sb_account){.workers = 1}, "1 worker came back");
    account_says(&(struct sb_account){.workers = 2, .servers = 1, .steps = 1, .seconds = 0.42},
                 "2 workers and 1 server came back; 1 step was done again in 0.4 s");
    account_says(&(struct sb_account){.workers = 1, .servers = 2, .coordinators = 1, .saved = 3},
                 "1 worker, 2 servers and the coordinator came back; 3 checkpoints were written");
    account_says(&(struct sb_account){.coordinators = 2, .steps = 7, .seconds = 2.1},
                 "the coordinator (2 times) came back; 7 steps were done again in 2.1 s");
    account_says(&(struct sb_account){.lost = 1, .slow = 2, .passed_on = 5, .twice = 3},
                 "1 silent worker and 2 slow workers: 5 nodes were passed on, 3 computed twice");
    account_says(&(struct sb_account){.saved = 1, .save_failed = 2},
                 "1 checkpoint was written, 2 failed");
}

static void an_account_outlives_its_process(void **state)
{
    (void)state;
    const struct sb_account first = {.workers = 1,
                                     .servers = 2,
                                     .coordinators = 3,
                                     .lost = 4,
                                     .slow = 5,
                                     .passed_on = 6,
                                     .twice = 7,
                                     .steps = 8,
                                     .seconds = 9.5,
                                     .saved = 10,
                                     .save_failed = 11};
    struct sb_account again;
    json_t *object = sb_account_to_json(&first);
    sb_account_from_json(&again, object);
    json_decref(object);
    assert_memory_equal(&again, &first, sizeof(first));
    sb_account_add(&again, &first);
    assert_true(again.workers == 2 && again.save_failed == 22 && again.seconds == 19);
    object = json_pack("{s:s, s:i, s:f}", "workers_came_back", "many", "servers_came_back", -3,
                       "seconds_done_again", -1.0);
    sb_account_from_json(&again, object);
    json_decref(object);
    assert_memory_equal(&again, &(struct sb_account){0}, sizeof(again));
    sb_account_from_json(&again, NULL);
    assert_memory_equal(&again, &(struct sb_account){0}, sizeof(again));
}

/* ---- lines ---- */

/* json: with single quotes, as they are easier to read here. */
static char *lines_of(const char *json)
{
    struct sb_bytes out = SB_BYTES_INIT;
    char *strict = strdup(json);
    for (char *quote = strict; (quote = strchr(quote, '\'')); quote++)
        *quote = '"';
    json_t *status = json_loads(strict, 0, NULL);
    assert_non_null(status);
    free(strict);
    sb_status_print(status, &out);
    json_decref(status);
    return out.data ? out.data : strdup("");
}

static void a_running_job_is_told_with_its_members(void **state)
{
    (void)state;
    char *lines = lines_of(
        "{'state':'running','output_dir':'out','run':{'state':'training','step':120,"
        "'total_steps':1000,'epoch':0.48,'loss':3.4127,'samples_per_second':81.3,"
        "'left_seconds':271,'term':2,'age_seconds':0.2,'workers':[{'name':'worker 0','where':'cow, "
        "process 7','state':'slow','progress_seconds':2.04,'slots':[[0,3],[6,6]],"
        "'samples_per_second':40}],'servers':[{'name':'server 0','where':'cow, process "
        "6','state':'serving','bytes':13002342,'step':120}],'checkpoints':{'step':100,"
        "'age_seconds':12,'next_step':150,'next_seconds':48,'failed':1}},"
        "'account':{'workers_came_back':1}}");
    assert_non_null(strstr(lines, "out trains: step 120 of 1000 (12 %), epoch 0.48, loss 3.4127, "
                                  "81.3 samples/s, about 4:31 min left; term 2\n"));
    assert_non_null(strstr(lines, "worker 0     slow            2.0 s ago         40 0-3 6"));
    assert_non_null(strstr(lines, "server 0     serving                 -        120 12.4 MiB"));
    assert_non_null(strstr(lines, "the newest is of step 100, 12 s old; the next is due at step "
                                  "150 or in 48 s; 1 could not be written\n"));
    assert_non_null(strstr(lines, "lost and done again: 1 worker came back\n"));
    assert_null(strstr(lines, "said nothing"));
    free(lines);
}

static void a_job_that_waits_says_for_whom(void **state)
{
    (void)state;
    char *lines = lines_of("{'state':'running','run':{'state':'joining','waiting_for':'server 1, 2 "
                           "of 3 workers','state_seconds':12,'step':0,'age_seconds':61}}");
    assert_non_null(strstr(lines, "waits for its peers; missing: server 1, 2 of 3 workers, for 12 "
                                  "s\n"));
    assert_non_null(
        strstr(lines, "its coordinator has said nothing for 61 s: what follows is old"));
    free(lines);
}

static void damaged_checkpoints_are_named(void **state)
{
    (void)state;
    char *lines = lines_of(
        "{'state':'unfinished','output_dir':'out','sentence':'unfinished','checkpoints':[{'step':"
        "60,'complete':false,'why':'its manifest is gone'},{'step':50,'complete':true,"
        "'age_seconds':200}]}");
    assert_string_equal(
        lines, "out: unfinished\n\nthe checkpoint of step 60 cannot be used: its manifest "
               "is gone\ncheckpoints: the newest is of step 50, 3:20 min old, and whole\n");
    free(lines);
}

/* It may come from another version, or from nobody of ours. */
static void whatever_comes_is_printed_without_harm(void **state)
{
    (void)state;
    static const char *const strange[] = {
        "{}",
        "{'run':3,'checkpoints':'none','account':[]}",
        "{'state':7,'run':{'state':[],'workers':{},'servers':[1,null,'x'],'checkpoints':[]}}",
        "{'run':{'workers':[{'slots':[1,[2],'a',[9,8],[3,3],[5,99999999999],[1,2],[1,2],[1,2]]}]}}",
        "{'run':{'step':-1,'total_steps':0,'left_seconds':1e300,'state_seconds':-5}}",
        "{'checkpoints':[3,{},{'complete':true}]}",
    };
    for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++)
        free(lines_of(strange[i]));
    char *lines = lines_of("{'sentence':'a\\u001b[2Jb','state':'mute'}");
    assert_null(strchr(lines, '\x1b'));
    free(lines);
}

/* ---- where the coordinator is ---- */

struct folder {
    char path[64];
};

static void folder_make(struct folder *folder)
{
    strcpy(folder->path, "/tmp/shardbert-status-XXXXXX");
    assert_non_null(mkdtemp(folder->path));
}

static const char *state_of(const char *target, json_t **status, struct sb_err *err)
{
    *err = (struct sb_err)SB_ERR_INIT;
    *status = sb_status_look(target, 2, err);
    return *status ? json_string_value(json_object_get(*status, "state")) : NULL;
}

static void a_beacon_is_found_and_put_out(void **state)
{
    (void)state;
    struct folder folder;
    struct sb_beacon beacon, found;
    struct sb_err err = SB_ERR_INIT;
    folder_make(&folder);
    assert_int_equal(sb_beacon_read(&found, folder.path, &err), 0);
    assert_int_equal(sb_beacon_light(&beacon, folder.path, "127.0.0.1:1", false, &err), 0);
    assert_int_equal(sb_beacon_read(&found, folder.path, &err), 1);
    assert_memory_equal(found.run, beacon.run, sizeof(found.run));
    assert_true(sb_beacon_is_here(&found) && sb_beacon_alive(&found) && !sb_beacon_watched(&found));
    found.started++; /* another process of the same number */
    assert_false(sb_beacon_alive(&found));
    struct sb_beacon next;
    assert_int_equal(sb_beacon_light(&next, folder.path, "127.0.0.1:2", false, &err), 0);
    sb_beacon_out(&beacon, folder.path); /* no longer ours */
    assert_int_equal(sb_beacon_read(&found, folder.path, &err), 1);
    sb_beacon_out(&next, folder.path);
    assert_int_equal(sb_beacon_read(&found, folder.path, &err), 0);
    sb_beacon_out(&next, folder.path);
    sb_dir_remove(folder.path, NULL);
}

static void a_running_job_answers(void **state)
{
    (void)state;
    struct folder folder;
    struct sb_err err = SB_ERR_INIT;
    struct sb_beacon beacon;
    char address[SB_METRICS_ADDRESS_BYTES], text[256];
    json_t *status;
    struct sb_metrics *metrics = sb_metrics_new("server", 0);
    folder_make(&folder);
    assert_int_equal(sb_metrics_serve(metrics, "127.0.0.1:0", address, &err), 0);
    assert_null(state_of(address, &status, &err)); /* not a coordinator's, not yet */
    assert_non_null(strstr(err.text, "served by its coordinator, server 0"));
    assert_int_equal(sb_beacon_light(&beacon, folder.path, address, false, &err), 0);
    snprintf(text, sizeof(text), "{\"state\":\"training\",\"run\":\"%s\"}", beacon.run);
    sb_metrics_status(metrics, text);
    assert_string_equal(state_of(address, &status, &err), "running");
    json_decref(status);
    assert_string_equal(state_of(folder.path, &status, &err), "running");
    json_decref(status);
    sb_metrics_status(metrics, "{\"state\":\"training\",\"run\":\"another\"}");
    assert_string_equal(state_of(folder.path, &status, &err), "mute");
    json_decref(status);
    sb_metrics_free(&metrics);
    assert_string_equal(state_of(folder.path, &status, &err), "mute");
    json_decref(status);
    sb_dir_remove(folder.path, NULL);
}

static void every_mistake_has_its_sentence(void **state)
{
    (void)state;
    struct folder folder;
    json_t *status;
    struct sb_err err;
    char path[SB_PATH_BYTES];
    folder_make(&folder);
    assert_null(state_of(folder.path, &status, &err));
    assert_int_equal(err.code, SB_ERR_NO_INPUT);
    assert_non_null(strstr(err.text, "no run has begun in"));
    assert_null(state_of("/tmp/shardbert-nowhere", &status, &err));
    assert_int_equal(err.code, SB_ERR_NO_INPUT);
    assert_null(state_of("host:port", &status, &err));
    assert_int_equal(err.code, SB_ERR_USAGE);
    assert_null(state_of("127.0.0.1:1", &status, &err));
    assert_int_equal(err.code, SB_ERR_PEER);
    assert_int_equal(
        sb_file_write_atomic(sb_path_join(path, folder.path, ".coordinator.json"), "{", 1, &err),
        0);
    assert_null(state_of(path, &status, &err));
    assert_int_equal(err.code, SB_ERR_USAGE);
    assert_null(state_of(folder.path, &status, &err));
    assert_int_equal(err.code, SB_ERR_DATA);
    sb_dir_remove(folder.path, NULL);
}

/* ---- events ---- */

static void every_notice_is_documented(void **state)
{
    (void)state;
    static const char *const names[] = {
#define SB_NOTICE(kind, event, level) event,
#include "notices.def"
#undef SB_NOTICE
    };
    struct sb_bytes text = SB_BYTES_INIT;
    struct sb_err err = SB_ERR_INIT;
    assert_int_equal(sb_file_read(&text, "deploy/EVENTS.md", &err), 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char row[64];
        snprintf(row, sizeof(row), "| `%s` |", names[i]);
        if (!strstr(text.data, row))
            print_error("'%s' has no row in deploy/EVENTS.md\n", names[i]);
        assert_non_null(strstr(text.data, row));
    }
    sb_bytes_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_that_lost_nothing_has_no_account),
        cmocka_unit_test(an_account_counts_what_came_back_and_was_done_again),
        cmocka_unit_test(an_account_outlives_its_process),
        cmocka_unit_test(a_running_job_is_told_with_its_members),
        cmocka_unit_test(a_job_that_waits_says_for_whom),
        cmocka_unit_test(damaged_checkpoints_are_named),
        cmocka_unit_test(whatever_comes_is_printed_without_harm),
        cmocka_unit_test(a_beacon_is_found_and_put_out),
        cmocka_unit_test(a_running_job_answers),
        cmocka_unit_test(every_mistake_has_its_sentence),
        cmocka_unit_test(every_notice_is_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
