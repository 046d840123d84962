/* Connections between members, in simulated time. */
#include <stdlib.h>

#include "base/bytes.h"
#include "raft/message.h"
#include "tests/lib/tap.h"
#include "tests/unit/peer_world.h"

#define DEAF_PINGS 100000 /* their pongs are several times what a connection holds on its way */

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
	run_ms(pair, 100); /* no ping is under way */
	uint64_t disconnected = b->disconnected, asked = a->frames;
	sim_host_pause(b->host);
	run_ms(pair, 5000);
	sim_host_resume(b->host);
	run_ms(pair, 1);
	message_send_request(transport_link(b->transport, 1, FRAME_REQUESTS), 1, FRAME_REQUEST, 98, SLICE_LIT("late"));
	transport_flush(b->transport);
	run_ms(pair, 1500);
	ok(b->disconnected == disconnected && a->frames == asked + 1,
	   "who stood still itself asked nobody meanwhile, and takes nobody's silence amiss");
	pair_free(pair);
}

static void test_nowhere(void)
{
	struct pair *pair = pair_new(31);
	struct end *a = &pair->ends[0];
	start(pair, 0, CLUSTER);
	start(pair, 1, CLUSTER);
	run_ms(pair, 100);
	uint64_t refused = a->refused;
	transport_add(a->transport, 2, "nowhere:1");
	link_drop(transport_link(a->transport, 2, FRAME_RAFT));
	run_ms(pair, 1000);
	ok(transport_link(a->transport, 2, FRAME_RAFT) == NULL && a->refused == refused,
	   "a name that leads nowhere says nothing about who has it");
	pair_free(pair);
}

static void test_unreached(void)
{
	struct pair *pair = pair_new(12);
	struct said reached = {.words = {" peer_unreached ", " peer_reached "}};
	struct log log = {.sink = said_line, .owner = &reached};
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
static void deaf_written(struct env_write *write, int status) {}
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
	struct env *env = stranger(pair);
	struct deaf deaf = {.write.cb = deaf_written};
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
	pair_free(pair);
	buf_fini(&deaf.pings);
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
	test_nowhere();
	test_unreached();
	test_damaged_length();
	test_long_frame();
	test_many_payloads();
	test_deaf();
	test_clocks();
	test_close();
	return tap_done();
}
