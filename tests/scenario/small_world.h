/* A few replicas in a simulated world, each with a database that is only a list
 * (tests/lib/group.h), and puppets: members whose frames the story makes by hand.
 * What is not started is not there. No chance strikes. */
#ifndef TESTS_SCENARIO_SMALL_WORLD_H
#define TESTS_SCENARIO_SMALL_WORLD_H

#include "raft/replica_private.h"
#include "tests/lib/group.h"
#include "tests/sim/sim.h"

struct small_world {
	struct sim *sim;
	struct group group; /* its members' numbers here count from 0, their ids from 1 */
	struct sim_host *hosts[GROUP_MAX];
	struct log log;
	char last_line[600]; /* why the last start was refused */
};

/* Segments of 16 KiB, nothing kept for long: the log is trimmed as soon as it may be. */
struct small_world *small_world_new(uint64_t seed, size_t count);
void small_world_free(struct small_world *world);
/* False when it is refused; last_line says why. */
bool small_world_start(struct small_world *world, size_t i);
/* Harmless when it is down. Also buries a member whose power went inside a disk call. */
void small_world_end(struct small_world *world, size_t i, enum sim_kill kill);
/* The power went inside a disk call and it was not buried yet. */
bool small_world_fallen(const struct small_world *world, size_t i);
void small_world_run(struct small_world *world, uint64_t ms);
/* Waits for an open leader; NULL after half a minute. */
struct group_member *small_world_leader(struct small_world *world);
/* Proposes so many entries and lets them be committed; the last index, 0 when any was refused. */
uint64_t small_world_write(struct small_world *world, struct group_member *leader, unsigned count,
			   size_t len);
/* The member's database is durable as it is: the log is told. */
void small_world_flush(struct group_member *member);
/* An end that loses what the database did not flush. */
void small_world_lose_unflushed(struct group_member *member);

/* Speaks for a member to member 1, which is real. */
struct puppet {
	struct small_world *world;
	uint64_t id;
	struct env *env;
	struct env_listener *listener;
	struct link out, in[8]; /* in: as they come, of all kinds */
	size_t in_count;
	uint64_t stamp_ms;
	/* what it was told */
	uint64_t appends, last_append; /* highest index it was sent */
	uint64_t entries, first_entry; /* how many, and where the last append that had any began */
	uint64_t results, last_result, last_rejected, last_term;
	uint64_t votes, refusals;
	/* what it does by itself */
	bool votes_yes; /* grants every vote and pre-vote that is asked of it */
};

/* Member 1 must be up. Returns connected. */
struct puppet *puppet_new(struct small_world *world, uint64_t id);
/* Before the world is freed. */
void puppet_free(struct puppet *puppet);
/* Waits until its connection to member 1 is ready (again). */
void puppet_connect(struct puppet *puppet);
/* One message to member 1, and a little time for it. */
void puppet_say(struct puppet *puppet, const struct raft_message *message);
/* Asks member 1 for its vote as a candidate with a long log, and waits a little. True when it was granted. */
bool puppet_candidate(struct puppet *puppet, uint64_t term);
/* Acknowledges all up to index, as a follower in that term. */
void puppet_acknowledge(struct puppet *puppet, uint64_t term, uint64_t index);

/* A log as a puppet has it, behind what member 1 has applied. */
struct puppet_log {
	struct entry *entries[512];
	size_t count;
	uint64_t first, before_term;
	struct chain before;
};
void puppet_log_begin(struct puppet_log *log, const struct group_member *after);
void puppet_log_add(struct puppet_log *log, uint64_t term, uint8_t type, struct slice payload);
void puppet_log_fini(struct puppet_log *log);
/* As leader of a term: entries from..from+count-1 of the log (from 0), in one message, and waits a little. */
void puppet_send(struct puppet *puppet, const struct puppet_log *log, uint64_t term, size_t from,
		 size_t count, uint64_t commit_index);

/* Runs body in a child process, without core file, for at most five minutes; what it prints goes to standard
 * error. True when it returned true: not when it was killed by an assertion, a fault or the alarm. */
bool survives(bool (*body)(void *owner), void *owner);

#endif /* TESTS_SCENARIO_SMALL_WORLD_H */
