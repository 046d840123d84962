/* Who knocks at the port between members and does not belong there: refused, and said in few words. */
#include "base/bytes.h"
#include "base/checksum.h"
#include "tests/lib/tap.h"
#include "tests/unit/peer_world.h"

static void test_who_may_come_in(void)
{
	struct pair *pair = pair_new(3);
	struct said refused = {.words = {" peer_refused "}};
	struct log log = {.sink = said_line, .owner = &refused};
	pair->log = &log;
	struct end *a = &pair->ends[0], *b = &pair->ends[1], *c = &pair->ends[2];
	start(pair, 0, CLUSTER);
	start(pair, 1, CLUSTER + 1);
	run_ms(pair, 500);
	ok(a->connected == 0 && b->connected == 0 && bad_frames(a) > 0,
	   "a member of another cluster is refused");
	ok(strstr(refused.line, "it is of another cluster: compare the setting cluster") != NULL,
	   "and the line says what to compare");
	start(pair, 2, CLUSTER);
	run_ms(pair, 500);
	ok(c->connected == 0, "a member that is in no configuration is refused");
	ok(strstr(refused.line, " from=3 ") != NULL &&
		   strstr(refused.line, "no other member of ours has the id from=") != NULL,
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
	ok(strstr(refused.line, " from=1 to=3 ") != NULL &&
		   strstr(refused.line, "give our address to member to=") != NULL,
	   "an address in the line of the wrong member is told by who listens there");
	pair_free(pair);
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
	struct env *env = stranger(pair);
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
	start(pair, 1, CLUSTER);
	run_ms(pair, 1000);
	is_int(pair->ends[1].connected, 2, "and do not keep a member out");
	pair_free(pair);
}

/* The head of a hello as it was before heads had a checksum. */
static void test_other_version(void)
{
	struct pair *pair = pair_new(17);
	struct said refused = {.words = {" peer_refused ", " peer_bad_frame "}};
	struct log log = {.sink = said_line, .owner = &refused};
	pair->log = &log;
	start(pair, 0, CLUSTER);
	struct env *env = stranger(pair);
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
	pair_free(pair);
}

/* Who knocks again and again. */
static void test_few_words(void)
{
	struct pair *pair = pair_new(11);
	struct end *a = &pair->ends[0];
	struct lines lines = {0};
	struct log log = {.sink = count_lines, .owner = &lines};
	pair->log = &log;
	start(pair, 0, CLUSTER);
	struct env *env = stranger(pair);
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
	pair_free(pair);
}

static void test_client(void)
{
	struct pair *pair = pair_new(18);
	struct said client = {.words = {" client_on_peer_port "}};
	struct log log = {.sink = said_line, .owner = &client};
	pair->log = &log;
	start(pair, 0, CLUSTER);
	struct env *env = stranger(pair);
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
	is_int(client.count, 2, "the log says it, too");
	pair_free(pair);
}

int main(void)
{
	test_who_may_come_in();
	test_bad_bytes();
	test_other_version();
	test_few_words();
	test_client();
	return tap_done();
}
