/* What clients may make a node hold: answers, queues, requests, halves of requests. */
#include "tests/lib/house.h"

#include "env/uv_env.h"
#include "server/forward.h"
#include "tests/lib/tap.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LONG_COUNT 40

/* Reads count replies of bulk strings or errors; how many were errors. */
static size_t errors_among(struct house *house, int fd, size_t count, size_t body)
{
	size_t errors = 0, seen = 0, cap = MIB(64), len = 0, at = 0;
	char *in = malloc(cap);
	for (int waits = 0; seen < count && waits < 2000; waits++) {
		ssize_t got = read(fd, in + len, cap - len);
		len += got > 0 ? (size_t)got : 0;
		uv_env_run_until(house->env, never, NULL, 1);
		for (;;) {
			char *end = at < len ? memmem(in + at, len - at, "\r\n", 2) : NULL;
			size_t past =
				end == NULL ? 0 : (size_t)(end - in) + 2 + (in[at] == '$' ? body + 2 : 0);
			if (end == NULL || past > len) {
				break;
			}
			errors += in[at] == '-';
			at = past;
			seen++;
		}
	}
	is_int(seen, count, "all of them are answered");
	free(in);
	return errors;
}

static void test_long_answers(void)
{
	struct house house;
	house_open(&house, SHARD_FOLLOWS, 2);
	int fd = client_open(&house);
	char *long_one = long_reply(MIB(1));
	for (int i = 0; i < LONG_COUNT; i++) {
		say(&house, fd, "GET a\r\n");
	}
	turns(&house);
	is_int(straw.forward_count, LONG_COUNT, "many are passed on before the first is answered");
	for (int i = 0; i < LONG_COUNT; i++) {
		straw_answer_forward((size_t)i, 0, long_one);
	}
	turns(&house);
	size_t errors = errors_among(&house, fd, LONG_COUNT, MIB(1));
	ok(errors > 0 && errors <= LONG_COUNT - 8, "those that nobody took are to be asked for again (%zu)",
	   errors);
	is_int(house.node->counters.output_closed, 0, "and the connection stays");
	say(&house, fd, "PING\r\n");
	hear(&house, fd, "+PONG\r\n", "and is of use");
	close(fd);
	turns(&house);
	free(long_one);
	house_close(&house);
}

static void test_slow_reader(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int fd = client_open(&house);
	size_t before = 0, sent = 0;
	char *big = malloc(300001);
	memset(big, 'x', 300000);
	memcpy(big, "+", 1);
	memcpy(big + 299998, "\r\n", 3);
	for (int i = 0; i < 64 && straw.count < 64; i++) {
		for (size_t r = before; r < straw.count; r++) {
			straw_answer(r, big);
		}
		before = straw.count;
		sent += write(fd, "GET a\r\n", 7) == 7;
		turns(&house);
	}
	ok(straw.count < sent, "a client that does not read is not read (%zu of %zu)", straw.count, sent);
	is_int(house.node->counters.output_closed, 0, "and not closed either, as long as it waits");
	close(fd);
	turns(&house);
	free(big);
	house_close(&house);
}

/* Many clients do not take their replies: each is within its own bound. */
static void test_slow_readers(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int slow = client_open(&house), fd = client_open(&house);
	char *big = long_reply(2 * LIMIT_REPLY_SHORT), *bigger = long_reply(MIB(6));
	say(&house, slow, "GET a\r\nGET b\r\n");
	straw_answer(0, bigger);
	turns(&house);
	straw_answer(1, big);
	ok(house.node->listener.output_bytes > MIB(1), "what a client does not take is counted");
	house.node->listener.output_bytes += LIMIT_NODE_OUTPUT;
	say(&house, fd, "GET a\r\n");
	straw_answer(2, big);
	hear(&house, fd,
	     "-OVERLOADED {\"outcome\":\"retry\",\"reason\":\"replies that clients of this node did not take "
	     "yet are over 128 MiB: ask again a little later\"}\r\n",
	     "when it is too much a long reply of a read is answered with retry");
	say(&house, fd, "GET a\r\n");
	straw_answer(3, "$1\r\n1\r\n");
	hear(&house, fd, "$1\r\n1\r\n", "a short one is given");
	house.node->listener.output_bytes -= LIMIT_NODE_OUTPUT;
	say(&house, fd, "SET a 1\r\nGET a\r\n");
	straw_answer(5, big);
	house.node->listener.output_bytes += LIMIT_NODE_OUTPUT;
	say(&house, fd, "GET b\r\n");
	is_int(straw.count, 6, "of whom a long one waits nothing more is read");
	house.node->listener.output_bytes -= LIMIT_NODE_OUTPUT;
	straw_answer(4, "+OK\r\n");
	turns(&house);
	is_int(straw.count, 7, "until it is gone");
	is_int(errors_among(&house, fd, 2, 2 * LIMIT_REPLY_SHORT), 0, "which is given whole");
	house.node->listener.output_bytes += LIMIT_NODE_OUTPUT;
	straw.requests[6]->replayed = true;
	straw_answer(6, big);
	is_int(errors_among(&house, fd, 1, 2 * LIMIT_REPLY_SHORT), 0,
	       "so is the repeated answer of what was written, though there is too much");
	house.node->listener.output_bytes -= LIMIT_NODE_OUTPUT;
	close(slow);
	close(fd);
	await_clients(&house, 0);
	is_int(house.node->listener.output_bytes, 0, "what a client that went did not take counts no longer");
	free(big);
	free(bigger);
	house_close(&house);
}

/* Longer than the socket takes at once. */
static void say_long(struct house *house, int fd, const struct buf *text)
{
	size_t sent = 0;
	for (int i = 0; i < HEAR_MS && sent < text->len; i++) {
		ssize_t n = write(fd, text->data + sent, text->len - sent);
		sent += n > 0 ? (size_t)n : 0;
		turns(house);
	}
}

static void test_watched_keys_are_counted(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int fd = client_open(&house);
	struct buf keys, versions;
	buf_init(&keys, MIB(1));
	buf_init(&versions, MIB(1));
	buf_appendf(&keys, "*%d\r\n$5\r\nWATCH\r\n", LIMIT_QUEUED_COMMANDS + 1);
	buf_appendf(&versions, "*%d\r\n", LIMIT_QUEUED_COMMANDS);
	for (int i = 0; i < LIMIT_QUEUED_COMMANDS; i++) {
		buf_appendf(&keys, "$4\r\n%04d\r\n", i);
		buf_append_text(&versions, ":0\r\n");
	}
	buf_append(&versions, "", 1);
	say_long(&house, fd, &keys);
	if (is_int(straw.count, 1, "as many keys as the bound says are watched")) {
		straw_answer(0, (const char *)versions.data);
		hear(&house, fd, "+OK\r\n", "all of them at once");
	}
	say(&house, fd, "WATCH further\r\n");
	hear(&house, fd, "-ERR too many keys are watched\r\n", "one more is not");
	close(fd);
	await_clients(&house, 0);
	buf_fini(&keys);
	buf_fini(&versions);
	house_close(&house);
}

/* A queue of empty words has no bytes, and a watched key any number of them. */
static void test_queues_take_memory(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int fd = client_open(&house), other = client_open(&house);
	const size_t *queued = &house.node->listener.queued_bytes;
	struct buf empty, key;
	buf_init(&empty, MIB(2));
	buf_init(&key, MIB(2));
	buf_append_text(&empty, "*120001\r\n$6\r\nEXISTS\r\n");
	for (int i = 0; i < 120000; i++) {
		buf_append_text(&empty, "$0\r\n\r\n");
	}
	say(&house, fd, "MULTI\r\n");
	say_long(&house, fd, &empty);
	hear(&house, fd, "+OK\r\n+QUEUED\r\n", "many empty words are queued");
	ok(*queued > MIB(3), "what they take is counted");
	say_long(&house, fd, &empty);
	say(&house, fd, "EXEC\r\n");
	hear(&house, fd,
	     "-TOO_LARGE {\"outcome\":\"refused\",\"reason\":\"the transaction has too many commands or "
	     "bytes\"}\r\n-EXECABORT Transaction discarded because of previous errors.\r\n",
	     "as many again are not");
	buf_append_text(&key, "*2\r\n$5\r\nWATCH\r\n$1048576\r\n");
	memset(buf_reserve(&key, MIB(1)), 'k', MIB(1));
	key.len += MIB(1);
	buf_append_text(&key, "\r\n");
	for (int i = 0; i < 7; i++) {
		key.data[40] = (uint8_t)('a' + i);
		say_long(&house, fd, &key);
		straw_answer(straw.count - 1, "*1\r\n:0\r\n");
	}
	hear(&house, fd, "+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n",
	     "seven keys of a mebibyte are watched");
	key.data[40] = 'z';
	say_long(&house, fd, &key);
	hear(&house, fd, "-ERR the watched keys are too long together\r\n", "an eighth is not");
	house.node->listener.queued_bytes += LIMIT_NODE_QUEUED;
	say(&house, other, "MULTI\r\nSET a 1\r\n");
	hear(&house, other, "+OK\r\n+QUEUED\r\n", "when all queues take too much a short one is taken");
	say_long(&house, other, &empty);
	hear(&house, other,
	     "-OVERLOADED {\"outcome\":\"retry\",\"reason\":\"too much waits already: ask again a little "
	     "later\"}\r\n",
	     "a long one is not");
	house.node->listener.queued_bytes -= LIMIT_NODE_QUEUED;
	close(fd);
	close(other);
	await_clients(&house, 0);
	is_int(*queued, 0, "what a client that went had queued counts no longer");
	buf_fini(&empty);
	buf_fini(&key);
	house_close(&house);
}

/* What the leader takes from its own clients is not refused for good elsewhere. */
static void test_too_long_to_pass_on(void)
{
	enum { KEYS = 9, ROUNDS = 14, KEY = KIB(64) };
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int fd = client_open(&house);
	struct buf asked;
	buf_init(&asked, MIB(2));
	for (int round = 0; round < ROUNDS; round++) {
		buf_reset(&asked);
		buf_append_text(&asked, "*10\r\n$5\r\nWATCH\r\n");
		for (int i = 0; i < KEYS; i++) {
			buf_append_text(&asked, "$65536\r\n");
			memset(buf_reserve(&asked, KEY), 'a' + round, KEY);
			asked.data[asked.len] = (uint8_t)('a' + i);
			asked.len += KEY;
			buf_append_text(&asked, "\r\n");
		}
		say_long(&house, fd, &asked);
		straw_answer(straw.count - 1, "*9\r\n:0\r\n:0\r\n:0\r\n:0\r\n:0\r\n:0\r\n:0\r\n:0\r\n:0\r\n");
		hear(&house, fd, "+OK\r\n", "nine long keys more are watched");
	}
	set_role(&house, SHARD_FOLLOWS, 2);
	buf_reset(&asked);
	buf_append_text(&asked, "MULTI\r\n*2\r\n$3\r\nGET\r\n$1258291\r\n");
	memset(buf_reserve(&asked, 1258291), 'k', 1258291);
	asked.len += 1258291;
	buf_append_text(&asked, "\r\nEXEC\r\n");
	say_long(&house, fd, &asked);
	hear(&house, fd,
	     "+OK\r\n+QUEUED\r\n"
	     "-NOT_LEADER {\"outcome\":\"retry\",\"reason\":\"the transaction and its watched keys are over "
	     "9 MiB and are not passed on: ask the leader itself, or watch less\"}\r\n",
	     "a transaction too long to be passed on is to be asked of the leader");
	is_int(straw.forward_count, 0, "and is not sent");
	buf_fini(&asked);
	close(fd);
	house_close(&house);
}

static void test_max_clients(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int fds[4];
	for (int i = 0; i < 4; i++) {
		fds[i] = client_open(&house);
	}
	say(&house, fds[0], "INFO clients\r\n");
	static struct ear ear;
	memset(&ear, 0, sizeof ear);
	ear.fd = fds[0];
	ear.want = 100;
	for (int i = 0; i < 100 && !heard(&ear); i++) {
		turns(&house);
	}
	ok(strstr(ear.bytes, "connected_clients:4\r\n") != NULL, "INFO counts clients");
	for (int i = 0; i < 4; i++) {
		close(fds[i]);
	}
	house_close(&house);
}

/* ---- bounds of the whole node ---- */

/* So many requests cannot be made here in a moment: the node's count is told of them. */
static void test_node_requests(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int fd = client_open(&house), other = client_open(&house);
	say(&house, fd, "SET a 1\r\n");
	house.node->calls.taken += LIMIT_NODE_REQUESTS - 1;
	say(&house, other, "PING\r\n");
	ok(silent(&house, other), "with LIMIT_NODE_REQUESTS under way a further request is not taken up");
	house.node->calls.taken -= LIMIT_NODE_REQUESTS / 2 - 10;
	straw_answer(0, "+OK\r\n");
	hear(&house, fd, "+OK\r\n", "those under way are answered");
	ok(silent(&house, other), "and it waits on until there are half as many");
	say(&house, fd, "SET a 2\r\n");
	house.node->calls.taken -= LIMIT_NODE_REQUESTS - LIMIT_NODE_REQUESTS / 2 + 9;
	straw_answer(1, "+OK\r\n");
	hear(&house, fd, "+OK\r\n", "when an answer makes it fewer than that");
	hear(&house, other, "+PONG\r\n", "it is taken up, without a further word of its client");
	close(fd);
	close(other);
	house_close(&house);
}

struct late_answer {
	struct env_turn turn;
	bool given;
};

static void late_answer_cb(struct env_turn *turn)
{
	straw_answer(0, "+OK\r\n");
	((struct late_answer *)turn)->given = true;
}

/* Its connection ends, and in the same turn the node has room again. */
static void test_node_requests_gone(void)
{
	struct house house;
	struct late_answer answer = {.given = false};
	house_open(&house, SHARD_LEADS, 1);
	int fd = client_open(&house), other = client_open(&house);
	say(&house, fd, "SET a 1\r\n");
	house.node->calls.taken += LIMIT_NODE_REQUESTS - 1;
	say(&house, other, "PING\r\n");
	ok(!list_empty(&house.node->listener.starved), "a client waits until the node has less under way");
	struct conn *waits = list_entry(house.node->listener.starved.next, struct conn, starved);
	house.node->calls.taken -= LIMIT_NODE_REQUESTS - 1;
	env_turn_init(house.env, &answer.turn, late_answer_cb);
	conn_doom(waits);
	env_turn_arm(&answer.turn);
	turns(&house);
	ok(answer.given, "it is killed, and then the node has less");
	hear(&house, fd, "+OK\r\n", "who waits no longer is not woken");
	hear_end(&house, other, "its connection is closed");
	close(fd);
	close(other);
	house_close(&house);
}

static void test_node_input(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int small = client_open(&house), large = client_open(&house);
	say(&house, small, "*2\r\n$3\r\nGET\r\n$1\r\n");
	house.node->listener.input_bytes += LIMIT_NODE_INPUT;
	static char half[KIB(80)];
	memset(half, 'v', sizeof half - 1);
	static const char head[] = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$200000\r\n";
	memcpy(half, head, sizeof head - 1);
	say(&house, large, half);
	hear(&house, large, "-ERR Protocol error: too big request\r\n",
	     "with LIMIT_NODE_INPUT unread, who has half of a long request there is refused");
	hear_end(&house, large, "and closed");
	say(&house, small, "k\r\n");
	is_str(straw.words[straw.count - 1], "GET k", "a short request is taken all the same");
	house.node->listener.input_bytes -= LIMIT_NODE_INPUT;
	close(large);
	await_clients(&house, 1);
	is_int(house.node->listener.input_bytes, 0, "what the closed one had sent counts no longer");
	close(small);
	house_close(&house);
}

/* So many times a word behind the others. */
static void say_repeated(struct house *house, int fd, const char *begin, size_t words, const char *word,
			 size_t count)
{
	struct buf all;
	buf_init(&all, MIB(2));
	buf_appendf(&all, "*%zu\r\n%s", words + count, begin);
	for (size_t i = 0; i < count; i++) {
		buf_append_text(&all, word);
	}
	say_long(house, fd, &all);
	buf_fini(&all);
}

#define REPLY_TOO_LARGE                                                                                      \
	"-TOO_LARGE {\"outcome\":\"refused\",\"reason\":\"the reply is over 8 MiB: ask for less at "         \
	"once\"}\r\n"

static void test_long_answers_of_the_node(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int fd = client_open(&house);
	say(&house, fd, "PING\r\n");
	say_repeated(&house, fd, "$7\r\nCOMMAND\r\n$4\r\nINFO\r\n", 2, "$3\r\nget\r\n", 100000);
	say(&house, fd, "PING\r\n");
	hear(&house, fd, "+PONG\r\n" REPLY_TOO_LARGE "+PONG\r\n",
	     "COMMAND INFO of 100,000 words is refused, and the connection goes on");
	say_repeated(&house, fd, "$6\r\nCLIENT\r\n$4\r\nLIST\r\n$2\r\nID\r\n", 3, "$1\r\n1\r\n", 100000);
	hear(&house, fd, REPLY_TOO_LARGE, "a list of clients is told whole or not at all");
	say(&house, fd, "MULTI\r\n");
	say_repeated(&house, fd, "$7\r\nCOMMAND\r\n$4\r\nDOCS\r\n", 2, "$3\r\nget\r\n", 100000);
	say(&house, fd, "PING\r\nEXEC\r\n");
	hear(&house, fd, "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n" REPLY_TOO_LARGE "+PONG\r\n",
	     "so it is in a transaction");
	is_int(house.node->counters.output_closed, 0, "no connection was closed for it");
	close(fd);
	await_clients(&house, 0);
	house_close(&house);
}

#define PATTERN_TOO_LARGE                                                                                    \
	"-TOO_LARGE {\"outcome\":\"refused\",\"reason\":\"patterns of names are 2 KiB long at most\"}\r\n"

/* As many bytes as one request takes are looked at for each byte of each name: three seconds. */
static void test_long_patterns(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int fd = client_open(&house);
	say(&house, fd, "CONFIG GET ti*[a-t]\r\n");
	hear(&house, fd, "*2\r\n$7\r\ntimeout\r\n$1\r\n0\r\n", "a setting is found by its pattern");
	say_repeated(&house, fd, "$6\r\nCONFIG\r\n$3\r\nGET\r\n", 2, "$8\r\n*[bbbb]z\r\n", 300);
	hear(&house, fd, PATTERN_TOO_LARGE, "patterns of 2,400 bytes are refused");
	struct buf all;
	buf_init(&all, MIB(2));
	buf_append_text(&all, "*5\r\n$7\r\nCOMMAND\r\n$4\r\nLIST\r\n$8\r\nFILTERBY\r\n$7\r\nPATTERN\r\n$2052\r\n*[");
	for (int i = 0; i < 2048; i++) {
		buf_append_byte(&all, 'b');
	}
	buf_append_text(&all, "]z\r\n");
	say_long(&house, fd, &all);
	buf_fini(&all);
	hear(&house, fd, PATTERN_TOO_LARGE, "so is one of COMMAND LIST");
	close(fd);
	await_clients(&house, 0);
	house_close(&house);
}

int main(void)
{
	test_long_answers();
	test_slow_reader();
	test_max_clients();
	test_node_requests();
	test_node_input();
	test_node_requests_gone();
	test_slow_readers();
	test_watched_keys_are_counted();
	test_queues_take_memory();
	test_too_long_to_pass_on();
	test_long_answers_of_the_node();
	test_long_patterns();
	return tap_done();
}
