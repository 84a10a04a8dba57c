/*
 * A library to be preloaded: a network that is worse than any.  Whole messages are lost, repeated,
 * held back until others have passed them, replayed much later, cut short, or have a bit turned.
 *
 *   SB_CHAOS=SEED:LOSE:REPEAT:HOLD:REPLAY:CUT:FLIP   in thousandths of the messages
 *   SB_CHAOS_LOG=FILE   at the end, a line with what was done, appended
 *
 * It stands between the program and zmq_msg_send, so it knows messages where a bad network would
 * know packets, which TCP hides.  The identity that a ROUTER puts in front is left alone: it is the
 * address.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

enum { PARTS_MAX = 8, HELD_MAX = 64, MANY = 32 };

enum deed { LOSE, REPEAT, HOLD, REPLAY, CUT, FLIP, DEEDS };

struct message {
    void *socket;
    zmq_msg_t parts[PARTS_MAX];
    size_t count;
    int after; /* messages that pass it first */
};

static int (*send_part)(zmq_msg_t *, void *, int);
static int (*close_socket)(void *);
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t state;
static unsigned rates[DEEDS];
static unsigned long done[DEEDS], sent;
static struct message building; /* parts of one message come one after the other */
static struct message held[HELD_MAX];
static size_t held_count;

__attribute__((constructor)) static void begin(void)
{
    const char *text = getenv("SB_CHAOS");
    send_part = dlsym(RTLD_NEXT, "zmq_msg_send");
    close_socket = dlsym(RTLD_NEXT, "zmq_close");
    if (text)
        sscanf(text, "%lu:%u:%u:%u:%u:%u:%u", &state, &rates[LOSE], &rates[REPEAT], &rates[HOLD],
               &rates[REPLAY], &rates[CUT], &rates[FLIP]);
    state = (state + 1) * 0x9E3779B97F4A7C15u ^ (uint64_t)getpid();
}

__attribute__((destructor)) static void end(void)
{
    const char *path = getenv("SB_CHAOS_LOG");
    FILE *file = path && sent ? fopen(path, "ae") : NULL;
    if (!file)
        return;
    fprintf(file, "sent=%lu lost=%lu repeated=%lu held=%lu replayed=%lu cut=%lu flipped=%lu\n",
            sent, done[LOSE], done[REPEAT], done[HOLD], done[REPLAY], done[CUT], done[FLIP]);
    fclose(file);
}

/* xorshift64*: Vigna, 2016 */
static uint64_t dice(void)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545F4914F6CDD1Du;
}

static bool happens(enum deed deed)
{
    bool yes = dice() % 1000 < rates[deed];
    done[deed] += yes;
    return yes;
}

static void drop(struct message *m)
{
    for (size_t i = 0; i < m->count; i++)
        zmq_msg_close(&m->parts[i]);
    m->count = 0;
}

static void copy(struct message *to, struct message *from)
{
    *to = (struct message){.socket = from->socket, .count = from->count, .after = from->after};
    for (size_t i = 0; i < from->count; i++) {
        zmq_msg_init(&to->parts[i]);
        zmq_msg_copy(&to->parts[i], &from->parts[i]);
    }
}

/*
 * A message that cannot be sent now (the queue is full, the peer is gone) is lost: that may happen
 * to any.  The first part decides; the others follow it, as in the program.
 */
static void deliver(struct message *m)
{
    bool dropped = false;
    for (size_t i = 0; i < m->count && !dropped; i++)
        dropped = send_part(&m->parts[i], m->socket,
                            ZMQ_DONTWAIT | (i + 1 < m->count ? ZMQ_SNDMORE : 0)) < 0 &&
                  i == 0;
    drop(m);
}

static size_t first_part(void *socket)
{
    int type = ZMQ_DEALER;
    size_t bytes = sizeof(type);
    zmq_getsockopt(socket, ZMQ_TYPE, &type, &bytes);
    return type == ZMQ_ROUTER ? 1 : 0;
}

/* Cuts or turns a bit in one part, in a copy of our own: the program may share its memory. */
static void damage(struct message *m, bool cut)
{
    size_t first = first_part(m->socket);
    if (m->count <= first)
        return;
    zmq_msg_t *part = &m->parts[first + dice() % (m->count - first)], fresh;
    size_t bytes = zmq_msg_size(part), kept = cut && bytes ? dice() % bytes : bytes;
    if (!bytes)
        return;
    zmq_msg_init_size(&fresh, kept);
    memcpy(zmq_msg_data(&fresh), zmq_msg_data(part), kept);
    if (!cut)
        ((uint8_t *)zmq_msg_data(&fresh))[dice() % kept] ^= (uint8_t)(1u << dice() % 8);
    zmq_msg_close(part);
    *part = fresh;
}

static void hold(struct message *m, int after)
{
    if (held_count == HELD_MAX)
        deliver(&held[0]), memmove(held, held + 1, --held_count * sizeof(*held));
    copy(&held[held_count], m);
    held[held_count++].after = after;
}

static void release_held(void *socket)
{
    for (size_t i = 0; i < held_count;) {
        if (held[i].socket != socket || --held[i].after > 0) {
            i++;
            continue;
        }
        deliver(&held[i]);
        memmove(held + i, held + i + 1, (--held_count - i) * sizeof(*held));
    }
}

static void pass(struct message *m)
{
    void *socket = m->socket;
    sent++;
    if (happens(LOSE)) {
        drop(m);
    } else if (happens(HOLD)) {
        hold(m, 1 + (int)(dice() % 4));
        drop(m);
    } else {
        struct message again;
        if (happens(REPEAT)) {
            copy(&again, m);
            deliver(&again);
        }
        if (happens(REPLAY))
            hold(m, MANY + (int)(dice() % MANY));
        if (happens(CUT))
            damage(m, true);
        else if (happens(FLIP))
            damage(m, false);
        deliver(m);
    }
    release_held(socket);
}

int zmq_msg_send(zmq_msg_t *part, void *socket, int flags)
{
    if (!getenv("SB_CHAOS"))
        return send_part(part, socket, flags);
    pthread_mutex_lock(&lock);
    int bytes = (int)zmq_msg_size(part);
    building.socket = socket;
    if (building.count < PARTS_MAX) {
        zmq_msg_init(&building.parts[building.count]);
        zmq_msg_move(&building.parts[building.count++], part);
    }
    if (!(flags & ZMQ_SNDMORE)) {
        struct message whole = building;
        building.count = 0;
        pass(&whole);
    }
    pthread_mutex_unlock(&lock);
    return bytes;
}

/* What is still held for a socket is lost with it. */
int zmq_close(void *socket)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < held_count;) {
        if (held[i].socket != socket) {
            i++;
            continue;
        }
        drop(&held[i]);
        memmove(held + i, held + i + 1, (--held_count - i) * sizeof(*held));
    }
    pthread_mutex_unlock(&lock);
    return close_socket(socket);
}
