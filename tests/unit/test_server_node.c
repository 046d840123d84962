/* A node over a shard of straw: in which order answers leave, and how clients and node part. */
#include "tests/lib/house.h"

#include "env/uv_env.h"
#include "server/manual.h"
#include "tests/lib/tap.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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

#define HELLO(head, protocol)                                                                                \
	head "\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:" protocol             \
	     "\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n"

/* What is said behind a request changes nothing of how it is answered. */
static void test_meta(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int fd = client_open(&house);
	say(&house, fd, "GET a\r\nHELLO 3\r\nTALLY META ON\r\nGET b\r\nHELLO 2\r\n");
	straw.requests[0]->index = 4;
	straw.requests[1]->index = 5;
	straw_answer(0, "$-1\r\n");
	straw_answer(1, "_\r\n");
	hear(&house, fd,
	     "$-1\r\n" HELLO("%7", "3") "+OK\r\n"
	     "|3\r\n$5\r\nindex\r\n$3\r\n5.0\r\n$4\r\nnode\r\n$2\r\nn1\r\n$8\r\nreplayed\r\n#f\r\n_\r\n" HELLO("*14", "2"),
	     "TALLY META is for what is asked behind it, in the protocol it was asked in");
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
	test_meta();
	test_pieces();
	test_protocol_error();
	test_manual();
	test_lingering();
	test_client_leaves();
	test_silence();
	test_kill();
	test_role();
	test_stop();
	test_stop_that_hangs();
	return tap_done();
}
