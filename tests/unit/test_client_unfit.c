/* What a program may give to tally.h by mistake or by its users' will: no assertion, nothing sent, and a word
 * why. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "client/request.h"
#include "client/tally.h"
#include "tests/lib/tap.h"
#include "wire/resp.h"

#include <uv.h>

/* Nobody listens: what is fit ends as RETRY at its deadline. */
#define NOBODY "127.0.0.1:1"
#define SHORT_MS 20

static struct tally_sync *sync_open(void)
{
	char error[256] = "";
	const struct tally_options options = {.servers = NOBODY};
	return tally_sync_open(&options, error, sizeof(error));
}

static bool refused(const struct tally_call *call, const char *code)
{
	return tally_call_outcome(call) == TALLY_REFUSED && strcmp(tally_call_code(call), code) == 0 &&
	       tally_call_message(call)[0] != '\0' && tally_call_attempts(call) == 0 &&
	       tally_call_value(call) == NULL && tally_call_meta(call) == NULL;
}

static bool fit(const struct tally_call *call)
{
	return tally_call_outcome(call) == TALLY_RETRY;
}

/* ---- commands ---- */

static void test_large(struct tally_sync *sync)
{
	size_t huge_bytes = MIB(130);
	char *huge = malloc(huge_bytes);
	memset(huge, 'x', huge_bytes);
	const char *const words[] = {"SET", "k", huge};
	size_t lens[] = {3, 1, huge_bytes};
	ok(refused(tally_sync_command(sync, NULL, words, lens, 3, 0, SHORT_MS), "TOO_LARGE"),
	   "a request of 130 MiB is refused and not sent");
	lens[2] = LIMIT_REQUEST_BYTES;
	ok(refused(tally_sync_command(sync, NULL, words, lens, 3, 0, SHORT_MS), "TOO_LARGE"),
	   "so is one that is a little over what a node takes");
	lens[2] = LIMIT_VALUE;
	ok(fit(tally_sync_command(sync, NULL, words, lens, 3, 0, SHORT_MS)),
	   "the largest value that can be stored is sent");
	lens[2] = SIZE_MAX;
	ok(refused(tally_sync_command(sync, NULL, words, lens, 3, 0, SHORT_MS), "TOO_LARGE"),
	   "a length of all bits does not wrap around");
	ok(refused(tally_sync_command(sync, NULL, words, lens, SIZE_MAX / 8, 0, SHORT_MS), "TOO_LARGE"),
	   "a count beyond a million words is refused before a word is looked at");
	struct tally_arg args[] = {tally_bytes("a", huge, huge_bytes)};
	ok(refused(tally_sync_call(sync, NULL, "p", args, 1, SHORT_MS), "TOO_LARGE"),
	   "an argument of 130 MiB is refused");
	ok(refused(tally_sync_call(sync, NULL, "p", args, SIZE_MAX / 2, SHORT_MS), "TOO_LARGE"),
	   "so are more arguments than can be");
	huge[huge_bytes - 1] = '\0';
	ok(refused(tally_sync_call(sync, NULL, huge, NULL, 0, SHORT_MS), "TOO_LARGE"),
	   "and a name of 130 MiB");
	free(huge);
}

static void test_nothing(struct tally_sync *sync)
{
	const char *const words[] = {"SET", NULL, "v"};
	const size_t lens[] = {3, 2, 1};
	const size_t empty[] = {3, 0, 1};
	ok(refused(tally_sync_command(sync, NULL, NULL, NULL, 0, 0, SHORT_MS), "VALIDATION"),
	   "no words are no command");
	ok(refused(tally_sync_command(sync, NULL, NULL, NULL, 2, 0, SHORT_MS), "VALIDATION"),
	   "words that are NULL are refused");
	ok(refused(tally_sync_command(sync, NULL, words, NULL, 3, 0, SHORT_MS), "VALIDATION"),
	   "a word that is NULL is refused");
	ok(refused(tally_sync_command(sync, NULL, words, lens, 3, 0, SHORT_MS), "VALIDATION"),
	   "also with a length");
	ok(fit(tally_sync_command(sync, NULL, words, empty, 3, 0, SHORT_MS)),
	   "with the length 0 it is empty");

	ok(refused(tally_sync_call(sync, NULL, NULL, NULL, 0, SHORT_MS), "VALIDATION"),
	   "a procedure without a name is refused");
	ok(refused(tally_sync_call(sync, NULL, "p", NULL, 1, SHORT_MS), "VALIDATION"),
	   "arguments that are NULL are refused");
	struct tally_arg args[] = {tally_str("a", NULL)};
	ok(refused(tally_sync_call(sync, NULL, "p", args, 1, SHORT_MS), "VALIDATION"),
	   "a text that is NULL is refused");
	args[0] = tally_bytes("a", NULL, 3);
	ok(refused(tally_sync_call(sync, NULL, "p", args, 1, SHORT_MS), "VALIDATION"), "so are bytes");
	args[0] = tally_bytes("a", NULL, 0);
	ok(fit(tally_sync_call(sync, NULL, "p", args, 1, SHORT_MS)), "none of them are an empty text");
	args[0] = tally_int(NULL, 1);
	ok(refused(tally_sync_call(sync, NULL, "p", args, 1, SHORT_MS), "VALIDATION"),
	   "an argument without a name is refused");
	memset(args, 0, sizeof(args));
	args[0].name = "a";
	ok(refused(tally_sync_call(sync, NULL, "p", args, 1, SHORT_MS), "VALIDATION"),
	   "an argument that nobody filled is refused");
}

static void test_ids(struct tally_sync *sync)
{
	const char *const words[] = {"INCR", "k"};
	char id[LIMIT_REQUEST_ID + 2];
	memset(id, 'i', sizeof(id));
	id[LIMIT_REQUEST_ID + 1] = '\0';
	ok(refused(tally_sync_command(sync, id, words, NULL, 2, 0, SHORT_MS), "VALIDATION"),
	   "an id of 129 bytes is refused");
	id[LIMIT_REQUEST_ID] = '\0';
	ok(fit(tally_sync_command(sync, id, words, NULL, 2, 0, SHORT_MS)), "one of 128 is not");
	ok(refused(tally_sync_command(sync, "", words, NULL, 2, 0, SHORT_MS), "VALIDATION"),
	   "an empty id is refused: it would not be repeated under it");
	ok(refused(tally_sync_call(sync, "", "p", NULL, 0, SHORT_MS), "VALIDATION"), "also for a procedure");
	ok(refused(tally_sync_command(sync, NULL, words, NULL, 2, 0, 0), "VALIDATION"),
	   "a timeout of nothing is refused");
	ok(refused(tally_sync_command(sync, NULL, words, NULL, 2, 0, 600001), "VALIDATION"),
	   "so is one beyond ten minutes");
}

/* ---- the rest of the doors, on a loop ---- */

struct many {
	struct tally *tally;
	struct tally_call calls[8];
	unsigned started, ended, refused;
	bool inside, early, closed;
};

static void many_cb(struct tally_call *call)
{
	struct many *many = call->data;
	many->early = many->early || many->inside;
	many->ended++;
	many->refused += refused(call, "VALIDATION");
}

static void many_closed_cb(void *data)
{
	((struct many *)data)->closed = true;
}

static struct tally_call *next(struct many *many)
{
	struct tally_call *call = &many->calls[many->started++];
	memset(call, 0xA5, sizeof(*call));
	call->data = many;
	return call;
}

static void test_doors(bool close_first)
{
	uv_loop_t loop;
	struct many many = {0};
	const struct tally_options options = {.servers = NOBODY};
	uv_loop_init(&loop);
	struct tally *tally = many.tally = tally_open(&loop, &options, NULL, 0);
	many.inside = true;
	tally_get_start(tally, next(&many), NULL, 3, 100, many_cb);
	tally_set_start(tally, next(&many), NULL, 3, "v", 1, 100, many_cb);
	tally_set_start(tally, next(&many), "k", 1, NULL, 3, 100, many_cb);
	tally_del_start(tally, next(&many), NULL, 3, 100, many_cb);
	tally_range_start(tally, next(&many), NULL, "z", 10, 100, many_cb);
	tally_range_start(tally, next(&many), "a", NULL, 10, 100, many_cb);
	tally_range_start(tally, next(&many), "a", "z", 0, 100, many_cb);
	tally_range_start(tally, next(&many), "a", "z", 10001, 100, many_cb);
	many.inside = false;
	if (close_first) {
		tally_close(tally, many_closed_cb, &many);
	}
	while (many.ended < many.started && uv_run(&loop, UV_RUN_ONCE) != 0) {
	}
	ok(many.ended == many.started && many.refused == many.started,
	   "keys, values and ranges are looked at%s", close_first ? ", also while the client closes" : "");
	ok(!many.early, "and refused after their start has returned");
	if (!close_first) {
		tally_close(tally, many_closed_cb, &many);
	}
	uv_run(&loop, UV_RUN_DEFAULT);
	ok(many.closed && uv_loop_close(&loop) == 0, "nothing of them stays behind");
}

static void test_open(void)
{
	char error[256] = "";
	uv_loop_t loop;
	uv_loop_init(&loop);
	ok(tally_open(&loop, NULL, error, sizeof(error)) == NULL && error[0] != '\0',
	   "no options open no client");
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
	ok(tally_sync_open(NULL, error, sizeof(error)) == NULL, "nor a blocking one");
	ok(tally_value_get(NULL, "a") == NULL && tally_value_at(NULL, 0) == NULL &&
		   tally_value_text(NULL, NULL) == NULL && tally_value_count(NULL) == 0,
	   "a value that is not there has nothing in it");
}

/* ---- both sides have one bound ---- */

static void test_bound(void)
{
	static struct tally tally;
	struct call call = {.tally = &tally, .deadline_us = UINT64_C(600000) * 1000};
	char *value = calloc(1, LIMIT_REQUEST_BYTES);
	struct slice words[] = {SLICE_LIT("SET"), SLICE_LIT("k"),
				slice_of(value, LIMIT_REQUEST_BYTES - 3 - 1 - 3 - 30)};
	pool_init(&tally.pool);
	request_make(&call, SLICE_LIT("id7"), words, 3);
	call.was_unknown = call.dryrun = true;
	struct buf out;
	struct arena arena;
	struct err err = {0};
	struct resp_request_state state;
	buf_init(&out, MIB(4));
	arena_init(&arena, KIB(4));
	resp_request_init(&state);
	request_write(&call, 0, &out);
	struct slice *argv;
	size_t argc = 0, used = 0;
	int status = resp_request_parse(&state, buf_slice(&out), &arena, &argv, &argc, &used, &err);
	ok(status == 0 && argc == 9 && used == out.len,
	   "a node reads the largest request that is sent, with all in front");
	request_free(&call);
	words[2].len++;
	call = (struct call){.tally = &tally};
	request_make(&call, SLICE_LIT("id7"), words, 3);
	ok(call.unsent && call.text == NULL, "a byte more is not sent");
	resp_request_fini(&state);
	arena_fini(&arena);
	buf_fini(&out);
	pool_fini(&tally.pool);
	free(value);
}

int main(void)
{
	struct tally_sync *sync = sync_open();
	test_large(sync);
	test_nothing(sync);
	test_ids(sync);
	tally_sync_close(sync);
	test_doors(false);
	test_doors(true);
	test_open();
	test_bound();
	return tap_done();
}
