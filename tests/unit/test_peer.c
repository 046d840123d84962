/* Connections between members, in simulated time. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "raft/message.h"
#include "raft/peer/transport.h"
#include "tests/lib/tap.h"
#include "tests/sim/sim.h"

#define SECOND 1000000
#define CLUSTER 77
#define DEAF_PINGS 100000 /* their pongs are several times what a connection holds on its way */

struct end {
	struct sim_host *host;
	struct env *env;
	struct transport *transport;
	struct lives *lives;
	struct life forgotten; /* what another remembers and we do not */
	uint64_t forgotten_by;
	uint64_t frames, connected, disconnected, refused, stamp_ms;
	uint8_t last_type;
	uint64_t last_token, last_life;
	struct link *last_from;
	bool closed;
};
struct pair {
	struct sim *sim;
	struct end ends[3];
	struct log *log; /* of those that start from now on, or NULL */
	uint32_t members[3];
};

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
static const struct transport_events events = {
	.frame = frame_cb,
	.connected = connected_cb,
	.disconnected = disconnected_cb,
	.refused = refused_cb,
	.stamp = stamp_cb,
	.forgotten = forgotten_cb,
};

static void start(struct pair *pair, size_t i, uint64_t cluster_id)
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
					  .events = &events,
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

static void stop(struct pair *pair, size_t i, enum sim_kill kill)
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
}

static struct pair *pair_new(uint64_t seed)
{
	struct pair *pair = calloc(1, sizeof(*pair));
	assert(pair != NULL);
	pair->sim = sim_new(seed);
	pair->ends[0].host = sim_host_new(pair->sim, "n1");
	pair->ends[1].host = sim_host_new(pair->sim, "n2");
	pair->ends[2].host = sim_host_new(pair->sim, "n3");
	return pair;
}

static void pair_free(struct pair *pair)
{
	for (size_t i = 0; i < 3; i++) {
		stop(pair, i, SIM_KILL_PROCESS);
	}
	sim_free(pair->sim);
	free(pair);
}

static void run_ms(struct pair *pair, uint64_t ms)
{
	sim_run(pair->sim, ms * 1000);
}
static uint64_t bad_frames(struct end *end)
{
	struct transport_stats stats;
	transport_stats(end->transport, &stats);
	return stats.frames_bad;
}

static void test_connects(void)
{
	struct pair *pair = pair_new(1);
	struct end *a = &pair->ends[0], *b = &pair->ends[1];
	start(pair, 0, CLUSTER);
	run_ms(pair, 3000);
	ok(a->refused > 5 && a->refused < 60,
	   "a member that is not there is dialed again, with back-off (%llu in 3 s)",
	   (unsigned long long)a->refused);
	start(pair, 1, CLUSTER);
	run_ms(pair, 20);
	ok(a->connected == 2 && b->connected == 2,
	   "when it comes both dial at once, for raft and for requests");
	struct link *link = transport_link(a->transport, 2, FRAME_RAFT);
	transport_stamp(a->transport, 5000);
	transport_hold(a->transport, true);
	message_send_probe(link, transport_highest_stamp(a->transport), FRAME_PROBE, 1, 2);
	transport_flush(a->transport);
	run_ms(pair, 400);
	ok(b->frames == 0, "while held nothing leaves");
	transport_hold(a->transport, false);
	run_ms(pair, 5);
	ok(b->frames == 1 && b->last_type == FRAME_PROBE, "released it leaves");
	ok(b->stamp_ms == 5000, "with the highest stamp");
	message_send_request(transport_link(b->transport, 1, FRAME_REQUESTS), 1, FRAME_REQUEST, 99,
			     SLICE_LIT("question"));
	transport_flush(b->transport);
	run_ms(pair, 5);
	ok(a->last_type == FRAME_REQUEST && a->last_token == 99 && !a->last_from->dialed,
	   "a request comes by the peer's own connection");
	message_send_request(transport_requester(a->transport, 2), 1, FRAME_REPLY, 99, SLICE_LIT("answer"));
	transport_flush(a->transport);
	run_ms(pair, 5);
	ok(b->last_type == FRAME_REPLY && b->last_from->dialed, "the answer goes back on it");
	transport_hold(a->transport, true);
	message_send_request(transport_requester(a->transport, 2), 1, FRAME_REPLY, 99, SLICE_LIT("held"));
	run_ms(pair, 3000);
	ok(b->frames == 2 && b->disconnected == 0,
	   "while held who asks is answered that we are there, and gets nothing else");
	transport_hold(a->transport, false);
	run_ms(pair, 5);
	is_int(b->frames, 3, "released the rest follows");
	run_ms(pair, 10000);
	ok(a->disconnected == 0 && b->disconnected == 0 && b->frames == 3,
	   "idle links stay, and tell nobody of their pings");
	transport_hold(a->transport, true);
	run_ms(pair, 3000);
	transport_hold(a->transport, false);
	run_ms(pair, 3000);
	ok(a->disconnected == 0 && b->disconnected == 0,
	   "while held it asks nobody, and takes nobody's silence amiss afterwards");
	stop(pair, 1, SIM_KILL_PROCESS);
	uint64_t refused = a->refused;
	run_ms(pair, 15);
	ok(a->disconnected == 2 && a->refused > refused,
	   "a process that is killed is noticed, and refused, at once");
	pair_free(pair);
}

static void test_silence(void)
{
	struct pair *pair = pair_new(2);
	struct end *a = &pair->ends[0], *b = &pair->ends[1];
	start(pair, 0, CLUSTER);
	start(pair, 1, CLUSTER);
	run_ms(pair, 100);
	for (size_t i = 0; i < 2; i++) {
		sim_link(pair->sim, pair->ends[i].host, pair->ends[1 - i].host)->cut = true;
	}
	run_ms(pair, 30000);
	ok(a->disconnected == 2 && transport_link(a->transport, 2, FRAME_RAFT) == NULL,
	   "a link on which nobody answers is given up");
	is_int(a->refused, 0, "that is no refusal");
	for (size_t i = 0; i < 2; i++) {
		sim_link(pair->sim, pair->ends[i].host, pair->ends[1 - i].host)->cut = false;
	}
	sim_links_healed(pair->sim);
	run_ms(pair, 1500);
	ok(transport_link(a->transport, 2, FRAME_RAFT) != NULL &&
		   transport_link(b->transport, 1, FRAME_RAFT) != NULL,
	   "soon after the partition has healed there are new ones");
	sim_host_pause(b->host);
	run_ms(pair, 1500);
	ok(transport_link(a->transport, 2, FRAME_RAFT) == NULL, "a paused process is silence too");
	sim_host_resume(b->host);
	run_ms(pair, 1500);
	ok(transport_link(a->transport, 2, FRAME_RAFT) != NULL, "and is back when it is");
	pair_free(pair);
}

/* The last line about a member that is not reached, or is again; how many. */
struct reached {
	char line[1024];
	unsigned count;
};

static void reached_line(void *owner, enum log_level level, const char *line)
{
	struct reached *reached = owner;
	if (strstr(line, " peer_unreached ") != NULL || strstr(line, " peer_reached ") != NULL) {
		snprintf(reached->line, sizeof(reached->line), "%s", line);
		reached->count++;
	}
}

static void test_unreached(void)
{
	struct pair *pair = pair_new(12);
	struct reached reached = {.line = ""};
	struct log log = {.sink = reached_line, .owner = &reached};
	pair->log = &log;
	start(pair, 0, CLUSTER);
	run_ms(pair, 4000);
	is_int(reached.count, 0, "a member that starts is waited for in silence");
	run_ms(pair, 30000);
	is_int(reached.count, 1, "one that is not there is said, once");
	ok(strstr(reached.line, "peer=2 address=n2:1 ") != NULL &&
		   strstr(reached.line, "nobody listens there") != NULL,
	   "with the address that was tried, and why");
	pair->log = NULL;
	start(pair, 1, CLUSTER);
	run_ms(pair, 1500);
	ok(reached.count == 2 && strstr(reached.line, " peer_reached peer=2 ") != NULL, "so is that it came");
	sim_host_pause(pair->ends[1].host);
	run_ms(pair, 10000);
	ok(reached.count == 3 && strstr(reached.line, "nothing answers") != NULL,
	   "a machine that is silent is told from a port that nobody has (%s)", reached.line);
	sim_host_resume(pair->ends[1].host);
	run_ms(pair, 1500);
	stop(pair, 1, SIM_KILL_PROCESS);
	start(pair, 1, CLUSTER + 1);
	run_ms(pair, 6000);
	ok(reached.count == 5 && strstr(reached.line, "does not let the other in") != NULL,
	   "and both from one that does not let us in (%s)", reached.line);
	pair_free(pair);
}

/* What comes behind it would be taken for its body: the pings, too. */
static void test_damaged_length(void)
{
	struct pair *pair = pair_new(13);
	start(pair, 0, CLUSTER);
	start(pair, 1, CLUSTER);
	run_ms(pair, 1000);
	struct link *link = transport_link(pair->ends[0].transport, 2, FRAME_RAFT);
	struct buf *out = link_out(link);
	size_t begin = frame_begin(out, FRAME_PING, 1);
	frame_end(out, begin, 0);
	bytes_put_u32(out->data + begin + 16, KIB(512));
	link_out_done(link);
	link_flush(link);
	run_ms(pair, 100);
	ok(pair->ends[0].disconnected == 1 && bad_frames(&pair->ends[1]) == 1 &&
		   transport_link(pair->ends[0].transport, 2, FRAME_RAFT) != NULL,
	   "a frame whose length was damaged costs the connection at once, and there is a new one");
	pair_free(pair);
}

/* n1 says to n2 what takes long, or n2 answers so. */
static struct pair *long_frame(uint64_t seed, bool answer, uint32_t bytes_per_ms)
{
	struct pair *pair = pair_new(seed);
	struct end *a = &pair->ends[0], *b = &pair->ends[1];
	start(pair, 0, CLUSTER);
	start(pair, 1, CLUSTER);
	run_ms(pair, 1000);
	sim_link(pair->sim, answer ? b->host : a->host, answer ? a->host : b->host)->bytes_per_ms =
		bytes_per_ms;
	uint8_t *bytes = calloc(1, KIB(512));
	struct link *link = answer ? transport_requester(b->transport, 1)
				   : transport_link(a->transport, 2, FRAME_REQUESTS);
	message_send_request(link, 1, answer ? FRAME_REPLY : FRAME_REQUEST, 7, slice_of(bytes, KIB(512)));
	link_flush(link);
	free(bytes);
	return pair;
}

static void test_long_frame(void)
{
	for (int answer = 0; answer < 2; answer++) {
		const char *what = answer ? "an answer" : "a request";
		struct pair *pair = long_frame(14, answer, 32);
		struct end *a = &pair->ends[0], *to = &pair->ends[answer ? 0 : 1];
		run_ms(pair, 10000);
		ok(to->frames == 0 && a->disconnected == 0, "%s that takes seconds keeps its connection",
		   what);
		run_ms(pair, 10000);
		ok(to->last_token == 7 && a->disconnected == 0, "and arrives over 256 kbit/s");
		pair_free(pair);

		pair = long_frame(15, answer, 4);
		a = &pair->ends[0];
		run_ms(pair, 3000);
		ok(a->disconnected == 1 && transport_link(a->transport, 2, FRAME_REQUESTS) != NULL,
		   "%s that trickles does not: its connection is given up, and there is a new one", what);
		pair_free(pair);

		pair = long_frame(16, answer, 100);
		a = &pair->ends[0];
		run_ms(pair, 2000);
		sim_link(pair->sim, a->host, pair->ends[1].host)->cut = true;
		sim_link(pair->sim, pair->ends[1].host, a->host)->cut = true;
		run_ms(pair, 1500);
		ok(a->disconnected == 2, "nor %s of which nothing comes any more", what);
		pair_free(pair);
	}
}

static void refused_line(void *owner, enum log_level level, const char *line)
{
	struct reached *refused = owner;
	if (strstr(line, " peer_refused ") != NULL || strstr(line, " peer_bad_frame ") != NULL) {
		snprintf(refused->line, sizeof(refused->line), "%s", line);
		refused->count++;
	}
}

/* The last line that has something to correct. */
static void keep_line(void *owner, enum log_level level, const char *line)
{
	if (strstr(line, " peer_refused ") != NULL) {
		snprintf(owner, 1024, "%s", line);
	}
}

static void test_who_may_come_in(void)
{
	struct pair *pair = pair_new(3);
	char line[1024] = "";
	struct log log = {.sink = keep_line, .owner = line};
	pair->log = &log;
	struct end *a = &pair->ends[0], *b = &pair->ends[1], *c = &pair->ends[2];
	start(pair, 0, CLUSTER);
	start(pair, 1, CLUSTER + 1);
	run_ms(pair, 500);
	ok(a->connected == 0 && b->connected == 0 && bad_frames(a) > 0,
	   "a member of another cluster is refused");
	ok(strstr(line, "it is of another cluster: compare the setting cluster") != NULL,
	   "and the line says what to compare");
	start(pair, 2, CLUSTER);
	run_ms(pair, 500);
	ok(c->connected == 0, "a member that is in no configuration is refused");
	ok(strstr(line, " from=3 ") != NULL &&
		   strstr(line, "no other member of ours has the id from=") != NULL,
	   "and the line says which id no member has");
	stop(pair, 1, SIM_KILL_PROCESS);
	stop(pair, 2, SIM_KILL_PROCESS);
	start(pair, 1, CLUSTER);
	run_ms(pair, 500);
	ok(a->connected == 2, "the right one is not");
	stop(pair, 1, SIM_KILL_PROCESS);
	transport_add(a->transport, 3, "n2:1");
	start(pair, 1, CLUSTER);
	run_ms(pair, 500);
	ok(strstr(line, " from=1 to=3 ") != NULL && strstr(line, "give our address to member to=") != NULL,
	   "an address in the line of the wrong member is told by who listens there");
	pair_free(pair);
}

/* A stream by hand. */
struct raw {
	char heard[128]; /* what came last */
	struct env_stream *stream;
	struct env_write write;
	uint8_t bytes[256];
	bool closed, open;
	uint64_t closed_us;
	struct sim *sim;
};
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

static void raw_dial(struct raw *raw, struct pair *pair, struct env *env)
{
	*raw = (struct raw){.sim = pair->sim, .write.cb = raw_written};
	raw->stream = env_connect(env, "n1:1", &raw_events, raw);
}

static void raw_send(struct raw *raw, struct slice bytes)
{
	assert(bytes.len <= sizeof(raw->bytes));
	memcpy(raw->bytes, bytes.data, bytes.len);
	struct slice slice = slice_of(raw->bytes, bytes.len);
	env_stream_write(raw->stream, &raw->write, &slice, 1);
}

/* A length that the head proves. */
static void claim(uint8_t *head, uint32_t body_bytes)
{
	bytes_put_u32(head + 16, body_bytes);
	bytes_put_u64(head, checksum64(slice_of(head + 8, FRAME_HEAD - 8)));
}

static void test_bad_bytes(void)
{
	struct pair *pair = pair_new(4);
	struct end *a = &pair->ends[0];
	start(pair, 0, CLUSTER);
	struct env *env = sim_host_start(pair->ends[2].host);
	struct raw silent, garbage, early, large, long_hello;
	uint64_t at = sim_now_us(pair->sim);
	raw_dial(&silent, pair, env);
	raw_dial(&garbage, pair, env);
	raw_dial(&early, pair, env);
	raw_dial(&large, pair, env);
	raw_dial(&long_hello, pair, env);
	run_ms(pair, 50);
	raw_send(&garbage, SLICE_LIT("GET / HTTP/1.1\r\nHost: a.shop.example\r\n\r\n"));
	struct buf out;
	buf_init(&out, 4096);
	frame_end(&out, frame_begin(&out, FRAME_PING, 1), 0);
	raw_send(&early, buf_slice(&out));
	claim(out.data, 0x7f000000);
	raw_send(&large, buf_slice(&out));
	claim(out.data, LIMIT_HELLO + 1);
	raw_send(&long_hello, buf_slice(&out));
	buf_fini(&out);
	run_ms(pair, 50);
	ok(garbage.closed, "another protocol is closed");
	ok(early.closed, "a frame before the hello is closed");
	ok(large.closed, "a length over the bound is closed before the body comes");
	ok(long_hello.closed, "so is, from a stranger, whatever is longer than a hello");
	is_int(bad_frames(a), 4, "and all are counted");
	ok(!silent.closed, "who says nothing yet may stay");
	run_ms(pair, 6000);
	ok(silent.closed && silent.closed_us - at >= 4900000 && silent.closed_us - at < 5500000,
	   "for five seconds");
	struct raw many[TRANSPORT_GREETING_MAX + 8];
	unsigned open = 0;
	for (size_t i = 0; i < TRANSPORT_GREETING_MAX + 8; i++) {
		raw_dial(&many[i], pair, env);
		run_ms(pair, 1);
	}
	run_ms(pair, 100);
	for (size_t i = 0; i < TRANSPORT_GREETING_MAX + 8; i++) {
		open += !many[i].closed;
	}
	is_int(open, TRANSPORT_GREETING_MAX, "only so many may wait to say who they are");
	sim_host_kill(pair->ends[2].host, SIM_KILL_PROCESS);
	sim_env_free(env);
	pair_free(pair);
}

struct lines {
	unsigned all, too_old;
	unsigned long long dropped; /* as told last */
};

static void count_lines(void *owner, enum log_level level, const char *line)
{
	struct lines *lines = owner;
	const char *dropped = strstr(line, "peer_lines_dropped count=");
	lines->all += strstr(line, "reached ") == NULL;
	lines->too_old += strstr(line, "peer_remembers_too_old") != NULL;
	lines->dropped = dropped == NULL ? lines->dropped : strtoull(dropped + 25, NULL, 10);
}

/* Who knocks again and again. */
/* The head of a hello as it was before heads had a checksum. */
static void test_other_version(void)
{
	struct pair *pair = pair_new(17);
	struct reached refused = {.line = ""};
	struct log log = {.sink = refused_line, .owner = &refused};
	pair->log = &log;
	start(pair, 0, CLUSTER);
	struct env *env = sim_host_start(pair->ends[2].host);
	uint8_t head[96] = {1, 2, 3, 4, 5, 6, 7, 8, 'T', 'L', 'Y', 'P', 1, FRAME_HELLO};
	head[16] = head[20] = 64;
	bool closed = true;
	for (unsigned i = 0; i < 20; i++) {
		struct raw raw;
		raw_dial(&raw, pair, env);
		run_ms(pair, 50);
		raw_send(&raw, slice_of(head, sizeof(head)));
		run_ms(pair, 50);
		closed &= raw.closed;
	}
	ok(closed && refused.count == 1 && strstr(refused.line, "another format between members") != NULL,
	   "one of another version is refused, and said once (%u: %s)", refused.count, refused.line);
	sim_host_kill(pair->ends[2].host, SIM_KILL_PROCESS);
	sim_env_free(env);
	pair_free(pair);
}

static void client_line(void *owner, enum log_level level, const char *line)
{
	*(unsigned *)owner += strstr(line, " client_on_peer_port ") != NULL;
}

static void test_client(void)
{
	struct pair *pair = pair_new(18);
	unsigned lines = 0;
	struct log log = {.sink = client_line, .owner = &lines};
	pair->log = &log;
	start(pair, 0, CLUSTER);
	struct env *env = sim_host_start(pair->ends[2].host);
	struct raw whole, pieces;
	raw_dial(&whole, pair, env);
	raw_dial(&pieces, pair, env);
	run_ms(pair, 50);
	raw_send(&whole, SLICE_LIT("*1\r\n$4\r\nPING\r\n"));
	raw_send(&pieces, SLICE_LIT("*1\r\n$4\r\n"));
	run_ms(pair, 50);
	ok(whole.closed && !pieces.closed, "a command of a Redis client is closed at once, however short");
	is_str(whole.heard,
	       "-ERR this is the port between nodes: clients use the port of the setting listen, 7401 unless set\r\n",
	       "and answered with an error that says why");
	raw_send(&pieces, SLICE_LIT("PING\r\n"));
	run_ms(pair, 50);
	ok(pieces.closed && strcmp(pieces.heard, whole.heard) == 0, "so is one in pieces");
	is_int(lines, 2, "the log says it, too");
	sim_host_kill(pair->ends[2].host, SIM_KILL_PROCESS);
	sim_env_free(env);
	pair_free(pair);
}

static void test_few_words(void)
{
	struct pair *pair = pair_new(11);
	struct end *a = &pair->ends[0];
	struct lines lines = {0};
	struct log log = {.sink = count_lines, .owner = &lines};
	pair->log = &log;
	start(pair, 0, CLUSTER);
	struct env *env = sim_host_start(pair->ends[2].host);
	struct raw raw[300];
	run_ms(pair, 1050);
	for (size_t i = 0; i < 300; i++) {
		raw_dial(&raw[i], pair, env);
		run_ms(pair, 1);
		raw_send(&raw[i], SLICE_LIT("GET / HTTP/1.1\r\nHost: a.shop.example\r\n\r\n"));
		run_ms(pair, 1);
	}
	is_int(bad_frames(a), 300, "three hundred strangers in less than a second are counted");
	ok(lines.all <= 11, "and cost a few lines (%u)", lines.all);
	run_ms(pair, 1000);
	is_int((long long)lines.dropped + lines.all - 1, 300,
	       "the last of which tells how many there were not");
	sim_host_kill(pair->ends[2].host, SIM_KILL_PROCESS);
	sim_env_free(env);
	pair_free(pair);
}

/* As many entries as fit a frame, each sent by reference, none of ours between them. */
static void test_many_payloads(void)
{
	static const uint8_t zeroes[2000];
	struct pair *pair = pair_new(6);
	struct end *a = &pair->ends[0], *b = &pair->ends[1];
	start(pair, 0, CLUSTER);
	start(pair, 1, CLUSTER);
	run_ms(pair, 100);
	struct entry *entries[MESSAGE_ENTRIES_MAX];
	for (size_t i = 0; i < MESSAGE_ENTRIES_MAX; i++) {
		entries[i] = entry_new(ENTRY_COMMAND, slice_of(zeroes, sizeof(zeroes)));
		entries[i]->index = 11 + i;
		entries[i]->term = 1;
	}
	struct link *link = transport_link(a->transport, 2, FRAME_RAFT);
	struct append_head head = {.term = 1,
				   .previous_index = 10,
				   .previous_term = 1,
				   .chain_known = true,
				   .count = MESSAGE_ENTRIES_MAX};
	message_send_append(link, 1, &head, entries);
	size_t unsent = link_unsent(link);
	transport_flush(a->transport);
	ok(unsent > sizeof(zeroes) * MESSAGE_ENTRIES_MAX, "payloads that wait are counted as unsent");
	run_ms(pair, 5);
	ok(b->frames == 1 && b->last_type == FRAME_APPEND,
	   "an append with more payloads than one write takes leaves whole, not with the next frame");
	for (size_t i = 0; i < MESSAGE_ENTRIES_MAX; i++) {
		entry_unref(entries[i]);
	}
	pair_free(pair);
}

/* ---- lives ---- */

static bool met(struct pair *pair)
{
	return transport_link(pair->ends[0].transport, 2, FRAME_RAFT) != NULL &&
	       transport_link(pair->ends[1].transport, 1, FRAME_RAFT) != NULL;
}

static void test_lost_memory(void)
{
	struct pair *pair = pair_new(7);
	struct end *a = &pair->ends[0], *b = &pair->ends[1];
	start(pair, 0, CLUSTER);
	start(pair, 1, CLUSTER);
	run_ms(pair, 100);
	struct life first = lives_own(b->lives);
	ok(met(pair) && life_equal(lives_of(a->lives, 2), first), "who has met a member remembers its life");
	stop(pair, 1, SIM_KILL_PROCESS);
	sim_disk_copy(b->host, pair->ends[2].host);
	start(pair, 1, CLUSTER);
	run_ms(pair, 100);
	struct life second = lives_own(b->lives);
	ok(met(pair) && b->forgotten_by == 0 && life_equal(lives_of(a->lives, 2), second),
	   "its next one is taken: it has lived the one before");
	stop(pair, 1, SIM_KILL_PROCESS);
	sim_disk_copy(pair->ends[2].host, b->host);
	start(pair, 1, CLUSTER);
	run_ms(pair, 1000);
	ok(b->forgotten_by == 1 && life_equal(b->forgotten, second) && b->connected == 0,
	   "an older copy of its directory is told what it does not know, and never comes in");
	ok(life_equal(lives_of(a->lives, 2), second), "nor is it remembered in the other's place");
	stop(pair, 1, SIM_KILL_PROCESS);
	sim_disk_wipe(b->host);
	start(pair, 1, CLUSTER);
	run_ms(pair, 1000);
	ok(b->forgotten_by == 1 && b->connected == 0 && life_equal(lives_of(a->lives, 2), second),
	   "nor does an empty one");
	ok(a->forgotten_by == 0, "the one that remembers is not to blame");
	pair_free(pair);
}

static void test_after_a_power_cut(void)
{
	struct pair *pair = pair_new(10);
	start(pair, 0, CLUSTER);
	start(pair, 1, CLUSTER);
	run_ms(pair, 100);
	stop(pair, 1, SIM_KILL_POWER);
	run_ms(pair, 100);
	start(pair, 1, CLUSTER);
	run_ms(pair, 30);
	ok(met(pair) && life_equal(transport_link(pair->ends[0].transport, 2, FRAME_RAFT)->peer_life,
				   lives_own(pair->ends[1].lives)),
	   "one that comes back without a word to its old connections is dialed at once");
	pair_free(pair);
}

/* A supervisor starts a member again and again whose port another process has. */
static void test_port_taken(void)
{
	struct pair *pair = pair_new(11);
	start(pair, 0, CLUSTER);
	struct end *end = &pair->ends[0];
	struct lives *lives = NULL;
	env_mkdir(end->env, "other");
	for (int i = 0; i < 3; i++) {
		struct transport_config config = {.env = end->env,
						  .log = pair->log,
						  .cluster_id = CLUSTER,
						  .id = 2,
						  .listen = "n1:1",
						  .events = &events,
						  .owner = end};
		struct transport *transport = transport_new(&config);
		struct err err = {0};
		lives_open(end->env, "other", &lives, &err);
		transport_set_lives(transport, lives);
		int status = transport_start(transport, &err);
		ok(status != 0 && strstr(err.text, "n1:1") != NULL, "a port that is taken is refused: %s",
		   err.text);
		transport_free(transport);
		lives_free(lives);
	}
	lives_open(end->env, "other", &lives, NULL);
	lives_begin(lives, NULL);
	is_int((long long)lives_own(lives).start, 1, "and none of these starts was a life");
	lives_free(lives);
	pair_free(pair);
}

/* As many starts later as a directory keeps, without having met. */
static void live_long(struct pair *pair, size_t i)
{
	struct env *env = sim_host_start(pair->ends[i].host);
	struct lives_image *image = calloc(1, sizeof(*image));
	struct env_file *file;
	struct buf out;
	assert(image != NULL);
	*image = (struct lives_image){
		.sequence = 9000, .start = LIVES_OWN_MAX + 9, .own_count = LIVES_OWN_MAX};
	buf_init(&out, LIVES_BYTES_MAX);
	int status = env_file_open(env, "d/lives", ENV_FILE_WRITE, &file);
	for (int slot = COPIES_A; slot <= COPIES_B && status == 0; slot++) {
		buf_reset(&out);
		lives_encode(&out, (enum copies_slot)slot, image);
		status = env_file_write(file, slot == COPIES_A ? 0 : LIVES_STRIDE, out.data, out.len);
	}
	assert(status == 0);
	env_file_close(file);
	buf_fini(&out);
	free(image);
	sim_host_kill(pair->ends[i].host, SIM_KILL_PROCESS);
	sim_env_free(env);
}

static void test_too_old(void)
{
	struct pair *pair = pair_new(12);
	struct end *a = &pair->ends[0], *b = &pair->ends[1];
	struct lines lines = {0};
	struct log log = {.sink = count_lines, .owner = &lines};
	start(pair, 0, CLUSTER);
	start(pair, 1, CLUSTER);
	run_ms(pair, 100);
	stop(pair, 1, SIM_KILL_PROCESS);
	live_long(pair, 1);
	pair->log = &log;
	start(pair, 1, CLUSTER);
	run_ms(pair, 10000);
	ok(b->connected == 0 && b->forgotten_by == 0 && lives_of(a->lives, 2).start == 1,
	   "who is remembered from longer ago than its directory knows proves nothing, and is not to blame");
	ok(lines.too_old == 1 && lines.all == 1, "it says so once, however often it dials (%u of %u lines)",
	   lines.too_old, lines.all);
	pair_free(pair);
}

/* Who cannot write down whom it meets does not talk to it, and tries again. */
static void test_not_remembered(void)
{
	struct pair *pair = pair_new(8);
	struct end *a = &pair->ends[0], *b = &pair->ends[1];
	start(pair, 0, CLUSTER);
	sim_disk_faults(a->host)->sync_error_per_million = 1000000;
	start(pair, 1, CLUSTER);
	run_ms(pair, 2000);
	ok(b->connected == 0 && a->connected == 2, "a disk that refuses lets nobody in");
	sim_disk_faults(a->host)->sync_error_per_million = 0;
	run_ms(pair, 1000);
	ok(b->connected == 2 && life_equal(lives_of(a->lives, 2), lives_own(b->lives)),
	   "when it is well again it does");
	stop(pair, 0, SIM_KILL_POWER);
	start(pair, 0, CLUSTER);
	ok(life_equal(lives_of(a->lives, 2), lives_own(b->lives)), "and that survives a power cut");
	pair_free(pair);
}

/* Two that were set different members, and a third start with the right ones. */
static void test_other_members(void)
{
	struct pair *pair = pair_new(10);
	struct end *a = &pair->ends[0], *b = &pair->ends[1];
	struct lines lines = {0};
	struct log log = {.sink = count_lines, .owner = &lines};
	pair->log = &log;
	pair->members[0] = 7;
	pair->members[1] = 8;
	start(pair, 0, CLUSTER);
	start(pair, 1, CLUSTER);
	run_ms(pair, 1000);
	ok(a->connected == 0 && b->connected == 0, "members that were set differently do not meet");
	ok(lives_of(a->lives, 2).start == 0 && lives_of(b->lives, 1).start == 0,
	   "and remember nothing of each other, so that one may begin again");
	run_ms(pair, 500000);
	ok(bad_frames(a) > 100 && lines.all == 2,
	   "both say so once, however often they dial (%u lines for %llu)", lines.all,
	   (unsigned long long)bad_frames(a));
	run_ms(pair, 100000);
	is_int(lines.all, 4, "and again after ten minutes");
	stop(pair, 1, SIM_KILL_PROCESS);
	pair->members[1] = 7;
	start(pair, 1, CLUSTER);
	run_ms(pair, 1000);
	ok(met(pair), "with the same members they do");
	stop(pair, 1, SIM_KILL_PROCESS);
	pair->members[1] = 8;
	start(pair, 1, CLUSTER);
	run_ms(pair, 1000);
	is_int(lines.all, 6, "and when they are set differently again, that is news");
	pair_free(pair);
}

static void raw_hello(struct raw *raw, struct life life, struct life seen)
{
	struct hello hello = {CLUSTER, 2, 1, life, seen, FRAME_RAFT, 0};
	struct buf out;
	buf_init(&out, 4096);
	hello_encode(&out, &hello, 1);
	raw_send(raw, buf_slice(&out));
	buf_fini(&out);
}

/* What a network delivers again proves nothing against anybody. */
static void test_old_hellos(void)
{
	struct pair *pair = pair_new(9);
	struct end *a = &pair->ends[0], *b = &pair->ends[1];
	struct life none = {0, 0}, lives[3];
	start(pair, 0, CLUSTER);
	for (unsigned i = 0; i < 3; i++) {
		stop(pair, 1, SIM_KILL_PROCESS);
		start(pair, 1, CLUSTER);
		run_ms(pair, 100);
		lives[i] = lives_own(b->lives);
	}
	struct env *env = sim_host_start(pair->ends[2].host);
	struct raw old, proof, twice;
	raw_dial(&old, pair, env);
	raw_dial(&proof, pair, env);
	raw_dial(&twice, pair, env);
	run_ms(pair, 50);
	raw_hello(&old, lives[1], none);
	raw_hello(&proof, lives[1], none);
	raw_hello(&twice, lives[1], lives[2]);
	run_ms(pair, 50);
	raw_hello(&proof, lives[1], lives[0]);
	run_ms(pair, 50);
	ok(met(pair) && b->disconnected == 0 && b->forgotten_by == 0 && a->disconnected == 4,
	   "hellos of an earlier life drop no connection of this one");
	ok(life_equal(lives_of(a->lives, 2), lives[2]),
	   "nor do they take its place, with or without their proof");
	ok(twice.closed, "an earlier life that would have lived this one is closed");
	run_ms(pair, 6000);
	ok(old.closed && proof.closed && met(pair), "in the end all of them are");
	sim_host_kill(pair->ends[2].host, SIM_KILL_PROCESS);
	sim_env_free(env);
	pair_free(pair);
}

/* Pings without end, and no look at what comes back until later. */
struct deaf {
	struct env_stream *stream;
	struct env_write write;
	struct buf pings;
	uint64_t heard; /* bytes */
};
static void deaf_data(void *owner, struct slice bytes)
{
	((struct deaf *)owner)->heard += bytes.len;
}
static void deaf_closed(void *owner, int status) {}
static const struct env_stream_events deaf_events = {.data = deaf_data, .closed = deaf_closed};

static void deaf_send(struct deaf *deaf, struct pair *pair)
{
	struct slice bytes = buf_slice(&deaf->pings);
	env_stream_write(deaf->stream, &deaf->write, &bytes, 1);
	run_ms(pair, 2000);
	buf_reset(&deaf->pings);
}

static void deaf_ping(struct deaf *deaf)
{
	frame_end(&deaf->pings, frame_begin(&deaf->pings, FRAME_PING, 1), 0);
}

static void test_deaf(void)
{
	struct pair *pair = pair_new(11);
	start(pair, 0, CLUSTER);
	struct env *env = sim_host_start(pair->ends[2].host);
	struct deaf deaf = {.write.cb = raw_written};
	struct hello hello = {CLUSTER, 2, 1, {5, 6}, {0, 0}, FRAME_RAFT, 0};
	buf_init(&deaf.pings, MIB(8));
	deaf.stream = env_connect(env, "n1:1", &deaf_events, &deaf);
	run_ms(pair, 50);
	hello_encode(&deaf.pings, &hello, 1);
	deaf_send(&deaf, pair);
	uint64_t hello_bytes = deaf.heard;
	deaf_ping(&deaf);
	size_t frame_bytes = deaf.pings.len + 8; /* of a pong, which has a clock */
	deaf_send(&deaf, pair);
	ok(hello_bytes > 0 && deaf.heard == hello_bytes + frame_bytes, "a ping is answered with a pong");

	env_stream_pause(deaf.stream);
	for (size_t i = 0; i < DEAF_PINGS; i++) {
		deaf_ping(&deaf);
	}
	deaf_send(&deaf, pair);
	deaf.heard = 0;
	env_stream_resume(deaf.stream);
	run_ms(pair, 2000);
	ok(deaf.heard > 0 && deaf.heard < DEAF_PINGS * frame_bytes / 2,
	   "whoever pings and does not read has one pong waiting, not one for each ping");
	deaf.heard = 0;
	deaf_ping(&deaf);
	deaf_send(&deaf, pair);
	is_int(deaf.heard, frame_bytes, "and is answered again when it reads again");
	sim_host_kill(pair->ends[2].host, SIM_KILL_PROCESS);
	buf_fini(&deaf.pings);
	sim_env_free(env);
	pair_free(pair);
}

/* How far the clocks of a majority are from this member's own, in ms. */
static int64_t agreed(const struct end *end)
{
	uint64_t clock_ms = transport_clock_ms(end->transport);
	return clock_ms == 0 ? INT64_MIN : (int64_t)(clock_ms - env_wall_ms(end->env));
}

static void test_clocks(void)
{
	struct pair *pair = pair_new(12);
	struct end *a = &pair->ends[0], *b = &pair->ends[1];
	start(pair, 0, CLUSTER);
	ok(agreed(a) == INT64_MIN, "one of two alone knows of no majority's clocks");
	start(pair, 1, CLUSTER);
	run_ms(pair, 20);
	ok(met(pair) && agreed(a) <= 0 && agreed(a) >= -5 && agreed(b) <= 0 && agreed(b) >= -5,
	   "as soon as they have met both do");
	sim_host_wall_jump(b->host, 3600000);
	run_ms(pair, 500);
	ok(agreed(a) >= -5 && agreed(a) <= 0, "a clock that is ahead is not a majority's");
	ok(agreed(b) >= -3600005 && agreed(b) <= -3599990, "for the one that has it either");
	sim_host_wall_jump(b->host, -7200000);
	run_ms(pair, 500);
	ok(agreed(a) >= -3600005 && agreed(a) <= -3599990, "nor is one that is behind: both must have got there");
	pair_free(pair);
}

static void closed_cb(void *owner)
{
	((struct end *)owner)->closed = true;
}

static void test_close(void)
{
	struct pair *pair = pair_new(5);
	struct end *a = &pair->ends[0];
	start(pair, 0, CLUSTER);
	start(pair, 1, CLUSTER);
	run_ms(pair, 100);
	transport_close(a->transport, closed_cb);
	ok(!a->closed, "a close is told later");
	run_ms(pair, 100);
	ok(a->closed, "when every connection is gone");
	pair_free(pair);
}

int main(void)
{
	test_connects();
	test_silence();
	test_unreached();
	test_damaged_length();
	test_long_frame();
	test_who_may_come_in();
	test_bad_bytes();
	test_other_version();
	test_few_words();
	test_client();
	test_many_payloads();
	test_lost_memory();
	test_after_a_power_cut();
	test_too_old();
	test_port_taken();
	test_not_remembered();
	test_other_members();
	test_old_hellos();
	test_deaf();
	test_clocks();
	test_close();
	return tap_done();
}
