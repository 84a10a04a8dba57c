/*
 * Push, commit, checkpoint, crash and restart, as a model for spin.
 *
 * Two servers own a part each, two slots make a step.  The network is a set: whatever was sent may
 * arrive at any time later, any number of times, in any order, or never.  Weights are the set of the
 * steps that went into them.  A step may have a number that is not finite, which only the server sees
 * that owns its part; then no server may apply it.  What the model leaves out: values (a slot is a
 * pure function of its weights), the number of workers (anyone may compute any slot, and a push may
 * arrive terms later), nodes above slots.
 *
 * Each of these is a rule of PROTOCOL.md; compiled with 0 the model must fail:
 *
 *   DEDUP    a server takes a (step, slot) once
 *   FENCE    a server refuses messages of another term
 *   ROUND    nothing is applied before all servers have reported the step complete
 *   STORED   a term is stored before it is used, by coordinator and servers
 *   ATOMIC   a manifest is written when all its files are, not before
 *   KEPT     what is written beside the training is the state of the step that was asked for
 *
 * A file is written at any time after its state was kept: steps later, or in a term that does not wait
 * for it any more.  The manifest, too, may come when its term is over.
 *
 * Compiled with END 0 it fails where a run is over after two crashes: the model does get there.
 */
#ifndef END
#define END 1
#endif
#ifndef DEDUP
#define DEDUP 1
#endif
#ifndef FENCE
#define FENCE 1
#endif
#ifndef ROUND
#define ROUND 1
#endif
#ifndef STORED
#define STORED 1
#endif
#ifndef ATOMIC
#define ATOMIC 1
#endif
#ifndef KEPT
#define KEPT 1
#endif

#define STEPS 3
#define SLOTS 2
#define SERVERS 2
#define TERMS 4   /* 1 .. 3 */
#define CRASHES 2
#define NONE 255

#define AT(term, step) ((term) * STEPS + (step))
#define SLOT_AT(term, step, slot) (AT(term, step) * SLOTS + (slot))
#define SERVER_AT(term, step, server) (AT(term, step) * SERVERS + (server))

/* What was ever sent. */
byte pushed[TERMS * STEPS * SLOTS] = 0;     /* 1 + the weights that it was computed on */
bool reported[TERMS * STEPS * SERVERS];
byte committed[TERMS * STEPS];              /* 1: the step is skipped; 2: it is applied */
bool save_asked[TERMS * STEPS];
bool kept[TERMS * STEPS * SERVERS];
bool saved[TERMS * STEPS * SERVERS];
bool finite[TERMS * STEPS * SERVERS];       /* what the report says */
byte started[TERMS] = NONE;                 /* the step that a term begins with */

/* Who sees a number that is not finite in a step: a property of the data. */
byte bad_at[STEPS] = NONE;

/* What the weights must be after so many steps. */
#define WEIGHTS_OF(n, at) ((n) > (at) && bad_at[at] == NONE -> 1 << (at) : 0)
#define WEIGHTS_AFTER(n) (WEIGHTS_OF(n, 0) | WEIGHTS_OF(n, 1) | WEIGHTS_OF(n, 2))

/* The disk. */
byte file[STEPS * SERVERS] = NONE;          /* weights in the state file of a checkpoint */
byte manifest = 0;                          /* step of the newest checkpoint; 0: the start */
byte stored_term = 0;

/* Servers. */
byte term[SERVERS] = 0, step[SERVERS] = NONE, weights[SERVERS] = 0;
byte held[SERVERS] = 0;                     /* slots, a bit each */
byte taken[SERVERS * SLOTS] = 0;            /* how often a slot went into the sum */
byte writing[SERVERS] = NONE;               /* step of the state that is being written */
byte writing_term[SERVERS] = 0, writing_weights[SERVERS] = 0;

/* The coordinator. */
byte now_term = 0, now_step = 0;
byte crashes = 0;
bool over = false;

inline forget(s)
{
    held[s] = 0;
    taken[s * SLOTS] = 0;
    taken[s * SLOTS + 1] = 0;
}

/* Once nobody is in a term any more, nothing that was sent in it is looked at: states that differ
 * there alone are one. */
inline clear(t)
{
    if
    :: FENCE && STORED && term[0] > t && term[1] > t ->
       for (at : 0 .. STEPS - 1) {
           pushed[SLOT_AT(t, at, 0)] = 0;
           pushed[SLOT_AT(t, at, 1)] = 0;
           reported[SERVER_AT(t, at, 0)] = false;
           reported[SERVER_AT(t, at, 1)] = false;
           finite[SERVER_AT(t, at, 0)] = false;
           finite[SERVER_AT(t, at, 1)] = false;
           kept[SERVER_AT(t, at, 0)] = false;
           kept[SERVER_AT(t, at, 1)] = false;
           committed[AT(t, at)] = 0;
           save_asked[AT(t, at)] = false
       }
       at = 0
    :: else
    fi
}

/* A server begins a term with the state of the newest checkpoint, or with the first weights. */
inline load(s, t)
{
    term[s] = t;
    step[s] = started[t];
    if
    :: step[s] == 0 -> weights[s] = 0
    :: else -> assert(file[step[s] * SERVERS + s] != NONE);
               weights[s] = file[step[s] * SERVERS + s]
    fi;
    assert(weights[s] == WEIGHTS_AFTER(step[s]));
    forget(s);
    clear(1);
    clear(2)
}

inline apply(s, yes)
{
    assert(taken[s * SLOTS] == 1);
    assert(taken[s * SLOTS + 1] == 1);
    if
    :: yes -> weights[s] = weights[s] | (1 << step[s])
    :: else
    fi;
    step[s]++;
    forget(s)
}

/* A push of term t for the step that the server is in, whoever sent it and however often. */
#define PUSH(t, slot)                                                                              \
    ::atomic {                                                                                     \
        (step[s] < STEPS && (!FENCE || term[s] == t) && pushed[SLOT_AT(t, step[s], slot)] != 0 &&  \
         (!DEDUP || !(held[s] & (1 << slot))) &&                                                   \
         taken[s * SLOTS + slot] < 2) -> /* two is wrong already */                                \
        assert(pushed[SLOT_AT(t, step[s], slot)] == WEIGHTS_AFTER(step[s]) + 1);                   \
        held[s] = held[s] | (1 << slot);                                                           \
        taken[s * SLOTS + slot]++;                                                                 \
        if                                                                                         \
        :: held[s] == 3 ->                                                                         \
           reported[SERVER_AT(term[s], step[s], s)] = true;                                        \
           finite[SERVER_AT(term[s], step[s], s)] = (bad_at[step[s]] != s);                        \
           if                                                                                      \
           :: !ROUND -> apply(s, (bad_at[step[s]] != s))                                           \
           :: else                                                                                 \
           fi                                                                                      \
        :: else                                                                                    \
        fi                                                                                         \
    }

#define COMMIT(t)                                                                                  \
    ::atomic {                                                                                     \
        (ROUND && step[s] < STEPS && (!FENCE || term[s] == t) && committed[AT(t, step[s])] != 0) ->     \
        apply(s, committed[AT(t, step[s])] == 2)                                                   \
    }

/* A new term, also for a server that has just come back. */
#define START(t)                                                                                   \
    ::atomic {                                                                                     \
        (term[s] < t && started[t] != NONE) ->                                                     \
        load(s, t)                                                                                 \
    }

proctype Server(byte s)
{
    byte at;
    do
    :: over -> break
    PUSH(1, 0)
    PUSH(1, 1)
    PUSH(2, 0)
    PUSH(2, 1)
    PUSH(3, 0)
    PUSH(3, 1)
    COMMIT(1)
    COMMIT(2)
    COMMIT(3)
    START(1)
    START(2)
    START(3)
    :: atomic { /* a checkpoint of the step that we are in: its state is kept */
        (step[s] < STEPS && step[s] > 0 && save_asked[AT(term[s], step[s])] &&
         !kept[SERVER_AT(term[s], step[s], s)] && writing[s] == NONE) ->
        writing[s] = step[s];
        writing_term[s] = term[s];
        writing_weights[s] = weights[s];
        kept[SERVER_AT(term[s], step[s], s)] = true }
    :: atomic { /* and written, which is told where somebody waits for it */
        (writing[s] != NONE) ->
        file[writing[s] * SERVERS + s] = (KEPT -> writing_weights[s] : weights[s]);
        if
        :: writing_term[s] == term[s] -> saved[SERVER_AT(term[s], writing[s], s)] = true
        :: else
        fi;
        writing[s] = NONE;
        writing_term[s] = 0;
        writing_weights[s] = 0 }
    :: atomic { /* kill -9: it comes back with nothing, and waits for a term that is new */
        (crashes < CRASHES && term[s] != 0 && step[s] <= STEPS && now_term < TERMS - 1) ->
        crashes++;
        step[s] = NONE;
        writing[s] = NONE;
        writing_term[s] = 0;
        writing_weights[s] = 0;
        if
        :: STORED
        :: !STORED -> term[s] = 0
        fi;
        forget(s) }
    od
}

/*
 * Any worker: it has weights of both servers, computes a slot, and pushes.  That it sleeps for terms
 * before its push arrives is in the network.
 */
#define COMPUTE(slot)                                                                              \
    ::atomic {                                                                                     \
        (step[0] < STEPS && step[0] == step[1] && term[0] == term[1] &&                            \
         pushed[SLOT_AT(term[0], step[0], slot)] == 0) ->                                          \
        assert(weights[0] == weights[1]);                                                          \
        pushed[SLOT_AT(term[0], step[0], slot)] = weights[0] + 1                                   \
    }

proctype Workers()
{
    do
    :: over -> break
    COMPUTE(0)
    COMPUTE(1)
    od
}

/* What is not STORED is forgotten by a coordinator that dies: it starts from an older number. */
inline begin_term()
{
    now_term = stored_term + 1;
    stored_term = now_term;
    now_step = manifest;
    started[now_term] = manifest
}

/* All files of a checkpoint are written. */
#define IS_SAVED(t, at) (saved[SERVER_AT(t, at, 0)] && saved[SERVER_AT(t, at, 1)])
#define PUBLISH(t, at)                                                                             \
    ::atomic {                                                                                     \
        (manifest < at && IS_SAVED(t, at)) ->                                                      \
        manifest = at                                                                              \
    }

proctype Coordinator()
{
    do
    :: atomic { /* the start; or a server is gone */
        (now_term == 0 ||
         (now_term < TERMS - 1 && (step[0] == NONE || step[1] == NONE))) ->
        begin_term() }
    :: atomic { /* kill -9: what it knew is gone, but for what is stored */
        (crashes < CRASHES && now_term > 0 && now_term < TERMS - 1) ->
        crashes++;
        if
        :: STORED
        :: !STORED -> stored_term = now_term - 1
        fi;
        begin_term() }
    :: atomic { /* all have reported */
        (now_term > 0 && now_step < STEPS && reported[SERVER_AT(now_term, now_step, 0)] &&
         reported[SERVER_AT(now_term, now_step, 1)] &&
         (!save_asked[AT(now_term, now_step)] ||
          (kept[SERVER_AT(now_term, now_step, 0)] && kept[SERVER_AT(now_term, now_step, 1)]))) ->
        committed[AT(now_term, now_step)] =
            (finite[SERVER_AT(now_term, now_step, 0)] && finite[SERVER_AT(now_term, now_step, 1)] ->
                 2 : 1);
        now_step++ }
    :: atomic { /* a checkpoint of a committed step, one at a time */
        (now_term > 0 && now_step < STEPS && manifest < now_step &&
         !save_asked[AT(now_term, now_step)] &&
         (!save_asked[AT(now_term, 1)] || IS_SAVED(now_term, 1))) ->
        save_asked[AT(now_term, now_step)] = true;
        if
        :: ATOMIC
        :: !ATOMIC -> manifest = now_step
        fi }
    PUBLISH(1, 1)
    PUBLISH(1, 2)
    PUBLISH(2, 1)
    PUBLISH(2, 2)
    PUBLISH(3, 1)
    PUBLISH(3, 2)
    :: atomic { /* the end */
        (now_term > 0 && step[0] == STEPS && step[1] == STEPS && term[0] == now_term &&
         term[1] == now_term) ->
        assert(weights[0] == WEIGHTS_AFTER(STEPS));
        assert(weights[1] == WEIGHTS_AFTER(STEPS));
        assert(END || crashes < CRASHES);
        over = true;
        break }
    od
}

init
{
    atomic {
        if /* the servers are alike: which of them sees it first makes no difference */
        :: bad_at[0] = 0
        :: bad_at[1] = 0
        :: bad_at[2] = 0
        :: skip
        fi;
        run Server(0);
        run Server(1);
        run Workers();
        run Coordinator()
    }
}
