/* Group commit. The open batch is the overlay's newest layer; its index and
 * stamp are fixed when it opens. It is sealed at the end of a turn when the window has
 * room, when it is full, or when it is old; while the window is full it grows, and under
 * overload always. While what is applied is far behind (pace.c) only a full one is sealed.
 *
 *   closed ── propose_begin ──> OPEN, empty ── a transaction joined ──> OPEN ── seal ──> in flight
 *                                   │ end of turn: its reads go to a read round         │ log busy
 *                                   └── stays open, is stamped anew                      ▼
 *                                                                               unproposed, tried again
 */
#include "engine/shard_private.h"

#include <assert.h>

static void turn_cb(struct env_turn *turn)
{
	propose_turn(list_entry(turn, struct shard, turn));
}

static void batch_timer_cb(struct env_timer *timer)
{
	env_turn_arm(&list_entry(timer, struct shard, batch_timer)->turn);
}

void propose_init(struct shard *shard)
{
	env_turn_init(shard->env, &shard->turn, turn_cb);
	env_timer_init(shard->env, &shard->batch_timer, batch_timer_cb);
	overload_init(shard);
	for (size_t i = 0; i < BATCH_RING; i++) {
		list_init(&shard->batches[i].waiters);
	}
	buf_init(&shard->payload, LIMIT_ENTRY);
}

void propose_fini(struct shard *shard)
{
	env_turn_cancel(&shard->turn);
	env_timer_stop(&shard->batch_timer);
	overload_fini(shard);
	entry_unref(shard->unproposed);
	shard->unproposed = NULL;
	once_block_fini(&shard->once_block);
	buf_fini(&shard->payload);
}

struct batch *propose_batch(struct shard *shard, uint64_t index)
{
	struct batch *batch = &shard->batches[index % BATCH_RING];
	assert(batch->index == index);
	assert(index >= shard->first_waiting);
	return batch;
}

bool propose_ready(const struct shard *shard)
{
	return shard->phase == PHASE_LEADING && !shard->handing_over && shard->unproposed == NULL &&
	       !shard->compile_wanted && replica_in_flight(shard->replica) < BATCH_IN_FLIGHT_MAX;
}

bool propose_idle(const struct shard *shard)
{
	return shard->unproposed == NULL && replica_in_flight(shard->replica) == 0 &&
	       (!overlay_is_open(shard->overlay) || overlay_open_empty(shard->overlay));
}

static void batch_open(struct shard *shard)
{
	uint64_t index = shard->proposed_index + 1; /* nobody else proposes */
	struct batch *batch = &shard->batches[index % BATCH_RING];
	uint64_t now_us = env_now_us(shard->env);
	assert(!overlay_is_open(shard->overlay));
	assert(list_empty(&batch->waiters));
	assert(shard->once_block.ids == 0);
	assert(index >= shard->first_waiting);
	assert(index - shard->first_waiting < BATCH_RING);
	batch->index = index;
	batch->opened_us = now_us;
	shard->batch_txns = 0;
	overlay_open(shard->overlay, index, stamp_take(&shard->stamp, env_wall_ms(shard->env), now_us));
	shard->stamped = true;
}

/* A batch that nobody joined has the age of its first turn with requests, not of its opening. */
static void batch_restamp(struct shard *shard)
{
	uint64_t now_us = env_now_us(shard->env);
	assert(overlay_open_empty(shard->overlay));
	assert(shard->batch_txns == 0);
	overlay_restamp(shard->overlay, stamp_take(&shard->stamp, env_wall_ms(shard->env), now_us));
	propose_batch(shard, overlay_open_index(shard->overlay))->opened_us = now_us;
	shard->stamped = true;
}

struct txn *propose_begin(struct shard *shard)
{
	assert(propose_ready(shard));
	/* What was applied never becomes a proposal, or one entry would beget the next for ever. */
	assert(!shard->apply.telling);
	if (!overlay_is_open(shard->overlay)) {
		batch_open(shard);
	} else if (!shard->stamped && overlay_open_empty(shard->overlay)) {
		batch_restamp(shard);
	}
	if (!shard->in_turn) {
		env_turn_arm(&shard->turn);
	}
	arena_reset(&shard->arena);
	shard->once_new = NULL;
	return txn_begin(shard->overlay, &shard->arena);
}

/* The ids of the batch become rows of its own, in one more transaction. */
static void write_ids(struct shard *shard)
{
	if (shard->once_block.ids == 0) {
		return;
	}
	assert(shard->batch_txns > 0); /* whoever made an id has joined */
	arena_reset(&shard->arena);
	struct txn *txn = txn_begin(shard->overlay, &shard->arena);
	int rc = once_block_put(&shard->once_block, txn);
	assert(rc == 0);
	txn_commit(txn);
	once_block_reset(&shard->once_block);
}

static void propose_entry(struct shard *shard)
{
	assert(shard->unproposed != NULL);
	assert(!shard->apply.telling);
	struct entry *entry = entry_ref(shard->unproposed); /* the proposal consumes the other reference */
	int rc = replica_propose(shard->replica, entry, shard->unproposed_stamp);
	bool as_promised = rc != 0 || entry->index == shard->unproposed_index;
	entry_unref(entry);
	assert(as_promised); /* rows carry this index already */
	if (rc == ERR_BUSY) {
		env_timer_start(&shard->batch_timer, LIMIT_BATCH_OPEN_MS);
		return;
	}
	if (rc == ERR_NOT_LEADER) {
		shard_lose(shard); /* before on_role told us */
		return;
	}
	assert(rc == 0);
	assert(shard->unproposed_index == shard->proposed_index + 1);
	shard->unproposed = NULL;
	shard->proposed_index = shard->unproposed_index;
	stamp_observe(&shard->stamp, shard->unproposed_stamp, env_now_us(shard->env));
}

void propose_seal(struct shard *shard)
{
	assert(shard->unproposed == NULL);
	assert(overlay_is_open(shard->overlay));
	assert(!overlay_open_empty(shard->overlay));
	assert(overlay_open_index(shard->overlay) == shard->proposed_index + 1);
	write_ids(shard);
	shard->unproposed_stamp = overlay_open_stamp_ms(shard->overlay);
	shard->unproposed_index = overlay_open_index(shard->overlay);
	buf_reset(&shard->payload);
	overlay_seal(shard->overlay, &shard->payload);
	assert(!buf_failed(&shard->payload));
	assert(shard->once_block.ids == 0);
	assert(!overlay_is_open(shard->overlay));
	shard->stats.batches++;
	shard->stats.batch_bytes += shard->payload.len;
	shard->unproposed = entry_new(ENTRY_COMMAND, buf_slice(&shard->payload));
	propose_entry(shard);
}

bool propose_full(const struct shard *shard)
{
	return overlay_open_bytes(shard->overlay) >= LIMIT_BATCH_SEAL || shard->batch_txns >= BATCH_TXNS;
}

static uint64_t batch_due_us(struct shard *shard)
{
	uint64_t open_ms = shard->overload.on ? LIMIT_OVERLOAD_BATCH_MS : LIMIT_BATCH_OPEN_MS;
	return propose_batch(shard, overlay_open_index(shard->overlay))->opened_us + open_ms * 1000;
}

static bool batch_due(struct shard *shard)
{
	if (!shard->overload.on && replica_in_flight(shard->replica) < LIMIT_ENTRIES_IN_FLIGHT) {
		return true;
	}
	if (propose_full(shard)) {
		return true;
	}
	return env_now_us(shard->env) >= batch_due_us(shard);
}

static void start_reads(struct shard *shard)
{
	struct batch *batch = propose_batch(shard, overlay_open_index(shard->overlay));
	assert(overlay_open_empty(shard->overlay));
	if (!list_empty(&batch->waiters)) {
		read_start(shard, &batch->waiters);
	}
}

void propose_flush(struct shard *shard)
{
	if (shard->phase != PHASE_LEADING || shard->unproposed != NULL || !overlay_is_open(shard->overlay)) {
		return;
	}
	if (overlay_open_empty(shard->overlay)) {
		start_reads(shard);
	} else {
		propose_seal(shard);
	}
}

/* Needs no layer: nobody reads it. */
void propose_tick(struct shard *shard)
{
	if (!propose_ready(shard) ||
	    (overlay_is_open(shard->overlay) && !overlay_open_empty(shard->overlay))) {
		return; /* the open batch carries a stamp itself */
	}
	if (overlay_is_open(shard->overlay)) {
		start_reads(shard);
		overlay_cancel(shard->overlay);
	}
	shard->unproposed_stamp = stamp_take(&shard->stamp, env_wall_ms(shard->env), env_now_us(shard->env));
	shard->unproposed_index = shard->proposed_index + 1;
	buf_reset(&shard->payload);
	entry_begin(&shard->payload, ENTRY_BATCH, shard->unproposed_stamp);
	bool ended = entry_end(&shard->payload);
	assert(ended);
	shard->unproposed = entry_new(ENTRY_COMMAND, buf_slice(&shard->payload));
	propose_entry(shard);
}

static void close_turn(struct shard *shard)
{
	if (!propose_ready(shard) || !overlay_is_open(shard->overlay)) {
		return;
	}
	if (overlay_open_empty(shard->overlay)) {
		start_reads(shard);
	} else if (pace_holds(shard)) {
		return; /* until it is full, or what is applied arms the next turn */
	} else if (batch_due(shard)) {
		propose_seal(shard);
	} else if (!env_timer_armed(&shard->batch_timer)) {
		env_timer_start_at(&shard->batch_timer, batch_due_us(shard));
	}
}

/* The one place where things move: callbacks only store and arm this. */
void propose_turn(struct shard *shard)
{
	assert(!shard->in_turn);
	assert(!shard->apply.telling);
	shard->in_turn = true;
	if (shard->unproposed != NULL) {
		propose_entry(shard);
	}
	release_committed(shard);
	release_deliver(shard);
	release_parked(shard);
	close_turn(shard);
	yield_turn(shard);
	shard->stamped = false;
	overload_turn_end(shard);
	shard->turn_requests = 0;
	shard->in_turn = false;
	if (!list_empty(&shard->finished)) {
		env_turn_arm(&shard->turn);
	}
}

void propose_drop(struct shard *shard)
{
	entry_unref(shard->unproposed);
	shard->unproposed = NULL;
	once_block_reset(&shard->once_block);
	env_timer_stop(&shard->batch_timer);
	overlay_drop(shard->overlay);
	assert(overlay_layers(shard->overlay) == 0);
	assert(shard->once_block.ids == 0);
}
