/* MULTI, EXEC, WATCH and prefixes at a node over a shard of straw: what the leader is sent, and how answers
 * of here and there are put together. */
#include "tests/lib/house.h"

#include "tests/lib/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static void test_explained(void)
{
	struct house house;
	house_open(&house, SHARD_LEADS, 1);
	int fd = client_open(&house);
	say(&house, fd, "MULTI\r\nPING\r\nSELECT 3\r\nSET a 1\r\nEXPLAIN EXEC\r\n");
	is_str(straw.words[0], "SET a 1", "the leader's part of the queue is explained");
	straw_answer(0, "*2\r\n$7\r\noutcome\r\n$4\r\ndone\r\n");
	hear(&house, fd, "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$7\r\noutcome\r\n$4\r\ndone\r\n",
	     "and that is the answer");
	say(&house, fd, "GET x\r\n");
	is_int(straw.requests[1]->db, 0, "nothing of it ran here");
	close(fd);
	house_close(&house);
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
	buf_append_text(&asked, "CLIENT SETNAME late\r\n");
	buf_append_text(&answered, "+QUEUED\r\n");
	buf_append(&asked, "EXEC\r\nCLIENT GETNAME\r\n", sizeof "EXEC\r\nCLIENT GETNAME\r\n");
	buf_append_text(&answered,
			"-TOO_LARGE {\"outcome\":\"refused\",\"reason\":\"the reply is over 4 MiB: "
			"ask for less at once\"}\r\n$-1\r\n");
	buf_append_byte(&answered, '\0');
	say(&house, fd, (const char *)asked.data);
	straw_answer(0, "+OK\r\n");
	hear(&house, fd, (const char *)answered.data, "what a queue answers here is whole, or refused, and then nothing runs behind it");
	buf_fini(&asked);
	buf_fini(&answered);
	close(fd);
	house_close(&house);
}

int main(void)
{
	test_multi();
	test_splice();
	test_explained();
	test_splice_too_long();
	test_watch();
	test_prefix();
	test_long_queue_here();
	return tap_done();
}
