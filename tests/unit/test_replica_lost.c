/* A member whose last, not yet proved group rotted by more than a bit takes it for a torn write: it comes
 * back with less than it had acknowledged, and the leader's core believes what was acknowledged
 * (raft/refill.c). */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/tap.h"
#include "tests/scenario/small_world.h"

#define SECOND 1000000

struct story {
	struct small_world *world;
	struct group_member *leader, *victim;
	unsigned said, behind;
	char line[300]; /* as it was said last */
	uint64_t had, has;
};

static void remember(void *owner, enum log_level level, const char *line)
{
	struct story *story = owner;
	const char *at = strstr(line, "member_lost_entries");
	if (at != NULL) {
		story->said++;
		snprintf(story->line, sizeof(story->line), "%s", at);
	}
	story->behind += strstr(line, "member_fell_behind") != NULL;
	if (getenv("TALLY_TEST_VERBOSE") != NULL) {
		tap_note("%8.3f %s", (double)sim_now_us(story->world->sim) / SECOND, line);
	}
}

static size_t number(const struct story *story, const struct group_member *member)
{
	return (size_t)(member - story->world->group.members);
}

static uint64_t last_index(const struct group_member *member)
{
	return wal_last_index(member->replica->wal);
}

/* Members that run, without a word about the victim, and a victim that has all. */
static void begin(struct story *story, uint64_t seed, size_t count)
{
	memset(story, 0, sizeof(*story));
	story->world = small_world_new(seed, count);
	story->world->group.segment_bytes = KIB(64);
	story->world->group.keep_bytes = MIB(1);
	story->world->log.sink = remember;
	story->world->log.owner = story;
	for (size_t i = 0; i < count; i++) {
		small_world_start(story->world, i);
	}
	story->leader = small_world_leader(story->world);
	story->victim = &story->world->group.members[(number(story, story->leader) + 1) % count];
	small_world_run(story->world, 300);
}

/* So many entries in the victim's last group, which it has acknowledged; its power goes, and that group rots.
 */
static void lose_bits(struct story *story, unsigned entries, unsigned bits)
{
	small_world_write(story->world, story->leader, 3, 100);
	small_world_flush(story->victim); /* the database holds none of what follows */
	for (unsigned i = 0; i < entries; i++) {
		group_propose(story->leader, 100);
	}
	small_world_run(story->world, 20);
	story->had = last_index(story->victim);
	small_world_end(story->world, number(story, story->victim), SIM_KILL_POWER);
	small_world_lose_unflushed(story->victim);
	sim_disk_flip_last(story->world->hosts[number(story, story->victim)], ".log", bits);
}

static void lose(struct story *story, unsigned entries)
{
	lose_bits(story, entries, 2);
}

static void come_back(struct story *story)
{
	small_world_start(story->world, number(story, story->victim));
	story->has = last_index(story->victim);
}

/* What the leader has is applied everywhere. */
static bool caught_up(struct story *story, uint64_t seconds)
{
	struct group_wait wait = {&story->world->group, last_index(story->leader)};
	return sim_run_until(story->world->sim, group_wait_applied, &wait, seconds * SECOND);
}

static void test_short(uint64_t away_ms, unsigned entries, const char *when)
{
	struct story story;
	begin(&story, 60, 3);
	uint64_t term = story.leader->term;
	lose(&story, entries);
	small_world_run(story.world, away_ms);
	come_back(&story);
	is_int(story.had - story.has, entries, "a member that was away %s comes back without its last group",
	       when);
	ok(caught_up(&story, 5) && group_agrees(&story.world->group),
	   "it gets again what it had acknowledged");
	ok(story.leader->open && story.leader->term == term, "from the same leader, in the same term");
	char line[100];
	snprintf(line, sizeof(line), "member_lost_entries member=%llu had=%llu has=%llu",
		 (unsigned long long)story.victim->id, (unsigned long long)story.had,
		 (unsigned long long)story.has);
	is_int(story.said, 1, "that is said once");
	ok(strncmp(story.line, line, strlen(line)) == 0, "with what it had and what it has: %s", story.line);
	small_world_write(story.world, story.leader, 20, 100);
	ok(caught_up(&story, 5), "and it follows as before");
	small_world_free(story.world);
}

/* Who is away cannot help: the leader and the victim are the majority. */
static void test_majority(size_t count, const char *which)
{
	struct story story;
	begin(&story, 61, count);
	lose(&story, 2);
	for (size_t i = 0, away = 0; i < count && away < (count - 1) / 2; i++) {
		if (&story.world->group.members[i] != story.leader &&
		    &story.world->group.members[i] != story.victim) {
			small_world_end(story.world, i, SIM_KILL_POWER);
			away++;
		}
	}
	small_world_run(story.world, 100);
	come_back(&story);
	ok(story.has < story.had && caught_up(&story, 5), "%s: it gets it again", which);
	uint64_t last = small_world_write(story.world, story.leader, 3, 100);
	ok(last > story.had && caught_up(&story, 5) && story.leader->commit_index >= last,
	   "%s: and with it a write is committed", which);
	ok(group_agrees(&story.world->group), "%s: all hold the same", which);
	small_world_free(story.world);
}

/* What is sent again is lost with its connection. */
static void test_cut(void)
{
	struct story story;
	begin(&story, 63, 3);
	uint64_t term = story.leader->term;
	lose(&story, 2);
	small_world_run(story.world, 3000);
	come_back(&story);
	struct sim_link *out = sim_link(story.world->sim, story.world->hosts[number(&story, story.leader)],
					story.world->hosts[number(&story, story.victim)]);
	out->delay_us = 20000;
	for (unsigned i = 0; i < 1000 && story.said == 0; i++) {
		small_world_run(story.world, 1);
	}
	out->reset_per_million = 1000000;
	small_world_run(story.world, 30);
	out->reset_per_million = 0;
	uint64_t has = last_index(story.victim);
	ok(has == story.has, "what is sent again may be lost with its connection");
	ok(story.said == 1 && caught_up(&story, 5), "then it is sent once more");
	ok(story.leader->open && story.leader->term == term, "under the same leader");
	small_world_free(story.world);
}

static void refuse(struct puppet *puppet, uint64_t term, uint64_t refused, uint64_t has)
{
	struct raft_message message = {.type = RAFT_APPEND_ENTRIES_RESULT};
	message.append_entries_result.version = 1;
	message.append_entries_result.term = term;
	message.append_entries_result.rejected = refused;
	message.append_entries_result.last_log_index = has;
	puppet_say(puppet, &message);
}

/* Member 1 leads a puppet that has acknowledged at least so many entries of len bytes. */
static struct puppet *lead(struct story *story, uint64_t seed, uint64_t entries, size_t len)
{
	*story = (struct story){.world = small_world_new(seed, 2)};
	story->world->log.sink = remember;
	story->world->log.owner = story;
	small_world_start(story->world, 0);
	struct puppet *puppet = puppet_new(story->world, 2);
	puppet->votes_yes = true;
	story->leader = &story->world->group.members[0];
	for (unsigned i = 0; i < 2000 && last_index(story->leader) < entries; i++) {
		if (story->leader->role == REPLICA_LEADER) {
			puppet_acknowledge(puppet, story->leader->term, last_index(story->leader));
		}
		small_world_run(story->world, 10);
		if (story->leader->open) {
			group_propose(story->leader, len);
		}
	}
	puppet_acknowledge(puppet, story->leader->term, last_index(story->leader));
	small_world_run(story->world, 10);
	return puppet;
}

/* As from an old segment of the network: by the same life, which has all that it acknowledged. */
static void test_old_refusal(void)
{
	struct story story;
	struct puppet *puppet = lead(&story, 65, 40, 100);
	struct group_member *leader = story.leader;
	uint64_t match = last_index(leader);
	ok(leader->open && leader->commit_index == match, "a puppet makes a leader, and acknowledges all");
	uint64_t had = puppet->entries;
	refuse(puppet, leader->term, match, match - 30);
	is_int(story.said, 0, "a refusal by the life that acknowledged is no proof of a loss");
	ok(puppet->first_entry == match - 30 + 1 && puppet->entries == had + REPLICA_WINDOW,
	   "but a window of what it names as missing is sent");
	raft_index now = 0;
	raft_match_index(&leader->replica->core, 2, &now);
	is_int(now, match, "what was acknowledged counts as before");
	small_world_run(story.world, 60);
	had = puppet->entries;
	for (unsigned i = 0; i < 100; i++) {
		refuse(puppet, leader->term, match, match - 30);
	}
	ok(puppet->entries - had <= 41 * REPLICA_WINDOW,
	   "and not more than once a heartbeat: %llu entries for a hundred refusals in 2 s",
	   (unsigned long long)(puppet->entries - had));
	puppet_free(puppet);
	small_world_free(story.world);
}

/* What was lost began with a truncation: what is there instead is of an earlier term, and as long. */
static void test_other_tail(void)
{
	struct story story;
	struct puppet *puppet = lead(&story, 67, 40, 100);
	uint64_t term = story.leader->term, match = last_index(story.leader);
	unsigned wrong = 0;
	for (uint64_t refused = match; refused > match - 5; refused--) {
		refuse(puppet, term, refused, refused - 1);
		wrong += puppet->first_entry != refused || puppet->last_append < match;
	}
	is_int(wrong, 0, "whose tail is another's is sent more, one entry after the other");
	uint64_t had = puppet->entries;
	refuse(puppet, term, match - 1, match - 2);
	is_int(puppet->entries - had, 0, "an old refusal of that changes nothing");
	raft_index now = 0;
	raft_match_index(&story.leader->replica->core, 2, &now);
	is_int(now, match, "what was acknowledged counts as before");
	puppet_free(puppet);
	small_world_free(story.world);
}

/* It has not even the first of what is kept. */
static void test_trimmed(void)
{
	struct story story;
	struct puppet *puppet = lead(&story, 66, 40, 2000);
	struct replica_stats stats;
	uint64_t match = last_index(story.leader);
	small_world_flush(story.leader);
	small_world_run(story.world, 100);
	replica_stats(story.leader->replica, &stats);
	ok(stats.first_index > 10, "a leader has trimmed its log");
	for (unsigned i = 0; i < 10; i++) {
		group_propose(story.leader, 100);
		refuse(puppet, story.leader->term, match, 5);
	}
	is_int(story.behind, 1, "that a member lacks what was trimmed is said once, also while others write");
	replica_stats(story.leader->replica, &stats);
	ok(stats.peers[0].needs_snapshot, "and is told to who asks");
	puppet_free(puppet);
	small_world_free(story.world);
}

static void transferred_cb(void *owner, int status)
{
	*(int *)owner = status;
}

/* By its match index it has the whole log. */
static void test_not_the_next(void)
{
	struct story story;
	begin(&story, 64, 3);
	for (size_t i = 3; i-- > 0;) { /* the first that is asked for its match index */
		story.victim = &story.world->group.members[i] == story.leader
				       ? story.victim
				       : &story.world->group.members[i];
	}
	lose(&story, 2);
	small_world_run(story.world, 100);
	sim_disk_faults(story.world->hosts[number(&story, story.victim)])->sync_us = 0;
	come_back(&story);
	sim_disk_faults(story.world->hosts[number(&story, story.victim)])->sync_us = 20 * SECOND;
	small_world_run(story.world, 300);
	int status = 1;
	replica_transfer(story.leader->replica, 0, 250, transferred_cb, &status);
	small_world_run(story.world, 300);
	ok(story.said == 1 && status == 0 && story.victim->role != REPLICA_LEADER,
	   "leadership is not offered to a member that lacks something, whatever it acknowledged");
	small_world_free(story.world);
}

/* Who is left when the leader falls is the victim and one who never had what both of the others acknowledged.
 */
static void test_one_bit(unsigned entries)
{
	struct story story;
	begin(&story, 68, 3);
	size_t leader = number(&story, story.leader), third = (leader + 2) % 3;
	small_world_write(story.world, story.leader, 3, 100);
	small_world_run(story.world, 300);
	for (size_t i = 0; i < 3; i++) {
		sim_link(story.world->sim, story.world->hosts[third], story.world->hosts[i])->cut =
			i != third;
		sim_link(story.world->sim, story.world->hosts[i], story.world->hosts[third])->cut =
			i != third;
	}
	lose_bits(&story, entries, 1);
	bool committed = story.leader->commit_index == story.had;
	small_world_end(story.world, leader, SIM_KILL_POWER);
	for (size_t i = 0; i < 3; i++) {
		sim_link(story.world->sim, story.world->hosts[third], story.world->hosts[i])->cut = false;
		sim_link(story.world->sim, story.world->hosts[i], story.world->hosts[third])->cut = false;
	}
	sim_links_healed(story.world->sim);
	come_back(&story);
	ok(committed && story.has == story.had,
	   "one flipped bit in the newest group is turned back: %llu of %llu entries",
	   (unsigned long long)story.has, (unsigned long long)story.had);
	story.leader = small_world_leader(story.world);
	small_world_start(story.world, leader);
	uint64_t last = small_world_write(story.world, story.leader, 3, 100);
	ok(last > story.had && caught_up(&story, 10) && group_agrees(&story.world->group),
	   "so nothing else is committed in its place when the leader falls, too");
	small_world_free(story.world);
}

int main(void)
{
	test_one_bit(1);
	test_one_bit(6);
	test_short(10, 1, "for a moment");
	test_short(3000, 1, "for seconds");
	test_short(10, 6, "for a moment");
	test_short(3000, 6, "for seconds");
	test_majority(2, "of two members");
	test_majority(3, "of three, one away");
	test_majority(5, "of five, two away");
	test_old_refusal();
	test_other_tail();
	test_trimmed();
	test_cut();
	test_not_the_next();
	return tap_done();
}
