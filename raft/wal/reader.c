/* Old entries, read back from their segments on a lane. */
#include <assert.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "raft/wal/wal_private.h"

/* One record at a place that is known: whatever does not verify was durable once. */
static int read_record(struct env_file *file, uint64_t number, uint64_t offset, uint64_t index,
		       struct entry **entry)
{
	uint8_t head[RECORD_HEAD];
	size_t got = 0;
	assert(index > 0);
	assert(offset >= SEGMENT_HEAD);
	assert(offset % 8 == 0);
	int status = env_file_read(file, offset, head, sizeof(head), &got);
	if (status != 0 || got < sizeof(head)) {
		return status != 0 ? status : ERR_CORRUPT;
	}
	uint32_t len = bytes_u32(head + 24);
	if (len > LIMIT_ENTRY) {
		return ERR_CORRUPT;
	}
	size_t bytes = (size_t)record_bytes(len);
	uint8_t *whole = malloc(bytes);
	if (whole == NULL) {
		fatal("out of memory: a record of the log of %zu bytes", bytes);
	}
	struct record record;
	struct slice payload;
	status = env_file_read(file, offset, whole, bytes, &got);
	if (status == 0) {
		status = record_decode(slice_of(whole, got), offset, number, offset, &record, &payload);
	}
	if (status == 0 && (record.kind != RECORD_ENTRY || record.index != index)) {
		status = ERR_CORRUPT;
	}
	if (status == 0) {
		struct entry *found = entry_new(record.type, payload);
		found->index = record.index;
		found->term = record.term;
		found->chain = record.chain;
		*entry = found;
	}
	free(whole);
	return status;
}

/* The chain in front, from the record before in the same segment or from the segment's head. */
static void read_before(struct wal_read *read, struct env_file *file)
{
	uint8_t bytes[SEGMENT_HEAD];
	size_t got = 0;
	struct segment_head head;
	struct entry *before = NULL;
	if (read->before_place > 0) {
		read->status = read_record(file, read->number, read->before_place, read->first - 1, &before);
		if (read->status == 0) {
			read->before = before->chain;
			read->before_known = true;
			entry_unref(before);
		}
		return;
	}
	if (env_file_read(file, 0, bytes, sizeof(bytes), &got) == 0 &&
	    segment_head_decode(slice_of(bytes, got), read->number, &head) == 0 &&
	    head.first_index == read->first && read->places[0] == SEGMENT_HEAD) {
		read->before = head.previous_chain;
		read->before_known = true;
	}
}

static void read_run(struct env_work *work)
{
	struct wal_read *read = list_entry(work, struct wal_read, work);
	assert(read->count > 0);
	assert(read->count <= WAL_READ_ENTRIES);
	char path[WAL_PATH_BYTES];
	wal_path(read->wal, read->number, path);
	struct env_file *file;
	read->status = env_file_open(read->wal->config.env, path, ENV_FILE_READ, &file);
	if (read->status != 0) {
		return;
	}
	size_t wanted = read->count;
	size_t bytes = 0;
	read->count = 0;
	read_before(read, file);
	while (read->count < wanted && read->status == 0 && bytes < WAL_READ_BYTES) {
		struct entry *entry = NULL;
		read->status = read_record(file, read->number, read->places[read->count],
					   read->first + read->count, &entry);
		if (read->status == 0) {
			bytes += entry->len;
			read->entries[read->count++] = entry;
		}
	}
	env_file_close(file);
}

static void read_done(struct env_work *work)
{
	struct wal_read *read = list_entry(work, struct wal_read, work);
	struct wal *wal = read->wal;
	assert(read->status != 0 || read->count > 0);
	list_remove(&read->link);
	if (read->status != 0) {
		for (size_t i = 0; i < read->count; i++) {
			entry_unref(read->entries[i]);
		}
		read->count = 0;
		wal_fail(wal,
			 "%s/%016llx.log cannot be read back at index %llu (%s): an acknowledged entry is "
			 "damaged; check the disk, restore the file from a copy of this member",
			 wal->dir, (unsigned long long)read->number, (unsigned long long)read->first,
			 err_name(read->status));
	}
	read->cb(read, read->status);
	wal_close_tick(wal);
}

/* The run from first that lies in one segment. */
static void plan(const struct wal *wal, struct wal_read *read, uint64_t first, uint64_t to)
{
	struct wal_place place = wal_place_of(wal, first);
	const struct wal_segment *holds = NULL;
	assert(place.offset > 0);
	read->first = first;
	read->count = 0;
	read->before_known = false;
	read->before_place = 0;
	memset(read->entries, 0, sizeof(read->entries));
	if (first > wal->first_index && wal_place_of(wal, first - 1).number == place.number) {
		read->before_place = (uint64_t)wal_place_of(wal, first - 1).offset * 8;
	}
	list_for_each (link, &wal->segments) {
		const struct wal_segment *segment = list_entry(link, struct wal_segment, link);
		if ((uint32_t)segment->number == place.number) {
			holds = segment;
		}
	}
	assert(holds != NULL); /* an entry that we hold lies in a segment that we hold */
	read->number = holds->number;
	for (uint64_t index = first; index <= to && read->count < WAL_READ_ENTRIES; index++) {
		struct wal_place next = wal_place_of(wal, index);
		if (next.number != place.number || next.offset == 0) {
			break;
		}
		read->places[read->count++] = (uint64_t)next.offset * 8;
	}
	assert(read->count > 0);
}

void wal_read_start(struct wal *wal, struct wal_read *read, uint64_t first, uint64_t to)
{
	assert(wal->started);
	assert(first <= to);
	assert(first >= wal->first_index);
	assert(to <= wal->durable_index);
	read->wal = wal;
	read->status = 0;
	plan(wal, read, first, to);
	list_append(&wal->reads, &read->link);
	read->work.run = read_run;
	read->work.done = read_done;
	env_lane_submit(wal->read_lane, &read->work);
}

int wal_load(struct wal *wal, uint64_t index, struct entry **entry)
{
	struct entry *recent = recent_get(&wal->recent, index);
	if (recent != NULL) {
		*entry = entry_ref(recent);
		return 0;
	}
	struct wal_read read = {.wal = wal};
	plan(wal, &read, index, index);
	read_run(&read.work);
	if (read.status == 0) {
		assert(read.count == 1);
		assert(read.entries[0]->index == index);
		*entry = read.entries[0];
	}
	return read.status;
}
