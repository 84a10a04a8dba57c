/* The coordinator against peers that are played by hand: what it says, to whom, and when it gives
 * up. */
#include "coordinator.h"
#include "nodes.h"
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SERVERS = 2, WORKERS = 2, SLOTS = 4, STEPS = 5 };
#define MS     UINT64_C(1000000)
#define SECOND (1000 * MS)

struct play {
    struct sb_job job;
    struct sb_bytes canonical;
    struct sb_server_options options;
    struct sb_coordinator c;
    struct sb_outbox out;
    uint64_t now;
    double seconds[WORKERS]; /* that a node takes */
    Sb__Plan plan;
    Sb__EvalSet set, *sets[1];
    struct sb_event last[32]; /* by kind */
    unsigned counts[32];
    char text[32][1024];
};

static void on_event(void *context, const struct sb_event *event)
{
    struct play *p = context;
    p->last[event->kind] = *event;
    p->counts[event->kind]++;
    snprintf(p->text[event->kind], sizeof(p->text[0]), "%s%s", event->text,
             event->json ? event->json : "");
}

static uint64_t worker(uint32_t i)
{
    return SB_PEER_WORKER_BIT | (100 + i);
}

static void play_init(struct play *p)
{
    static const char *settings[] = {"learning_rate=0.1",   "max_grad_norm=2",
                                     "push_timeout_ms=100", "join_timeout_s=12",
                                     "worker_timeout_s=8",  "speculate_after_s=0",
                                     "step_timeout_s=30",   "lr_scheduler_type=constant",
                                     "output_dir=/nowhere", "logging_steps=2",
                                     "eval_steps=3"};
    struct sb_err err = SB_ERR_INIT;
    *p = (struct play){.now = 1000 * SECOND};
    sb_job_init(&p->job);
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
        if (sb_job_set(&p->job, settings[i], &err) < 0)
            fail_msg("%s", err.text);
    sb_job_canonical(&p->job, &p->canonical);
    p->options = (struct sb_server_options){
        .server_count = SERVERS,
        .worker_count = WORKERS,
        .job = &p->job,
        .canonical = p->canonical.data,
        .fingerprint = "avx2",
        .address = "a0",
        .name = "host0",
        .checksum = true,
        .on_event = on_event,
        .event_context = p,
    };
    sb__plan__init(&p->plan);
    sb__eval_set__init(&p->set);
    p->set.name = (char *)(uintptr_t) "validation";
    p->set.slot_count = 3;
    p->set.label_count = 2;
    p->sets[0] = &p->set;
    p->plan.slots = SLOTS;
    p->plan.steps_per_epoch = 2;
    p->plan.total_steps = STEPS;
    p->plan.train_samples = 7;
    p->plan.data_fingerprint = (char *)(uintptr_t) "d";
    p->plan.eval_sets = p->sets;
    p->plan.n_eval_sets = 1;
    sb_coordinator_init(&p->c, &p->options, p->now);
}

static void play_release(struct play *p)
{
    sb_coordinator_release(&p->c);
    sb_outbox_release(&p->out);
    sb_bytes_release(&p->canonical);
    sb_job_release(&p->job);
}

/* ---- saying and hearing ---- */

static void say(struct play *p, uint64_t peer, Sb__Head *head, struct sb_frame *frame)
{
    head->term = head->body_case == SB__HEAD__BODY_HELLO ? 0 : p->c.term;
    struct sb_msg *msg = sb_msg_new(head, frame, NULL, true);
    struct sb_err err = SB_ERR_INIT;
    Sb__Head *opened = sb_msg_open(msg, &err);
    if (!opened)
        fail_msg("%s", err.text);
    sb_coordinator_handle(&p->c, p->now, peer, opened, msg, &p->out);
    sb_msg_close(&opened);
    sb_msg_free(&msg);
}

static void tick(struct play *p, uint64_t after_ns)
{
    p->now += after_ns;
    for (uint32_t i = 0; i < p->c.members.server_count; i++)
        p->c.servers[i].heard_ns = p->now; /* they are there, whatever else is silent */
    sb_coordinator_tick(&p->c, p->now, &p->out);
}

/* Takes the first message of this kind to this peer out of the outbox; NULL if there is none. */
static Sb__Head *hear(struct play *p, uint64_t peer, Sb__Head__BodyCase kind)
{
    Sb__Head *found = NULL;
    for (size_t i = 0; i < p->out.count && !found; i++) {
        Sb__Head *head =
            p->out.items[i].peer == peer ? sb_msg_open(p->out.items[i].msg, NULL) : NULL;
        if (!head || head->body_case != kind) {
            sb_msg_close(&head);
            continue;
        }
        found = head;
        sb_msg_free(&p->out.items[i].msg);
        memmove(&p->out.items[i], &p->out.items[i + 1],
                (p->out.count - i - 1) * sizeof(p->out.items[0]));
        p->out.count--;
    }
    return found;
}

static bool heard(struct play *p, uint64_t peer, Sb__Head__BodyCase kind)
{
    Sb__Head *head = hear(p, peer, kind);
    bool there = head != NULL;
    sb_msg_close(&head);
    return there;
}

static void hello_server(struct play *p, uint32_t index)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Hello hello = SB__HELLO__INIT;
    hello.role = SB__ROLE__ROLE_SERVER;
    hello.index = index;
    hello.address = (char *)(uintptr_t) "address";
    hello.name = (char *)(uintptr_t) "ps";
    hello.canonical = p->canonical.data;
    hello.fingerprint = (char *)(uintptr_t) "avx2";
    head.body_case = SB__HEAD__BODY_HELLO;
    head.hello = &hello;
    say(p, index, &head, NULL);
}

/* Two tensors: of two servers each owns one.  change lets a test say something else. */
static void hello_worker(struct play *p, uint32_t i, void (*change)(Sb__Hello *hello))
{
    static const char *names[] = {"w0", "w1", "w2"};
    Sb__Head head = SB__HEAD__INIT;
    Sb__Hello hello = SB__HELLO__INIT;
    Sb__Span spans[3], *layout[3];
    for (int s = 0; s < 3; s++) {
        sb__span__init(&spans[s]);
        spans[s].rows = 2;
        spans[s].cols = 3 + (uint64_t)s;
        spans[s].trainable = s != 1;
        layout[s] = &spans[s];
    }
    hello.role = SB__ROLE__ROLE_WORKER;
    hello.name = (char *)(uintptr_t)names[i];
    hello.canonical = p->canonical.data;
    hello.fingerprint = (char *)(uintptr_t) "avx2";
    hello.plan = &p->plan;
    hello.layout = layout;
    hello.n_layout = 3;
    if (change)
        change(&hello);
    head.body_case = SB__HEAD__BODY_HELLO;
    head.hello = &hello;
    say(p, worker(i), &head, NULL);
}

static void ready(struct play *p, uint32_t server, bool seeded, const char *sentence)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Ready body = SB__READY__INIT;
    body.loaded = !*sentence;
    body.seeded = seeded;
    body.sentence = (char *)(uintptr_t)sentence;
    head.body_case = SB__HEAD__BODY_READY;
    head.ready = &body;
    say(p, server, &head, NULL);
}

static void done(struct play *p, uint32_t w, uint32_t node, double targets, double loss)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Done body = SB__DONE__INIT;
    double sums[SB_SUM_COUNT] = {targets, 10 * targets, targets, loss, 0, 0};
    body.sequence = p->c.sequence;
    body.sums = sums;
    body.n_sums = SB_SUM_COUNT;
    body.seconds = p->seconds[w];
    head.step = p->c.step;
    head.node = node;
    head.body_case = SB__HEAD__BODY_DONE;
    head.done = &body;
    say(p, worker(w), &head, NULL);
}

static void report(struct play *p, uint32_t server, uint64_t step, double norm2, bool finite)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Report body = SB__REPORT__INIT;
    body.finite = finite;
    body.bad_part = 2;
    head.step = step;
    head.body_case = SB__HEAD__BODY_REPORT;
    head.report = &body;
    struct sb_frame *frame = sb_frame_new(sizeof(double));
    memcpy(frame->data, &norm2, sizeof(norm2));
    say(p, server, &head, frame);
    sb_frame_drop(&frame);
}

static void bye(struct play *p, uint64_t peer)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Bye body = SB__BYE__INIT;
    head.body_case = SB__HEAD__BODY_BYE;
    head.bye = &body;
    say(p, peer, &head, NULL);
}

static void join_all(struct play *p)
{
    for (uint32_t i = 0; i < SERVERS; i++)
        hello_server(p, i);
    for (uint32_t i = 0; i < WORKERS; i++)
        hello_worker(p, i, NULL);
}

static void begin(struct play *p)
{
    play_init(p);
    join_all(p);
    for (uint32_t i = 0; i < SERVERS; i++)
        ready(p, i, false, "");
    for (uint32_t i = 0; i < SERVERS; i++)
        ready(p, i, true, "");
    assert_int_equal(p->c.state, SB_COORDINATOR_TRAINING);
}

/* A whole step of norm 6 over 4 targets. */
static void run_step(struct play *p)
{
    uint64_t step = p->c.step;
    done(p, 0, 2, 1, 3);
    done(p, 1, 3, 3, 5);
    report(p, 0, step, 16, true);
    report(p, 1, step, 20, true);
    assert_int_equal(p->c.step, step + 1);
}

/* ---- tests ---- */

static void nothing_starts_before_all_are_here(void **state)
{
    (void)state;
    struct play p;
    play_init(&p);
    hello_server(&p, 1);
    hello_worker(&p, 0, NULL);
    hello_worker(&p, 1, NULL);
    tick(&p, SECOND);
    assert_int_equal(p.out.count, 0);
    hello_server(&p, 0);
    assert_true(heard(&p, 0, SB__HEAD__BODY_START) && heard(&p, 1, SB__HEAD__BODY_START));
    ready(&p, 0, false, "");
    assert_false(heard(&p, worker(0), SB__HEAD__BODY_WELCOME));
    ready(&p, 1, false, "");
    Sb__Head *first = hear(&p, worker(0), SB__HEAD__BODY_WELCOME),
             *second = hear(&p, worker(1), SB__HEAD__BODY_WELCOME);
    assert_true(first->welcome->lease && first->welcome->seed && !second->welcome->lease &&
                !second->welcome->seed);
    assert_int_equal(second->welcome->worker_index, 1);
    assert_int_equal(first->welcome->n_servers, SERVERS);
    hello_worker(&p, 1, NULL); /* it did not hear */
    assert_true(heard(&p, worker(1), SB__HEAD__BODY_WELCOME));
    sb_msg_close(&first);
    sb_msg_close(&second);
    play_release(&p);
}

static void the_missing_are_named_every_five_seconds_and_at_the_end(void **state)
{
    (void)state;
    struct play p;
    play_init(&p);
    hello_server(&p, 0);
    hello_worker(&p, 0, NULL);
    tick(&p, 3 * SECOND);
    assert_int_equal(p.counts[SB_EVENT_WAITING], 0);
    tick(&p, 2 * SECOND);
    assert_string_equal(p.text[SB_EVENT_WAITING], "server 1, 1 of 2 workers");
    tick(&p, SECOND);
    assert_int_equal(p.counts[SB_EVENT_WAITING], 1);
    tick(&p, 4 * SECOND);
    assert_int_equal(p.counts[SB_EVENT_WAITING], 2);
    tick(&p, 3 * SECOND);
    assert_int_equal(p.c.state, SB_COORDINATOR_OVER);
    assert_int_equal(p.c.finish_code, SB_ERR_PEER);
    assert_non_null(strstr(p.c.finish_sentence, "missing: server 1, 1 of 2 workers"));
    Sb__Head *refuse = hear(&p, worker(0), SB__HEAD__BODY_REFUSE);
    assert_int_equal(refuse->refuse->code, SB_ERR_PEER);
    sb_msg_close(&refuse);
    play_release(&p);
}

static void other_settings(Sb__Hello *hello)
{
    static char text[8192];
    snprintf(text, sizeof(text), "%s", hello->canonical);
    char *place = strstr(text, "learning_rate=");
    assert_non_null(place);
    place[strlen("learning_rate=")] = '7';
    hello->canonical = text;
}

static void other_machine(Sb__Hello *hello)
{
    hello->fingerprint = (char *)(uintptr_t) "avx512";
}

static void other_data(Sb__Hello *hello)
{
    static Sb__Plan plan;
    plan = *hello->plan;
    plan.train_samples = 8;
    hello->plan = &plan;
}

static void other_layout(Sb__Hello *hello)
{
    hello->layout[1]->cols = 9;
}

static void a_stranger_is_refused_with_both_sides(void **state)
{
    (void)state;
    static const struct {
        void (*change)(Sb__Hello *hello);
        const char *words[3];
    } cases[] = {
        {other_settings, {"w1", "host0", "learning_rate is 0.1 here, 7.1 there"}},
        {other_machine, {"arithmetic", "'avx2' at host0", "'avx512' at w1"}},
        {other_data, {"training samples", "7 at w0", "8 at w1"}},
        {other_layout, {"tensor 1", "[2, 4] frozen at w0", "[2, 9] frozen at w1"}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct play p;
        play_init(&p);
        hello_worker(&p, 0, NULL);
        hello_worker(&p, 1, cases[i].change);
        Sb__Head *refuse = hear(&p, worker(1), SB__HEAD__BODY_REFUSE);
        assert_non_null(refuse);
        assert_int_equal(refuse->refuse->code, SB_ERR_CONFIG);
        for (size_t w = 0; w < 3; w++)
            if (!strstr(refuse->refuse->sentence, cases[i].words[w]))
                fail_msg("'%s' lacks '%s'", refuse->refuse->sentence, cases[i].words[w]);
        assert_string_equal(p.text[SB_EVENT_REFUSED], refuse->refuse->sentence);
        sb_msg_close(&refuse);
        hello_worker(&p, 1, NULL); /* the right one may still come */
        assert_int_equal(p.c.members.workers_here, 2);
        play_release(&p);
    }
}

static void a_worker_too_many_is_refused(void **state)
{
    (void)state;
    struct play p;
    begin(&p);
    hello_worker(&p, 2, NULL);
    Sb__Head *refuse = hear(&p, worker(2), SB__HEAD__BODY_REFUSE);
    assert_non_null(strstr(refuse->refuse->sentence, "all 2 workers are here"));
    sb_msg_close(&refuse);
    play_release(&p);
}

static void a_server_that_cannot_load_ends_the_run(void **state)
{
    (void)state;
    struct play p;
    play_init(&p);
    join_all(&p);
    ready(&p, 1, false, "no such file");
    assert_int_equal(p.c.finish_code, SB_ERR_IO);
    assert_string_equal(p.c.finish_sentence, "server 1: no such file");
    play_release(&p);
}

static void the_step_is_clipped_by_its_whole_norm(void **state)
{
    (void)state;
    struct play p;
    begin(&p);
    assert_true(heard(&p, worker(0), SB__HEAD__BODY_WORK) &&
                heard(&p, worker(1), SB__HEAD__BODY_WORK));
    done(&p, 0, 2, 1, 3);
    done(&p, 0, 4, 9, 9); /* inside node 2: known */
    done(&p, 1, 3, 3, 5);
    done(&p, 1, 3, 3, 5);
    report(&p, 0, 0, 400, true);
    assert_false(heard(&p, 0, SB__HEAD__BODY_COMMIT));
    report(&p, 1, 0, 500, true);
    for (uint64_t server = 0; server < SERVERS; server++) {
        Sb__Head *commit = hear(&p, server, SB__HEAD__BODY_COMMIT);
        double norm = sqrt(900.0) / 4;
        assert_int_equal(commit->step, 0);
        assert_true(commit->commit->apply);
        assert_true(commit->commit->scale == 2 / (norm + 1e-6) / 4);
        assert_true(commit->commit->rate == 0.1);
        sb_msg_close(&commit);
    }
    assert_true(p.last[SB_EVENT_STEP].loss == 2 && p.last[SB_EVENT_STEP].targets == 4);
    assert_true(p.last[SB_EVENT_STEP].grad_norm == 7.5 && p.last[SB_EVENT_STEP].tokens == 40);
    assert_true(p.last[SB_EVENT_STEP].step == 1 && p.last[SB_EVENT_STEP].epoch == 0.5);
    report(&p, 1, 0, 500, true); /* it did not hear */
    assert_true(heard(&p, 1, SB__HEAD__BODY_COMMIT));
    play_release(&p);
}

static void a_step_without_targets_is_skipped(void **state)
{
    (void)state;
    struct play p;
    begin(&p);
    done(&p, 0, 1, 0, 0);
    report(&p, 0, 0, 0, true);
    report(&p, 1, 0, 0, true);
    Sb__Head *commit = hear(&p, 1, SB__HEAD__BODY_COMMIT);
    assert_false(commit->commit->apply);
    sb_msg_close(&commit);
    play_release(&p);
}

static void a_gradient_that_is_not_finite_commits_nothing(void **state)
{
    (void)state;
    struct play p;
    begin(&p);
    done(&p, 0, 1, 4, 8);
    report(&p, 0, 0, 1, true);
    report(&p, 1, 0, NAN, false);
    assert_false(heard(&p, 0, SB__HEAD__BODY_COMMIT));
    assert_int_equal(p.c.finish_code, SB_ERR_DATA);
    assert_non_null(
        strstr(p.c.finish_sentence, "the gradient of step 1 is not finite (part 2 of server 1)"));
    assert_int_equal(p.counts[SB_EVENT_NONFINITE], 1);
    play_release(&p);
}

static void what_is_not_answered_is_sent_again(void **state)
{
    (void)state;
    struct play p;
    begin(&p);
    heard(&p, worker(0), SB__HEAD__BODY_WORK);
    heard(&p, worker(1), SB__HEAD__BODY_WORK);
    tick(&p, 50 * MS);
    assert_false(heard(&p, worker(0), SB__HEAD__BODY_WORK));
    done(&p, 1, 3, 3, 5);
    tick(&p, 60 * MS);
    assert_true(heard(&p, worker(0), SB__HEAD__BODY_WORK));
    assert_false(heard(&p, worker(1), SB__HEAD__BODY_WORK)); /* it began */
    play_release(&p);
}

static void a_step_without_progress_names_the_missing_nodes(void **state)
{
    (void)state;
    struct play p;
    begin(&p);
    p.job.worker_timeout_s = 100;
    tick(&p, 29 * SECOND);
    done(&p, 0, 2, 1, 3);
    tick(&p, 29 * SECOND);
    assert_int_equal(p.c.state, SB_COORDINATOR_TRAINING);
    tick(&p, 2 * SECOND);
    assert_int_equal(p.c.finish_code, SB_ERR_PEER);
    assert_non_null(strstr(p.c.finish_sentence, "missing: nodes of w1: 3"));
    assert_null(strstr(p.c.finish_sentence, "of w0"));
    play_release(&p);
}

static void the_share_of_a_silent_worker_goes_to_one_that_is_done(void **state)
{
    (void)state;
    struct play p;
    begin(&p);
    heard(&p, worker(0), SB__HEAD__BODY_WORK);
    tick(&p, 7 * SECOND);
    done(&p, 0, 2, 1, 3);
    sb_outbox_clear(&p.out);
    tick(&p, 2 * SECOND);
    assert_non_null(strstr(p.text[SB_EVENT_LOST], "w1 is silent for 9 s"));
    Sb__Head *work = hear(&p, worker(0), SB__HEAD__BODY_WORK);
    assert_int_equal(work->step, 0);
    assert_int_equal(work->work->n_nodes, 1);
    assert_int_equal(work->work->nodes[0], 3);
    sb_msg_close(&work);
    done(&p, 0, 3, 3, 5);
    sb_outbox_clear(&p.out);
    report(&p, 0, 0, 16, true);
    report(&p, 1, 0, 20, true);
    assert_int_equal(p.c.step, 1);
    work = hear(&p, worker(0), SB__HEAD__BODY_WORK); /* the next step is all its own */
    assert_int_equal(work->work->nodes[0], 1);
    sb_msg_close(&work);
    hello_worker(&p, 2, NULL); /* a newcomer takes the place */
    Sb__Head *welcome = hear(&p, worker(2), SB__HEAD__BODY_WELCOME);
    assert_true(welcome->welcome->worker_index == 1 && !welcome->welcome->seed);
    assert_int_equal(welcome->welcome->resume_step, 1);
    sb_msg_close(&welcome);
    play_release(&p);
}

/* One who is done gets a copy, and both answers are welcome. */
static void a_slow_worker_s_nodes_are_given_to_one_that_is_done_as_well(void **state)
{
    (void)state;
    struct play p;
    begin(&p);
    p.job.speculate_after_s = 2;
    p.job.worker_timeout_s = 20;
    heard(&p, worker(0), SB__HEAD__BODY_WORK);
    tick(&p, 1500 * MS);
    done(&p, 0, 2, 1, 3);
    tick(&p, SECOND); /* three times what w0 took: 4.5 s */
    assert_int_equal(p.counts[SB_EVENT_SLOW], 0);
    tick(&p, 2100 * MS);
    assert_string_equal(p.text[SB_EVENT_SLOW], "w1 is silent for 4.6 s: its slots 2-3 go to w0 too");
    assert_int_equal(p.counts[SB_EVENT_LOST], 0);
    Sb__Head *work = hear(&p, worker(0), SB__HEAD__BODY_WORK);
    while (work && work->work->nodes[0] != 3) {
        sb_msg_close(&work);
        work = hear(&p, worker(0), SB__HEAD__BODY_WORK);
    }
    assert_non_null(work);
    assert_int_equal(work->work->n_nodes, 1);
    sb_msg_close(&work);
    done(&p, 0, 3, 3, 5);
    done(&p, 1, 3, 3, 5); /* it was only slow: the same sums, once */
    sb_outbox_clear(&p.out);
    report(&p, 0, 0, 16, true);
    report(&p, 1, 0, 20, true);
    assert_true(p.last[SB_EVENT_STEP].loss == 2 && p.last[SB_EVENT_STEP].targets == 4);
    assert_true(heard(&p, worker(1), SB__HEAD__BODY_WORK)); /* it finished something */
    play_release(&p);
}

static void slots_done(struct play *p, uint32_t w, uint64_t count)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Ready ready = SB__READY__INIT;
    ready.slots_done = count;
    head.body_case = SB__HEAD__BODY_READY;
    head.ready = &ready;
    say(p, worker(w), &head, NULL);
}

static void words_keep_no_lease_and_finished_slots_do(void **state)
{
    (void)state;
    struct play p;
    begin(&p);
    p.job.speculate_after_s = 2;
    p.job.worker_timeout_s = p.job.step_timeout_s = 100;
    done(&p, 0, 2, 1, 3);
    for (uint64_t i = 1; i <= 4; i++) {
        tick(&p, 1500 * MS);
        slots_done(&p, 1, i);
    }
    assert_int_equal(p.counts[SB_EVENT_SLOW], 0);
    for (uint64_t i = 0; i < 2; i++) {
        tick(&p, 1500 * MS);
        slots_done(&p, 1, 4);
        hello_worker(&p, 1, NULL);
    }
    assert_int_equal(p.counts[SB_EVENT_SLOW], 1);
    tick(&p, 1500 * MS);
    done(&p, 0, 3, 3, 5);
    report(&p, 0, 0, 16, true);
    report(&p, 1, 0, 20, true);
    assert_false(p.c.workers[1].slow); /* it spoke: one more chance */
    done(&p, 0, 2, 1, 3);
    tick(&p, 40 * SECOND); /* more than three times the step before */
    assert_true(p.c.workers[1].slow);
    hello_worker(&p, 1, NULL);
    assert_true(p.c.workers[1].slow); /* words do not help twice */
    slots_done(&p, 1, 5);
    assert_false(p.c.workers[1].slow);
    play_release(&p);
}

static void shares_follow_the_measured_speed(void **state)
{
    (void)state;
    struct play p;
    begin(&p);
    p.job.eval_steps = 1000;
    p.plan.total_steps = 1000;
    p.seconds[0] = 1;
    p.seconds[1] = 9; /* for three times the tokens */
    for (int i = 0; i < 3; i++) {
        sb_outbox_clear(&p.out);
        run_step(&p);
    }
    Sb__Head *fast = hear(&p, worker(0), SB__HEAD__BODY_WORK),
             *slow = hear(&p, worker(1), SB__HEAD__BODY_WORK);
    assert_int_equal(fast->work->n_nodes, 2); /* three slots of four */
    assert_int_equal(fast->work->nodes[0], 2);
    assert_int_equal(fast->work->nodes[1], 6);
    assert_int_equal(slow->work->n_nodes, 1);
    assert_int_equal(slow->work->nodes[0], 7);
    assert_string_equal(p.text[SB_EVENT_NOTE], "shares by measured speed: w0 3, w1 1 of 4 slots");
    sb_msg_close(&fast);
    sb_msg_close(&slow);
    play_release(&p);
}

static void eval_done(struct play *p, uint32_t w, uint64_t slot, double loss)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Done body = SB__DONE__INIT;
    double sums[SB_SUM_COUNT + 4] = {2, 20, 2, loss, 1,
                                     0, 1,  0, 1,    0}; /* gold 0 and 1, both called 0 */
    body.kind = SB__WORK_KIND__WORK_EVAL;
    body.sequence = p->c.sequence;
    body.slot = slot;
    body.sums = sums;
    body.n_sums = SB_SUM_COUNT + 4;
    head.step = p->c.step;
    head.body_case = SB__HEAD__BODY_DONE;
    head.done = &body;
    say(p, worker(w), &head, NULL);
}

static void an_evaluation_is_dealt_in_runs_and_scored_once(void **state)
{
    (void)state;
    struct play p;
    begin(&p);
    for (int i = 0; i < 3; i++)
        run_step(&p);
    assert_int_equal(p.c.state, SB_COORDINATOR_EVALUATING); /* eval_steps is 3 */
    Sb__Head *work = NULL;
    while (sb_msg_close(&work), work = hear(&p, worker(1), SB__HEAD__BODY_WORK),
           work && work->work->kind != SB__WORK_KIND__WORK_EVAL)
        ;
    assert_non_null(work);
    assert_int_equal(work->step, 3);
    assert_int_equal(work->work->first_slot, 1);
    assert_int_equal(work->work->end_slot, 3);
    sb_msg_close(&work);
    eval_done(&p, 1, 2, 3);
    eval_done(&p, 1, 2, 3);
    eval_done(&p, 0, 0, 1);
    assert_int_equal(p.c.state, SB_COORDINATOR_EVALUATING);
    eval_done(&p, 1, 1, 2);
    assert_int_equal(p.c.state, SB_COORDINATOR_TRAINING);
    json_t *log = p.c.history.log;
    assert_int_equal(json_array_size(log), 2); /* the report of step 2, and this */
    json_t *entry = json_array_get(log, 1);
    assert_int_equal(json_integer_value(json_object_get(entry, "step")), 3);
    assert_true(json_number_value(json_object_get(entry, "eval_loss")) == 1.0);
    assert_true(json_number_value(json_object_get(entry, "eval_accuracy")) == 0.5);
    assert_true(fabs(json_number_value(json_object_get(entry, "eval_f1_macro")) - 1. / 3) < 1e-15);
    assert_true(json_number_value(json_object_get(entry, "epoch")) == 1.5);
    play_release(&p);
}

static void the_run_ends_with_workers_first_and_servers_last(void **state)
{
    (void)state;
    struct play p;
    begin(&p);
    for (int i = 0; i < STEPS; i++) {
        run_step(&p);
        for (uint64_t slot = 0; slot < 3 && p.c.state == SB_COORDINATOR_EVALUATING; slot++)
            eval_done(&p, 0, slot, 1);
    }
    assert_int_equal(p.c.state, SB_COORDINATOR_FINISHING);
    struct sb_frame *text = NULL;
    for (size_t i = 0; i < p.out.count; i++)
        if (p.out.items[i].peer == worker(0) && p.out.items[i].msg->frame_count)
            text = p.out.items[i].msg->frames[0];
    json_t *history = json_loadb(text->data, text->bytes, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(history, "global_step")), STEPS);
    assert_true(json_number_value(json_object_get(history, "train_loss")) == 2);
    assert_true(json_number_value(json_object_get(history, "train_samples")) == 4 * STEPS);
    json_t *log = json_object_get(history, "log_history");
    json_t *first = json_array_get(log, 0);
    assert_true(json_number_value(json_object_get(first, "loss")) == 2);
    assert_true(json_number_value(json_object_get(first, "grad_norm")) == 1.5);
    assert_true(json_number_value(json_object_get(first, "learning_rate")) == 0.1);
    json_decref(history);
    assert_false(heard(&p, 1, SB__HEAD__BODY_FINISH)); /* workers still fetch from the servers */
    bye(&p, worker(1));
    bye(&p, worker(1));
    assert_false(heard(&p, 1, SB__HEAD__BODY_FINISH));
    bye(&p, worker(0));
    assert_true(heard(&p, 1, SB__HEAD__BODY_FINISH));
    assert_int_equal(p.c.state, SB_COORDINATOR_FINISHING);
    bye(&p, 1);
    assert_int_equal(p.c.state, SB_COORDINATOR_OVER);
    assert_int_equal(p.c.finish_code, 0);
    assert_int_equal(p.counts[SB_EVENT_FINISHED], 1);
    play_release(&p);
}

static void messages_of_another_term_or_step_move_nothing(void **state)
{
    (void)state;
    struct play p;
    begin(&p);
    report(&p, 0, 3, 1, true);
    assert_false(p.c.servers[0].reported);
    Sb__Head head = SB__HEAD__INIT;
    Sb__Done body = SB__DONE__INIT;
    double sums[SB_SUM_COUNT] = {1, 1, 1, 1, 1, 1};
    body.sequence = p.c.sequence;
    body.sums = sums;
    body.n_sums = SB_SUM_COUNT;
    head.node = 1;
    head.body_case = SB__HEAD__BODY_DONE;
    head.done = &body;
    head.term = p.c.term + 1;
    struct sb_msg *msg = sb_msg_new(&head, NULL, NULL, true);
    Sb__Head *opened = sb_msg_open(msg, NULL);
    sb_coordinator_handle(&p.c, p.now, worker(0), opened, msg, &p.out);
    assert_null(sb_sums_tree_root(&p.c.sums));
    sb_msg_close(&opened);
    sb_msg_free(&msg);
    play_release(&p);
}

static void a_stop_before_the_first_step_needs_no_checkpoint(void **state)
{
    (void)state;
    struct play p;
    play_init(&p);
    hello_worker(&p, 0, NULL);
    sb_coordinator_stop(&p.c, SB_ERR_INTERRUPT);
    tick(&p, MS);
    assert_int_equal(p.c.state, SB_COORDINATOR_OVER);
    assert_int_equal(p.c.finish_code, SB_ERR_INTERRUPT);
    play_release(&p);
}

static void trouble(struct play *p, uint32_t w, uint32_t code)
{
    Sb__Head head = SB__HEAD__INIT;
    Sb__Stop stop = SB__STOP__INIT;
    stop.code = code;
    head.body_case = SB__HEAD__BODY_STOP;
    head.stop = &stop;
    say(p, worker(w), &head, NULL);
}

static void a_worker_that_cannot_begin_ends_the_run_for_all(void **state)
{
    (void)state;
    struct play p;
    play_init(&p);
    join_all(&p);
    trouble(&p, 0, SB_ERR_DATA);
    assert_int_equal(p.c.state, SB_COORDINATOR_FINISHING);
    assert_int_equal(p.c.finish_code, SB_ERR_DATA);
    assert_non_null(strstr(p.c.finish_sentence, "w0"));
    /* Nobody waits for the one that has left. */
    bye(&p, worker(1));
    bye(&p, 1);
    assert_int_equal(p.c.state, SB_COORDINATOR_OVER);
    play_release(&p);
}

static void a_worker_that_cannot_join_ends_the_wait(void **state)
{
    (void)state;
    struct play p;
    play_init(&p);
    trouble(&p, 0, SB_ERR_TERMINATE);
    assert_int_equal(p.c.state, SB_COORDINATOR_JOINING);
    trouble(&p, 0, SB_ERR_NO_INPUT);
    assert_int_equal(p.c.finish_code, SB_ERR_NO_INPUT);
    play_release(&p);
}

static void a_worker_that_prepares_its_data_is_waited_for(void **state)
{
    (void)state;
    struct play p;
    play_init(&p);
    for (int i = 0; i < 5; i++) {
        Sb__Head head = SB__HEAD__INIT;
        Sb__Ready preparing = SB__READY__INIT;
        head.body_case = SB__HEAD__BODY_READY;
        head.ready = &preparing;
        tick(&p, 11 * SECOND); /* join_timeout_s is 12 */
        say(&p, worker(0), &head, NULL);
    }
    tick(&p, 11 * SECOND);
    assert_int_equal(p.c.state, SB_COORDINATOR_JOINING);
    /* Those who are done hear that somebody is there. */
    hello_server(&p, 1);
    hello_worker(&p, 1, NULL);
    assert_false(heard(&p, 1, SB__HEAD__BODY_READY));
    hello_server(&p, 1);
    hello_worker(&p, 1, NULL);
    assert_true(heard(&p, 1, SB__HEAD__BODY_READY) && heard(&p, worker(1), SB__HEAD__BODY_READY));
    tick(&p, 2 * SECOND);
    assert_int_equal(p.c.finish_code, SB_ERR_PEER);
    play_release(&p);
}

static void a_stop_does_not_wait_for_the_running_step(void **state)
{
    (void)state;
    struct play p;
    begin(&p);
    sb_coordinator_stop(&p.c, SB_ERR_TERMINATE);
    tick(&p, MS);
    assert_true(p.c.state >= SB_COORDINATOR_SAVING);
    assert_int_equal(p.c.finish_code, SB_ERR_TERMINATE);
    play_release(&p);
}

static void a_worker_with_a_signal_leaves_at_the_end_of_the_step(void **state)
{
    (void)state;
    struct play p;
    begin(&p);
    trouble(&p, 1, SB_ERR_TERMINATE);
    trouble(&p, 1, SB_ERR_TERMINATE); /* said again */
    assert_int_equal(p.counts[SB_EVENT_LEAVING], 1);
    assert_false(heard(&p, worker(1), SB__HEAD__BODY_FINISH));
    run_step(&p);
    assert_int_equal(p.c.state, SB_COORDINATOR_TRAINING);
    Sb__Head *finish = hear(&p, worker(1), SB__HEAD__BODY_FINISH);
    assert_int_equal(finish->finish->code, 0);
    assert_false(finish->finish->lease);
    sb_msg_close(&finish);
    bye(&p, worker(1));
    hello_worker(&p, 2, NULL); /* its place is free */
    assert_true(heard(&p, worker(2), SB__HEAD__BODY_WELCOME));
    p.c.members.workers[1].lost = true;
    trouble(&p, 0, SB_ERR_TERMINATE); /* nobody else works: the run stops */
    assert_int_equal(p.c.finish_code, SB_ERR_TERMINATE);
    play_release(&p);
}

static void a_run_below_its_least_number_of_workers_waits_for_one(void **state)
{
    (void)state;
    struct play p;
    begin(&p);
    p.job.min_workers = 2;
    trouble(&p, 1, SB_ERR_TERMINATE);
    run_step(&p);
    assert_int_equal(p.c.state, SB_COORDINATOR_SHORT);
    tick(&p, SECOND);
    assert_string_equal(p.text[SB_EVENT_WAITING], "1 more worker: 1 of 2 are here (min_workers)");
    bye(&p, worker(1));
    hello_worker(&p, 2, NULL);
    tick(&p, MS);
    assert_int_equal(p.c.state, SB_COORDINATOR_TRAINING);
    sb_outbox_clear(&p.out);
    done(&p, 0, 1, 4, 8);
    report(&p, 0, 1, 16, true);
    report(&p, 1, 1, 20, true);
    assert_true(heard(&p, worker(2), SB__HEAD__BODY_WORK));
    trouble(&p, 0, SB_ERR_TERMINATE);
    done(&p, 0, 1, 4, 8);
    report(&p, 0, 2, 16, true);
    report(&p, 1, 2, 20, true);
    for (uint64_t slot = 0; slot < 3 && p.c.state == SB_COORDINATOR_EVALUATING; slot++)
        eval_done(&p, 0, slot, 1);
    assert_int_equal(p.c.state, SB_COORDINATOR_SHORT);
    tick(&p, 31 * SECOND); /* step_timeout_s is 30 */
    assert_int_equal(p.c.finish_code, SB_ERR_PEER);
    assert_non_null(strstr(p.c.finish_sentence, "fewer than 2 workers (min_workers) for 30 s"));
    play_release(&p);
}

static void enough_workers_begin_when_the_wait_is_over_and_more_may_come(void **state)
{
    (void)state;
    struct play p;
    play_init(&p);
    p.job.min_workers = 1;
    hello_worker(&p, 0, NULL);
    hello_server(&p, 0);
    tick(&p, 11 * SECOND);
    hello_server(&p, 1);
    assert_int_equal(p.c.state, SB_COORDINATOR_JOINING);
    tick(&p, 2 * SECOND);
    assert_int_equal(p.c.state, SB_COORDINATOR_LOADING);
    assert_non_null(strstr(p.text[SB_EVENT_NOTE], "begins with 1 of 2 workers after 12 s"));
    for (uint32_t i = 0; i < SERVERS; i++)
        ready(&p, i, true, "");
    done(&p, 0, 1, 4, 8);
    hello_worker(&p, 1, NULL);
    assert_true(heard(&p, worker(1), SB__HEAD__BODY_WELCOME));
    assert_false(heard(&p, worker(1), SB__HEAD__BODY_WORK));
    report(&p, 0, 0, 16, true);
    report(&p, 1, 0, 20, true);
    assert_true(heard(&p, worker(1), SB__HEAD__BODY_WORK));
    play_release(&p);
}

static void more_workers_wanted_than_there_may_be_is_a_mistake(void **state)
{
    (void)state;
    struct play p;
    play_init(&p);
    p.job.min_workers = 3;
    join_all(&p);
    assert_int_equal(p.c.finish_code, SB_ERR_CONFIG);
    assert_non_null(strstr(p.c.finish_sentence, "min_workers is 3, but only 2 may take part"));
    play_release(&p);
}

static void trouble_of_one_worker_in_a_step_is_not_that_of_all(void **state)
{
    (void)state;
    struct play p;
    begin(&p);
    trouble(&p, 0, 1000); /* no code of ours */
    trouble(&p, 0, SB_ERR_IO);
    assert_int_equal(p.c.state, SB_COORDINATOR_TRAINING);
    p.c.members.workers[1].lost = true;
    trouble(&p, 0, SB_ERR_IO);
    assert_int_equal(p.c.finish_code, SB_ERR_IO);
    play_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_starts_before_all_are_here),
        cmocka_unit_test(the_missing_are_named_every_five_seconds_and_at_the_end),
        cmocka_unit_test(a_stranger_is_refused_with_both_sides),
        cmocka_unit_test(a_worker_too_many_is_refused),
        cmocka_unit_test(a_server_that_cannot_load_ends_the_run),
        cmocka_unit_test(the_step_is_clipped_by_its_whole_norm),
        cmocka_unit_test(a_step_without_targets_is_skipped),
        cmocka_unit_test(a_gradient_that_is_not_finite_commits_nothing),
        cmocka_unit_test(what_is_not_answered_is_sent_again),
        cmocka_unit_test(a_step_without_progress_names_the_missing_nodes),
        cmocka_unit_test(the_share_of_a_silent_worker_goes_to_one_that_is_done),
        cmocka_unit_test(a_slow_worker_s_nodes_are_given_to_one_that_is_done_as_well),
        cmocka_unit_test(shares_follow_the_measured_speed),
        cmocka_unit_test(a_worker_with_a_signal_leaves_at_the_end_of_the_step),
        cmocka_unit_test(a_run_below_its_least_number_of_workers_waits_for_one),
        cmocka_unit_test(enough_workers_begin_when_the_wait_is_over_and_more_may_come),
        cmocka_unit_test(more_workers_wanted_than_there_may_be_is_a_mistake),
        cmocka_unit_test(words_keep_no_lease_and_finished_slots_do),
        cmocka_unit_test(an_evaluation_is_dealt_in_runs_and_scored_once),
        cmocka_unit_test(the_run_ends_with_workers_first_and_servers_last),
        cmocka_unit_test(messages_of_another_term_or_step_move_nothing),
        cmocka_unit_test(a_stop_before_the_first_step_needs_no_checkpoint),
        cmocka_unit_test(a_worker_that_cannot_begin_ends_the_run_for_all),
        cmocka_unit_test(a_worker_that_cannot_join_ends_the_wait),
        cmocka_unit_test(a_worker_that_prepares_its_data_is_waited_for),
        cmocka_unit_test(a_stop_does_not_wait_for_the_running_step),
        cmocka_unit_test(trouble_of_one_worker_in_a_step_is_not_that_of_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
