#include "client/client.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/call.h"
#include "client/channel.h"

/* Room for the values of an ordinary reply. */
#define ARENA_BYTES KIB(16)
/* A crowd that is told "later" in one go has its latencies from one look at the clock for so many calls: that look
 * costs as much as the rest. */
#define CALLS_A_CLOCK 16

uint64_t client_jitter_ms(struct tally *tally, uint64_t ms)
{
	uint64_t half = ms / 2;
	return ms - half + (half > 0 ? prng_below(&tally->prng, half + 1) : 0);
}

/* ---- time ---- */

void client_alarm(struct tally *tally, uint64_t at_us)
{
	at_us += WHEEL_SLOT_US; /* it is handed out at the end of its slot */
	if (!env_timer_armed(&tally->alarm) || at_us < tally->alarm.node.at) {
		env_timer_start_at(&tally->alarm, at_us);
	}
}

static void client_alarm_cb(struct env_timer *timer)
{
	struct tally *tally = list_entry(timer, struct tally, alarm);
	uint64_t now_us = env_now_us(tally->env);
	struct list due;
	list_init(&due);
	wheel_expire(&tally->wheel, now_us, &due);
	for (struct list *link = list_pop(&due); link != NULL; link = list_pop(&due)) {
		call_due(list_entry(link, struct call, due.link), now_us);
	}
	client_wake(tally); /* those behind one that is over may be sent now */
	uint64_t next_us = wheel_next_us(&tally->wheel);
	if (next_us != UINT64_MAX) {
		env_timer_start_at(&tally->alarm, next_us);
	}
}

/* What their callbacks start comes with the next. */
static void client_soon_cb(struct env_timer *timer)
{
	struct tally *tally = list_entry(timer, struct tally, soon);
	struct list now;
	list_init(&now);
	list_splice(&now, &tally->unsent);
	uint64_t now_us = 0;
	size_t ended = 0;
	for (struct list *link = list_pop(&now); link != NULL; link = list_pop(&now)) {
		now_us = ended++ % CALLS_A_CLOCK == 0 ? env_now_us(tally->env) : now_us;
		call_end_unsent(list_entry(link, struct call, link), now_us);
	}
	if (tally->closing) {
		client_wake(tally);
	}
}

/* ---- one turn ---- */

static size_t client_room(const struct tally *tally)
{
	size_t room = 0;
	list_for_each (link, &tally->channels) {
		const struct channel *channel = list_entry(link, struct channel, link);
		room += channel_has_room(channel) ? channel->window - channel_waiting(channel) : 0;
	}
	return room;
}

/* Hands pending calls to the channels with room, in turn, so that each carries its share. */
static void client_dispatch(struct tally *tally)
{
	uint64_t now_us = env_now_us(tally->env);
	size_t passed_over = 0;
	size_t sent = 0;
	while (!list_empty(&tally->pending) && passed_over < tally->channel_count) {
		struct list *link = list_pop(&tally->channels);
		list_append(&tally->channels, link);
		struct channel *channel = list_entry(link, struct channel, link);
		if (!channel_has_room(channel)) {
			passed_over++;
			continue;
		}
		struct call *call = list_entry(tally->pending.next, struct call, link);
		if (call->deadline_us <= now_us) {
			break; /* the alarm that ends it is due */
		}
		passed_over = 0;
		if (call_too_late(call, now_us)) {
			continue;
		}
		channel_send(channel, call, now_us);
		sent++;
	}
	assert(list_empty(&tally->pending) == (tally->pending_count == 0));
	pace_sent(&tally->pace, now_us, sent, !list_empty(&tally->pending), client_room(tally));
	if (sent > 0) {
		compass_busy(&tally->compass);
	}
}

/* Those under way now: what their callbacks start ends at the next alarm. */
static void client_cancel_all(struct tally *tally)
{
	struct list now;
	list_init(&now);
	for (size_t i = 0; i < WHEEL_SLOTS; i++) {
		list_splice(&now, &tally->wheel.slots[i]);
	}
	for (struct list *link = list_pop(&now); link != NULL; link = list_pop(&now)) {
		call_cancel(list_entry(link, struct call, due.link));
	}
}

static void client_shut(struct tally *tally)
{
	client_cancel_all(tally);
	compass_stop(&tally->compass);
	list_for_each (link, &tally->channels) {
		channel_close(list_entry(link, struct channel, link));
	}
	client_stream_gone(tally);
}

static void client_turn_cb(struct env_turn *turn)
{
	struct tally *tally = list_entry(turn, struct tally, turn);
	if (tally->closing) {
		client_shut(tally);
		return;
	}
	if (compass_serves(&tally->compass)) {
		client_dispatch(tally);
	} else {
		pace_pause(&tally->pace);
	}
	list_for_each (link, &tally->channels) {
		channel_flush(list_entry(link, struct channel, link));
	}
}

/* ---- life ---- */

static int client_fill(struct tally *tally, const struct tally_options *options, struct err *err)
{
	if (options == NULL || options->servers == NULL) {
		return err_set(err, ERR_INVALID, "no server address was given");
	}
	if (options->connections > CLIENT_CONNECTIONS_MAX || options->pipeline_max > CLIENT_PIPELINE_MAX) {
		return err_set(err, ERR_INVALID, "at most %u connections and %u requests under way on each",
			       CLIENT_CONNECTIONS_MAX, CLIENT_PIPELINE_MAX);
	}
	tally->connections = options->connections != 0 ? options->connections : 1;
	/* HELLO and a STATUS take places too. */
	tally->pipeline_max = options->pipeline_max != 0 ? options->pipeline_max : CLIENT_PIPELINE_DEFAULT;
	tally->meta = options->meta;
	tally->compass.direct = options->direct;
	return compass_add(&tally->compass, options->servers, err);
}

struct tally *client_open(struct env *env, const struct tally_options *options, struct err *err)
{
	assert(env != NULL);
	struct tally *tally = calloc(1, sizeof(*tally));
	if (tally == NULL) {
		fatal("out of memory for a client");
	}
	tally->env = env;
	env_turn_init(env, &tally->turn, client_turn_cb);
	env_timer_init(env, &tally->alarm, client_alarm_cb);
	env_timer_init(env, &tally->soon, client_soon_cb);
	wheel_init(&tally->wheel, env_now_us(env));
	list_init(&tally->pending);
	list_init(&tally->unsent);
	list_init(&tally->channels);
	pool_init(&tally->pool);
	arena_init(&tally->arena, ARENA_BYTES);
	/* Ids must differ between all clients of the world: the whole state is random, not a seed of 64 bits.
	 */
	env_random(env, tally->prng.state, sizeof(tally->prng.state));
	tally->prng.state[0] |= 1;
	id_maker_init(&tally->ids, &tally->prng);
	compass_init(&tally->compass, tally);
	if (client_fill(tally, options, err) != 0) {
		client_free(tally);
		return NULL;
	}
	compass_start(&tally->compass);
	return tally;
}

void client_free(struct tally *tally)
{
	if (tally == NULL) {
		return;
	}
	env_turn_cancel(&tally->turn);
	env_timer_stop(&tally->alarm);
	env_timer_stop(&tally->soon);
	for (size_t i = 0; i < WHEEL_SLOTS; i++) {
		struct list *slot = &tally->wheel.slots[i];
		for (struct list *link = list_pop(slot); link != NULL; link = list_pop(slot)) {
			struct call *call = list_entry(link, struct call, due.link);
			pool_give(&tally->pool, call->text, call->text_bytes);
		}
	}
	for (struct list *link = list_pop(&tally->channels); link != NULL;
	     link = list_pop(&tally->channels)) {
		channel_free(list_entry(link, struct channel, link));
	}
	compass_fini(&tally->compass);
	pool_fini(&tally->pool);
	arena_fini(&tally->arena);
	free(tally);
}

void client_stream_gone(struct tally *tally)
{
	if (!tally->closing || tally->calls > 0 || !list_empty(&tally->channels) ||
	    !compass_idle(&tally->compass) || tally->closed == NULL) {
		return;
	}
	assert(tally->pending_count == 0);
	void (*closed)(void *data) = tally->closed;
	void *data = tally->closed_data;
	tally->closed = NULL;
	if (tally->gone != NULL) {
		tally->gone(tally, closed, data); /* frees and then tells */
		return;
	}
	client_free(tally);
	closed(data);
}

void tally_close(struct tally *tally, void (*closed)(void *data), void *data)
{
	assert(tally != NULL);
	assert(closed != NULL);
	assert(!tally->closing);
	tally->closing = true;
	tally->closed = closed;
	tally->closed_data = data;
	client_wake(tally);
}

void tally_id_make(struct tally *tally, char id[TALLY_ID_SIZE])
{
	id_make(&tally->ids, env_wall_ms(tally->env), id);
	id[ID_TEXT] = '\0';
}

void tally_stats(const struct tally *tally, struct tally_stats *stats)
{
	const struct compass *compass = &tally->compass;
	*stats = tally->stats;
	stats->connected = 0;
	list_for_each (link, &tally->channels) {
		const struct channel *channel = list_entry(link, struct channel, link);
		stats->connected += channel->state == CHANNEL_READY && !channel->retiring;
	}
	const char *leader = compass->target != NULL && compass->target_leads ? compass->target->address : "";
	snprintf(stats->leader, sizeof(stats->leader), "%s", leader);
}
