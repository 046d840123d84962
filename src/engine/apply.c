/* The one path by which anything reaches the database, on leader and follower
 * alike: committed entries are checked, compared with the chain and written in work
 * items on the apply lane, several entries an item. Another lane flushes, and what is
 * durable lets the log be trimmed.
 *
 *   committed ── queue ──> item on the lane ──> applied: overlay forgets, replica knows ── enough? ──> flush
 *                             │ no space: the same item again, later
 *                             └ anything else: truth lost
 */
#include "engine/shard_private.h"

#include <assert.h>
#include <stdlib.h>

#define APPLY_RETRY_MS 200

/* ---- on the lane ---- */

static bool writes_active_bundle(const struct entry_view *view)
{
	struct slice active = script_active_key(), key, value;
	bool deleted;
	size_t at = 0;
	/* Keys ascend and 'b' is the lowest table: mostly one look. */
	while (entry_next(view, &at, &key, &value, &deleted)) {
		int order = slice_compare(key, active);
		if (order >= 0) {
			return order == 0;
		}
	}
	return false;
}

static int apply_entry(struct shard *shard, struct entry *entry)
{
	struct apply *apply = &shard->apply;
	struct entry_view view;
	bool is_command = entry->type == ENTRY_COMMAND;
	struct store_meta meta = apply->meta;
	assert(entry->index > 0);
	assert(entry->term > 0);
	if (is_command) {
		int rc = entry_check(entry_payload(entry), &view);
		if (rc != 0) {
			return err_set(&apply->err, ERR_CORRUPT, "log entry %llu is damaged (%s)",
				       (unsigned long long)entry->index, err_name(rc));
		}
		if (view.stamp_ms > meta.stamp_ms) {
			meta.stamp_ms = view.stamp_ms;
		}
	}
	if (entry->index != meta.index + 1) {
		return err_set(&apply->err, ERR_CORRUPT, "entry %llu comes after %llu",
			       (unsigned long long)entry->index, (unsigned long long)meta.index);
	}
	meta.chain = chain_next(meta.chain, entry->index, entry->term, entry->type, entry_payload(entry));
	if (!chain_equal(meta.chain, entry->chain)) {
		return err_set(&apply->err, ERR_CORRUPT,
			       "the chain of entry %llu differs: log and database have diverged",
			       (unsigned long long)entry->index);
	}
	assert(entry->term >= meta.term); /* as the chain says: one log */
	meta.index = entry->index;
	meta.term = entry->term;
	if (entry->type == ENTRY_CHANGE) {
		meta.configuration_index = entry->index;
		meta.configuration = entry_payload(entry);
	}
	int rc = store_apply(shard->store, is_command && view.count > 0 ? &view : NULL, &meta, &apply->err);
	if (rc != 0) {
		return rc;
	}
	apply->meta = meta;
	if (is_command && view.count > 0 && writes_active_bundle(&view)) {
		apply->bundle_written = true;
	}
	return 0;
}

static void apply_run(struct env_work *work)
{
	struct shard *shard = list_entry(work, struct shard, apply.work);
	struct apply *apply = &shard->apply;
	assert(apply->item_count <= APPLY_ITEM_ENTRIES);
	apply->status = 0;
	apply->began_us = env_now_us(shard->env);
	while (apply->item_done < apply->item_count && apply->status == 0) {
		apply->status = apply_entry(shard, apply->items[apply->item_done]);
		apply->item_done += apply->status == 0;
	}
	assert(apply->status != 0 || apply->item_done == apply->item_count);
	apply->young_files = store_young_files(shard->store);
}

/* ---- on the loop ---- */

static void submit(struct shard *shard)
{
	assert(!shard->apply.running);
	assert(!shard->apply.closing);
	assert(shard->apply.item_done == 0);
	assert(shard->apply.item_count > 0);
	shard->apply.running = true;
	memset(&shard->apply.err, 0, sizeof shard->apply.err);
	env_lane_submit(shard->apply.lane, &shard->apply.work);
}

static void next_item(struct shard *shard)
{
	struct apply *apply = &shard->apply;
	size_t bytes = 0;
	if (apply->running || apply->count == 0 || apply->closing || apply->item_count > 0) {
		return; /* an item that could not be written stays the first */
	}
	if (apply->next_us > env_now_us(shard->env)) {
		env_timer_start_at(&apply->again, apply->next_us);
		return;
	}
	apply->item_done = 0;
	size_t most = pace_item_bytes(apply->young_files);
	while (apply->count > 0 && apply->item_count < APPLY_ITEM_ENTRIES && bytes < most) {
		struct entry *entry = apply->queue[apply->head];
		assert(entry->index == apply->index + apply->item_count + 1);
		apply->head = (apply->head + 1) % apply->cap;
		apply->count--;
		apply->items[apply->item_count++] = entry;
		bytes += entry->len;
	}
	submit(shard);
}

static void keep_configuration(struct apply *apply, struct entry *entry)
{
	if (entry->type == ENTRY_CHANGE) {
		assert(apply->configuration == NULL || apply->configuration->index < entry->index);
		entry_unref(apply->configuration);
		apply->configuration = entry_ref(entry);
	}
}

/* What the item applied is told to everyone who asked. */
static void tell(struct shard *shard, size_t from, size_t to)
{
	struct apply *apply = &shard->apply;
	assert(!apply->running);
	assert(!apply->telling);
	assert(from <= to);
	assert(to <= apply->item_count);
	assert(to == from || apply->items[to - 1]->index == apply->meta.index);
	apply->telling = true;
	for (size_t i = from; i < to; i++) {
		struct entry *entry = apply->items[i];
		assert(entry->index == apply->index + 1 + i - from);
		assert(apply->bytes >= entry->len);
		if (shard->watch_applied != NULL) {
			shard->watch_applied(shard->watch_owner, entry);
		}
		keep_configuration(apply, entry);
		apply->bytes -= entry->len;
		apply->flush_bytes += entry->len;
		apply->flush_entries++;
		entry_unref(entry);
	}
	pace_step(shard);
	if (to > from) {
		apply->index = apply->meta.index;
		apply->chain = apply->meta.chain;
		stamp_observe(&shard->stamp, apply->meta.stamp_ms, env_now_us(shard->env));
		overlay_forget(shard->overlay, apply->index);
		replica_applied(shard->replica, apply->index);
	}
	apply->telling = false;
}

/* ---- flushing ---- */

static void flush_run(struct env_work *work)
{
	struct shard *shard = list_entry(work, struct shard, apply.flush_work);
	struct apply *apply = &shard->apply;
	apply->flush_status = store_flush(shard->store, &apply->flush_index, &apply->flush_err);
}

static void flush_done(struct env_work *work)
{
	struct shard *shard = list_entry(work, struct shard, apply.flush_work);
	struct apply *apply = &shard->apply;
	assert(apply->flushing);
	apply->flushing = false;
	if (apply->flush_status == 0) {
		/* The flush may hold entries whose apply is done on its lane and not yet told here. */
		uint64_t told = apply->index;
		replica_database_durable(shard->replica,
					 apply->flush_index < told ? apply->flush_index : told);
	} else if (apply->flush_status == ERR_NO_SPACE) {
		admission_space_gone(shard);
	} else {
		shard_fail(shard, apply->flush_err.text);
	}
}

static void flush_if_due(struct shard *shard)
{
	struct apply *apply = &shard->apply;
	uint64_t entries = shard->config.flush_entries;
	bool due = apply->flush_bytes >= shard->config.flush_bytes ||
		   (entries != 0 && apply->flush_entries >= entries);
	if (!due || apply->flushing || apply->closing) {
		return;
	}
	apply->flush_bytes = apply->flush_entries = 0;
	apply->flushing = true;
	memset(&apply->flush_err, 0, sizeof apply->flush_err);
	env_lane_submit(apply->flush_lane, &apply->flush_work);
}

static void pause_after_item(struct shard *shard)
{
	struct apply *apply = &shard->apply;
	uint64_t now_us = env_now_us(shard->env);
	apply->next_us = 0;
	/* Who is to lead is waited for. */
	if (shard->phase != PHASE_OPENING) {
		uint64_t pause_us = pace_pause_us(apply->young_files, now_us - apply->began_us);
		apply->next_us = now_us + pause_us;
		shard->stats.paced_us += pause_us;
	}
}

static void apply_done(struct env_work *work)
{
	struct shard *shard = list_entry(work, struct shard, apply.work);
	struct apply *apply = &shard->apply;
	size_t done = apply->item_done, rest = apply->item_count - done;
	assert(apply->running);
	assert(done <= apply->item_count);
	apply->running = false;
	tell(shard, 0, done);
	memmove(apply->items, apply->items + done, rest * sizeof(struct entry *));
	apply->item_count = rest;
	apply->item_done = 0;
	bool waited = apply->waits;
	apply->waits = apply->status == ERR_NO_SPACE;
	if (overlay_is_open(shard->overlay) && !pace_holds(shard)) {
		env_turn_arm(&shard->turn); /* the open batch may have waited for this */
	}
	if (apply->waits) {
		if (!waited) {
			log_event(shard->log, LOG_WARN, "apply_waits", "reason=\"no space left\" index=%llu",
				  (unsigned long long)apply->index + 1);
		}
		env_timer_start(&apply->again, APPLY_RETRY_MS);
		admission_space_gone(shard);
		return;
	}
	if (waited) {
		admission_space_gone(shard);
	}
	if (apply->status != 0) {
		shard_fail(shard, apply->err.text);
		return;
	}
	assert(rest == 0);
	if (apply->bundle_written) {
		apply->bundle_written = false;
		bundle_refresh(shard, false);
	}
	pause_after_item(shard);
	shard_try_lead(shard);
	flush_if_due(shard);
	next_item(shard);
}

static void again_cb(struct env_timer *timer)
{
	struct shard *shard = list_entry(timer, struct shard, apply.again);
	if (shard->apply.closing) {
		return;
	}
	if (shard->apply.waits) {
		submit(shard);
	} else {
		next_item(shard);
	}
}

static void grow(struct apply *apply)
{
	size_t cap = apply->cap == 0 ? 256 : apply->cap * 2;
	assert(apply->count == apply->cap);
	struct entry **queue = malloc(cap * sizeof(struct entry *));
	if (queue == NULL) {
		fatal("out of memory: %zu entries wait to be applied", cap);
	}
	for (size_t i = 0; i < apply->count; i++) {
		queue[i] = apply->queue[(apply->head + i) % apply->cap];
	}
	free(apply->queue);
	apply->queue = queue;
	apply->head = 0;
	apply->cap = cap;
}

void apply_push(struct shard *shard, struct entry *const *entries, size_t count)
{
	struct apply *apply = &shard->apply;
	for (size_t i = 0; i < count; i++) {
		assert(entries[i]->index == apply->pushed_index + 1);
		apply->pushed_index = entries[i]->index;
		if (apply->count == apply->cap) {
			grow(apply);
		}
		apply->queue[(apply->head + apply->count) % apply->cap] = entry_ref(entries[i]);
		apply->count++;
		apply->bytes += entries[i]->len;
	}
	pace_step(shard);
	next_item(shard);
}

void apply_hurry(struct shard *shard)
{
	shard->apply.next_us = 0;
	next_item(shard);
}

void apply_init(struct shard *shard)
{
	env_timer_init(shard->env, &shard->apply.again, again_cb);
}

void apply_open(struct shard *shard, const struct store_meta *meta)
{
	struct apply *apply = &shard->apply;
	assert(apply->lane == NULL);
	assert(apply->count == 0);
	apply->meta = *meta; /* its configuration is the store's until close */
	apply->meta.cluster_id = shard->config.cluster_id;
	apply->meta.node_id = shard->config.node_id;
	apply->index = apply->pushed_index = meta->index;
	apply->chain = meta->chain;
	apply->work.run = apply_run;
	apply->work.done = apply_done;
	apply->flush_work.run = flush_run;
	apply->flush_work.done = flush_done;
	apply->lane = env_lane_open(shard->env, "apply", ENV_LANE_NORMAL);
	apply->flush_lane = env_lane_open(shard->env, "flush", ENV_LANE_LOW);
}

/* Waits for the items that run. What was not applied is in the log. */
void apply_close(struct shard *shard)
{
	struct apply *apply = &shard->apply;
	apply->closing = true;
	env_timer_stop(&apply->again);
	if (apply->lane != NULL) {
		env_lane_close(apply->lane);
		env_lane_close(apply->flush_lane);
	}
	apply->lane = apply->flush_lane = NULL;
}

void apply_fini(struct shard *shard)
{
	struct apply *apply = &shard->apply;
	assert(apply->lane == NULL);
	for (size_t i = 0; i < apply->item_count; i++) {
		entry_unref(apply->items[i]);
	}
	for (size_t i = 0; i < apply->count; i++) {
		entry_unref(apply->queue[(apply->head + i) % apply->cap]);
	}
	entry_unref(apply->configuration);
	free(apply->queue);
}
