/* Groups: what waits goes out with one write and one sync (see wal.h).
 *
 *            append, truncate            wal_flush, or the group before is done
 *   nothing ----------------> pending ------------------------------------------> under way
 *                                ^                                                    |
 *                                |  the segment is full and no next one is ready      | done: durable,
 *                                +---- waits for wal_spare_prepare <------------------+ the next one
 */
#include <assert.h>
#include <stdlib.h>

#include "raft/wal/wal_private.h"

/* ---- what waits ---- */

void wal_ops_push(struct wal_ops *ops, struct wal_op op)
{
	assert((op.kind == RECORD_ENTRY) == (op.entry != NULL));
	assert(op.entry == NULL || op.entry->index == op.index);
	if (ops->first + ops->count == ops->cap && ops->first > ops->count) {
		memmove(ops->ops, ops->ops + ops->first, ops->count * sizeof(op));
		ops->first = 0;
	}
	if (ops->first + ops->count == ops->cap) {
		ops->cap = ops->cap == 0 ? 64 : ops->cap * 2;
		ops->ops = realloc(ops->ops, ops->cap * sizeof(op));
		if (ops->ops == NULL) {
			fatal("out of memory: %zu records wait for the log", ops->count);
		}
	}
	ops->ops[ops->first + ops->count++] = op;
}

void wal_ops_fini(struct wal_ops *ops)
{
	for (size_t i = 0; i < ops->count; i++) {
		entry_unref(ops->ops[ops->first + i].entry);
	}
	free(ops->ops);
	*ops = (struct wal_ops){0};
}

/* ---- on the lane ---- */

static void group_encode(struct wal_group *group)
{
	assert(group->count > 0);
	assert(group->opens == (group->offset == 0));
	if (group->buffer_cap < group->bytes) {
		free(group->buffer);
		group->buffer_cap = (size_t)group->bytes;
		group->buffer = malloc(group->buffer_cap);
		if (group->buffer == NULL) {
			fatal("out of memory: a write of %zu bytes to the log", group->buffer_cap);
		}
	}
	uint8_t *out = group->buffer;
	if (group->opens) {
		segment_head_encode(out, &group->head);
		group->link = group->head.link;
		out += SEGMENT_HEAD;
	}
	for (size_t i = 0; i < group->count; i++) {
		const struct wal_op *op = &group->ops[i];
		struct slice payload = op->entry == NULL ? SLICE_NONE : entry_payload(op->entry);
		struct record record = {
			.kind = op->kind,
			.type = op->entry == NULL ? 0 : op->entry->type,
			.len = (uint32_t)payload.len,
			.link = group->link,
			.synced = group->synced,
			.index = op->index,
			.term = op->entry == NULL ? 0 : op->entry->term,
			.chain = op->chain,
		};
		record_encode(out, group->number, group->offset + (uint64_t)(out - group->buffer), &record,
			      payload);
		group->link = record.sum;
		out += record_bytes(record.len);
	}
	assert((uint64_t)(out - group->buffer) == group->bytes);
}

static void group_run(struct env_work *work)
{
	struct wal_group *group = list_entry(work, struct wal_group, work);
	group_encode(group);
	group->status = env_file_write(group->file, group->offset, group->buffer, (size_t)group->bytes);
	if (group->status == 0) {
		group->status = env_file_sync(group->file);
	}
}

/* ---- on the loop ---- */

static void group_release(struct wal_group *group)
{
	for (size_t i = 0; i < group->count; i++) {
		entry_unref(group->ops[i].entry);
	}
	group->count = 0;
	if (group->finished != NULL) {
		env_file_close(group->finished);
		group->finished = NULL;
	}
}

void wal_group_fini(struct wal *wal)
{
	group_release(&wal->group);
	free(wal->group.ops);
	free(wal->group.buffer);
}

static void group_done(struct env_work *work)
{
	struct wal_group *group = list_entry(work, struct wal_group, work);
	struct wal *wal = group->wal;
	assert(group->busy);
	group->busy = false;
	group_release(group);
	if (group->status != 0) {
		wal_fail(wal,
			 "writing %s/%016llx.log at %llu failed (%s): what reached the disk is not known; "
			 "check the "
			 "disk, then start again, the other members hold the data",
			 wal->dir, (unsigned long long)group->number, (unsigned long long)group->offset,
			 err_name(group->status));
		wal_close_tick(wal);
		return;
	}
	wal->writes++;
	histogram_add(&wal->sync_us, env_now_us(wal->config.env) - group->started_us);
	wal->link = group->link;
	assert(wal->pending_bytes >= group->bytes - (group->opens ? SEGMENT_HEAD : 0));
	wal->pending_bytes -= (size_t)(group->bytes - (group->opens ? SEGMENT_HEAD : 0));
	uint64_t durable = group->end_index < group->clamp ? group->end_index : group->clamp;
	assert(durable <= wal->last_index);
	wal_flush(wal);
	if (!group->busy && !wal->mark_is_last && !wal->closing) {
		env_timer_start(&wal->quiet, WAL_QUIET_MS);
	}
	if (durable != wal->durable_index) {
		wal->durable_index = durable;
		wal_shrink(wal);
		wal->config.on_durable(wal->config.owner, durable);
	}
	wal_close_tick(wal);
}

void wal_quiet_cb(struct env_timer *timer)
{
	struct wal *wal = list_entry(timer, struct wal, quiet);
	if (wal->group.busy || wal->pending.count > 0 || wal->mark_is_last || wal->failed || wal->closing) {
		return;
	}
	wal_ops_push(&wal->pending, (struct wal_op){.kind = RECORD_MARK});
	wal_flush(wal);
}

static uint64_t op_bytes(const struct wal_op *op)
{
	return record_bytes(op->entry == NULL ? 0 : op->entry->len);
}

/* Goes on in the prepared segment. */
static void group_open_segment(struct wal *wal)
{
	struct wal_group *group = &wal->group;
	struct wal_spare *spare = &wal->spare;
	assert(spare->ready);
	assert(group->finished == NULL);
	struct wal_segment *before = wal_active(wal);
	assert(spare->number == before->number + 1);
	uint64_t next_index = wal->written_index + 1;
	group->opens = true;
	group->head = (struct segment_head){
		.number = spare->number,
		.log_id = wal->config.log_id,
		.first_index = next_index,
		.previous_end = before->end,
	};
	env_random(wal->config.env, &group->head.salt, sizeof(group->head.salt));
	group->head.previous_chain = wal->written_chain;
	group->head.previous_term = wal->written_term;
	group->finished = wal->file;
	wal->file = spare->file;
	wal->file_bytes = spare->bytes;
	wal_segment_add(wal, spare->number, next_index);
	spare->file = NULL;
	spare->ready = false;
	wal_spare_prepare(wal, wal->config.segment_bytes);
}

static void group_make_room(struct wal_group *group, size_t count)
{
	assert(group->count == 0);
	if (count <= group->cap) {
		return;
	}
	group->cap = count;
	free(group->ops);
	group->ops = malloc(group->cap * sizeof(*group->ops));
	if (group->ops == NULL) {
		fatal("out of memory: %zu records of one write to the log", group->cap);
	}
}

static void take_entry(struct wal *wal, struct wal_segment *segment, const struct wal_op *op, uint64_t offset)
{
	assert(op->index == wal->written_index + 1);
	assert(op->entry->term >= wal->written_term);
	if (recent_get(&wal->recent, op->index) == op->entry) {
		wal_note_place(wal, op->index, segment->number, offset);
	}
	segment->highest = op->index > segment->highest ? op->index : segment->highest;
	wal->written_index = op->index;
	wal->written_term = op->entry->term;
	wal->written_chain = op->chain;
}

static void take_truncation(struct wal *wal, struct wal_segment *segment, const struct wal_op *op)
{
	assert(op->index > 0);
	assert(op->index <= wal->written_index);
	assert(wal->pending_truncations > 0);
	if (op->index < segment->first_index) {
		segment->first_index = op->index;
	}
	wal->written_index = op->index - 1;
	wal->written_term = op->term;
	wal->written_chain = op->chain;
	wal->pending_truncations--;
}

/* A mark says where the log ends when it is written, not when it was wanted. */
static void take_mark(struct wal *wal, struct wal_op *op)
{
	assert(op->kind == RECORD_MARK);
	op->index = wal->written_index;
	op->chain = wal->written_chain;
	wal->pending_bytes += (size_t)op_bytes(op);
}

/* Moves what fits from pending into the group. */
static void group_fill(struct wal *wal)
{
	struct wal_group *group = &wal->group;
	struct wal_segment *segment = wal_active(wal);
	struct wal_ops *pending = &wal->pending;
	uint64_t offset = group->opens ? SEGMENT_HEAD : group->offset;
	uint64_t bytes = 0;
	group_make_room(group, pending->count);
	while (pending->count > 0) {
		struct wal_op *op = &pending->ops[pending->first];
		uint64_t more = op_bytes(op);
		if (offset + more > wal->file_bytes || (bytes > 0 && bytes + more > WAL_GROUP_BYTES)) {
			break;
		}
		if (op->kind == RECORD_ENTRY) {
			take_entry(wal, segment, op, offset);
		} else if (op->kind == RECORD_TRUNCATE) {
			take_truncation(wal, segment, op);
		} else {
			take_mark(wal, op);
		}
		wal->mark_is_last = op->kind == RECORD_MARK;
		group->ops[group->count++] = *op;
		pending->first++;
		pending->count--;
		offset += more;
		bytes += more;
	}
	if (pending->count == 0) {
		pending->first = 0;
	}
	assert(offset <= wal->file_bytes);
	segment->end = offset;
	group->bytes += bytes;
}

/* Truncations that still wait bound what this group may report. */
static uint64_t pending_clamp(const struct wal *wal)
{
	uint64_t clamp = UINT64_MAX;
	if (wal->pending_truncations == 0) {
		return clamp;
	}
	for (size_t i = 0; i < wal->pending.count; i++) {
		const struct wal_op *op = &wal->pending.ops[wal->pending.first + i];
		if (op->kind == RECORD_TRUNCATE && op->index - 1 < clamp) {
			clamp = op->index - 1;
		}
	}
	return clamp;
}

void wal_flush(struct wal *wal)
{
	struct wal_group *group = &wal->group;
	if (!wal->started || wal->failed || wal->held || group->busy || wal->pending.count == 0) {
		return;
	}
	group->opens = false;
	group->bytes = 0;
	uint64_t need = op_bytes(&wal->pending.ops[wal->pending.first]);
	if (segment_group_start(wal_active(wal)->end) + need > wal->file_bytes) {
		if (!wal->spare.ready || wal->spare.bytes < SEGMENT_HEAD + need) {
			uint64_t bytes = SEGMENT_HEAD + need;
			wal_spare_prepare(wal, bytes > wal->config.segment_bytes ? bytes
										 : wal->config.segment_bytes);
			wal->waits_us = wal->waits_us != 0 ? wal->waits_us : env_now_us(wal->config.env);
			return;
		}
		group_open_segment(wal);
		group->bytes = SEGMENT_HEAD;
	}
	struct wal_segment *segment = wal_active(wal);
	group->number = segment->number;
	group->offset = group->opens ? 0 : segment_group_start(segment->end);
	group->synced = group->offset;
	group->link = wal->link;
	group_fill(wal);
	assert(group->count > 0);
	group->file = wal->file;
	group->end_index = wal->written_index;
	group->clamp = pending_clamp(wal);
	group->started_us = env_now_us(wal->config.env);
	group->busy = true;
	wal->waits_us = 0;
	group->work.run = group_run;
	group->work.done = group_done;
	env_timer_stop(&wal->quiet);
	env_lane_submit(wal->lane, &group->work);
}
