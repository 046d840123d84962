/* What a directory of segments says, at a start.
 *
 *   ... segment k          segment k + 1 (the last with a head)      k + 2 (head never durable)
 *   [head|groups|~~]       [head|group|group|group ~ torn ~]         [zeroes or a torn group]
 *            ^ end as k + 1's head says   ^ the last group: not proven durable
 *
 * Everything up to the last group that verifies is proven: a later group was
 * written after it was synced. The last group itself may be in memory only, if
 * a sync failed before the process ended. It is therefore written again, into a
 * new segment whose head cuts this one off where the group began; the head
 * follows when the records are durable, so a crash on the way leaves all as it was.
 * When that group is the only one behind the last head, nothing proves the head either: then that
 * file is renewed first. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "raft/wal/wal_private.h"

struct recovery {
	struct wal *wal;
	struct err *err;
	struct wal_names names;
	size_t used;    /* of them have a head: the first ones */
	uint8_t *bytes; /* the segment being read */
	size_t bytes_cap;
	uint64_t link;

	struct wal_ops tail; /* the last group */
	uint64_t tail_synced;
	uint64_t cut_end, cut_index, cut_term; /* the log before it */
	struct chain cut_chain;
};

static int corrupt(struct recovery *r, uint64_t number, uint64_t offset, const char *what)
{
	char path[WAL_PATH_BYTES];
	wal_path(r->wal, number, path);
	return err_set(
		r->err, ERR_CORRUPT,
		"%s: corrupt log at index %llu (offset %llu: %s); acknowledged entries are lost here: "
		"restore the file from a copy of this member (docs/operations.md), the others hold them",
		path, (unsigned long long)r->wal->last_index + 1, (unsigned long long)offset, what);
}

/* ---- the files ---- */

/* Reads up to bytes of a segment into r->bytes. */
static int read_segment(struct recovery *r, uint64_t number, uint64_t bytes_max, struct slice *bytes)
{
	char path[WAL_PATH_BYTES];
	wal_path(r->wal, number, path);
	struct env_file *file;
	int status = env_file_open(r->wal->config.env, path, ENV_FILE_READ, &file);
	if (status != 0) {
		return err_set(r->err, status, "cannot open %s: %s", path, err_name(status));
	}
	uint64_t size = 0;
	size_t got = 0;
	status = env_file_size(file, &size);
	size_t want = (size_t)(size < bytes_max ? size : bytes_max);
	if (status == 0 && want > r->bytes_cap) {
		free(r->bytes);
		r->bytes_cap = want;
		r->bytes = malloc(want);
		if (r->bytes == NULL) {
			fatal("out of memory: a segment of the log of %zu bytes", want);
		}
	}
	if (status == 0 && want > 0) {
		status = env_file_read(file, 0, r->bytes, want, &got);
	}
	env_file_close(file);
	if (status != 0) {
		return err_set(r->err, status, "cannot read %s: %s", path, err_name(status));
	}
	*bytes = slice_of(r->bytes, got);
	return 0;
}

/* A file behind the last head: made ready and never used, or its first group never became durable. */
static int check_unused(struct recovery *r, uint64_t number)
{
	struct slice bytes;
	int status = read_segment(r, number, UINT64_MAX, &bytes);
	if (status == 0 && segment_proves(bytes, number, 0, 0)) {
		return corrupt(r, number, 0, "its head is damaged");
	}
	return status;
}

static int read_head(struct recovery *r, uint64_t number, struct segment_head *head)
{
	struct slice bytes;
	int status = read_segment(r, number, SEGMENT_HEAD, &bytes);
	return status != 0 ? status : segment_head_decode(bytes, number, head);
}

static int find_used(struct recovery *r)
{
	for (size_t i = 0; i < r->names.count; i++) {
		if (i > 0 && r->names.numbers[i] != r->names.numbers[i - 1] + 1) {
			return corrupt(r, r->names.numbers[i - 1] + 1, 0, "this segment is missing");
		}
		struct segment_head head;
		int status = read_head(r, r->names.numbers[i], &head);
		if (status == ERR_VERSION) {
			return err_set(r->err, status, "%s: a segment of another version of the log",
				       r->wal->dir);
		}
		if (status == 0 && r->used < i) {
			return corrupt(r, r->names.numbers[r->used], 0, "its head is damaged");
		}
		if (status == 0) {
			r->used = i + 1;
		} else if (status != ERR_CORRUPT) {
			return status;
		}
	}
	for (size_t i = r->used; i < r->names.count; i++) {
		int status = check_unused(r, r->names.numbers[i]);
		if (status != 0) {
			return status;
		}
	}
	return 0;
}

/* ---- the records ---- */

static const char *take_entry(struct recovery *r, const struct record *record, struct slice payload)
{
	struct wal *wal = r->wal;
	if (record->index != wal->last_index + 1) {
		return "an entry out of order";
	}
	if (record->term < wal_term_of(wal, wal->last_index)) {
		return "a term that falls";
	}
	struct chain chain = chain_next(wal_chain(wal), record->index, record->term, record->type, payload);
	if (!chain_equal(chain, record->chain)) {
		return "the chain is broken";
	}
	struct entry *entry = entry_new(record->type, payload);
	entry->index = record->index;
	entry->term = record->term;
	entry->chain = chain;
	wal_note_entry(wal, entry);
	recent_append(&wal->recent, entry);
	wal_ops_push(
		&r->tail,
		(struct wal_op){.kind = RECORD_ENTRY, .index = entry->index, .chain = chain, .entry = entry});
	recent_shrink(&wal->recent, wal->config.cache_bytes, wal->floor);
	return NULL;
}

static const char *take_truncation(struct recovery *r, const struct record *record)
{
	struct wal *wal = r->wal;
	struct chain chain;
	if (record->index == 0 || record->index > wal->last_index) {
		return "a truncation out of order";
	}
	if (wal_chain_of(wal, record->index - 1, &chain) && !chain_equal(chain, record->chain)) {
		return "a truncation of another chain";
	}
	wal_note_truncation(wal, record->index, record->chain);
	wal_ops_push(
		&r->tail,
		(struct wal_op){.kind = RECORD_TRUNCATE, .index = record->index, .chain = record->chain});
	return NULL;
}

static const char *take(struct recovery *r, struct wal_segment *segment, uint64_t offset,
			const struct record *record, struct slice payload)
{
	struct wal *wal = r->wal;
	if (record->synced != r->tail_synced) {
		wal_ops_fini(&r->tail);
		r->tail_synced = record->synced;
		r->cut_end = segment->end;
		r->cut_index = wal->last_index;
		r->cut_term = wal_term_of(wal, wal->last_index);
		r->cut_chain = wal_chain(wal);
	}
	const char *wrong = NULL;
	switch (record->kind) {
	case RECORD_ENTRY:
		wrong = take_entry(r, record, payload);
		if (wrong == NULL) {
			wal_note_place(wal, record->index, segment->number, offset);
			segment->highest =
				record->index > segment->highest ? record->index : segment->highest;
		}
		break;
	case RECORD_TRUNCATE:
		wrong = take_truncation(r, record);
		segment->first_index =
			record->index < segment->first_index ? record->index : segment->first_index;
		break;
	default:
		wrong = record->index == wal->last_index ? NULL : "a mark out of order";
	}
	return wrong;
}

static int begin_segment(struct recovery *r, const struct segment_head *head, size_t i)
{
	struct wal *wal = r->wal;
	assert(i < r->used);
	assert(head->number == r->names.numbers[i]);
	if (head->log_id != wal->config.log_id) {
		return corrupt(r, head->number, 0, "a segment of another log");
	}
	if (i == 0) {
		wal_begin_at(wal, head->first_index, head->previous_term, head->previous_chain);
	} else if (head->first_index != wal->last_index + 1 ||
		   !chain_equal(head->previous_chain, wal_chain(wal))) {
		return corrupt(r, head->number, 0, "it does not continue the segment before");
	}
	wal_segment_add(wal, head->number, head->first_index);
	r->link = head->link;
	wal_ops_fini(&r->tail);
	r->tail_synced = UINT64_MAX;
	r->cut_end = SEGMENT_HEAD;
	r->cut_index = wal->last_index;
	r->cut_term = wal_term_of(wal, wal->last_index);
	r->cut_chain = wal_chain(wal);
	return 0;
}

/* The record behind end: of the same group, or the first of the next one. */
static bool next_record(struct recovery *r, struct slice bytes, uint64_t number, uint64_t end,
			uint64_t *offset, struct record *record, struct slice *payload)
{
	uint64_t places[2] = {end, segment_group_start(end)};
	for (size_t i = 0; i < 2; i++) {
		*offset = places[i];
		if (record_decode(bytes, 0, number, *offset, record, payload) == 0 &&
		    record->link == r->link) {
			return true;
		}
	}
	return false;
}

/* Takes the records of the i-th segment; next is the head of the one behind it, or NULL. */
static int read_records(struct recovery *r, size_t i, const struct segment_head *next)
{
	uint64_t number = r->names.numbers[i];
	struct slice bytes;
	struct segment_head head;
	int status = read_segment(r, number, next != NULL ? next->previous_end : UINT64_MAX, &bytes);
	if (status == 0) {
		status = segment_head_decode(bytes, number, &head);
	}
	if (status == 0) {
		status = begin_segment(r, &head, i);
	}
	if (status != 0) {
		return status;
	}
	struct wal_segment *segment = wal_active(r->wal);
	uint64_t offset;
	struct record record;
	struct slice payload;
	while (next_record(r, bytes, number, segment->end, &offset, &record, &payload)) {
		const char *wrong = take(r, segment, offset, &record, payload);
		if (wrong != NULL) {
			return corrupt(r, number, offset, wrong);
		}
		r->link = record.sum;
		segment->end = offset + record_bytes(record.len);
	}
	if (next != NULL) {
		return segment->end == next->previous_end ? 0 : corrupt(r, number, segment->end, "bit rot");
	}
	return segment_proves(bytes, number, segment->end, r->link)
		       ? corrupt(r, number, segment->end, "bit rot")
		       : 0;
}

static int read_all(struct recovery *r)
{
	for (size_t i = 0; i < r->used; i++) {
		struct segment_head next;
		if (i + 1 < r->used) {
			int status = read_head(r, r->names.numbers[i + 1], &next);
			if (status == ERR_CORRUPT) {
				return corrupt(r, r->names.numbers[i + 1], 0,
					       "its head changed while it was read");
			}
			if (status != 0) {
				return status;
			}
		}
		int status = read_records(r, i, i + 1 < r->used ? &next : NULL);
		if (status != 0) {
			return status;
		}
	}
	return 0;
}

/* ---- the new segment ---- */

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
	int status = read_segment(r, number, wal_active(wal)->end, &bytes);
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

static int open_segment(struct recovery *r)
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
	unsigned flags = ENV_FILE_READ | ENV_FILE_WRITE | ENV_FILE_CREATE;
	status = env_file_open(wal->config.env, path, flags, &wal->file);
	if (status == 0) {
		status = write_segment(r, wal->file, wal->file_bytes);
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

/* An empty log is born with its first entry: there is no moment without it. */
static void begin_with(struct recovery *r, struct entry *entry)
{
	assert(entry->index == 1);
	assert(r->used == 0);
	wal_note_entry(r->wal, entry);
	recent_append(&r->wal->recent, entry);
	wal_ops_push(&r->tail, (struct wal_op){.kind = RECORD_ENTRY,
					       .index = 1,
					       .chain = entry->chain,
					       .entry = entry_ref(entry)});
}

int wal_recover(struct wal *wal, struct err *err)
{
	struct recovery r = {.wal = wal,
			     .err = err,
			     .names = {.wal = wal},
			     .tail_synced = UINT64_MAX,
			     .cut_end = SEGMENT_HEAD};
	int status = wal_names_list(&r.names);
	if (status != 0) {
		err_set(err, status, "cannot list %s: %s", wal->dir, err_name(status));
	} else {
		status = find_used(&r);
	}
	wal->was_empty = r.used == 0;
	if (status == 0) {
		status = read_all(&r);
	}
	if (status == 0) {
		if (wal->was_empty && wal->config.first_entry != NULL) {
			begin_with(&r, wal->config.first_entry);
		}
		status = open_segment(&r);
	}
	wal_ops_fini(&r.tail);
	wal_names_fini(&r.names);
	free(r.bytes);
	return status;
}
