#include "tests/unit/peer_world.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "raft/message.h"

static void frame_cb(void *owner, struct link *from, const struct frame *frame)
{
	struct end *end = owner;
	struct slice bytes;
	end->frames++;
	end->last_type = frame->type;
	end->last_from = from;
	if (frame->type == FRAME_REQUEST || frame->type == FRAME_REPLY) {
		message_take_request(frame, &end->last_token, &end->last_life, &bytes);
	}
}
static void connected_cb(void *owner, uint64_t id, enum frame_connection kind)
{
	((struct end *)owner)->connected++;
}
static void disconnected_cb(void *owner, uint64_t id, enum frame_connection kind)
{
	((struct end *)owner)->disconnected++;
}
static void refused_cb(void *owner, uint64_t id)
{
	((struct end *)owner)->refused++;
}
static void stamp_cb(void *owner, uint64_t stamp_ms)
{
	((struct end *)owner)->stamp_ms = stamp_ms;
}
static void forgotten_cb(void *owner, uint64_t id, struct life remembered)
{
	((struct end *)owner)->forgotten_by = id;
	((struct end *)owner)->forgotten = remembered;
}
const struct transport_events end_events = {
	.frame = frame_cb,
	.connected = connected_cb,
	.disconnected = disconnected_cb,
	.refused = refused_cb,
	.stamp = stamp_cb,
	.forgotten = forgotten_cb,
};

void start(struct pair *pair, size_t i, uint64_t cluster_id)
{
	struct end *end = &pair->ends[i];
	char listen[32];
	snprintf(listen, sizeof(listen), "n%zu:1", i + 1);
	end->env = sim_host_start(end->host);
	struct transport_config config = {.env = end->env,
					  .log = pair->log,
					  .cluster_id = cluster_id,
					  .id = i + 1,
					  .listen = listen,
					  .events = &end_events,
					  .owner = end};
	end->transport = transport_new(&config);
	env_mkdir(end->env, "d");
	env_dir_sync(end->env, ".");
	int opened = lives_open(end->env, "d", &end->lives, NULL);
	assert(opened == 0);
	lives_start(end->lives, env_lane_open(end->env, "log", ENV_LANE_NORMAL), transport_remembered,
		    end->transport);
	transport_set_lives(end->transport, end->lives);
	transport_set_members(end->transport, pair->members[i], true);
	end->connected = end->disconnected = end->refused = end->frames = end->forgotten_by = 0;
	if (i < 2) {
		transport_add(end->transport, 2 - i, i == 0 ? "n2:1" : "n1:1");
	} else {
		transport_add(end->transport, 1, "n1:1");
	}
	int status = transport_start(end->transport, NULL);
	assert(status == 0);
}

void stop(struct pair *pair, size_t i, enum sim_kill kill)
{
	struct end *end = &pair->ends[i];
	if (end->env == NULL) {
		return;
	}
	sim_host_kill(end->host, kill);
	transport_free(end->transport);
	lives_free(end->lives);
	sim_env_free(end->env);
	end->env = NULL;
	end->transport = NULL;
	end->lives = NULL;
}

struct env *stranger(struct pair *pair)
{
	return pair->ends[2].env = sim_host_start(pair->ends[2].host);
}

struct pair *pair_new(uint64_t seed)
{
	struct pair *pair = calloc(1, sizeof(*pair));
	assert(pair != NULL);
	pair->sim = sim_new(seed);
	pair->ends[0].host = sim_host_new(pair->sim, "n1");
	pair->ends[1].host = sim_host_new(pair->sim, "n2");
	pair->ends[2].host = sim_host_new(pair->sim, "n3");
	return pair;
}

void pair_free(struct pair *pair)
{
	for (size_t i = 0; i < 3; i++) {
		stop(pair, i, SIM_KILL_PROCESS);
	}
	sim_free(pair->sim);
	free(pair);
}

void run_ms(struct pair *pair, uint64_t ms)
{
	sim_run(pair->sim, ms * 1000);
}

uint64_t bad_frames(struct end *end)
{
	struct transport_stats stats;
	transport_stats(end->transport, &stats);
	return stats.frames_bad;
}

bool met(struct pair *pair)
{
	return transport_link(pair->ends[0].transport, 2, FRAME_RAFT) != NULL &&
	       transport_link(pair->ends[1].transport, 1, FRAME_RAFT) != NULL;
}

/* ---- a stream by hand ---- */

static void raw_opened(void *owner, int status)
{
	((struct raw *)owner)->open = status == 0;
}
static void raw_data(void *owner, struct slice bytes)
{
	struct raw *raw = owner;
	snprintf(raw->heard, sizeof(raw->heard), "%.*s", (int)bytes.len, (const char *)bytes.data);
}
static void raw_closed(void *owner, int status)
{
	struct raw *raw = owner;
	raw->closed = true;
	raw->closed_us = sim_now_us(raw->sim);
}
static void raw_written(struct env_write *write, int status) {}
static const struct env_stream_events raw_events = {
	.opened = raw_opened, .data = raw_data, .closed = raw_closed};

void raw_dial(struct raw *raw, struct pair *pair, struct env *env)
{
	*raw = (struct raw){.sim = pair->sim, .write.cb = raw_written};
	raw->stream = env_connect(env, "n1:1", &raw_events, raw);
}

void raw_send(struct raw *raw, struct slice bytes)
{
	assert(bytes.len <= sizeof(raw->bytes));
	memcpy(raw->bytes, bytes.data, bytes.len);
	struct slice slice = slice_of(raw->bytes, bytes.len);
	env_stream_write(raw->stream, &raw->write, &slice, 1);
}

void said_line(void *owner, enum log_level level, const char *line)
{
	struct said *said = owner;
	for (size_t i = 0; i < 2; i++) {
		if (said->words[i] != NULL && strstr(line, said->words[i]) != NULL) {
			snprintf(said->line, sizeof(said->line), "%s", line);
			said->count++;
		}
	}
}

void count_lines(void *owner, enum log_level level, const char *line)
{
	struct lines *lines = owner;
	const char *dropped = strstr(line, "peer_lines_dropped count=");
	lines->all += strstr(line, "reached ") == NULL;
	lines->too_old += strstr(line, "peer_remembers_too_old") != NULL;
	lines->dropped = dropped == NULL ? lines->dropped : strtoull(dropped + 25, NULL, 10);
}
