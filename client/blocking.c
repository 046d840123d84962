/* The blocking façade: a client, a loop of its own, and one call at a time. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "client/call.h"
#include "env/uv_env.h"

struct tally_sync {
	struct env *env;
	struct tally *tally;
	struct tally_call call;
	bool ended, closed;
	struct buf reply; /* the last answer, kept until the next call */
	struct arena arena;
};

struct tally_sync *tally_sync_open(const struct tally_options *options, char *error, size_t size)
{
	struct err err = {0};
	struct tally_sync *sync = calloc(1, sizeof(*sync));
	if (sync == NULL) {
		fatal("out of memory for a client");
	}
	sync->env = uv_env_new(NULL);
	sync->tally = client_open(sync->env, options, &err);
	if (sync->tally == NULL) {
		if (error != NULL) {
			snprintf(error, size, "%s", err.text);
		}
		uv_env_free(sync->env, NULL, NULL);
		free(sync);
		return NULL;
	}
	buf_init(&sync->reply, 2 * CLIENT_REPLY_MAX);
	arena_init(&sync->arena, KIB(16));
	return sync;
}

static bool sync_ended(void *owner)
{
	return ((struct tally_sync *)owner)->ended;
}
static bool sync_closed(void *owner)
{
	return ((struct tally_sync *)owner)->closed;
}
static void sync_closed_cb(void *data)
{
	((struct tally_sync *)data)->closed = true;
}

/* One round of waiting; a call ends by itself at its deadline, so rounds do not count. */
#define ROUND_MS 1000

void tally_sync_close(struct tally_sync *sync)
{
	if (sync == NULL) {
		return;
	}
	tally_close(sync->tally, sync_closed_cb, sync);
	while (!sync->closed) {
		uv_env_run_until(sync->env, sync_closed, sync, ROUND_MS);
	}
	uv_env_free(sync->env, NULL, NULL);
	buf_fini(&sync->reply);
	arena_fini(&sync->arena);
	free(sync);
}

/* The answer is the connection's only until this returns: it is copied. */
static void sync_call_cb(struct tally_call *public)
{
	struct tally_sync *sync = public->data;
	struct call *call = call_of(public);
	sync->ended = true;
	buf_append_slice(&sync->reply, call->attribute);
	buf_append_slice(&sync->reply, call->reply);
	struct slice all = buf_slice(&sync->reply);
	call->reply = slice_skip(all, call->attribute.len);
	call->attribute = slice_of(all.data, call->attribute.len);
	call->arena = &sync->arena;
}

static void sync_begin(struct tally_sync *sync)
{
	sync->ended = false;
	sync->call.data = sync;
	buf_reset(&sync->reply);
	arena_reset(&sync->arena);
}

static const struct tally_call *sync_wait(struct tally_sync *sync)
{
	while (!sync->ended) {
		uv_env_run_until(sync->env, sync_ended, sync, ROUND_MS);
	}
	return &sync->call;
}

const struct tally_call *tally_sync_call(struct tally_sync *sync, const char *id, const char *procedure,
					 const struct tally_arg *args, size_t arg_count, unsigned timeout_ms)
{
	sync_begin(sync);
	if (id != NULL) {
		tally_call_start_once(sync->tally, &sync->call, id, procedure, args, arg_count, timeout_ms,
				      sync_call_cb);
	} else {
		tally_call_start(sync->tally, &sync->call, procedure, args, arg_count, timeout_ms,
				 sync_call_cb);
	}
	return sync_wait(sync);
}

const struct tally_call *tally_sync_command(struct tally_sync *sync, const char *id, const char *const *words,
					    const size_t *lens, size_t count, unsigned flags,
					    unsigned timeout_ms)
{
	sync_begin(sync);
	tally_command_start(sync->tally, &sync->call, id, words, lens, count, flags, timeout_ms,
			    sync_call_cb);
	return sync_wait(sync);
}

struct tally *tally_sync_client(struct tally_sync *sync)
{
	return sync->tally;
}
