/* The production body of env, on libuv: one loop, one thread a lane.
 *
 * Used by tallyd, the tool and libtally's blocking façade, which own the loop,
 * and by libtally on a caller's loop. */
#ifndef ENV_UV_ENV_H
#define ENV_UV_ENV_H

#include "env/env.h"

struct uv_loop_s;

/* Makes an env on loop (borrowed; it must outlive the env), or on a loop of its own when loop is NULL. */
struct env *uv_env_new(struct uv_loop_s *loop);
/* Runs until uv_env_stop. Only for an env with a loop of its own. */
void uv_env_run(struct env *env);
/* Runs at most wait_ms, or until done() is true after a turn. What is due within wait_ms has come then, however long
 * the loop stood still. For blocking façades. */
void uv_env_run_until(struct env *env, bool (*done)(void *owner), void *owner, uint64_t wait_ms);
/* Makes uv_env_run return at the end of this turn. */
void uv_env_stop(struct env *env);
/* Calls cb on the loop thread for SIGTERM, SIGINT or SIGHUP. One handler an env. */
void uv_env_on_signal(struct env *env, void (*cb)(void *owner, int signum), void *owner);
/* Starts closing everything env still has open, without a callback to its
 * owners, who have closed what they had or are gone; with a loop of its own, finishes it and frees. On a caller's loop, freed is called (from the loop) when all
 * handles are closed and env's memory is gone; may be NULL. */
void uv_env_free(struct env *env, void (*freed)(void *owner), void *owner);

#endif /* ENV_UV_ENV_H */
