/* The newest entries in memory, and the log that is read, truncated and trimmed at the same time: two bugs
 * of RedisRaft, rows 18 and 21 of docs/lineage.md, which names the lines that bring them back. */
#include "raft/wal/recent.h"
#include "raft/wal/wal.h"

#include "base/limits.h"
#include "tests/lib/tap.h"
#include "tests/scenario/small_world.h"

#include <stdio.h>
#include <string.h>

/* ---- 51: every short story of a cache, against a naive twin ---- */

#define TWIN_MAX 32
#define ACTS 6 /* in a story */
#define KINDS 7

struct twin {
	struct recent recent;
	struct chain chains[TWIN_MAX]; /* [index], of all that was ever there and is not truncated */
	uint64_t first, last, variant;
};

static void twin_append(struct twin *twin)
{
	struct entry *entry = entry_new(ENTRY_COMMAND, SLICE_LIT("x"));
	entry->index = ++twin->last;
	entry->term = 1;
	entry->chain = twin->chains[twin->last] = (struct chain){entry->index, ++twin->variant};
	recent_append(&twin->recent, entry);
	entry_unref(entry);
}

static void twin_truncate(struct twin *twin, uint64_t count)
{
	uint64_t index = twin->last > count ? twin->last + 1 - count : 1;
	recent_truncate(&twin->recent, index, twin->chains[index - 1]);
	twin->last = index - 1;
	twin->first = index < twin->first ? index : twin->first;
}

/* All up to floor leaves the memory. */
static void twin_shrink(struct twin *twin, uint64_t floor)
{
	recent_shrink(&twin->recent, 0, floor);
	twin->first = floor >= twin->first ? floor + 1 : twin->first;
}

static void twin_act(struct twin *twin, unsigned kind)
{
	switch (kind) {
	case 0:
	case 1:
		twin_append(twin);
		break;
	case 2:
	case 3:
	case 4:
		twin_truncate(twin, 2 * (kind - 2) + 1); /* 1, 3, 5 of the newest */
		break;
	case 5:
		twin_shrink(twin, twin->last);
		break;
	default:
		twin_shrink(twin, twin->last > 2 ? twin->last - 2 : 0);
	}
}

static bool twin_agrees(const struct twin *twin)
{
	const struct recent *recent = &twin->recent;
	if (!chain_equal(recent_chain(recent, twin->first - 1), twin->chains[twin->first - 1])) {
		return false;
	}
	for (uint64_t index = 1; index <= twin->last + 1; index++) {
		const struct entry *entry = recent_get(recent, index);
		bool held = index >= twin->first && index <= twin->last;
		if ((entry != NULL) != held) {
			return false;
		}
		if (held && (entry->index != index || !chain_equal(entry->chain, twin->chains[index]))) {
			return false;
		}
	}
	return recent->last == twin->last;
}

static bool every_story(void *owner)
{
	unsigned stories = 1;
	for (unsigned i = 0; i < ACTS; i++) {
		stories *= KINDS;
	}
	for (unsigned story = 0; story < stories; story++) {
		struct twin twin = {.first = 1};
		recent_init(&twin.recent, 1, twin.chains[0]);
		for (unsigned i = 0; i < 4; i++) {
			twin_append(&twin);
		}
		for (unsigned i = 0, rest = story; i < ACTS; i++, rest /= KINDS) {
			twin_act(&twin, rest % KINDS);
			if (!twin_agrees(&twin)) {
				tap_note("story %u, act %u: first %llu, last %llu", story, i,
					 (unsigned long long)twin.first, (unsigned long long)twin.last);
				fflush(NULL);
				return false;
			}
		}
		recent_fini(&twin.recent);
	}
	return true;
}

/* ---- 54: one disk, read, truncated and trimmed at the same time ---- */

struct desk {
	struct sim *sim;
	struct sim_host *host;
	struct env *env;
	struct wal *wal;
	uint64_t durable;
	char failure[256];
	unsigned right, called;
};

static void durable_cb(void *owner, uint64_t index)
{
	((struct desk *)owner)->durable = index;
}
static void failed_cb(void *owner, const char *line)
{
	struct desk *desk = owner;
	snprintf(desk->failure, sizeof(desk->failure), "%.250s", line);
}

static void desk_open_log(struct desk *desk, uint64_t floor)
{
	struct err err = {0};
	struct wal_config config = {.env = desk->env,
				    .dir = "log",
				    .log_id = 7,
				    .segment_bytes = KIB(16),
				    .cache_bytes = KIB(4),
				    .floor = floor,
				    .on_durable = durable_cb,
				    .on_failed = failed_cb,
				    .owner = desk};
	desk->wal = NULL;
	if (wal_open(&config, &desk->wal, &err) == 0) {
		wal_start(desk->wal);
	} else {
		snprintf(desk->failure, sizeof(desk->failure), "%.250s", err.text);
	}
}

static void desk_append(struct desk *desk, unsigned count, uint64_t term)
{
	uint8_t payload[1000];
	for (unsigned i = 0; i < count; i++) {
		uint64_t index = wal_last_index(desk->wal) + 1;
		memset(payload, (int)index, sizeof(payload));
		struct entry *entry = entry_new(ENTRY_COMMAND, slice_of(payload, sizeof(payload)));
		entry->index = index;
		entry->term = term;
		entry->chain =
			chain_next(wal_chain(desk->wal), index, term, entry->type, entry_payload(entry));
		wal_append(desk->wal, entry);
		entry_unref(entry);
		wal_flush(desk->wal);
		sim_run(desk->sim, 5000);
	}
}

struct question {
	struct wal_read read;
	struct desk *desk;
};

static void read_cb(struct wal_read *read, int status)
{
	struct question *question = list_entry(read, struct question, read);
	question->desk->called++;
	for (size_t i = 0; i < read->count; i++) {
		struct entry *entry = read->entries[i];
		question->desk->right +=
			entry->index == read->first + i && entry->payload[0] == (uint8_t)entry->index;
		entry_unref(entry);
	}
}

/* Old entries are being read for a slow member; meanwhile the database is durable and the log is trimmed up
 * to there, and a new leader's entries take the place of the newest. */
static void test_read_trim_truncate(void)
{
	struct desk desk = {.sim = sim_new(9)};
	desk.host = sim_host_new(desk.sim, "n1");
	desk.env = sim_host_start(desk.host);
	env_mkdir(desk.env, "log");
	env_dir_sync(desk.env, ".");
	desk_open_log(&desk, 0);
	desk_append(&desk, 90, 1);
	uint64_t floor = 80;
	wal_set_floor(desk.wal, floor);
	struct question questions[3];
	for (unsigned i = 0; i < 3; i++) {
		questions[i].desk = &desk;
		questions[i].read.cb = read_cb;
		sim_disk_faults(desk.host)->op_us = 3000;
		wal_read_start(desk.wal, &questions[i].read, 1 + 20 * i, 5 + 20 * i);
	}
	uint64_t first = wal_trim_point(desk.wal, floor, floor, 0);
	wal_trim(desk.wal, first);
	wal_truncate(desk.wal, 85);
	sim_disk_faults(desk.host)->op_us = 0;
	desk_append(&desk, 10, 2);
	sim_run(desk.sim, 1000000);
	is_int(desk.right, 15,
	       "RedisRaft 54: what is being read stays until it was read, though the log is trimmed");
	ok(desk.called == 3 && desk.failure[0] == '\0', "and nobody takes it for damage %s", desk.failure);
	ok(first > 60 && wal_first_index(desk.wal) == first && desk.durable == 94,
	   "it is trimmed, and its end replaced");
	sim_host_kill(desk.host, SIM_KILL_POWER);
	wal_free(desk.wal);
	sim_env_free(desk.env);
	desk.env = sim_host_start(desk.host);
	desk_open_log(&desk, floor);
	ok(desk.wal != NULL && wal_first_index(desk.wal) >= first && wal_last_index(desk.wal) == 94 &&
		   wal_term_of(desk.wal, 84) == 1 && wal_term_of(desk.wal, 85) == 2,
	   "so it stands after a power cut %s", desk.failure);
	sim_host_kill(desk.host, SIM_KILL_PROCESS);
	wal_free(desk.wal);
	sim_env_free(desk.env);
	sim_free(desk.sim);
}

int main(void)
{
	ok(survives(every_story, NULL),
	   "RedisRaft 51: the newest entries are one run without a gap, whatever was removed in between");
	test_read_trim_truncate();
	return tap_done();
}
