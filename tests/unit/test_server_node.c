/* A node over a shard of straw: what is sent where, and in which order answers leave.
 * The shard below keeps every request until the test answers it. */
#include "server/node.h"

#include "env/uv_env.h"
#include "server/config.h"
#include "server/forward.h"
#include "server/manual.h"
#include "server/node_private.h"
#include "tests/lib/straw.h"
#include "tests/lib/tap.h"

#include <arpa/inet.h>
#include <assert.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAR_MS 10000

/* ---- the node and its clients ---- */

struct house {
	struct env *env;
	struct node *node;
	struct log log;
};

static void quiet(void *owner, enum log_level level, const char *text) {}

static void house_open_as(struct house *house, enum shard_role role, uint64_t leader_id, uint64_t deadline_ms)
{
	static unsigned number; /* directories of this program */
	struct node_config config;
	struct err err = {0};
	config_defaults(&config);
	config.id = 1;
	config.default_deadline_ms = deadline_ms;
	snprintf(config.dir, sizeof config.dir, "%s/node%u", tap_dir(), number++);
	strcpy(config.listen, "127.0.0.1:0");
	for (uint64_t id = 1; id <= 3; id++) {
		struct node_member *member = &config.members[config.member_count++];
		member->id = id;
		snprintf(member->peer, sizeof member->peer, "127.0.0.1:%d", 7500 + (int)id);
		snprintf(member->client, sizeof member->client, "127.0.0.1:%d", 7400 + (int)id);
	}
	config_finish(&config, &err);
	house->log = (struct log){LOG_ERROR, "n1", quiet, NULL};
	house->env = uv_env_new(NULL);
	straw.role = role;
	straw.leader_id = leader_id;
	if (node_open(house->env, &config, &house->log, &house->node, &err) != 0 ||
	    node_start(house->node, &err) != 0) {
		tap_note("%s", err.text);
		abort();
	}
}

static void house_open(struct house *house, enum shard_role role, uint64_t leader_id)
{
	house_open_as(house, role, leader_id, 60000);
}

static void house_close(struct house *house)
{
	node_free(house->node);
	uv_env_free(house->env, NULL, NULL);
}

static bool never(void *owner)
{
	return false;
}

/* Several turns of the loop, however slow the machine is. */
static void turns(struct house *house)
{
	for (int i = 0; i < 6; i++) {
		uv_env_run_until(house->env, never, NULL, 4);
	}
}

struct wish {
	const uint64_t *now;
	uint64_t want;
};

static bool fulfilled(void *owner)
{
	const struct wish *wish = owner;
	return *wish->now >= wish->want;
}

static bool fewer(void *owner)
{
	const struct wish *wish = owner;
	return *wish->now <= wish->want;
}

/* The node has noticed that clients went. */
static void await_clients(struct house *house, size_t count)
{
	struct wish wish = {(const uint64_t *)&house->node->listener.count, count};
	uv_env_run_until(house->env, fewer, &wish, HEAR_MS);
	turns(house);
}
_Static_assert(sizeof(size_t) == sizeof(uint64_t), "a count is looked at as a number");

static void set_role(struct house *house, enum shard_role role, uint64_t leader_id)
{
	straw.role = role;
	straw.leader_id = leader_id;
	straw.config.on_role(straw.config.owner, role == SHARD_LEADS ? REPLICA_LEADER : REPLICA_FOLLOWER,
			     leader_id);
	turns(house);
}

static int client_open(struct house *house)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)node_client_port(house->node)),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
		abort();
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static void say(struct house *house, int fd, const char *text)
{
	size_t len = strlen(text);
	struct wish wish = {&house->node->counters.bytes_in, house->node->counters.bytes_in + len};
	if (write(fd, text, len) != (ssize_t)len) {
		tap_note("short write");
	}
	uv_env_run_until(house->env, fulfilled, &wish, HEAR_MS);
	turns(house);
}

/* Written, and arrived where the node will read it. */
static void send_only(int fd, const char *text)
{
	int under_way = 1;
	size_t len = strlen(text);
	if (write(fd, text, len) != (ssize_t)len) {
		tap_note("short write");
	}
	for (int i = 0; i < HEAR_MS && ioctl(fd, SIOCOUTQ, &under_way) == 0 && under_way > 0; i++) {
		usleep(1000);
	}
}

struct ear {
	int fd;
	char bytes[65536];
	size_t len, want;
	bool closed;
};

static bool heard(void *owner)
{
	struct ear *ear = owner;
	ssize_t n = read(ear->fd, ear->bytes + ear->len, sizeof ear->bytes - 1 - ear->len);
	if (n > 0) {
		ear->len += (size_t)n;
	}
	ear->closed = n == 0;
	return ear->closed || ear->len >= ear->want;
}

/* Until the client has got as many bytes as text has; they must be text. */
static void hear(struct house *house, int fd, const char *text, const char *sentence)
{
	static struct ear ear;
	memset(&ear, 0, sizeof ear);
	ear.fd = fd;
	ear.want = strlen(text);
	for (int i = 0; i < HEAR_MS / 20 && !heard(&ear); i++) {
		uv_env_run_until(house->env, never, NULL, 20);
	}
	is_str(ear.bytes, text, "%s", sentence);
}

static bool silent(struct house *house, int fd)
{
	char byte;
	turns(house);
	return read(fd, &byte, 1) < 0;
}

static void hear_end(struct house *house, int fd, const char *sentence)
{
	static struct ear ear;
	memset(&ear, 0, sizeof ear);
	ear.fd = fd;
	ear.want = 1;
	for (int i = 0; i < HEAR_MS / 20 && !heard(&ear); i++) {
		uv_env_run_until(house->env, never, NULL, 20);
	}
	ok(ear.closed && ear.len == 0, "%s", sentence);
}

/* ---- order ---- */

static void test_order(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int fd = client_open(&house);
	say(&house, fd, "SET a 1\r\nPING\r\nGET a\r\nECHO x\r\n");
	is_int(straw.count, 2, "the leader's shard gets the data commands");
	is_str(straw.words[0], "SET a 1", "as they were asked");
	straw_answer(1, "$1\r\n1\r\n");
	ok(silent(&house, fd), "an answer waits for those before it");
	straw_answer(0, "+OK\r\n");
	hear(&house, fd, "+OK\r\n+PONG\r\n$1\r\n1\r\n$1\r\nx\r\n", "answers come in the order of asking");
	close(fd);
	house_close(&house);
}

static void test_pieces(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int fd = client_open(&house);
	const char *text = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nv\r\nxy\r\nPING\r\n";
	for (const char *at = text; *at != '\0'; at++) {
		char one[2] = {*at, '\0'};
		say(&house, fd, one);
	}
	is_str(straw.words[0], "SET k v\r\nxy", "a request may come byte by byte");
	straw_answer(0, "+OK\r\n");
	hear(&house, fd, "+OK\r\n+PONG\r\n", "and is answered");
	close(fd);
	house_close(&house);
}

static void test_protocol_error(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int fd = client_open(&house);
	say(&house, fd, "GET a\r\n*1\r\n:5\r\nPING\r\n");
	straw_answer(0, "$-1\r\n");
	hear(&house, fd, "$-1\r\n-ERR Protocol error: expected '$', got ':'\r\n",
	     "a protocol error is told behind the answers before it");
	hear_end(&house, fd, "and the connection closed");
	close(fd);
	fd = client_open(&house);
	say(&house, fd, "POST / HTTP/1.1\r\nHost: x\r\n\r\n");
	hear_end(&house, fd, "a browser is shown the door");
	close(fd);
	house_close(&house);
}

static void test_manual(void)
{
	size_t count = 0, missing = 0;
	const struct command *commands = command_table(&count);
	for (size_t i = 0; i < count; i++) {
		if (manual_find(commands[i].name) == NULL) {
			tap_note("%s", commands[i].name);
			missing++;
		}
	}
	is_int(missing, 0, "the manual knows each of the %zu commands", count);
}

/* What is sent behind a broken request is read and forgotten: a reset would take the error with it. */
static int lingering_client(struct house *house)
{
	int fd = client_open(house);
	say(house, fd, "*1\r\n:5\r\n");
	hear(house, fd, "-ERR Protocol error: expected '$', got ':'\r\n", "a broken request");
	hear_end(house, fd, "ends the node's half");
	return fd;
}

static void test_lingering(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int fd = lingering_client(&house);
	say(&house, fd, "SET a 1\r\n");
	turns(&house);
	is_int(house.node->listener.count, 1, "the client may go on sending");
	is_int(straw.count, 0, "and nothing of it is run");
	close(fd);
	await_clients(&house, 0);
	fd = lingering_client(&house);
	listener_tick(&house.node->listener, env_now_us(house.node->env) + 6000000);
	await_clients(&house, 0);
	is_int(house.node->counters.timed_out, 1, "one that says nothing for seconds is closed");
	close(fd);
	fd = lingering_client(&house);
	list_entry(house.node->listener.conns.next, struct conn, link)->forgotten_bytes = LIMIT_CONN_LINGER;
	say(&house, fd, "x");
	await_clients(&house, 0);
	is_int(house.node->counters.timed_out, 1, "one that sends without end is closed before that");
	close(fd);
	fd = lingering_client(&house);
	listener_leave(&house.node->listener);
	await_clients(&house, 0);
	is_int(house.node->counters.timed_out, 1, "and one that is there when the node stops");
	close(fd);
	house_close(&house);
}

static void test_client_leaves(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int fd = client_open(&house);
	say(&house, fd, "SET a 1\r\nSET b 2\r\nQUIT\r\nSET c 3\r\n");
	straw_answer(0, "+OK\r\n");
	straw_answer(1, "+OK\r\n");
	hear(&house, fd, "+OK\r\n+OK\r\n+OK\r\n", "QUIT is answered in its turn");
	hear_end(&house, fd, "and ends the connection");
	is_int(straw.count, 2, "what came behind it is not run");
	close(fd);
	fd = client_open(&house);
	say(&house, fd, "SET a 1\r\n");
	struct linger hard = {1, 0};
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(fd);
	await_clients(&house, 0);
	is_int(straw.cancelled, 1, "the request of a client that is gone is cancelled");
	fd = client_open(&house);
	say(&house, fd, "SET d 4\r\n");
	shutdown(fd, SHUT_WR);
	turns(&house);
	straw_answer(3, "+OK\r\n");
	hear(&house, fd, "+OK\r\n", "a client that ended its half gets what it waits for");
	hear_end(&house, fd, "then the other half ends");
	close(fd);
	house_close(&house);
}

static void test_silence(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int fd = client_open(&house);
	say(&house, fd, "CLIENT REPLY SKIP\r\nSET a 1\r\nPING\r\n");
	straw_answer(0, "+OK\r\n");
	hear(&house, fd, "+PONG\r\n", "SKIP drops one answer");
	say(&house, fd, "CLIENT REPLY OFF\r\nPING\r\nfoo\r\nGET a\r\nCLIENT REPLY ON\r\n");
	straw_answer(1, "$1\r\n1\r\n");
	hear(&house, fd, "+OK\r\n", "OFF drops all until ON, which is answered");
	close(fd);
	house_close(&house);
}

static void test_kill(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int one = client_open(&house), two = client_open(&house);
	say(&house, one, "SET a 1\r\n");
	say(&house, two, "CLIENT KILL ID 1 TYPE normal\r\n");
	hear(&house, two, ":1\r\n", "one client is killed by another");
	hear_end(&house, one, "and is gone");
	is_int(straw.cancelled, 1, "with what it had asked");
	close(one);
	say(&house, two, "CLIENT KILL ID 2 SKIPME no\r\n");
	hear(&house, two, ":1\r\n", "a client may kill itself and hears so");
	hear_end(&house, two, "before it goes");
	close(two);
	house_close(&house);
}

/* ---- a shard that refuses ---- */

#define REFUSAL                                                                                              \
	"-OVERLOADED {\"outcome\":\"retry\",\"reason\":\"too much waits already: ask again a little "        \
	"later\"}\r\n"

static void test_refusal(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int fd = client_open(&house);
	straw.sheds = true;
	say(&house, fd, "SET a 1\r\nPING\r\nfoo\r\nGET\r\nONCE\r\nONCE id GET a\r\nCLIENT GETNAME\r\n");
	hear(&house, fd,
	     REFUSAL "+PONG\r\n-ERR unknown command 'foo', with args beginning with: \r\n"
		     "-ERR wrong number of arguments for 'get' command\r\n"
		     "-ERR wrong number of arguments for 'once' command\r\n" REFUSAL "$-1\r\n",
	     "what a shard in overload would refuse is refused for it; all else is answered as ever");
	is_int(straw.count, 0, "the shard is not asked");
	is_int(straw.shed, 2, "but told");
	is_int(straw.wrote, 1, "and which of them may write");
	close(fd);
	fd = client_open(&house);
	say(&house, fd, "CLIENT REPLY SKIP\r\nGET a\r\nPING\r\n");
	hear(&house, fd, "+PONG\r\n", "a client that wants no answer hears of no refusal");
	is_int(straw.shed, 3, "which is counted all the same");
	say(&house, fd, "GET a\r\n*2\r\n$3\r\nGET\r\n$1\r\n");
	hear(&house, fd, REFUSAL, "half a request behind a refused one");
	straw.sheds = false;
	say(&house, fd, "b\r\n");
	is_str(straw.words[0], "GET b", "is run when it is whole, if the shard takes it then");
	straw_answer(0, "$-1\r\n");
	hear(&house, fd, "$-1\r\n", "and answered");
	straw.sheds = true;
	say(&house, fd, "GET a\r\n*1\r\n:5\r\nGET b\r\n");
	hear(&house, fd, REFUSAL "-ERR Protocol error: expected '$', got ':'\r\n",
	     "a protocol error behind a refusal is told");
	hear_end(&house, fd, "and closes the connection");
	close(fd);
	house_close(&house);
}

/* Whether a client has heard something when the node comes to the second request of a turn. */
struct second {
	int fd;
	size_t asked;
	bool heard;
};

static void second_cb(void *owner)
{
	struct second *second = owner;
	struct pollfd ready = {.fd = second->fd, .events = POLLIN};
	if (++second->asked == 2) {
		second->heard = poll(&ready, 1, HEAR_MS) == 1;
	}
}

static bool first_is_told(struct house *house, int fd, const char *text, int other)
{
	struct second second = {.fd = fd};
	straw.asked = second_cb;
	straw.asker = &second;
	send_only(fd, text);
	send_only(other, "GET b\r\n");
	turns(house);
	straw.asked = NULL;
	hear(house, other, REFUSAL, "(the other client)");
	return second.asked == 2 && second.heard;
}

static void test_refusal_at_once(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int fd = client_open(&house), other = client_open(&house);
	say(&house, other, "PING\r\n");
	hear(&house, other, "+PONG\r\n", "(two clients)");
	straw.sheds = true;
	ok(first_is_told(&house, fd, "GET a\r\n*2\r\n$3\r\nGET\r\n", other),
	   "a refusal has left before the next client is read");
	hear(&house, fd, REFUSAL, "once");
	ok(first_is_told(&house, fd, "$1\r\na\r\n", other), "also that of a request that came in pieces");
	hear(&house, fd, REFUSAL, "once, too");
	close(fd);
	close(other);
	house_close(&house);
}

static void test_refusal_in_order(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int fd = client_open(&house);
	say(&house, fd, "SET a 1\r\n");
	straw.sheds = true;
	say(&house, fd, "GET a\r\nPING\r\nGET b\r\n");
	straw.sheds = false;
	say(&house, fd, "SET c 3\r\n");
	straw.sheds = true;
	say(&house, fd, "GET d\r\n");
	is_int(house.node->calls.taken, 4, "answers on end take one place in the order");
	is_int(straw.followed, 4, "the shard knows whose answers are under way");
	straw_answer(1, "+OK\r\n");
	ok(silent(&house, fd), "refusals wait for the answers before them");
	straw_answer(0, "+1\r\n");
	hear(&house, fd, "+1\r\n" REFUSAL "+PONG\r\n" REFUSAL "+OK\r\n" REFUSAL,
	     "and come in the order of asking");
	is_int(house.node->calls.taken, 0, "nothing is left behind");
	close(fd);
	house_close(&house);
}

static void test_deferred(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int fd = client_open(&house), other = client_open(&house);
	straw.defers = true;
	say(&house, fd, "SET a 1\r\n");
	is_int(straw.count, 1, "a client without requests under way is not deferred");
	say(&house, fd, "SET b 2\r\nPING\r\n*2\r\n$3\r\nGET\r\n");
	is_int(straw.count, 2, "what is deferred is read all the same, at the end of the turn");
	say(&house, other, "PING\r\n");
	hear(&house, other, "+PONG\r\n", "others are not");
	say(&house, fd, "$1\r\na\r\n");
	is_str(straw.words[2], "GET a", "a request may come in several deferred pieces");
	for (size_t i = 0; i < 3; i++) {
		straw_answer(i, i < 2 ? "+OK\r\n" : "$1\r\n1\r\n");
	}
	hear(&house, fd, "+OK\r\n+OK\r\n+PONG\r\n$1\r\n1\r\n", "the order is kept");
	close(fd);
	close(other);
	house_close(&house);
}

static void test_deferred_last(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int fd = client_open(&house), other = client_open(&house);
	straw.defers = true;
	say(&house, other, "PING\r\n");
	hear(&house, other, "+PONG\r\n", "(two clients)");
	say(&house, fd, "SET a 1\r\n");
	send_only(fd, "SET b 2\r\n");
	send_only(other, "SET c 3\r\n");
	turns(&house);
	ok(strcmp(straw.words[1], "SET c 3") == 0 && strcmp(straw.words[2], "SET b 2") == 0,
	   "in a turn a client with requests under way is read behind the others");
	straw_answer(1, "+OK\r\n");
	struct call *call = list_entry(straw.requests[0], struct call, request);
	call->conn->busy_us -= 400000000;
	send_only(fd, "SET d 4\r\n");
	send_only(other, "SET e 5\r\n");
	turns(&house);
	is_str(straw.words[3], "SET d 4", "but not for ever: then it is others' turn");
	for (size_t i = 0; i < 5; i++) {
		if (i != 1) {
			straw_answer(i, "+OK\r\n");
		}
	}
	hear(&house, fd, "+OK\r\n+OK\r\n+OK\r\n", "each gets its own answers");
	close(fd);
	close(other);
	house_close(&house);
}

static void test_refusal_in_multi(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int fd = client_open(&house);
	straw.sheds = true;
	say(&house, fd, "MULTI\r\nSET a 1\r\nPING\r\nEXEC\r\n");
	is_int(straw.shed, 0, "a command in a queue is not refused");
	is_str(straw.words[0], "SET a 1", "EXEC asks the shard");
	straw_answer(0, REFUSAL);
	hear(&house, fd, "+OK\r\n+QUEUED\r\n+QUEUED\r\n" REFUSAL, "whose refusal is of the whole");
	say(&house, fd, "GET a\r\n");
	hear(&house, fd, REFUSAL, "behind it no queue is open");
	close(fd);
	house_close(&house);
}

/* ---- transactions ---- */

static void test_multi(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int fd = client_open(&house);
	say(&house, fd, "MULTI\r\nMULTI\r\nWATCH a\r\nSET a 1\r\nEXEC\r\n");
	is_str(straw.words[0], "SET a 1", "EXEC sends the queue");
	straw_answer(0, "*1\r\n+OK\r\n");
	hear(&house, fd,
	     "+OK\r\n-ERR MULTI calls can not be nested\r\n-ERR WATCH inside MULTI is not "
	     "allowed\r\n+QUEUED\r\n"
	     "*1\r\n+OK\r\n",
	     "errors that do not spoil a queue");
	say(&house, fd, "MULTI\r\nfoo\r\nGET\r\nCLIENT FOO\r\nSET a 1\r\nEXEC\r\nEXEC\r\nDISCARD\r\n");
	hear(&house, fd,
	     "+OK\r\n-ERR unknown command 'foo', with args beginning with: \r\n"
	     "-ERR wrong number of arguments for 'get' command\r\n-ERR unknown subcommand 'FOO'. Try CLIENT "
	     "HELP.\r\n"
	     "+QUEUED\r\n-EXECABORT Transaction discarded because of previous errors.\r\n"
	     "-ERR EXEC without MULTI\r\n-ERR DISCARD without MULTI\r\n",
	     "errors that do, and what comes after");
	say(&house, fd, "MULTI\r\nEXEC x\r\nMULTI\r\nDISCARD x\r\nDISCARD\r\nMULTI\r\nEXEC\r\n");
	hear(&house, fd,
	     "+OK\r\n-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' "
	     "command\r\n"
	     "+OK\r\n-ERR wrong number of arguments for 'discard' command\r\n+OK\r\n+OK\r\n*0\r\n",
	     "EXEC and DISCARD with too many words; nothing queued");
	is_int(straw.count, 1, "none of these asked the leader");
	close(fd);
	house_close(&house);
}

static void test_splice(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int fd = client_open(&house);
	say(&house, fd,
	    "MULTI\r\nPING\r\nSET a 1\r\nSELECT 3\r\nGET b\r\nECHO e\r\nEXEC\r\nCLIENT GETNAME\r\n");
	is_str(straw.words[0], "SET a 1 GET b", "the leader gets its part of the queue");
	is_int(straw.requests[0]->commands[0].db, 0, "each command in its database");
	is_int(straw.requests[0]->commands[1].db, 3, "after the SELECT in the queue");
	straw_answer(0, "*2\r\n+OK\r\n$-1\r\n");
	hear(&house, fd,
	     "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n"
	     "*5\r\n+PONG\r\n+OK\r\n+OK\r\n$-1\r\n$1\r\ne\r\n$-1\r\n",
	     "answers of here and there are put together");
	say(&house, fd, "MULTI\r\nCLIENT SETNAME n\r\nSET a 1\r\nEXEC\r\n");
	straw_answer(1, "-LEADER_LOST {\"outcome\":\"retry\",\"reason\":\"leadership was lost before "
			"anything was written: ask again\"}\r\n");
	hear(&house, fd,
	     "+OK\r\n+QUEUED\r\n+QUEUED\r\n-LEADER_LOST {\"outcome\":\"retry\",\"reason\":\"leadership was "
	     "lost before anything was written: ask again\"}\r\n",
	     "an EXEC that failed");
	say(&house, fd, "CLIENT GETNAME\r\nGET x\r\n");
	is_int(straw.requests[2]->db, 3, "the SELECT lasts");
	straw_answer(2, "$-1\r\n");
	hear(&house, fd, "$-1\r\n$-1\r\n", "and has run nothing here");
	close(fd);
	house_close(&house);
}

/* A bulk string of len bytes as a reply, in malloced memory. */
static char *long_reply(size_t len)
{
	char *text = malloc(len + 64);
	int head = sprintf(text, "$%zu\r\n", len);
	memset(text + head, 'x', len);
	memcpy(text + head + len, "\r\n", 3);
	return text;
}

static void test_splice_too_long(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int fd = client_open(&house);
	char *bulk = long_reply(LIMIT_REPLY - 20), *queue = malloc(LIMIT_REPLY);
	sprintf(queue, "*1\r\n%s", bulk);
	say(&house, fd, "MULTI\r\nECHO e\r\nGET a\r\nEXEC\r\n");
	straw_answer(0, queue);
	hear(&house, fd,
	     "+OK\r\n+QUEUED\r\n+QUEUED\r\n-TOO_LARGE {\"outcome\":\"refused\",\"reason\":\"the reply is "
	     "over 8 "
	     "MiB: ask for less at once\"}\r\n",
	     "answers of here and there that are too long together are refused");
	say(&house, fd, "MULTI\r\nECHO e\r\nGETSET a b\r\nEXEC\r\n");
	straw.requests[1]->wrote = true;
	straw_answer(1, queue);
	hear(&house, fd,
	     "+OK\r\n+QUEUED\r\n+QUEUED\r\n-OUTCOME_UNKNOWN {\"outcome\":\"unknown\",\"reason\":\"it ran, "
	     "but its "
	     "answer is too large\"}\r\n",
	     "unless something was written: then it ran");
	say(&house, fd, "MULTI\r\nECHO e\r\nGETSET a b\r\nONCE o1 EXEC\r\n");
	straw.requests[2]->replayed = true;
	straw_answer(2, queue);
	hear(&house, fd,
	     "+OK\r\n+QUEUED\r\n+QUEUED\r\n-OUTCOME_UNKNOWN {\"outcome\":\"unknown\",\"reason\":\"it ran, "
	     "but its "
	     "answer is too large\"}\r\n",
	     "or was, when this is a repeat of it");
	free(queue);
	free(bulk);
	close(fd);
	house_close(&house);
}

static void test_watch(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int fd = client_open(&house);
	say(&house, fd, "WATCH a b a\r\nMULTI\r\nSET a 1\r\nONCE id-1 EXEC\r\nPING\r\n");
	is_int(straw.count, 1, "what follows a WATCH waits for its versions");
	ok(straw.requests[0]->kind == REQUEST_WATCH && straw.requests[0]->watch_count == 2, "each key once");
	straw_answer(0, "*2\r\n:7\r\n:0\r\n");
	turns(&house);
	is_str(straw.words[1], "SET a 1 @a=7 @b=0", "EXEC carries them");
	ok(slice_equal(straw.requests[1]->envelope.once, SLICE_LIT("id-1")), "and its prefix");
	straw_answer(1, "*-1\r\n");
	hear(&house, fd, "+OK\r\n+OK\r\n+QUEUED\r\n*-1\r\n+PONG\r\n", "all in order");
	say(&house, fd, "WATCH a\r\n");
	straw_answer(2, "*1\r\n:9\r\n");
	say(&house, fd, "UNWATCH\r\nMULTI\r\nGET a\r\nEXEC\r\n");
	is_str(straw.words[3], "GET a", "UNWATCH forgets");
	straw_answer(3, "*1\r\n$-1\r\n");
	hear(&house, fd, "+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n$-1\r\n", "and all is answered");
	say(&house, fd, "WATCH a\r\n");
	straw_answer(4, "-NO_QUORUM {\"outcome\":\"retry\",\"reason\":\"a majority did not answer in time, "
			"nothing was read: ask again\"}\r\n");
	say(&house, fd, "MULTI\r\nGET a\r\nEXEC\r\n");
	is_str(straw.words[5], "GET a", "a WATCH that failed watches nothing");
	close(fd);
	house_close(&house);
}

static void test_prefix(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int fd = client_open(&house);
	say(&house, fd, "ONCE o1 DEADLINE 250 SET a 1\r\n");
	is_str(straw.words[0], "SET a 1", "prefixes are taken off");
	is_int(straw.requests[0]->envelope.deadline_ms, 250, "and understood");
	straw_answer(0, "+OK\r\n");
	say(&house, fd, "DEADLINE x GET a\r\nMULTI\r\nONCE o2 SET a 1\r\nEXEC\r\n");
	hear(&house, fd,
	     "+OK\r\n-VALIDATION "
	     "{\"outcome\":\"refused\",\"argument\":\"DEADLINE\",\"reason\":\"milliseconds from 1 to "
	     "3600000\"}\r\n+OK\r\n-VALIDATION {\"outcome\":\"refused\",\"reason\":\"inside MULTI a prefix "
	     "stands in front "
	     "of EXEC, not of a queued command\"}\r\n-EXECABORT Transaction discarded because of previous "
	     "errors.\r\n",
	     "a wrong one, and one in a queue, are refused");
	say(&house, fd, "ONCE o3 MULTI\r\nSET a 1\r\nEXEC\r\nMULTI\r\nECHO e\r\nONCE o3 MULTI\r\nEXEC\r\n");
	hear(&house, fd,
	     "-VALIDATION {\"outcome\":\"refused\",\"reason\":\"a prefix stands in front of EXEC, not of "
	     "MULTI: "
	     "what "
	     "is queued will be discarded\"}\r\n+QUEUED\r\n-EXECABORT Transaction discarded because of "
	     "previous errors.\r\n+OK\r\n+QUEUED\r\n-VALIDATION "
	     "{\"outcome\":\"refused\",\"reason\":\"a prefix stands in front of EXEC, not of MULTI: what "
	     "is queued will be discarded\"}\r\n-EXECABORT Transaction discarded because of previous "
	     "errors.\r\n",
	     "one in front of MULTI is too, and what is queued behind it does not run");
	close(fd);
	house_close(&house);
}

/* ---- other nodes ---- */

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
	straw.config.on_forwarded(straw.config.owner, 3, 100, SLICE_LIT("\1nonsense"));
	ok(straw.reply_count == 3, "nonsense is answered too");
	is_int(straw.count, 1, "and not run");
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
	free(whole);
	house_close(&house);
}

/* ---- bounds ---- */

#define LONG_COUNT 40

/* Reads LONG_COUNT replies of bulk strings or errors; how many were errors. */
static size_t errors_among(struct house *house, int fd, size_t body)
{
	size_t errors = 0, seen = 0, cap = MIB(64), len = 0, at = 0;
	char *in = malloc(cap);
	for (int waits = 0; seen < LONG_COUNT && waits < 2000; waits++) {
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
	is_int(seen, LONG_COUNT, "all of them are answered");
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
	size_t errors = errors_among(&house, fd, MIB(1));
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
/* What health checks look at. */
static void test_role(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int fd = client_open(&house);
	straw.stats.replica.commit_index = 77;
	straw.stats.applied_index = 75;
	straw.stats.replica.peer_count = 2;
	straw.stats.replica.peers[0].id = 2;
	straw.stats.replica.peers[0].connected = true;
	straw.stats.replica.peers[0].match_index = 70;
	straw.stats.replica.peers[1].id = 3;
	say(&house, fd, "ROLE\r\n");
	hear(&house, fd,
	     "*3\r\n$6\r\nmaster\r\n:77\r\n*1\r\n*3\r\n$9\r\n127.0.0.1\r\n$4\r\n7402\r\n$2\r\n70\r\n",
	     "who leads is the master, of those who are connected");
	set_role(&house, SHARD_FOLLOWS, 3);
	say(&house, fd, "ROLE\r\n");
	hear(&house, fd, "*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:7403\r\n$9\r\nconnected\r\n:75\r\n",
	     "who follows names the client port of its leader");
	set_role(&house, SHARD_UNKNOWN, 0);
	say(&house, fd, "ROLE\r\n");
	hear(&house, fd, "*5\r\n$5\r\nslave\r\n$0\r\n\r\n:0\r\n$7\r\nconnect\r\n:75\r\n",
	     "who knows no leader is not connected");
	close(fd);
	house_close(&house);
}

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

/* A queue that only this node has to do with, behind a request that is under way. */
static void test_long_queue_here(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int fd = client_open(&house);
	enum { COMMANDS = 1000 };
	struct buf asked, answered;
	buf_init(&asked, MIB(1));
	buf_init(&answered, MIB(1));
	buf_append_text(&asked, "SET a 1\r\nMULTI\r\n");
	buf_append_text(&answered, "+OK\r\n+OK\r\n");
	for (int i = 0; i < COMMANDS; i++) {
		buf_append_text(&asked, "COMMAND\r\n");
		buf_append_text(&answered, "+QUEUED\r\n");
	}
	buf_append(&asked, "EXEC\r\nPING\r\n", sizeof "EXEC\r\nPING\r\n");
	buf_append_text(&answered,
			"-TOO_LARGE {\"outcome\":\"refused\",\"reason\":\"the reply is over 4 MiB: "
			"ask for less at once\"}\r\n+PONG\r\n");
	buf_append_byte(&answered, '\0');
	say(&house, fd, (const char *)asked.data);
	straw_answer(0, "+OK\r\n");
	hear(&house, fd, (const char *)answered.data, "what a queue answers here is whole, or refused");
	buf_fini(&asked);
	buf_fini(&answered);
	close(fd);
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

/* ---- stopping ---- */

static void stopped_cb(void *owner)
{
	*(bool *)owner = true;
}

static bool is_set(void *owner)
{
	return *(bool *)owner;
}

static bool shard_closes(void *unused)
{
	return straw.closed != NULL;
}

static void test_stop(void)
{
	struct house house;
	bool stopped = false;
	house_open(&house, SHARD_UNKNOWN, 0);
	int waits = client_open(&house), asks = client_open(&house);
	say(&house, waits, "SET a 1\r\n");
	node_stop(house.node, stopped_cb, &stopped);
	hear(&house, waits,
	     "-STOPPING {\"outcome\":\"retry\",\"reason\":\"the node is stopping: ask another\"}\r\n",
	     "who waits for a leader is told to go elsewhere");
	say(&house, asks, "GET a\r\n");
	hear(&house, asks,
	     "-STOPPING {\"outcome\":\"retry\",\"reason\":\"the node is stopping: ask another\"}\r\n",
	     "so is who asks now");
	straw.left(straw.config.owner);
	hear_end(&house, waits, "when leadership is handed over clients are let go");
	hear_end(&house, asks, "all of them");
	uv_env_run_until(house.env, shard_closes, NULL, HEAR_MS);
	ok(straw.closed != NULL && !stopped, "and then the shard is closed");
	straw.closed(straw.config.owner);
	uv_env_run_until(house.env, is_set, &stopped, HEAR_MS);
	ok(stopped && !node_stop_timed_out(house.node), "when it is the node is");
	close(waits);
	close(asks);
	house_close(&house);
}

static void test_stop_that_hangs(void)
{
	struct house house;
	bool stopped = false;
	house_open(&house, SHARD_LEADS, 1);
	int fd = client_open(&house);
	say(&house, fd, "SET a 1\r\n");
	node_stop(house.node, stopped_cb, &stopped);
	uv_env_run_until(house.env, is_set, &stopped, HEAR_MS);
	ok(stopped && node_stop_timed_out(house.node),
	   "a stop whose shard does not close ends all the same, and says so");
	close(fd);
	house_close(&house);
}

int main(void)
{
	test_order();
	test_pieces();
	test_protocol_error();
	test_manual();
	test_lingering();
	test_client_leaves();
	test_silence();
	test_kill();
	test_refusal();
	test_refusal_at_once();
	test_refusal_in_order();
	test_deferred();
	test_deferred_last();
	test_refusal_in_multi();
	test_multi();
	test_splice();
	test_splice_too_long();
	test_watch();
	test_prefix();
	test_forward();
	test_parked();
	test_parked_deadline();
	test_change_of_leader();
	test_foreign();
	test_long_foreign();
	test_long_answers();
	test_slow_reader();
	test_max_clients();
	test_role();
	test_node_requests();
	test_node_input();
	test_stop();
	test_stop_that_hangs();
	test_node_requests_gone();
	test_long_queue_here();
	test_slow_readers();
	test_queues_take_memory();
	return tap_done();
}
