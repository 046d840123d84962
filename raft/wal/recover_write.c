/* What a start writes: the last group again, in a new segment (drawn in recover.c). */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "raft/wal/recovery.h"

static uint64_t tail_bytes(const struct recovery *r)
{
	uint64_t bytes = 0;
	for (size_t i = 0; i < r->tail.count; i++) {
		const struct wal_op *op = &r->tail.ops[r->tail.first + i];
		bytes += record_bytes(op->entry == NULL ? 0 : op->entry->len);
	}
	return bytes;
}

/* Encodes the last group again behind a head; link: of its last record. */
static void encode_tail(struct recovery *r, uint8_t *out, struct wal_segment *segment, uint64_t *link)
{
	struct wal *wal = r->wal;
	uint64_t offset = SEGMENT_HEAD;
	for (size_t i = 0; i < r->tail.count; i++) {
		const struct wal_op *op = &r->tail.ops[r->tail.first + i];
		struct slice payload = op->entry == NULL ? SLICE_NONE : entry_payload(op->entry);
		struct record record = {
			.kind = op->kind,
			.type = op->entry == NULL ? 0 : op->entry->type,
			.len = (uint32_t)payload.len,
			.link = *link,
			.index = op->index,
			.term = op->entry == NULL ? 0 : op->entry->term,
			.chain = op->chain,
		};
		record_encode(out + offset, segment->number, offset, &record, payload);
		*link = record.sum;
		if (op->kind == RECORD_TRUNCATE && op->index < segment->first_index) {
			segment->first_index = op->index;
		}
		if (op->kind == RECORD_ENTRY) {
			segment->highest = op->index > segment->highest ? op->index : segment->highest;
			if (recent_get(&wal->recent, op->index) == op->entry ||
			    op->index < wal->recent.first) {
				wal_note_place(wal, op->index, segment->number, offset);
			}
		}
		offset += record_bytes(record.len);
	}
	assert(offset == SEGMENT_HEAD + tail_bytes(r));
	segment->end = offset;
}

static int write_and_sync(struct env_file *file, uint64_t offset, const uint8_t *bytes, uint64_t len)
{
	int status = env_file_write(file, offset, bytes, (size_t)len);
	return status != 0 ? status : env_file_sync(file);
}

static int write_mark(struct recovery *r, struct env_file *file)
{
	struct wal *wal = r->wal;
	struct wal_segment *segment = wal_active(wal);
	uint8_t out[RECORD_HEAD];
	uint64_t offset = segment_group_start(segment->end);
	assert(offset + RECORD_HEAD <= wal->file_bytes);
	struct record mark = {
		.kind = RECORD_MARK,
		.link = wal->link,
		.synced = offset,
		.index = wal->last_index,
		.chain = wal_chain(wal),
	};
	record_encode(out, segment->number, offset, &mark, SLICE_NONE);
	int status = write_and_sync(file, offset, out, sizeof(out));
	wal->link = mark.sum;
	wal->mark_is_last = true;
	segment->end = offset + RECORD_HEAD;
	return status;
}

/* The records, then the head that makes them count, then a mark that proves them. */
static int write_segment(struct recovery *r, struct env_file *file, uint64_t file_bytes)
{
	struct wal *wal = r->wal;
	struct wal_segment *segment = wal_active(wal);
	uint64_t bytes = segment_group_start(SEGMENT_HEAD + tail_bytes(r)) + RECORD_HEAD;
	int status = wal_zero(file, file_bytes, file_bytes);
	if (status == 0) {
		status = env_dir_sync(wal->config.env, wal->dir);
	}
	if (status != 0) {
		return status;
	}
	uint8_t *out = calloc(1, (size_t)bytes);
	if (out == NULL) {
		fatal("out of memory: the last group of the log, %llu bytes", (unsigned long long)bytes);
	}
	struct segment_head head = {
		.number = segment->number,
		.log_id = wal->config.log_id,
		.first_index = r->cut_index + 1,
		.previous_term = r->cut_term,
		.previous_chain = r->cut_chain,
		.previous_end = r->used > 0 ? r->cut_end : 0,
	};
	env_random(wal->config.env, &head.salt, sizeof(head.salt));
	segment_head_encode(out, &head);
	wal->link = head.link;
	encode_tail(r, out, segment, &wal->link);
	assert(segment->end <= bytes);
	assert(bytes <= file_bytes);
	if (segment->end > SEGMENT_HEAD) {
		status = write_and_sync(file, SEGMENT_HEAD, out + SEGMENT_HEAD, segment->end - SEGMENT_HEAD);
	}
	if (status == 0) {
		status = write_and_sync(file, 0, out, SEGMENT_HEAD);
	}
	free(out);
	return status == 0 ? write_mark(r, file) : status;
}

/* Gives the space back behind what counts. */
static void cut_before(struct recovery *r)
{
	char path[WAL_PATH_BYTES];
	struct env_file *file;
	assert(r->used > 0);
	wal_path(r->wal, r->names.numbers[r->used - 1], path);
	if (env_file_open(r->wal->config.env, path, ENV_FILE_WRITE, &file) == 0) {
		wal_cut(file, r->cut_end);
		env_file_close(file);
	}
}

/* Nothing proves the last head when only one group is behind it: both may be in memory only, and after
 * a failed sync no further one writes them. The new segment will lean on that head. So they are written
 * anew, into a file that takes the place of the old one: a cut on the way leaves one or the other. */
static int renew_last(struct recovery *r)
{
	struct wal *wal = r->wal;
	char path[WAL_PATH_BYTES], fresh[WAL_PATH_BYTES];
	struct env_file *file;
	struct slice bytes;
	assert(r->used > 0);
	uint64_t number = r->names.numbers[r->used - 1];
	if (r->cut_end > SEGMENT_HEAD) {
		return 0;
	}
	int status = recovery_read(r, number, wal_active(wal)->end, &bytes);
	if (status != 0) {
		return status;
	}
	wal_path(wal, number, path);
	snprintf(fresh, sizeof(fresh), "%s/renewed", wal->dir);
	status = env_file_open(wal->config.env, fresh, ENV_FILE_READ | ENV_FILE_WRITE | ENV_FILE_CREATE,
			       &file);
	if (status == 0) {
		status = env_file_truncate(file, 0);
		status = status == 0 ? write_and_sync(file, 0, bytes.data, bytes.len) : status;
		env_file_close(file);
	}
	if (status == 0) {
		status = env_rename(wal->config.env, fresh, path);
	}
	if (status == 0) {
		status = env_dir_sync(wal->config.env, wal->dir);
	}
	return status == 0 ? 0 : err_set(r->err, status, "cannot renew %s: %s", path, err_name(status));
}

int recovery_write(struct recovery *r)
{
	struct wal *wal = r->wal;
	uint64_t number = r->used == 0 ? (r->names.count > 0 ? r->names.numbers[0] : 1)
				       : r->names.numbers[r->used - 1] + 1;
	int status = r->used > 0 ? renew_last(r) : 0;
	if (status != 0) {
		return status;
	}
	char path[WAL_PATH_BYTES];
	status = wal_names_renew(&r->names, number, path);
	if (status != 0) {
		return err_set(r->err, status, "cannot rename or remove %s: %s", path, err_name(status));
	}
	if (r->used > 0) {
		wal_active(wal)->end = r->cut_end;
	}
	wal_segment_add(wal, number, r->cut_index + 1);
	uint64_t need = segment_group_start(SEGMENT_HEAD + tail_bytes(r)) + SEGMENT_SECTOR;
	wal->file_bytes = need > wal->config.segment_bytes ? need : wal->config.segment_bytes;
	wal_path(wal, number, path);
	status = env_file_open(wal->config.env, path, ENV_FILE_READ | ENV_FILE_WRITE, &wal->file);
	if (status == 0) {
		status = write_segment(r, wal->file, wal->file_bytes);
	}
	if (status == ERR_NO_SPACE) {
		return err_set(r->err, status,
			       "cannot write %s: no space left: a segment of the log takes %llu KiB at once; free space, "
			       "or set segment smaller",
			       path, (unsigned long long)(wal->file_bytes / KIB(1)));
	}
	if (status != 0) {
		return err_set(r->err, status, "cannot write %s: %s", path, err_name(status));
	}
	assert(wal->last_index + 1 >= wal->first_index);
	assert(wal_active(wal)->end <= wal->file_bytes);
	if (r->used > 0) {
		cut_before(r);
	}
	return 0;
}
