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

#include "raft/wal/recovery.h"

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

/* The same of a whole file: which index begins there is not known. */
static int corrupt_file(struct recovery *r, uint64_t number, const char *what)
{
	char path[WAL_PATH_BYTES];
	wal_path(r->wal, number, path);
	return err_set(r->err, ERR_CORRUPT,
		       "%s: corrupt log: %s; acknowledged entries are lost here: restore the file from a copy of "
		       "this member (docs/operations.md), the others hold them",
		       path, what);
}

/* ---- the files ---- */

int recovery_read(struct recovery *r, uint64_t number, uint64_t bytes_max, struct slice *bytes)
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
	if (number == r->mend.number && r->mend.offset < got) {
		r->bytes[r->mend.offset] ^= r->mend.bit;
	}
	*bytes = slice_of(r->bytes, got);
	return 0;
}

/* One bit is believed to have flipped, not two. */
static bool may_mend(const struct recovery *r)
{
	return r->mend.number == 0;
}

static void tell_mended(struct recovery *r)
{
	char path[WAL_PATH_BYTES];
	wal_path(r->wal, r->mend.number, path);
	log_event(r->wal->config.log, LOG_WARN, "log_mended",
		  "file=%s offset=%llu bit=0x%02x the disk flipped one bit of the newest records; it was "
		  "turned back",
		  path, (unsigned long long)r->mend.offset, r->mend.bit);
}

/* A file behind the last head: made ready and never used, or its first group never became durable; or its
 * head has a flipped bit. */
static int check_unused(struct recovery *r, size_t i)
{
	struct slice bytes;
	uint64_t number = r->names.numbers[i];
	int status = recovery_read(r, number, UINT64_MAX, &bytes);
	if (status == 0 && segment_proves(bytes, number, 0, 0)) {
		return corrupt_file(r, number, "its head is damaged");
	}
	if (status == 0 && i == r->used && may_mend(r) && mend_head(bytes, number, &r->mend)) {
		tell_mended(r);
		r->used++;
	}
	return status;
}

static int read_head(struct recovery *r, uint64_t number, struct segment_head *head)
{
	struct slice bytes;
	int status = recovery_read(r, number, SEGMENT_HEAD, &bytes);
	return status != 0 ? status : segment_head_decode(bytes, number, head);
}

static int find_used(struct recovery *r)
{
	for (size_t i = 0; i < r->names.count; i++) {
		if (i > 0 && r->names.numbers[i] != r->names.numbers[i - 1] + 1) {
			return corrupt_file(r, r->names.numbers[i - 1] + 1, "this segment is missing");
		}
		struct segment_head head;
		int status = read_head(r, r->names.numbers[i], &head);
		if (status == ERR_VERSION) {
			return err_set(r->err, status, "%s: a segment of another version of the log",
				       r->wal->dir);
		}
		if (status == 0 && r->used < i) {
			return corrupt_file(r, r->names.numbers[r->used], "its head is damaged");
		}
		if (status == 0) {
			r->used = i + 1;
		} else if (status != ERR_CORRUPT) {
			return status;
		}
	}
	for (size_t i = r->used; i < r->names.count; i++) {
		int status = check_unused(r, i);
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
		return corrupt_file(r, head->number, "a segment of another log");
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

/* Behind the last record that is good: is there another but for one bit? */
static bool mend_next(struct recovery *r, struct slice bytes, uint64_t number, uint64_t end)
{
	if (!may_mend(r) || (!mend_record(bytes, number, end, r->link, &r->mend) &&
			     (segment_group_start(end) == end ||
			      !mend_record(bytes, number, segment_group_start(end), r->link, &r->mend)))) {
		return false;
	}
	tell_mended(r);
	return true;
}

/* Takes the records that follow what was taken of this segment. */
static int take_records(struct recovery *r, struct wal_segment *segment, struct slice bytes)
{
	uint64_t offset;
	struct record record;
	struct slice payload;
	while (next_record(r, bytes, segment->number, segment->end, &offset, &record, &payload)) {
		const char *wrong = take(r, segment, offset, &record, payload);
		if (wrong != NULL) {
			return corrupt(r, segment->number, offset, wrong);
		}
		r->link = record.sum;
		segment->end = offset + record_bytes(record.len);
	}
	return 0;
}

/* Takes the records of the i-th segment; next is the head of the one behind it, or NULL. */
static int read_records(struct recovery *r, size_t i, const struct segment_head *next)
{
	uint64_t number = r->names.numbers[i];
	struct slice bytes;
	struct segment_head head;
	int status = recovery_read(r, number, next != NULL ? next->previous_end : UINT64_MAX, &bytes);
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
	status = take_records(r, segment, bytes);
	if (status == 0 && next != NULL && segment->end != next->previous_end) {
		status = corrupt(r, number, segment->end, "bit rot");
	}
	while (status == 0 && next == NULL) {
		if (segment_proves(bytes, number, segment->end, r->link)) {
			return corrupt(r, number, segment->end, "bit rot");
		}
		if (!mend_next(r, bytes, number, segment->end)) {
			break;
		}
		status = take_records(r, segment, bytes);
	}
	return status;
}

static int read_all(struct recovery *r)
{
	for (size_t i = 0; i < r->used; i++) {
		struct segment_head next;
		if (i + 1 < r->used) {
			int status = read_head(r, r->names.numbers[i + 1], &next);
			if (status == ERR_CORRUPT) {
				return corrupt_file(r, r->names.numbers[i + 1],
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
	int status = wal_names_list(&r.names, err);
	if (status == 0) {
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
		status = recovery_write(&r);
	}
	wal_ops_fini(&r.tail);
	wal_names_fini(&r.names);
	free(r.bytes);
	return status;
}
