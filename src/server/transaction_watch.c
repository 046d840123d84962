/* WATCH and UNWATCH: keys whose versions the leader is asked for, before EXEC carries them. */
#include "server/transaction_private.h"

#include "server/node_private.h"

#include <stdlib.h>

void transaction_unwatch(struct conn *conn)
{
	struct transaction *transaction = &conn->session.transaction;
	arena_fini(&transaction->watch_arena);
	free(transaction->watches);
	transaction->watches = NULL;
	transaction->watch_count = transaction->watch_cap = 0;
}

static bool is_watched(const struct transaction *transaction, unsigned db, struct slice key)
{
	for (size_t i = 0; i < transaction->watch_count; i++) {
		if (transaction->watches[i].db == db && slice_equal(transaction->watches[i].key, key)) {
			return true;
		}
	}
	return false;
}

/* The versions have come, for the last watches in order: array of integers. */
static bool take_versions(struct transaction *transaction, struct slice bytes, size_t *taken)
{
	int64_t count = 0;
	size_t fresh = 0;
	if (!transaction_array(&bytes, &count)) {
		return false;
	}
	while (fresh < transaction->watch_count && transaction->watches[fresh].version != UINT64_MAX) {
		fresh++;
	}
	if ((uint64_t)count != transaction->watch_count - fresh) {
		return false;
	}
	for (; fresh < transaction->watch_count; fresh++) {
		const uint8_t *end = bytes.len < 4 ? NULL : memchr(bytes.data, '\r', bytes.len - 1);
		int64_t version = 0;
		if (end == NULL || bytes.data[0] != ':' ||
		    !slice_to_int64(slice_of(bytes.data + 1, (size_t)(end - bytes.data) - 1), &version)) {
			return false;
		}
		transaction->watches[fresh].version = (uint64_t)version;
		bytes = slice_skip(bytes, (size_t)(end - bytes.data) + 2);
	}
	*taken = fresh;
	return true;
}

static void watch_finish(struct call *call)
{
	struct conn *conn = call->conn;
	struct transaction *transaction = &conn->session.transaction;
	struct buf *reply_bytes = &call->request.reply;
	size_t taken = 0;
	conn->blocked = false;
	conn_wake(conn);
	if (take_versions(transaction, buf_slice(reply_bytes), &taken)) {
		struct reply reply = call_reply(call);
		buf_reset(reply_bytes);
		reply_simple(&reply, "OK");
		return;
	}
	/* An error, told as it is: these keys are not watched. */
	while (transaction->watch_count > 0 &&
	       transaction->watches[transaction->watch_count - 1].version == UINT64_MAX) {
		transaction->watch_count--;
	}
	if (reply_bytes->len == 0 || reply_bytes->data[0] != '-') {
		struct reply reply = call_reply(call);
		buf_reset(reply_bytes);
		reply_code(&reply, CODE_NO_QUORUM, NULL);
	}
}

static void watch_answer(struct conn *conn, bool muted, const char *error)
{
	struct conn_reply answer = conn_reply_begin(conn, muted);
	if (error != NULL) {
		reply_error(&answer.reply, "%s", error);
	} else {
		reply_simple(&answer.reply, "OK");
	}
	conn_reply_end(conn, &answer);
}

void transaction_watch(struct conn *conn, const struct slice *argv, size_t argc, bool muted)
{
	struct transaction *transaction = &conn->session.transaction;
	size_t before = transaction->watch_count;
	if (transaction->open) {
		watch_answer(conn, muted, "ERR WATCH inside MULTI is not allowed");
		return;
	}
	if (before + argc - 1 > LIMIT_QUEUED_COMMANDS) { /* WATCH itself is a word, and no key */
		watch_answer(conn, muted, "ERR too many keys are watched");
		return;
	}
	size_t memory = transaction_words(argv, argc);
	if (transaction->watch_arena.used + memory > LIMIT_QUEUED_BYTES) {
		watch_answer(conn, muted, "ERR the watched keys are too long together");
		return;
	}
	if (transaction_crowds(conn, memory)) {
		watch_answer(conn, muted, "ERR too much is watched and queued on this node, come back later");
		return;
	}
	if (transaction->watch_arena.first == NULL) {
		arena_init(&transaction->watch_arena, KIB(1));
	}
	for (size_t i = 1; i < argc; i++) {
		if (is_watched(transaction, conn->session.db, argv[i])) {
			continue;
		}
		transaction->watches =
			transaction_grow(transaction->watches, transaction->watch_count,
					 &transaction->watch_cap, sizeof *transaction->watches);
		transaction->watches[transaction->watch_count++] = (struct request_watch){
			arena_copy(&transaction->watch_arena, argv[i]), conn->session.db, UINT64_MAX};
	}
	if (transaction->watch_count == before) {
		watch_answer(conn, muted, NULL);
		return;
	}
	struct call *call = conn_call(conn, muted);
	call->asked = command_find(SLICE_LIT("WATCH"));
	call->request.kind = REQUEST_WATCH;
	call->request.watches = transaction->watches + before;
	call->request.watch_count = transaction->watch_count - before;
	call->request.arrived_us = conn->active_us;
	call->finish = watch_finish;
	conn->blocked = true; /* EXEC may follow in the same bytes and needs the versions */
	if (dispatch_call(&conn->node->dispatch, call)) {
		conn_count_held(conn, call);
	}
}
