/* Requests that another node runs, and requests of other nodes, over a shard of straw. */
#include "tests/lib/house.h"

#include "env/uv_env.h"
#include "server/forward.h"
#include "tests/lib/tap.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void test_forward(void)
{
	struct house house;
	house_open(&house, SHARD_FOLLOWS, 2);
	int fd = client_open(&house);
	say(&house, fd, "SET a 1\r\nGET a\r\nPING\r\nSET b 2\r\nGET b\r\n");
	is_int(straw.forward_count, 4, "a follower sends requests on");
	is_int(straw.to[0], 2, "to the leader's node");
	straw_answer_forward(0, 0, "+OK\r\n");
	straw_answer_forward(1, 0, "$1\r\n1\r\n");
	straw_answer_forward(2, ERR_CLOSED, "");
	straw_answer_forward(3, ERR_TIMEOUT, "");
	hear(&house, fd,
	     "+OK\r\n$1\r\n1\r\n+PONG\r\n-OUTCOME_UNKNOWN {\"outcome\":\"unknown\",\"reason\":\"it may have "
	     "happened: ask again with the same id, or without one read first\"}\r\n-NO_QUORUM "
	     "{\"outcome\":\"retry\",\"reason\":\"a majority did not answer in time, nothing was read: ask "
	     "again\"}\r\n",
	     "without an answer a mutation is unknown, a read a retry");
	is_int(straw.forward_count, 4, "nothing was sent again");
	say(&house, fd, "SET c 3\r\n");
	shutdown(fd, SHUT_RDWR);
	close(fd);
	turns(&house);
	straw_answer_forward(4, 0, "+OK\r\n");
	ok(true, "an answer for a client that is gone is dropped");
	house_close(&house);
}

static void test_parked(void)
{
	struct house house;
	house_open(&house, SHARD_UNKNOWN, 0);
	int fd = client_open(&house);
	say(&house, fd, "SET a 1\r\nGET a\r\n");
	ok(straw.count == 0 && straw.forward_count == 0, "without a leader requests wait");
	set_role(&house, SHARD_LEADS, 1);
	is_str(straw.words[0], "SET a 1", "when this node leads they run here");
	is_str(straw.words[1], "GET a", "in order");
	straw_answer(0, "+OK\r\n");
	straw_answer(1, "$1\r\n1\r\n");
	hear(&house, fd, "+OK\r\n$1\r\n1\r\n", "and are answered");
	set_role(&house, SHARD_UNKNOWN, 0);
	say(&house, fd, "SET b 1\r\n");
	set_role(&house, SHARD_FOLLOWS, 3);
	is_int(straw.to[0], 3, "or are sent on when another does");
	straw_answer_forward(0, ERR_NOT_FOUND, "");
	for (int i = 0; i < 200 && straw.forward_count < 2; i++) {
		turns(&house);
	}
	is_int(straw.forward_count, 2, "what was never sent is tried again");
	straw_answer_forward(1, 0, "+OK\r\n");
	hear(&house, fd, "+OK\r\n", "until it is");
	close(fd);
	house_close(&house);
}

#define STOPPING "-STOPPING {\"outcome\":\"retry\",\"reason\":\"the node is stopping: ask another\"}\r\n"

static void test_leader_goes(void)
{
	struct house house;
	house_open(&house, SHARD_FOLLOWS, 2);
	int fd = client_open(&house);
	say(&house, fd, "SET a 1\r\n");
	straw_answer_forward(0, 0, STOPPING);
	is_int(straw.forward_count, 1, "what a leader that stops did nothing with is not sent to it again at once");
	set_role(&house, SHARD_FOLLOWS, 3);
	ok(straw.forward_count == 2 && straw.to[1] == 3, "but to the next");
	straw_answer_forward(1, 0, "+OK\r\n");
	hear(&house, fd, "+OK\r\n", "of which its client notices nothing");
	say(&house, fd, "SET a 2\r\nSET a 3\r\n");
	straw_answer_forward(2, 0, STOPPING);
	straw_answer_forward(3, 0, "+OK\r\n");
	hear(&house, fd, STOPPING "+OK\r\n", "unless it has sent more behind it, which may be done by then");
	say(&house, fd, "SET a 4\r\n");
	straw_answer_forward(4, 0, "-OVERLOADED {\"outcome\":\"retry\"}\r\n");
	hear(&house, fd, "-OVERLOADED {\"outcome\":\"retry\"}\r\n", "a leader that stays is believed");
	say(&house, fd, "SET a 5\r\n");
	straw_answer_forward(5, 0, STOPPING);
	for (int i = 0; i < 200 && straw.forward_count < 7; i++) {
		turns(&house);
	}
	ok(straw.forward_count == 7 && straw.to[6] == 3, "one that leads on is asked again a little later");
	set_role(&house, SHARD_LEADS, 1);
	straw_answer_forward(6, 0, "-NOT_LEADER {\"outcome\":\"retry\"}\r\n");
	for (int i = 0; i < 200 && straw.count < 1; i++) {
		turns(&house);
	}
	is_str(straw.words[0], "SET a 5", "and when this node leads it runs here");
	straw_answer(0, "+OK\r\n");
	hear(&house, fd, "+OK\r\n", "with its own answer");
	close(fd);
	house_close(&house);
}

static void test_parked_deadline(void)
{
	struct house house;
	house_open_as(&house, SHARD_UNKNOWN, 0, 40);
	int fd = client_open(&house);
	say(&house, fd, "DEADLINE 40 SET a 1\r\nPING\r\n");
	hear(&house, fd,
	     "-NOT_LEADER {\"outcome\":\"retry\",\"reason\":\"this node does not lead and knows no leader "
	     "yet: ask again soon, or another node\"}\r\n+PONG\r\n",
	     "a request waits until its deadline");
	close(fd);
	house_close(&house);
}

static void test_change_of_leader(void)
{
	struct house house;
	house_open(&house, SHARD_FOLLOWS, 2);
	int fd = client_open(&house), other = client_open(&house);
	say(&house, fd, "SET a 1\r\n");
	set_role(&house, SHARD_LEADS, 1);
	say(&house, fd, "SET a 2\r\nSET a 3\r\n");
	is_int(straw.count, 0, "while a request is under way elsewhere the next of its client waits");
	say(&house, other, "SET z 1\r\n");
	is_int(straw.count, 1, "another client does not");
	straw_answer_forward(0, ERR_CLOSED, "");
	turns(&house);
	is_str(straw.words[1], "SET a 2", "then it goes on");
	is_str(straw.words[2], "SET a 3", "in order");
	straw_answer(1, "+OK\r\n");
	straw_answer(2, "+OK\r\n");
	hear(&house, fd,
	     "-OUTCOME_UNKNOWN {\"outcome\":\"unknown\",\"reason\":\"it may have happened: ask again with "
	     "the same id, or without one read first\"}\r\n+OK\r\n+OK\r\n",
	     "and so do the answers");
	close(fd);
	close(other);
	house_close(&house);
}

static void foreign(const char *line, struct house *house)
{
	/* A second look at the first node's own frames: what it sends is what it takes. */
	struct slice words[8];
	size_t count = 0;
	for (const char *at = line; *at != '\0'; at += strspn(at, " ")) {
		size_t len = strcspn(at, " ");
		words[count++] = slice_of(at, len);
		at += len;
	}
	struct request request;
	struct request_command command = {command_find(words[0]), words, count, 0};
	struct buf frame;
	request_init(&request);
	buf_init(&frame, LIMIT_FRAME);
	request.kind = REQUEST_ONE;
	request.protocol = 3;
	request.user = SLICE_LIT("default");
	request.commands = &command;
	request.command_count = 1;
	forward_encode(&frame, &request, 500);
	straw.config.on_forwarded(straw.config.owner, 3, 99, buf_slice(&frame));
	buf_fini(&frame);
	request_fini(&request);
}

static bool foreign_said(const char *text, enum outcome outcome)
{
	struct request request;
	request_init(&request);
	bool fine = forward_decode_answer(buf_slice(&straw.reply), &request) == 0 &&
		    request.outcome == outcome && slice_equal(buf_slice(&request.reply), slice_str(text));
	request_fini(&request);
	return fine;
}

static void test_foreign(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	foreign("SET a 1", &house);
	is_str(straw.words[0], "SET a 1", "another node's request runs here");
	is_int(straw.requests[0]->protocol, 3, "in its client's protocol");
	is_int(straw.requests[0]->envelope.deadline_ms, 500, "with what is left of its deadline");
	straw_answer(0, "+OK\r\n");
	ok(straw.reply_count == 1 && foreign_said("+OK\r\n", OUTCOME_DONE), "and is answered, once");
	set_role(&house, SHARD_FOLLOWS, 2);
	foreign("SET a 2", &house);
	ok(foreign_said("-NOT_LEADER {\"outcome\":\"retry\",\"reason\":\"this node does not lead and knows "
			"no leader yet: ask again soon, or another node\"}\r\n",
			OUTCOME_RETRY),
	   "a node that does not lead says so");
	house_close(&house);
}

static void stopped_cb(void *owner)
{
	*(bool *)owner = true;
}

static bool shard_closes(void *owner)
{
	return straw.closed != NULL;
}

/* They send to the old leader until they have heard of the new one. */
static void test_stopping_leader(void)
{
	struct house house;
	bool stopped = false;
	house_open(&house, SHARD_LEADS, 1);
	set_role(&house, SHARD_LEADS, 1);
	node_stop(house.node, stopped_cb, &stopped);
	uint64_t left_us = env_now_us(house.env);
	straw.left(straw.config.owner);
	ok(env_timer_armed(&house.node->stop_timer) && house.node->stop_timer.node.at >= left_us + 100000,
	   "a leader that stops is there for other nodes for two heartbeats, also without clients");
	foreign("SET a 1", &house);
	ok(foreign_said("-STOPPING {\"outcome\":\"retry\",\"reason\":\"the node is stopping: ask another\"}\r\n",
			OUTCOME_RETRY),
	   "what they pass on meanwhile is answered");
	uv_env_run_until(house.env, shard_closes, NULL, HEAR_MS);
	ok(straw.closed != NULL && !stopped, "then it closes");
	house_close(&house);
}

static void count_line(void *owner, enum log_level level, const char *line)
{
	*(unsigned *)owner += strstr(line, "forwarded_request_bad") != NULL;
}

/* What a leader of another version does not understand may have happened under the same id before, and the
 * next leader may understand it: a refusal would be taken for the last word. */
static void test_foreign_versions(void)
{
	static const char said[] =
		"-NOT_UNDERSTOOD {\"outcome\":\"retry\",\"reason\":\"the leader does not understand what "
		"this node asked, as while versions are mixed; nothing was done: ask again when all nodes "
		"run "
		"one version\"}\r\n";
	/* SETX k, as of a node that has such a command. */
	static const uint8_t later[] = {1, 0, 2, 0, 0, 0,   0,   0,   1,   0, 0,   0,
					0, 1, 0, 2, 4, 'S', 'E', 'T', 'X', 1, 'k', 0};
	struct house house;
	unsigned told = 0;
	house_open(&house, SHARD_LEADS, 1);
	house.log.sink = count_line;
	house.log.owner = &told;
	house.log.level = LOG_WARN;
	straw.config.on_forwarded(straw.config.owner, 3, 100, slice_of(later, sizeof later));
	ok(foreign_said(said, OUTCOME_RETRY), "a command that this node does not know is to be asked again");
	straw.config.on_forwarded(straw.config.owner, 3, 101, SLICE_LIT("\2nonsense"));
	ok(foreign_said(said, OUTCOME_RETRY), "so is a frame of another version");
	straw.config.on_forwarded(straw.config.owner, 3, 102, SLICE_LIT("\1nonsense"));
	ok(foreign_said(said, OUTCOME_RETRY), "and what is none");
	is_int(straw.reply_count, 3, "each is answered, once");
	is_int(straw.count, 0, "and not run");
	is_int(told, 1, "the log has one line about them");
	set_role(&house, SHARD_FOLLOWS, 2);
	straw.config.on_forwarded(straw.config.owner, 3, 103, SLICE_LIT("\1nonsense"));
	ok(foreign_said("-NOT_LEADER {\"outcome\":\"retry\",\"reason\":\"this node does not lead and knows "
			"no leader yet: ask again soon, or another node\"}\r\n",
			OUTCOME_RETRY),
	   "a node that does not lead says so also of what it does not understand");
	house_close(&house);
}

static void test_long_foreign(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	char *whole = long_reply(LIMIT_REPLY - 64);
	foreign("GET a", &house);
	straw_answer(0, whole);
	ok(foreign_said(whole, OUTCOME_DONE), "the longest reply goes back to another node");
	straw.reply_room = MIB(5);
	foreign("GET a", &house);
	straw_answer(1, whole);
	ok(slice_starts_with(slice_skip(buf_slice(&straw.reply), 16), SLICE_LIT("-OVERLOADED ")),
	   "when too much is on that way it is to be asked for again");
	foreign("GET a", &house);
	straw_answer(2, "$1\r\n1\r\n");
	ok(foreign_said("$1\r\n1\r\n", OUTCOME_DONE), "short ones go on");
	foreign("SET a 1", &house);
	straw.requests[3]->replayed = true;
	straw_answer(3, whole);
	ok(foreign_said(whole, OUTCOME_DONE), "and the repeated answer of what happened before");
	free(whole);
	house_close(&house);
}

int main(void)
{
	test_forward();
	test_parked();
	test_leader_goes();
	test_parked_deadline();
	test_change_of_leader();
	test_foreign();
	test_stopping_leader();
	test_foreign_versions();
	test_long_foreign();
	return tap_done();
}
