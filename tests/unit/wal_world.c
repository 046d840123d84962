#include "tests/unit/wal_world.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"

static void on_durable(void *owner, uint64_t index)
{
	struct story *story = owner;
	story->falls += index < story->durable;
	story->durable = index;
}

static void on_failed(void *owner, const char *line)
{
	struct story *story = owner;
	story->failed = true;
	snprintf(story->line, sizeof(story->line), "%s", line);
}

static void on_closed(void *owner)
{
	((struct story *)owner)->closed = true;
}

void story_init(struct story *story, struct disk *disk, uint64_t segment_bytes)
{
	*story = (struct story){.disk = disk,
				.log_id = 77,
				.segment_bytes = segment_bytes,
				.cache_bytes = MIB(1),
				.term = 1};
}

int story_open(struct story *story, struct err *err)
{
	story->env = disk_env_new(story->disk);
	struct wal_config config = {
		.env = story->env,
		.dir = "d",
		.log_id = story->log_id,
		.segment_bytes = story->segment_bytes,
		.cache_bytes = story->cache_bytes,
		.floor = story->floor,
		.on_durable = on_durable,
		.on_failed = on_failed,
		.owner = story,
	};
	story->failed = story->closed = false;
	int status = wal_open(&config, &story->wal, err);
	if (status != 0) {
		story->wal = NULL;
		disk_env_free(story->env);
		story->env = NULL;
		return status;
	}
	story->last = story->durable = wal_last_index(story->wal);
	wal_start(story->wal);
	return 0;
}

void story_kill(struct story *story)
{
	if (story->env == NULL) {
		return;
	}
	disk_env_kill(story->env);
	wal_free(story->wal);
	disk_env_free(story->env);
	story->wal = NULL;
	story->env = NULL;
}

void story_close(struct story *story)
{
	wal_close(story->wal, on_closed);
	disk_env_run(story->env);
	assert(story->closed);
	wal_free(story->wal);
	disk_env_free(story->env);
	story->wal = NULL;
	story->env = NULL;
}

void append_sized(struct story *story, size_t len)
{
	uint8_t *bytes = malloc(len + 1);
	uint64_t index = story->last + 1;
	for (size_t i = 0; i < len; i++) {
		bytes[i] = (uint8_t)(index * 31 + story->term * 7 + i);
	}
	struct entry *entry = entry_new(ENTRY_COMMAND, slice_of(bytes, len));
	entry->index = index;
	entry->term = story->term;
	entry->chain =
		chain_next(wal_chain(story->wal), index, entry->term, entry->type, entry_payload(entry));
	story->chain[index] = entry->chain;
	story->last = index;
	wal_append(story->wal, entry);
	entry_unref(entry);
	free(bytes);
}

void append(struct story *story, unsigned count)
{
	while (count-- > 0) {
		append_sized(story, 20 + story->last % 50);
	}
	wal_flush(story->wal);
}

void story_live(struct story *story, struct disk *disk, uint64_t segment_bytes, unsigned count)
{
	story_init(story, disk, segment_bytes);
	story_open(story, NULL);
	append(story, count);
	disk_env_run(story->env);
	story_close(story);
}

void truncate_to(struct story *story, uint64_t index)
{
	wal_truncate(story->wal, index);
	story->last = index - 1;
	story->durable = story->durable < index ? story->durable : index - 1;
	story->term++;
}

void script(struct story *story)
{
	append(story, 3);
	disk_env_run(story->env);
	append(story, 1);
	append(story, 12);
	disk_env_step(story->env);
	append(story, 4);
	disk_env_run(story->env);
	truncate_to(story, story->durable > 0 ? story->durable : 1);
	append(story, 2);
	disk_env_run(story->env);
	disk_env_advance(story->env, 300);
	append_sized(story, 1500);
	wal_flush(story->wal);
	append(story, 8);
	disk_env_run(story->env);
}

bool holds(struct story *story, uint64_t index)
{
	if (wal_last_index(story->wal) < index) {
		return false;
	}
	for (uint64_t i = wal_first_index(story->wal); i <= index; i++) {
		struct entry *entry;
		if (wal_load(story->wal, i, &entry) != 0) {
			return false;
		}
		bool same = chain_equal(entry->chain, story->chain[i]) && entry->index == i;
		entry_unref(entry);
		if (!same) {
			return false;
		}
	}
	return true;
}

unsigned files_named(struct disk *disk, const char *ending)
{
	unsigned count = 0;
	for (size_t i = 0; disk_name(disk, i) != NULL; i++) {
		count += strstr(disk_name(disk, i), ending) != NULL;
	}
	return count;
}
