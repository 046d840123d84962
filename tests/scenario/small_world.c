#include "tests/scenario/small_world.h"

#include "tests/lib/tap.h"

#include <assert.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND 1000000
#define SURVIVAL_S 300 /* under valgrind, on a loaded machine; beyond it hangs */

static void sink(void *owner, enum log_level level, const char *line)
{
	struct small_world *world = owner;
	if (getenv("TALLY_TEST_VERBOSE") != NULL) {
		tap_note("%8.3f %s", (double)sim_now_us(world->sim) / SECOND, line);
	}
}

/* The env is dead from here on; small_world_end frees what lived on it. */
static void crashed_cb(void *owner, struct sim_host *host)
{
	sim_host_kill(host, SIM_KILL_POWER);
}

struct small_world *small_world_new(uint64_t seed, size_t count)
{
	struct small_world *world = calloc(1, sizeof(*world));
	assert(world != NULL && count <= GROUP_MAX);
	world->sim = sim_new(seed);
	world->log = (struct log){.level = LOG_DEBUG, .node = "n", .sink = sink, .owner = world};
	world->group.count = count;
	world->group.log = &world->log;
	world->group.segment_bytes = KIB(16);
	world->group.cache_bytes = KIB(16);
	sim_on_crash(world->sim, crashed_cb, world);
	for (size_t i = 0; i < count; i++) {
		struct group_member *member = &world->group.members[i];
		char name[32];
		snprintf(name, sizeof(name), "n%zu", i + 1);
		world->hosts[i] = sim_host_new(world->sim, name);
		member->id = i + 1;
		member->answers = true;
		snprintf(member->dir, sizeof(member->dir), "log");
		snprintf(member->address, sizeof(member->address), "%s:7400", name);
	}
	return world;
}

void small_world_free(struct small_world *world)
{
	for (size_t i = 0; i < world->group.count; i++) {
		small_world_end(world, i, SIM_KILL_PROCESS);
	}
	sim_free(world->sim);
	free(world);
}

bool small_world_start(struct small_world *world, size_t i)
{
	struct err err = {0};
	struct group_member *member = &world->group.members[i];
	member->env = sim_host_start(world->hosts[i]);
	if (group_open(&world->group, i, &err) == 0) {
		return true;
	}
	snprintf(world->last_line, sizeof(world->last_line), "%s", err.text);
	if (sim_host_crashing(world->hosts[i])) {
		sim_host_kill(world->hosts[i], SIM_KILL_POWER);
	}
	sim_env_free(member->env);
	member->env = NULL;
	return false;
}

void small_world_end(struct small_world *world, size_t i, enum sim_kill kill)
{
	struct group_member *member = &world->group.members[i];
	if (member->env == NULL) {
		return;
	}
	if (!member->env->dead) {
		sim_host_kill(world->hosts[i], kill);
	}
	replica_free(member->replica);
	member->replica = NULL;
	member->open = false;
	sim_env_free(member->env);
	member->env = NULL;
}

bool small_world_fallen(const struct small_world *world, size_t i)
{
	const struct group_member *member = &world->group.members[i];
	return member->env != NULL && member->env->dead;
}

void small_world_run(struct small_world *world, uint64_t ms)
{
	sim_run(world->sim, ms * 1000);
}

static bool has_leader(void *owner)
{
	return group_leader(&((struct small_world *)owner)->group) != NULL;
}

struct group_member *small_world_leader(struct small_world *world)
{
	sim_run_until(world->sim, has_leader, world, 30 * (uint64_t)SECOND);
	return group_leader(&world->group);
}

uint64_t small_world_write(struct small_world *world, struct group_member *leader, unsigned count, size_t len)
{
	uint64_t last = 0;
	for (unsigned i = 0; i < count && !leader->env->dead && leader->open; i++) {
		last = group_propose(leader, len);
		small_world_run(world, 5);
		if (last == 0) {
			break;
		}
	}
	return last;
}

void small_world_flush(struct group_member *member)
{
	member->flushed = member->applied;
	replica_database_durable(member->replica, member->applied);
}

void small_world_lose_unflushed(struct group_member *member)
{
	member->applied = member->flushed;
}

/* ---- puppets ---- */

/* It believes everybody, and has lived whatever others remember. */
static enum link_verdict greeted_cb(struct link *link, const struct hello *hello)
{
	bool asked = link->dialed && !life_equal(hello->seen, link->hello.life);
	link->hello.seen = hello->seen;
	return asked ? LINK_ASKS : LINK_WELCOME;
}
static void ready_cb(struct link *link) {}
static void ended_cb(struct link *link, bool was_ready) {}
static void refused_cb(struct link *link) {}
static void bad_frame_cb(struct link *link, int status) {}

static void say(struct puppet *puppet, const struct raft_message *message)
{
	assert(message_send(&puppet->out, 0, message));
	link_flush(&puppet->out);
}

static void answer_vote(struct puppet *puppet, const struct raft_request_vote *asked)
{
	struct raft_message message = {.type = RAFT_REQUEST_VOTE_RESULT};
	message.request_vote_result.version = 2;
	message.request_vote_result.term = asked->term;
	message.request_vote_result.vote_granted = true;
	message.request_vote_result.pre_vote = asked->pre_vote;
	if (puppet->votes_yes && link_ready(&puppet->out)) {
		say(puppet, &message);
	}
}

static void append_cb(struct puppet *puppet, const struct frame *frame)
{
	struct append_head head;
	struct append_entry entries[MESSAGE_ENTRIES_MAX];
	if (message_take_append(frame, &head, entries) == 0) {
		uint64_t last = head.previous_index + head.count;
		puppet->appends++;
		puppet->entries += head.count;
		puppet->first_entry = head.count > 0 ? head.previous_index + 1 : puppet->first_entry;
		puppet->last_append = last > puppet->last_append ? last : puppet->last_append;
	}
}

static void frame_cb(struct link *link, const struct frame *frame)
{
	struct puppet *puppet = link->owner;
	struct raft_message message;
	if (link->dialed || link->hello.kind != FRAME_RAFT) {
		return;
	}
	if (frame->type == FRAME_APPEND) {
		append_cb(puppet, frame);
		return;
	}
	if (message_take(frame, 1, &message) != 0) {
		return;
	}
	if (message.type == RAFT_APPEND_ENTRIES_RESULT) {
		puppet->results++;
		puppet->last_result = message.append_entries_result.last_log_index;
		puppet->last_rejected = message.append_entries_result.rejected;
		puppet->last_term = message.append_entries_result.term;
	} else if (message.type == RAFT_REQUEST_VOTE_RESULT) {
		puppet->last_term = message.request_vote_result.term;
		puppet->votes += message.request_vote_result.vote_granted;
		puppet->refusals += !message.request_vote_result.vote_granted;
	} else if (message.type == RAFT_REQUEST_VOTE) {
		answer_vote(puppet, &message.request_vote);
	}
}

static const struct link_events puppet_events = {
	.greeted = greeted_cb,
	.ready = ready_cb,
	.frame = frame_cb,
	.ended = ended_cb,
	.refused = refused_cb,
	.bad_frame = bad_frame_cb,
};

static void accept_cb(void *owner, struct env_stream *stream)
{
	struct puppet *puppet = owner;
	if (puppet->in_count == 8) {
		env_stream_close(stream);
		return;
	}
	struct hello hello = {0x7a11, puppet->id, 1, {1000, 42}, {0, 0}, FRAME_RAFT, 0};
	link_init_accepted(&puppet->in[puppet->in_count++], puppet->env, &puppet_events, puppet, stream,
			   &hello, &puppet->stamp_ms);
}

static bool connected(void *owner)
{
	return link_ready(&((struct puppet *)owner)->out);
}

void puppet_connect(struct puppet *puppet)
{
	sim_run_until(puppet->world->sim, connected, puppet, 5 * (uint64_t)SECOND);
	assert(link_ready(&puppet->out));
}

struct puppet *puppet_new(struct small_world *world, uint64_t id)
{
	struct puppet *puppet = calloc(1, sizeof(*puppet));
	struct hello hello = {0x7a11, id, 1, {1000, 42}, {0, 0}, FRAME_RAFT, 0};
	assert(puppet != NULL && id >= 2 && id <= world->group.count);
	puppet->world = world;
	puppet->id = id;
	puppet->env = sim_host_start(world->hosts[id - 1]);
	puppet->listener =
		env_listen(puppet->env, world->group.members[id - 1].address, accept_cb, puppet, NULL);
	link_init_dialed(&puppet->out, puppet->env, &puppet_events, puppet, "n1:7400", &hello,
			 &puppet->stamp_ms);
	link_dial(&puppet->out);
	puppet_connect(puppet);
	return puppet;
}

void puppet_free(struct puppet *puppet)
{
	sim_host_kill(puppet->world->hosts[puppet->id - 1], SIM_KILL_PROCESS);
	link_fini(&puppet->out);
	for (size_t i = 0; i < puppet->in_count; i++) {
		link_fini(&puppet->in[i]);
	}
	sim_env_free(puppet->env);
	free(puppet);
}

void puppet_say(struct puppet *puppet, const struct raft_message *message)
{
	say(puppet, message);
	small_world_run(puppet->world, 20);
}

bool puppet_candidate(struct puppet *puppet, uint64_t term)
{
	struct raft_message message = {.type = RAFT_REQUEST_VOTE};
	message.request_vote.version = 2;
	message.request_vote.term = term;
	message.request_vote.candidate_id = puppet->id;
	message.request_vote.last_log_index = 100000;
	message.request_vote.last_log_term = term - 1;
	uint64_t before = puppet->votes;
	puppet_connect(puppet);
	say(puppet, &message);
	small_world_run(puppet->world, 50);
	return puppet->votes > before;
}

void puppet_acknowledge(struct puppet *puppet, uint64_t term, uint64_t index)
{
	struct raft_message message = {.type = RAFT_APPEND_ENTRIES_RESULT};
	message.append_entries_result.version = 1;
	message.append_entries_result.term = term;
	message.append_entries_result.last_log_index = index;
	say(puppet, &message);
}

void puppet_log_begin(struct puppet_log *log, const struct group_member *after)
{
	*log = (struct puppet_log){
		.first = after->applied + 1,
		.before_term = after->term_of[after->applied],
		.before = after->chain[after->applied],
	};
}

void puppet_log_add(struct puppet_log *log, uint64_t term, uint8_t type, struct slice payload)
{
	assert(log->count < sizeof(log->entries) / sizeof(log->entries[0]));
	struct entry *entry = entry_new(type, payload);
	struct chain before = log->count == 0 ? log->before : log->entries[log->count - 1]->chain;
	entry->index = log->first + log->count;
	entry->term = term;
	entry->chain = chain_next(before, entry->index, term, type, payload);
	log->entries[log->count++] = entry;
}

void puppet_log_fini(struct puppet_log *log)
{
	for (size_t i = 0; i < log->count; i++) {
		entry_unref(log->entries[i]);
	}
}

void puppet_send(struct puppet *puppet, const struct puppet_log *log, uint64_t term, size_t from,
		 size_t count, uint64_t commit_index)
{
	struct append_head head = {
		.term = term,
		.previous_index = log->first - 1 + from,
		.previous_term = from == 0 ? log->before_term : log->entries[from - 1]->term,
		.previous_chain = from == 0 ? log->before : log->entries[from - 1]->chain,
		.chain_known = true,
		.commit_index = commit_index,
		.count = (uint32_t)count,
	};
	message_send_append(&puppet->out, 0, &head, (struct entry *const *)log->entries + from);
	link_flush(&puppet->out);
	small_world_run(puppet->world, 20);
}

/* ---- death ---- */

bool survives(bool (*body)(void *owner), void *owner)
{
	fflush(NULL);
	pid_t child = fork();
	assert(child >= 0);
	if (child == 0) {
		setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
		dup2(STDERR_FILENO, STDOUT_FILENO); /* its sentences are none of ours */
		mallopt(M_PERTURB, 0x5a);           /* what was freed is no pointer any more */
		alarm(SURVIVAL_S);
		_exit(body(owner) ? 0 : 1);
	}
	int status = 0;
	pid_t ended = waitpid(child, &status, 0);
	assert(ended == child);
	if (WIFSIGNALED(status)) {
		tap_note("killed by signal %d", WTERMSIG(status));
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
