/* tally_open: a client on the caller's libuv loop, with an env of its own there. */
#include <stdio.h>
#include <stdlib.h>

#include "client/body.h"
#include "env/uv_env.h"

/* Outlives the client: who hears that its env is gone too. */
struct loop_end {
	void (*closed)(void *data);
	void *data;
};

static void loop_env_freed_cb(void *owner)
{
	struct loop_end *end = owner;
	end->closed(end->data);
	free(end);
}

static void loop_client_gone(struct tally *tally, void (*closed)(void *data), void *data)
{
	struct env *env = tally->env;
	struct loop_end *end = malloc(sizeof(*end));
	if (end == NULL) {
		fatal("out of memory while a client closes");
	}
	*end = (struct loop_end){closed, data};
	client_free(tally);
	uv_env_free(env, loop_env_freed_cb, end);
}

struct tally *tally_open(struct uv_loop_s *loop, const struct tally_options *options, char *error,
			 size_t size)
{
	struct err err = {0};
	struct tally *tally = NULL;
	struct env *env = loop != NULL ? uv_env_new(loop) : NULL;
	if (env == NULL) {
		err_set(&err, ERR_INVALID, "no loop was given");
	} else {
		tally = client_open(env, options, &err);
		if (tally == NULL) {
			uv_env_free(env, NULL, NULL);
		} else {
			tally->gone = loop_client_gone;
		}
	}
	if (tally == NULL && error != NULL) {
		snprintf(error, size, "%s", err.text);
	}
	return tally;
}
