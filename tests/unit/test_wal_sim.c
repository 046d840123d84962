/* The log on a disk that fails: power cuts at any call, failed syncs, flipped
 * bits. A naive model keeps what was appended and what was promised; after
 * each start the log must hold all that was promised, byte for byte, and
 * beyond it nothing that was never appended there. */
#include "raft/wal/wal.h"

#include "base/limits.h"
#include "tests/lib/tap.h"
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INDEX_MAX 20000
#define VARIANTS_MAX 12
#define LIVES 12

/* Every entry that was ever appended at an index, the newest last. */
struct place {
	struct chain chains[VARIANTS_MAX];
	unsigned count;
};

struct story {
	struct sim *sim;
	struct sim_host *host;
	struct env *env;
	struct wal *wal;
	struct place *places; /* [index] */
	uint64_t last;        /* of the log as the model has it */
	uint64_t term;
	uint64_t promised; /* all up to here must survive */
	uint64_t floor;    /* what the database holds for ever: may be trimmed up to here */
	uint64_t life;
	bool crashed, failed;
	uint64_t truncations, trims, lives, corrupt;
	bool dir_fails; /* of this life's calls to the directory, now and then one */
	uint64_t dir_failures, stops;
	char wrong[256], refusal[256];
};

static bool tracing;

static void on_durable(void *owner, uint64_t index) { ((struct story *)owner)->promised = index; }
static void on_failed(void *owner, const char *line)
{
	struct story *story = owner;
	story->failed = true;
	if (sim_disk_wounds(story->host) == 0 && story->wrong[0] == '\0') {
		snprintf(story->wrong, sizeof(story->wrong), "failed on a good disk: %.200s", line);
	}
}
static void on_crash(void *owner, struct sim_host *host)
{
	((struct story *)owner)->crashed = true;
	sim_host_kill(host, SIM_KILL_POWER);
}

static struct chain chain_at(const struct story *story, uint64_t index)
{
	if (index == 0) {
		return (struct chain){0, 0};
	}
	const struct place *place = &story->places[index];
	return place->chains[place->count - 1];
}

static void append(struct story *story)
{
	static uint8_t payload[6000];
	struct prng *prng = sim_prng(story->sim);
	uint64_t index = story->last + 1;
	struct place *place = &story->places[index];
	if (index + 1 >= INDEX_MAX || place->count == VARIANTS_MAX) {
		return;
	}
	size_t len = prng_below(prng, prng_chance(prng, 1, 5) ? sizeof(payload) : 300);
	prng_fill(prng, payload, len);
	struct entry *entry = entry_new(ENTRY_COMMAND, slice_of(payload, len));
	entry->index = index;
	entry->term = story->term;
	entry->chain = chain_next(chain_at(story, story->last), index, entry->term, entry->type, entry_payload(entry));
	place->chains[place->count++] = entry->chain;
	story->last = index;
	wal_append(story->wal, entry);
	entry_unref(entry);
}

static void truncate_some(struct story *story)
{
	uint64_t low = story->floor + 1;
	if (story->last < low + 1) {
		return;
	}
	uint64_t span = story->last - low + 1;
	uint64_t index = story->last - prng_below(sim_prng(story->sim), span < 20 ? span : 20);
	story->term++;
	story->truncations++;
	story->last = index - 1;
	wal_truncate(story->wal, index);
	if (story->promised >= index) {
		story->promised = index - 1;
	}
}

static void trim_some(struct story *story)
{
	uint64_t room = story->promised - story->floor;
	story->floor += prng_below(sim_prng(story->sim), room + 1);
	wal_set_floor(story->wal, story->floor);
	uint64_t first = wal_trim_point(story->wal, story->floor, story->floor, 0);
	if (first > wal_first_index(story->wal)) {
		story->trims++;
		wal_trim(story->wal, first);
	}
}

/* The next of them that fails; again as soon as one has. */
static void arm_dir_failure(struct story *story)
{
	if (story->dir_fails && !sim_disk_nth_waits(story->host)) {
		story->dir_failures++;
		sim_disk_fail_nth(story->host, SIM_NTH_DIR, 1 + prng_below(sim_prng(story->sim), 12));
	}
}

static void act(struct story *story)
{
	struct prng *prng = sim_prng(story->sim);
	arm_dir_failure(story);
	uint64_t die = prng_below(prng, 100);
	if (die < 70) {
		for (uint64_t n = 1 + prng_below(prng, 6); n > 0; n--) {
			append(story);
		}
		wal_flush(story->wal);
	} else if (die < 80) {
		truncate_some(story);
		wal_flush(story->wal);
	} else if (die < 90) {
		trim_some(story);
	}
	sim_run(story->sim, prng_below(prng, 3000));
}

/* The newest variant must be there up to promised; any variant after it. Adopts what it finds. */
static void compare(struct story *story)
{
	uint64_t first = wal_first_index(story->wal);
	uint64_t last = wal_last_index(story->wal);
	if (first > story->floor + 1 || last < story->promised) {
		snprintf(story->wrong, sizeof(story->wrong),
			 "the log holds %" PRIu64 " to %" PRIu64 "; promised %" PRIu64 ", trimmed at most to %" PRIu64, first,
			 last, story->promised, story->floor);
		return;
	}
	for (uint64_t index = first; index <= last; index++) {
		struct entry *entry;
		struct place *place = &story->places[index];
		if (wal_load(story->wal, index, &entry) != 0) {
			snprintf(story->wrong, sizeof(story->wrong), "index %" PRIu64 " cannot be loaded", index);
			return;
		}
		unsigned at = 0;
		while (at < place->count && !chain_equal(place->chains[at], entry->chain)) {
			at++;
		}
		if (at == place->count || (index <= story->promised && at + 1 != place->count)) {
			snprintf(story->wrong, sizeof(story->wrong),
				 "index %" PRIu64 " holds what was %s (promised up to %" PRIu64 ")", index,
				 at == place->count ? "never there" : "replaced", story->promised);
		} else {
			struct chain last_chain = place->chains[place->count - 1];
			place->chains[place->count - 1] = entry->chain;
			place->chains[at] = last_chain;
		}
		entry_unref(entry);
	}
	story->last = last;
	story->promised = wal_durable_index(story->wal);
}

/* False when it does not open. */
static bool open_log(struct story *story, int *status)
{
	story->env = sim_host_start(story->host);
	story->failed = story->crashed = false;
	/* Its owner has made the directory and knows that its name is durable. */
	struct sim_disk_faults faults = *sim_disk_faults(story->host);
	sim_disk_faults(story->host)->sync_error_per_million = 0;
	env_mkdir(story->env, "log");
	env_dir_sync(story->env, ".");
	*sim_disk_faults(story->host) = faults;
	arm_dir_failure(story);
	struct err err = {0};
	struct wal_config config = {.env = story->env,
				    .dir = "log",
				    .log_id = 7,
				    .segment_bytes = KIB(16),
				    .cache_bytes = KIB(64),
				    .floor = story->floor,
				    .on_durable = on_durable,
				    .on_failed = on_failed,
				    .owner = story};
	*status = wal_open(&config, &story->wal, &err);
	if (*status != 0 && !sim_host_crashing(story->host) && sim_disk_wounds(story->host) == 0) {
		snprintf(story->wrong, sizeof(story->wrong), "does not open on a good disk: %.200s", err.text);
	}
	if (*status != 0) {
		story->wal = NULL;
		snprintf(story->refusal, sizeof(story->refusal), "%.250s", err.text);
	}
	return *status == 0;
}

static void end_life(struct story *story, enum sim_kill kill)
{
	if (!story->env->dead) {
		sim_host_kill(story->host, kill);
	}
	wal_free(story->wal);
	story->wal = NULL;
	sim_env_free(story->env);
}

static void live(struct story *story)
{
	struct prng *prng = sim_prng(story->sim);
	story->lives++;
	compare(story);
	if (story->wrong[0] != '\0' || sim_host_crashing(story->host)) {
		return;
	}
	wal_start(story->wal);
	story->term++;
	for (uint64_t acts = 5 + prng_below(prng, 60); acts > 0 && !story->crashed && !story->failed; acts--) {
		if (prng_chance(prng, 1, 40)) {
			sim_disk_crash_after(story->host, 1 + prng_below(prng, 30));
		}
		act(story);
	}
}

enum disk_kind { DISK_GOOD, DISK_BAD_SYNCS, DISK_MISDIRECTS, DISK_BAD_DIRS };

/* Whatever its directory did: a start that meets no failure itself finds no harm. */
static void must_open(struct story *story, int status, uint64_t wounds)
{
	if (status != 0 && !sim_host_crashing(story->host) &&
	    (status == ERR_CORRUPT || sim_disk_wounds(story->host) == wounds) && story->wrong[0] == '\0') {
		snprintf(story->wrong, sizeof(story->wrong), "life %" PRIu64 " does not open: %.200s", story->life,
			 story->refusal);
	}
}

static void run_story(struct story *story, uint64_t seed, enum disk_kind kind)
{
	memset(story, 0, sizeof(*story));
	story->sim = sim_new(seed);
	story->host = sim_host_new(story->sim, "n1");
	story->places = calloc(INDEX_MAX, sizeof(*story->places));
	sim_on_crash(story->sim, on_crash, story);
	sim_trace_print(story->sim, tracing);
	struct prng *prng = sim_prng(story->sim);
	for (story->life = 0; story->life < LIVES && story->wrong[0] == '\0'; story->life++) {
		bool ill = story->life % 2 == 0;
		sim_disk_faults(story->host)->sync_error_per_million = kind == DISK_BAD_SYNCS && ill ? 30000 : 0;
		sim_disk_faults(story->host)->misdirect_per_million = kind == DISK_MISDIRECTS && ill ? 10000 : 0;
		sim_disk_faults(story->host)->dir_forgets = kind == DISK_BAD_DIRS;
		story->dir_fails = kind == DISK_BAD_DIRS && story->life < LIVES - 2;
		sim_disk_fail_nth(story->host, SIM_NTH_DIR, 0);
		if (prng_chance(prng, 1, 4)) {
			sim_disk_crash_after(story->host, 1 + prng_below(prng, 25));
		}
		int status;
		uint64_t wounds = sim_disk_wounds(story->host);
		if (open_log(story, &status)) {
			live(story);
			story->stops += story->failed;
		} else {
			if (kind == DISK_BAD_DIRS) {
				must_open(story, status, wounds);
			}
			story->corrupt += status == ERR_CORRUPT && !sim_host_crashing(story->host);
		}
		if (kind == DISK_MISDIRECTS && story->corrupt > 0) {
			end_life(story, SIM_KILL_POWER);
			break; /* refused for good */
		}
		/* After a failed sync only the process ends; the kernel's pages deceive the next life. */
		end_life(story, prng_chance(prng, 1, 2) ? SIM_KILL_POWER : SIM_KILL_PROCESS);
	}
}

static void end_story(struct story *story)
{
	sim_free(story->sim);
	free(story->places);
}

static void many(uint64_t seeds, enum disk_kind kind, const char *sentence)
{
	uint64_t lives = 0;
	uint64_t truncations = 0;
	uint64_t trims = 0;
	uint64_t corrupt = 0;
	uint64_t dir_failures = 0;
	uint64_t stops = 0;
	char wrong[256] = "";
	for (uint64_t seed = 1; seed <= seeds; seed++) {
		struct story story;
		run_story(&story, seed, kind);
		dir_failures += story.dir_failures;
		stops += story.stops;
		lives += story.lives;
		truncations += story.truncations;
		trims += story.trims;
		corrupt += story.corrupt;
		if (story.wrong[0] != '\0' && wrong[0] == '\0') {
			memcpy(wrong, story.wrong, sizeof(wrong));
			tap_note("seed %" PRIu64 ": %s", seed, wrong);
		}
		end_story(&story);
	}
	ok(wrong[0] == '\0', "%s", sentence);
	ok(lives > seeds && truncations > seeds && trims > seeds / 4,
	   "the stories lived: %" PRIu64 " lives, %" PRIu64 " truncations, %" PRIu64 " trims", lives, truncations, trims);
	if (kind == DISK_BAD_DIRS) {
		ok(dir_failures > 10 * seeds && stops > seeds && corrupt == 0,
		   "no start called that log damaged: %" PRIu64 " failures, %" PRIu64 " lives stopped by one", dir_failures, stops);
	}
	ok(kind != DISK_GOOD || corrupt == 0, "and no start called a good log damaged");
}

/* A life in which nothing happens, long enough for the log to prove its last group with a mark. */
static void calm_life(struct story *story)
{
	int status;
	sim_disk_crash_after(story->host, 0);
	if (open_log(story, &status)) {
		compare(story);
		wal_start(story->wal);
		sim_run(story->sim, 10000000);
	}
	end_life(story, SIM_KILL_POWER);
}

/* One flipped bit at rest: the start is refused, or everything promised is there. */
static void flips(uint64_t seeds)
{
	uint64_t refused = 0;
	uint64_t whole = 0;
	char wrong[256] = "";
	for (uint64_t seed = 1; seed <= seeds; seed++) {
		struct story story;
		run_story(&story, seed, DISK_GOOD);
		calm_life(&story);
		if (story.wrong[0] == '\0' && sim_disk_flip(story.host, "log")) {
			int status;
			if (open_log(&story, &status)) {
				compare(&story);
				whole++;
			} else {
				refused += status == ERR_CORRUPT;
			}
			end_life(&story, SIM_KILL_PROCESS);
		}
		if (story.wrong[0] != '\0' && wrong[0] == '\0') {
			memcpy(wrong, story.wrong, sizeof(wrong));
			tap_note("seed %" PRIu64 ": %s", seed, wrong);
		}
		end_story(&story);
	}
	ok(wrong[0] == '\0', "after a flipped bit the log is whole or refused, never shorter in silence");
	ok(refused > seeds / 10 && whole > 0, "some were refused (%" PRIu64 "), some hit what nobody needs (%" PRIu64 ")", refused,
	   whole);
}

/* The database holds all that is durable when the next segment is begun: its head is still under way when the
 * one before it could go, and the power fails so many microseconds later. */
static bool begin_and_trim(struct story *story, uint64_t seed, uint64_t us)
{
	struct wal_stats stats = {0};
	int status;
	memset(story, 0, sizeof(*story));
	story->sim = sim_new(seed);
	story->host = sim_host_new(story->sim, "n1");
	story->places = calloc(INDEX_MAX, sizeof(*story->places));
	story->term = 1;
	open_log(story, &status);
	wal_start(story->wal);
	sim_run(story->sim, 100000);
	while (stats.segments < 2) {
		sim_run(story->sim, 20000);
		append(story);
		wal_flush(story->wal);
		wal_stats(story->wal, &stats);
	}
	story->floor = story->promised;
	wal_set_floor(story->wal, story->floor);
	uint64_t first = wal_trim_point(story->wal, story->floor, story->floor, 0);
	wal_trim(story->wal, first);
	sim_run(story->sim, us);
	end_life(story, SIM_KILL_POWER);
	if (open_log(story, &status)) {
		compare(story);
	}
	end_life(story, SIM_KILL_POWER);
	return story->wrong[0] == '\0';
}

static void trims_behind_a_head(uint64_t seeds)
{
	uint64_t wrong = 0;
	for (uint64_t seed = 1; seed <= seeds; seed++) {
		struct story story;
		if (!begin_and_trim(&story, seed, seed * 7 % 400) && wrong++ == 0) {
			tap_note("seed %" PRIu64 ": %s", seed, story.wrong);
		}
		end_story(&story);
	}
	is_int(wrong, 0, "no segment goes before the head behind it is durable, also when nobody needs it any more");
}

/* test_wal_sim replay SEED KIND: one story, every event on standard error. */
static int replay(uint64_t seed, enum disk_kind kind)
{
	struct story story;
	tracing = true;
	run_story(&story, seed, kind);
	fprintf(stderr, "%s\n", story.wrong);
	end_story(&story);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "replay") == 0) {
		return replay(strtoull(argv[2], NULL, 10), (enum disk_kind)strtoul(argv[3], NULL, 10));
	}
	uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : 60;
	many(seeds, DISK_GOOD, "a power cut at any call loses nothing that was promised");
	many(seeds, DISK_BAD_SYNCS, "a failed sync is never taken for a durable one, in the next life either");
	many(seeds, DISK_BAD_DIRS, "a trim whose renames, unlinks or syncs fail leaves no hole and no second segment of a name");
	many(seeds, DISK_MISDIRECTS, "a write that the disk put elsewhere is found, or nothing promised was lost by it");
	flips(seeds);
	trims_behind_a_head(seeds);
	return tap_done();
}
