/* A log directory of one segment. Byte 0 even: the rest is the file. Odd: the
 * rest says which records to write, with right checksums and mostly right
 * links, so that the fuzzer gets past them: 4 bytes a record (kind, index,
 * flags, length). Opening gives a log or says that it is corrupt; a log that
 * was opened opens again with the same entries. */
#include <assert.h>
#include <stdlib.h>

#include "base/limits.h"
#include "raft/wal/segment.h"
#include "raft/wal/wal.h"
#include "tests/lib/disk_env.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LOG_ID 5
#define FILE_BYTES KIB(16)
#define PAYLOAD_MAX 300

static void on_durable(void *owner, uint64_t index) {}
static void on_failed(void *owner, const char *line) {}

static void write_file(struct disk *disk, const uint8_t *bytes, size_t len)
{
	struct env *env = disk_env_new(disk);
	struct env_file *file;
	int status = env_file_open(env, "d/0000000000000001.log", ENV_FILE_WRITE | ENV_FILE_CREATE, &file);
	assert(status == 0);
	if (len > 0) {
		env_file_write(file, 0, bytes, len);
	}
	env_file_sync(file);
	env_file_close(file);
	env_dir_sync(env, "d");
	disk_env_free(env);
}

static size_t build(const uint8_t *data, size_t size, uint8_t *out)
{
	static const uint8_t payload[PAYLOAD_MAX];
	struct segment_head head = {.number = 1, .log_id = LOG_ID, .salt = 3, .first_index = 1};
	segment_head_encode(out, &head);
	uint64_t offset = SEGMENT_HEAD, link = head.link, group = 0;
	struct chain chain = {0, 0};
	for (; size >= 4; data += 4, size -= 4) {
		uint8_t flags = data[2];
		if ((flags & 1) != 0) {
			offset = segment_group_start(offset);
			group = offset;
		}
		struct record record = {
			.kind = RECORD_ENTRY + data[0] % 3,
			.type = (flags & 2) != 0 ? ENTRY_CHANGE : ENTRY_COMMAND,
			.len = record.kind == RECORD_ENTRY ? data[3] : 0,
			.link = (flags & 4) != 0 ? link + 1 : link,
			.synced = (flags & 8) != 0 ? offset : group,
			.index = data[1],
			.term = 1 + (flags >> 6),
		};
		struct slice bytes = slice_of(payload, record.len);
		if (record.kind == RECORD_ENTRY && (flags & 16) == 0) {
			chain = chain_next(chain, record.index, record.term, record.type, bytes);
		}
		record.chain = chain;
		if (offset + record_bytes(record.len) > FILE_BYTES) {
			break;
		}
		record_encode(out + offset, 1, offset, &record, bytes);
		link = record.sum;
		offset += record_bytes(record.len);
	}
	return FILE_BYTES;
}

/* Last index and chain, or -1. */
static int open_log(struct disk *disk, uint64_t *last, struct chain *chain)
{
	struct env *env = disk_env_new(disk);
	struct wal_config config = {.env = env,
				    .dir = "d",
				    .log_id = LOG_ID,
				    .segment_bytes = KIB(2),
				    .cache_bytes = KIB(1),
				    .on_durable = on_durable,
				    .on_failed = on_failed};
	struct wal *wal;
	struct err err = {0};
	int status = wal_open(&config, &wal, &err);
	if (status == 0) {
		*last = wal_last_index(wal);
		*chain = wal_chain(wal);
		for (uint64_t index = wal_first_index(wal); index <= *last; index++) {
			struct entry *entry;
			int loaded = wal_load(wal, index, &entry);
			assert(loaded == 0 && entry->index == index);
			entry_unref(entry);
		}
		wal_free(wal);
	} else {
		assert(err.code == status && err.text[0] != '\0');
	}
	disk_env_free(env);
	return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0) {
		return 0;
	}
	uint8_t *bytes = calloc(1, FILE_BYTES + size);
	size_t len = size - 1;
	if (data[0] % 2 == 0) {
		memcpy(bytes, data + 1, len);
	} else {
		len = build(data + 1, size - 1, bytes);
	}
	struct disk *disk = disk_new(1);
	write_file(disk, bytes, len);
	uint64_t last, again;
	struct chain chain, same;
	if (open_log(disk, &last, &chain) == 0) {
		int status = open_log(disk, &again, &same);
		assert(status == 0 && again == last && chain_equal(chain, same));
	}
	disk_free(disk);
	free(bytes);
	return 0;
}
