/* What time does to data, proposed by the leader in bounded batches like any other
 * write: keys past their expiry, keys of flushed databases, once records past their
 * retention, old event blocks. Followers never do it by themselves (docs/architecture.md, One time). */
#include <assert.h>

#include "engine/shard_private.h"

#define EXPIRY_MAX 256
#define ONCE_SWEEP_US 1000000
#define NOTE_MS 10000 /* how far keys have expired is written so often */
#define TIME_LAG_MS 2000 /* from here on the shard's time is moved by entries of its own */
#define TIME_TOLD_MS 10000 /* what takes longer than a second is told */

static int run_expire(struct shard *shard, struct txn *txn)
{
	size_t deleted = 0;
	bool more = false;
	int rc = command_expire_due(txn, &shard->expiry, EXPIRY_MAX, &deleted, &more);
	assert(deleted <= EXPIRY_MAX);
	shard->stats.expired += deleted;
	shard->background_more = shard->background_more || more;
	return rc;
}

static int run_sweep(struct shard *shard, struct txn *txn)
{
	size_t deleted = 0;
	bool more = false;
	int rc = command_sweep(txn, EXPIRY_MAX, &deleted, &more);
	shard->background_more = shard->background_more || more;
	return rc;
}

static int run_note(struct shard *shard, struct txn *txn)
{
	return command_expire_note(txn, &shard->expiry);
}

/* Block after block while another one fits: a quiet shop has many small ones, and what goes must not be less
 * than what comes. */
static int run_once_sweep(struct shard *shard, struct txn *txn)
{
	bool more = true;
	uint64_t now_ms = txn_now_ms(txn), retention_ms = shard->config.once_retention_ms;
	if (now_ms <= retention_ms) {
		return 0;
	}
	while (more && txn_write_count(txn) + ONCE_BLOCK_WRITES <= LIMIT_TXN_WRITES) {
		size_t deleted = 0;
		int rc = once_sweep(txn, shard->once_from, now_ms - retention_ms, &deleted, &more);
		if (rc != 0) {
			return rc;
		}
		shard->stats.once_expired += deleted;
	}
	if (more) {
		shard->once_next_us = 0; /* the next tick goes on, and comes soon */
		shard->background_more = true;
	}
	return 0;
}

/* What did not fit the open batch was not removed, and is found again. */
static void remove_expired(struct shard *shard)
{
	uint64_t expired = shard->stats.expired, at_ms;
	struct command_expiry place = shard->expiry;
	if (!execute_background(shard, run_expire)) {
		shard->stats.expired = expired;
		if (!command_expiry_is_time(&shard->expiry, &at_ms)) {
			shard->expiry = place;
		}
	}
}

/* Who leads next would walk over all keys that were removed before their time since one last expired. Where nobody writes
 * there are none, and we do not either. */
static void note_expired(struct shard *shard)
{
	uint64_t at_ms;
	bool due = command_expiry_is_time(&shard->expiry, &at_ms) && at_ms >= shard->expiry_noted_ms + NOTE_MS;
	if (due && shard->proposed_index > shard->expiry_noted_at && execute_background(shard, run_note)) {
		shard->expiry_noted_ms = at_ms;
		shard->expiry_noted_at = overlay_open_index(shard->overlay);
	}
}

/* The same; it goes on where it began. */
static void remove_once(struct shard *shard)
{
	uint8_t from[ONCE_AGE_KEY];
	uint64_t expired = shard->stats.once_expired;
	memcpy(from, shard->once_from, sizeof from);
	if (!execute_background(shard, run_once_sweep)) {
		memcpy(shard->once_from, from, sizeof from);
		shard->stats.once_expired = expired;
	}
}

/* What our clock says beyond a majority's the bound on stamps holds back: bring it forward, one entry a tick, and
 * no faster, or a wrong clock would freeze time. The entry writes what is there already: nothing. */
static void catch_up(struct shard *shard, uint64_t now_us)
{
	assert(shard->phase == PHASE_LEADING);
	stamp_agree(&shard->stamp, replica_clock_ms(shard->replica));
	uint64_t lag_ms = stamp_lag_ms(&shard->stamp, env_wall_ms(shard->env), now_us);
	if (lag_ms < TIME_LAG_MS) {
		if (shard->lag_told) {
			log_event(shard->log, LOG_INFO, "time_caught_up", "stamp_ms=%llu",
				  (unsigned long long)shard->stamp.last_ms);
		}
		shard->lag_told = false;
		return;
	}
	if (!shard->lag_told && lag_ms >= TIME_TOLD_MS) {
		shard->lag_told = true;
		log_event(shard->log, LOG_WARN, "time_behind",
			  "lag_ms=%llu reason=\"this node's clock is ahead of a majority's, and the log's time follows: "
			  "set the clocks of all members\"",
			  (unsigned long long)lag_ms);
	}
	propose_tick(shard);
}

/* A leader whose clock was ahead has left its time behind: nothing expires and no sale begins or ends until ours
 * gets there, which nothing else would explain. */
static void tell_ahead(struct shard *shard)
{
	uint64_t ahead_ms = stamp_ahead_ms(&shard->stamp, env_wall_ms(shard->env));
	bool ahead = ahead_ms >= TIME_LAG_MS;
	if (ahead && !shard->ahead_told) {
		log_event(shard->log, LOG_WARN, "time_ahead",
			  "ahead_ms=%llu reason=\"this node's clock is behind the log's time, which stands still "
			  "until then: set the clocks of all members\"",
			  (unsigned long long)ahead_ms);
	}
	shard->ahead_told = ahead;
}

void expiry_begin(struct shard *shard)
{
	shard->expiry.len = 0;
	shard->expiry_noted_ms = shard->stamp.last_ms;
	shard->expiry_noted_at = shard->proposed_index;
	memset(shard->once_from, 0, sizeof shard->once_from);
	shard->event_from = 0;
	shard->lag_told = false;
}

/* Every EXPIRY tick while this node leads; sooner while there is more to do. */
void expiry_tick(struct shard *shard, uint64_t now_us)
{
	if (shard->phase != PHASE_LEADING) {
		return;
	}
	shard->background_more = false;
	catch_up(shard, now_us);
	tell_ahead(shard);
	remove_expired(shard);
	note_expired(shard);
	execute_background(shard, run_sweep);
	if (now_us >= shard->once_next_us) {
		shard->once_next_us = now_us + ONCE_SWEEP_US;
		remove_once(shard);
		execute_background(shard, event_trim);
	}
}
