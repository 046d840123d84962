#include "env/uv_env.h"
#include "env/uv_body.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void uv_env_count(struct uv_env *e) { e->handles++; }

static void env_finish(struct uv_env *e)
{
	void (*freed)(void *owner) = e->freed;
	void *owner = e->freed_owner;
	if (e->reserve_fd >= 0) {
		close(e->reserve_fd);
	}
	free(e->read_buffer);
	if (e->own_loop) {
		return; /* uv_env_free waits for this and frees */
	}
	free(e);
	if (freed != NULL) {
		freed(owner);
	}
}

void uv_env_uncount(struct uv_env *e)
{
	assert(e->handles > 0);
	e->handles--;
	if (e->handles == 0 && e->env.dead) {
		env_finish(e);
	}
}

void uv_env_uncount_cb(uv_handle_t *handle) { uv_env_uncount((struct uv_env *)handle->data); }

int uv_env_error(int errno_value)
{
	switch (errno_value) {
	case ENOENT:
		return ERR_NOT_FOUND;
	case EEXIST:
		return ERR_EXISTS;
	case ENOSPC:
	case EDQUOT:
		return ERR_NO_SPACE;
	case EACCES:
	case EPERM:
	case EROFS:
		return ERR_DENIED;
	default:
		return ERR_IO;
	}
}

static uint64_t now_us(struct env *env) { return uv_hrtime() / 1000; }

static uint64_t wall_ms(struct env *env)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void random_bytes(struct env *env, void *bytes, size_t len)
{
	struct uv_env *e = uv_env_of(env);
	uint8_t *to = bytes;
	while (len > 0) {
		if (e->random_left == 0) {
			if (uv_random(NULL, NULL, e->random, sizeof(e->random), 0, NULL) != 0) {
				fatal("the kernel gives no random bytes; is getrandom(2) or /dev/urandom there?");
			}
			e->random_left = sizeof(e->random);
		}
		size_t take = len < e->random_left ? len : e->random_left;
		uint8_t *from = e->random + sizeof(e->random) - e->random_left;
		memcpy(to, from, take);
		memset(from, 0, take);
		e->random_left -= take;
		to += take;
		len -= take;
	}
}

/* All of env runs on the loop thread, and the prepare callback looks before every sleep. */
static void wake(struct env *env) {}

const struct env_ops uv_env_ops = {
	.now_us = now_us,
	.wall_ms = wall_ms,
	.random = random_bytes,
	.wake = wake,
	.connect = uv_stream_connect,
	.stream_set = uv_stream_set,
	.stream_write = uv_stream_write,
	.stream_unsent = uv_stream_unsent,
	.stream_pause = uv_stream_pause,
	.stream_resume = uv_stream_resume,
	.stream_finish = uv_stream_finish,
	.stream_close = uv_stream_close_now,
	.stream_peer = uv_stream_peer,
	.listen = uv_listener_open,
	.listener_port = uv_listener_port,
	.listener_close = uv_listener_close,
	.file_open = uv_file_open,
	.file_close = uv_file_close,
	.file_read = uv_file_read,
	.file_write = uv_file_write,
	.file_sync = uv_file_sync,
	.file_truncate = uv_file_truncate,
	.file_allocate = uv_file_allocate,
	.file_size = uv_file_size,
	.mkdir = uv_file_mkdir,
	.rename = uv_file_rename,
	.unlink = uv_file_unlink,
	.dir_sync = uv_file_dir_sync,
	.dir_list = uv_file_dir_list,
	.free_space = uv_file_free_space,
	.lock_take = uv_file_lock_take,
	.lock_release = uv_file_lock_release,
	.lane_open = uv_work_lane_open,
	.lane_submit = uv_work_lane_submit,
	.lane_pending = uv_work_lane_pending,
	.lane_close = uv_work_lane_close,
	.alarm_open = uv_alarm_open,
	.alarm_close = uv_alarm_close,
	.alarm_hold = uv_alarm_hold,
};

struct env *uv_env_new(struct uv_loop_s *loop)
{
	struct uv_env *e = calloc(1, sizeof(*e));
	if (e == NULL) {
		fatal("out of memory for the event loop");
	}
	e->read_buffer = malloc(UV_BODY_READ_BYTES);
	if (e->read_buffer == NULL) {
		fatal("out of memory for the event loop");
	}
	env_schedule_init(&e->env, &uv_env_ops);
	list_init(&e->streams);
	list_init(&e->listeners);
	list_init(&e->written);
	list_init(&e->gone);
	list_init(&e->names);
	list_init(&e->lanes);
	list_init(&e->finished);
	list_init(&e->alarms);
	e->own_loop = loop == NULL;
	e->loop = loop;
	if (e->own_loop) {
		int status = uv_loop_init(&e->own);
		if (status != 0) {
			fatal("no event loop: %s", uv_strerror(status));
		}
		e->loop = &e->own;
	}
	e->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	uv_timer_open(e);
	uv_work_open(e);
	return &e->env;
}

void uv_env_run(struct env *env)
{
	struct uv_env *e = uv_env_of(env);
	assert(e->own_loop);
	while (!e->stopped) {
		uv_run(e->loop, UV_RUN_DEFAULT);
	}
	e->stopped = false;
}

static void bound_cb(struct env_timer *timer) {}

void uv_env_run_until(struct env *env, bool (*done)(void *owner), void *owner, uint64_t wait_ms)
{
	struct uv_env *e = uv_env_of(env);
	struct env_timer bound;
	env_timer_init(env, &bound, bound_cb);
	env_timer_start(&bound, wait_ms);
	/* It fires behind all that is due before it. The clock says nothing of that: it may have passed them all at
	 * once, when the process was stopped. */
	while (!done(owner) && env_timer_armed(&bound)) {
		uv_run(e->loop, UV_RUN_ONCE);
	}
	env_timer_stop(&bound);
}

void uv_env_stop(struct env *env)
{
	struct uv_env *e = uv_env_of(env);
	e->stopped = true;
	uv_stop(e->loop);
}

static void signal_cb(uv_signal_t *signal, int signum)
{
	struct uv_env *e = (struct uv_env *)signal->data;
	e->on_signal(e->signal_owner, signum);
}

void uv_env_on_signal(struct env *env, void (*cb)(void *owner, int signum), void *owner)
{
	static const int signums[UV_BODY_SIGNALS] = {SIGTERM, SIGINT, SIGHUP};
	struct uv_env *e = uv_env_of(env);
	assert(!e->signals_on && cb != NULL);
	e->signals_on = true;
	e->on_signal = cb;
	e->signal_owner = owner;
	for (int i = 0; i < UV_BODY_SIGNALS; i++) {
		uv_signal_init(e->loop, &e->signals[i]);
		e->signals[i].data = e;
		uv_env_count(e);
		int status = uv_signal_start(&e->signals[i], signal_cb, signums[i]);
		if (status != 0) {
			fatal("cannot watch signal %d: %s", signums[i], uv_strerror(status));
		}
	}
}

void uv_env_free(struct env *env, void (*freed)(void *owner), void *owner)
{
	if (env == NULL) {
		return;
	}
	struct uv_env *e = uv_env_of(env);
	assert(!env->dead);
	e->freed = freed;
	e->freed_owner = owner;
	uv_env_count(e); /* holds the memory until all closing has begun */
	env->dead = true;
	uv_alarm_close_all(e);
	uv_work_close(e);
	uv_listener_close_all(e);
	uv_stream_close_all(e);
	uv_name_close_all(e);
	env_schedule_fini(env);
	for (int i = 0; e->signals_on && i < UV_BODY_SIGNALS; i++) {
		uv_close((uv_handle_t *)&e->signals[i], uv_env_uncount_cb);
	}
	uv_timer_close(e);
	bool own_loop = e->own_loop;
	uv_env_uncount(e); /* on a caller's loop, e may be gone from here once its handles are closed */
	if (!own_loop) {
		return;
	}
	while (e->handles > 0) {
		uv_run(e->loop, UV_RUN_ONCE);
	}
	/* A further turn lets libuv close what it keeps for itself. */
	uv_run(e->loop, UV_RUN_NOWAIT);
	int status = uv_loop_close(e->loop);
	assert(status == 0);
	free(e);
	if (freed != NULL) {
		freed(owner);
	}
}
