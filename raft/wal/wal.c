#include "raft/wal/wal.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "raft/wal/wal_private.h"

/* ---- segments ---- */

void wal_path(const struct wal *wal, uint64_t number, char out[WAL_PATH_BYTES])
{
	snprintf(out, WAL_PATH_BYTES, "%s/%016llx.log", wal->dir, (unsigned long long)number);
}

void wal_free_path(const struct wal *wal, uint64_t name, char out[WAL_PATH_BYTES])
{
	snprintf(out, WAL_PATH_BYTES, "%s/%016llx.free", wal->dir, (unsigned long long)name);
}

struct wal_segment *wal_active(const struct wal *wal)
{
	assert(!list_empty(&wal->segments));
	return list_entry(wal->segments.prev, struct wal_segment, link);
}

struct wal_segment *wal_segment_add(struct wal *wal, uint64_t number, uint64_t first_index)
{
	assert(first_index > 0);
	assert(list_empty(&wal->segments) || number == wal_active(wal)->number + 1); /* no gap */
	struct wal_segment *segment = malloc(sizeof(*segment));
	if (segment == NULL) {
		fatal("out of memory: a segment of the log");
	}
	*segment = (struct wal_segment){.number = number,
					.first_index = first_index,
					.highest = first_index - 1,
					.end = SEGMENT_HEAD};
	list_append(&wal->segments, &segment->link);
	wal->segment_count++;
	return segment;
}

/* ---- life ---- */

static void close_turn_cb(struct env_turn *turn);

int wal_open(const struct wal_config *config, struct wal **opened, struct err *err)
{
	assert(config->on_durable != NULL);
	assert(config->on_failed != NULL);
	assert(config->segment_bytes >= SEGMENT_HEAD + RECORD_HEAD);
	struct wal *wal = calloc(1, sizeof(*wal));
	if (wal == NULL) {
		fatal("out of memory: a log");
	}
	wal->config = *config;
	snprintf(wal->dir, sizeof(wal->dir), "%s", config->dir);
	wal->config.dir = wal->dir;
	wal->floor = config->floor;
	list_init(&wal->segments);
	list_init(&wal->reads);
	histogram_init(&wal->sync_us);
	recent_init(&wal->recent, 1, (struct chain){0, 0});
	wal->first_index = 1;
	wal->group.wal = wal->spare.wal = wal->removal.wal = wal->pool.wal = wal;
	env_timer_init(config->env, &wal->quiet, wal_quiet_cb);
	env_timer_init(config->env, &wal->space_retry, wal_space_retry_cb);
	env_turn_init(config->env, &wal->close_turn, close_turn_cb);
	int status = wal_recover(wal, err);
	if (status != 0) {
		wal_free(wal);
		return status;
	}
	assert(wal->file != NULL);
	wal->durable_index = wal->written_index = wal->last_index;
	wal->written_term = wal_term_of(wal, wal->last_index);
	wal->written_chain = wal_chain(wal);
	*opened = wal;
	return 0;
}

void wal_start(struct wal *wal)
{
	assert(!wal->started);
	assert(!wal->closing);
	wal->lane = env_lane_open(wal->config.env, "log", ENV_LANE_NORMAL);
	wal->space_lane = env_lane_open(wal->config.env, "log-space", ENV_LANE_LOW);
	wal->read_lane = env_lane_open(wal->config.env, "log-read", ENV_LANE_NORMAL);
	wal->started = true;
	wal_spare_prepare(wal, wal->config.segment_bytes);
	wal_flush(wal);
}

static void stop_timers(struct wal *wal)
{
	env_timer_stop(&wal->quiet);
	env_timer_stop(&wal->space_retry);
	env_turn_cancel(&wal->close_turn);
}

void wal_close(struct wal *wal, void (*closed)(void *owner))
{
	assert(!wal->closing);
	assert(closed != NULL);
	wal->closing = true;
	wal->closed = closed;
	env_timer_stop(&wal->quiet);
	if (wal->started && !wal->failed && !wal->held && !wal->mark_is_last) {
		wal_ops_push(&wal->pending, (struct wal_op){.kind = RECORD_MARK});
		wal_flush(wal);
	}
	wal_close_tick(wal);
}

/* What waits and finds no segment to go to stays unwritten: nobody was told otherwise. */
void wal_close_tick(struct wal *wal)
{
	if (wal->closing && !wal->group.busy && !wal->spare.busy && !wal->removal.busy && !wal->pool.busy &&
	    list_empty(&wal->reads)) {
		env_turn_arm(&wal->close_turn);
	}
}

/* A start reads every file to its end, for records that would prove damage: the less there is behind the last
 * one, and in the file that was made ready and not used, the sooner it serves. */
static void leave_little_to_read(struct wal *wal)
{
	assert(!wal->started); /* nobody else has the files */
	if (wal->failed || wal->file == NULL || wal->group.busy) {
		return;
	}
	wal_cut(wal->file, wal_active(wal)->end);
	if (wal->spare.file != NULL) {
		wal_cut(wal->spare.file, 0);
	}
}

static void close_turn_cb(struct env_turn *turn)
{
	struct wal *wal = list_entry(turn, struct wal, close_turn);
	assert(wal->closing);
	stop_timers(wal);
	if (wal->started) {
		env_lane_close(wal->lane);
		env_lane_close(wal->space_lane);
		env_lane_close(wal->read_lane);
		wal->started = false;
		leave_little_to_read(wal);
	}
	wal->closed(wal->config.owner);
}

void wal_free(struct wal *wal)
{
	if (wal == NULL) {
		return;
	}
	stop_timers(wal);
	list_for_each (link, &wal->reads) {
		struct wal_read *read = list_entry(link, struct wal_read, link);
		for (size_t i = 0; i < WAL_READ_ENTRIES; i++) {
			entry_unref(read->entries[i]);
		}
	}
	wal_group_fini(wal);
	wal_ops_fini(&wal->pending);
	recent_fini(&wal->recent);
	if (wal->file != NULL) {
		env_file_close(wal->file);
	}
	if (wal->spare.file != NULL) {
		env_file_close(wal->spare.file);
	}
	for (struct list *link; (link = list_pop(&wal->segments)) != NULL;) {
		free(list_entry(link, struct wal_segment, link));
	}
	free(wal->places);
	free(wal->terms);
	free(wal->changes);
	free(wal);
}

void wal_fail(struct wal *wal, const char *format, ...)
{
	if (wal->failed) {
		return;
	}
	wal->failed = true;
	env_timer_stop(&wal->quiet);
	char line[ERR_TEXT_MAX];
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	wal->config.on_failed(wal->config.owner, line);
}

int wal_sync_dir(struct wal *wal)
{
	return env_dir_sync(wal->config.env, wal->dir) == 0 ? 0 : ERR_IO;
}

void wal_fail_dir(struct wal *wal)
{
	wal_fail(
		wal,
		"syncing the directory %s failed: which segments are gone is not known; check the disk, then "
		"start again, the other members hold the data",
		wal->dir);
}

/* ---- what it holds ---- */

bool wal_was_empty(const struct wal *wal)
{
	return wal->was_empty;
}

uint64_t wal_first_index(const struct wal *wal)
{
	return wal->first_index;
}

uint64_t wal_last_index(const struct wal *wal)
{
	return wal->last_index;
}

uint64_t wal_durable_index(const struct wal *wal)
{
	return wal->durable_index;
}

struct chain wal_chain(const struct wal *wal)
{
	return recent_chain(&wal->recent, wal->last_index);
}

bool wal_chain_of(const struct wal *wal, uint64_t index, struct chain *chain)
{
	if (index + 1 < wal->recent.first || index > wal->recent.last) {
		return false;
	}
	*chain = recent_chain(&wal->recent, index);
	return true;
}

struct entry *wal_recent(const struct wal *wal, uint64_t index)
{
	return recent_get(&wal->recent, index);
}

void wal_shrink(struct wal *wal)
{
	uint64_t floor = wal->floor < wal->durable_index ? wal->floor : wal->durable_index;
	recent_shrink(&wal->recent, wal->config.cache_bytes, floor);
}

void wal_set_floor(struct wal *wal, uint64_t index)
{
	assert(index <= wal->last_index);
	if (index > wal->floor) {
		wal->floor = index;
		wal_shrink(wal);
	}
}

/* ---- append and truncate ---- */

void wal_append(struct wal *wal, struct entry *entry)
{
	assert(entry->index == wal->last_index + 1);
	assert(entry->term >= wal_term_of(wal, wal->last_index));
	wal_note_entry(wal, entry);
	recent_append(&wal->recent, entry);
	assert(wal->recent.last == wal->last_index);
	wal->pending_bytes += record_bytes(entry->len);
	wal_ops_push(&wal->pending, (struct wal_op){.kind = RECORD_ENTRY,
						    .index = entry->index,
						    .chain = entry->chain,
						    .entry = entry_ref(entry)});
}

void wal_truncate(struct wal *wal, uint64_t index)
{
	assert(index > wal->floor);
	assert(index <= wal->last_index);
	struct chain chain = recent_chain(&wal->recent, index - 1);
	wal_note_truncation(wal, index, chain);
	wal->pending_bytes += record_bytes(0);
	wal_ops_push(&wal->pending, (struct wal_op){.kind = RECORD_TRUNCATE,
						    .index = index,
						    .term = wal_term_of(wal, index - 1),
						    .chain = chain});
	wal->pending_truncations++;
	if (wal->durable_index >= index) {
		wal->durable_index = index - 1;
	}
	/* A write under way holds entries that are gone now: what it reports ends before them. */
	if (wal->group.busy && wal->group.clamp >= index) {
		wal->group.clamp = index - 1;
	}
	assert(wal->durable_index <= wal->last_index);
	assert(wal->last_index == index - 1);
}

void wal_hold(struct wal *wal, bool hold)
{
	wal->held = hold;
	if (!hold) {
		wal_flush(wal);
	}
}

size_t wal_pending_bytes(const struct wal *wal)
{
	return wal->pending_bytes;
}

bool wal_no_space(const struct wal *wal)
{
	return wal->spare.no_space;
}

uint64_t wal_stalled_us(const struct wal *wal)
{
	uint64_t waits_us = wal->spare.no_space ? 0 : wal->waits_us;
	uint64_t since_us = wal->group.busy ? wal->group.started_us : waits_us;
	return since_us != 0 ? env_now_us(wal->config.env) - since_us : 0;
}

struct env_lane *wal_lane(struct wal *wal)
{
	return wal->lane;
}

void wal_stats(const struct wal *wal, struct wal_stats *stats)
{
	*stats = (struct wal_stats){
		.writes = wal->writes,
		.syncs = wal->writes,
		.sync_us_p50 = histogram_quantile(&wal->sync_us, 500),
		.sync_us_p99 = histogram_quantile(&wal->sync_us, 990),
		.segments = wal->segment_count,
		.no_space = wal->spare.no_space,
	};
	list_for_each (link, &wal->segments) {
		stats->bytes += list_entry(link, struct wal_segment, link)->end;
	}
}
