/* A node over a shard of straw that refuses: who is told so at once, and who in his turn. */
#include "tests/lib/house.h"

#include "tests/lib/tap.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

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

int main(void)
{
	test_refusal();
	test_refusal_at_once();
	test_refusal_in_order();
	test_deferred();
	test_deferred_last();
	test_refusal_in_multi();
	return tap_done();
}
