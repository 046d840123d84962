/* What any C program does with hiredis: sync calls, a pipeline, a transaction. Prints "ok". */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int expect(redisReply *reply, int type, const char *text, long long integer, const char *what)
{
	int fine = reply != NULL && reply->type == type &&
	           (text == NULL || (reply->str != NULL && strcmp(reply->str, text) == 0)) &&
	           (type != REDIS_REPLY_INTEGER || reply->integer == integer);
	if (!fine) {
		printf("%s: type %d %s\n", what, reply == NULL ? -1 : reply->type,
		       reply != NULL && reply->str != NULL ? reply->str : "");
		exit(1);
	}
	freeReplyObject(reply);
	return 1;
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		return 2;
	}
	struct timeval patience = {30, 0};
	redisContext *c = redisConnectWithTimeout(argv[1], atoi(argv[2]), patience);
	if (c == NULL || c->err != 0) {
		puts("cannot connect");
		return 1;
	}
	const char *key = argv[3];
	expect(redisCommand(c, "DEL hiredis:%s hiredis:%s:n", key, key), REDIS_REPLY_INTEGER, NULL, 0, "DEL");
	expect(redisCommand(c, "SET hiredis:%s %b", key, "a\0b", (size_t)3), REDIS_REPLY_STATUS, "OK", 0, "SET");
	redisReply *got = redisCommand(c, "GET hiredis:%s", key);
	if (got == NULL || got->type != REDIS_REPLY_STRING || got->len != 3 || memcmp(got->str, "a\0b", 3) != 0) {
		puts("GET: other bytes");
		return 1;
	}
	freeReplyObject(got);
	for (int i = 0; i < 500; i++) {
		redisAppendCommand(c, "INCR hiredis:%s:n", key);
	}
	for (int i = 0; i < 500; i++) {
		redisReply *reply = NULL;
		if (redisGetReply(c, (void **)&reply) != REDIS_OK) {
			puts("pipeline broke");
			return 1;
		}
		expect(reply, REDIS_REPLY_INTEGER, NULL, i + 1, "INCR");
	}
	expect(redisCommand(c, "MULTI"), REDIS_REPLY_STATUS, "OK", 0, "MULTI");
	expect(redisCommand(c, "INCR hiredis:%s:n", key), REDIS_REPLY_STATUS, "QUEUED", 0, "queue");
	expect(redisCommand(c, "PING"), REDIS_REPLY_STATUS, "QUEUED", 0, "queue");
	redisReply *exec = redisCommand(c, "EXEC");
	if (exec == NULL || exec->type != REDIS_REPLY_ARRAY || exec->elements != 2 || exec->element[0]->integer != 501) {
		puts("EXEC: other answers");
		return 1;
	}
	freeReplyObject(exec);
	expect(redisCommand(c, "NOSUCH"), REDIS_REPLY_ERROR, NULL, 0, "an unknown command");
	redisFree(c);
	puts("ok");
	return 0;
}
