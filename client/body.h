/* The struct behind tally.h, shared by the files of this room and by nobody
 * else.
 *
 *   client     opens, closes, one turn of work: hand calls to channels, write
 *   call       the life of one request until its callback
 *   request    its text on the wire
 *   channel    one connection to the node that serves us
 *   compass    which node that is; probe asks a node who it is
 *   wheel, pool, id, details, value: tools of these */
#ifndef CLIENT_BODY_H
#define CLIENT_BODY_H

#include "base/arena.h"
#include "base/limits.h"
#include "client/client.h"
#include "client/compass.h"
#include "client/doubts.h"
#include "client/id.h"
#include "client/pace.h"
#include "client/pool.h"
#include "client/wheel.h"

/* A reply over this is taken for garbage. */
#define CLIENT_REPLY_MAX MIB(64)
/* Bytes waiting in one connection's output before calls wait in our queue instead. */
#define CLIENT_OUTPUT_MAX MIB(4)
#define CLIENT_CONNECTIONS_MAX 1024
#define CLIENT_PIPELINE_DEFAULT 1024
#define CLIENT_PIPELINE_MAX 8192 /* below the server's LIMIT_CONN_REQUESTS */
#define CLIENT_TIMEOUT_MAX_MS 600000

struct channel;

struct tally {
	struct env *env;
	struct env_turn turn;   /* hands pending calls out and flushes, once a turn */
	struct env_timer alarm; /* for the wheel */
	struct wheel wheel;     /* every call that has not ended */
	struct list pending;    /* calls to be sent, in order */
	size_t pending_count;
	struct pace pace;
	struct doubts doubts;
	struct list unsent;    /* calls that end without being sent, in order */
	struct env_timer soon; /* for them */
	struct list channels;  /* struct channel, retiring ones too; the next to be used first */
	size_t channel_count;
	unsigned connections, pipeline_max;
	bool meta; /* TALLY META ON for each connection */
	struct compass compass;
	struct prng prng;
	struct id_maker ids;
	struct pool pool;
	struct arena arena; /* values of the reply that is being told */
	struct tally_stats stats;
	size_t calls; /* not yet ended */

	bool closing;
	void (*closed)(void *data);
	void *closed_data;
	/* When the last stream is gone, instead of freeing at once: tally_open frees its env too. */
	void (*gone)(struct tally *tally, void (*closed)(void *data), void *data);
};

/* Something may be sent or finished: do it at the end of this turn. */
static inline void client_wake(struct tally *tally)
{
	env_turn_arm(&tally->turn);
}
/* The wheel got an element that is due at at_us. */
void client_alarm(struct tally *tally, uint64_t at_us);
/* A stream has closed; when we are closing and it was the last, this ends everything. */
void client_stream_gone(struct tally *tally);
/* Between half and all of ms, so that many clients do not come at once. */
uint64_t client_jitter_ms(struct tally *tally, uint64_t ms);

#endif /* CLIENT_BODY_H */
