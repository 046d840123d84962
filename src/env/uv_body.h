/* Private to the libuv body: its env and what its files share. */
#ifndef ENV_UV_BODY_H
#define ENV_UV_BODY_H

#include "env/env_ops.h"

#include <uv.h>

#define UV_BODY_READ_BYTES (64 * 1024) /* one buffer for all streams: data is borrowed until the return */
#define UV_BODY_RANDOM_BYTES 512       /* fetched from the kernel at once */
#define UV_BODY_SIGNALS 3

struct uv_env {
	struct env env;
	uv_loop_t *loop;
	bool own_loop;
	bool stopped; /* uv_env_stop was called */
	uv_loop_t own;
	unsigned handles; /* uv handles and resolver requests that still need their last callback */

	/* uv_timer.c: the turn */
	uv_prepare_t prepare;
	uv_check_t check;
	uv_timer_t wake;
	uint64_t wake_at_us; /* what wake is armed for */
	uint64_t due_us;     /* the clock before the poll of this turn */

	/* uv_stream.c, uv_listener.c */
	struct list streams, listeners;
	struct list written; /* writes whose callback is due */
	struct list gone;    /* streams whose closed event is due */
	struct list names;   /* that the resolver is asked, or has answered lately */
	uint8_t *read_buffer;
	int reserve_fd; /* given up for a moment to refuse connections when descriptors ran out */

	/* uv_work.c */
	uv_async_t work_ready;
	struct list lanes, finished;

	struct list alarms; /* uv_alarm.c */

	uv_signal_t signals[UV_BODY_SIGNALS];
	bool signals_on;
	void (*on_signal)(void *owner, int signum);
	void *signal_owner;

	uint8_t random[UV_BODY_RANDOM_BYTES];
	size_t random_left;

	void (*freed)(void *owner);
	void *freed_owner;
};

static inline struct uv_env *uv_env_of(struct env *env) { return (struct uv_env *)env; }

/* uv_env.c: counts a handle that was initialised; a close callback that uncounts it. */
void uv_env_count(struct uv_env *e);
void uv_env_uncount(struct uv_env *e);
void uv_env_uncount_cb(uv_handle_t *handle); /* handle->data is the uv_env */
int uv_env_error(int errno_value);           /* of a system call, to a code of err.h */

/* uv_timer.c */
void uv_timer_open(struct uv_env *e);
void uv_timer_close(struct uv_env *e);

/* uv_stream.c */
struct env_stream *uv_stream_connect(struct env *env, const char *address,
				     const struct env_stream_events *events, void *owner);
/* An accepted socket (non-blocking, consumed); peer_len of sockaddr. NULL when out of memory or descriptors. */
struct env_stream *uv_stream_accept(struct uv_env *e, int fd, const struct sockaddr *peer);
bool uv_stream_claimed(const struct env_stream *stream); /* has events, or is closing */
void uv_stream_set(struct env_stream *stream, const struct env_stream_events *events, void *owner);
void uv_stream_write(struct env_stream *stream, struct env_write *write, const struct slice *slices,
		     size_t count);
size_t uv_stream_unsent(const struct env_stream *stream);
void uv_stream_pause(struct env_stream *stream);
void uv_stream_resume(struct env_stream *stream);
bool uv_stream_finish(struct env_stream *stream);
void uv_stream_close_now(struct env_stream *stream);
const char *uv_stream_peer(const struct env_stream *stream);
/* Calls what is due: write callbacks, then closed events. False when there was nothing. */
bool uv_stream_report(struct uv_env *e);
void uv_stream_close_all(struct uv_env *e); /* without events */

/* uv_name.c */
void uv_name_close_all(struct uv_env *e); /* when no stream dials any more */

/* uv_listener.c */
struct env_listener *uv_listener_open(struct env *env, const char *address,
				      void (*accepted)(void *owner, struct env_stream *stream), void *owner,
				      struct err *err);
unsigned uv_listener_port(const struct env_listener *listener);
void uv_listener_close(struct env_listener *listener);
void uv_listener_close_all(struct uv_env *e);

/* uv_file.c */
extern const struct env_ops uv_env_ops; /* uv_env.c */
int uv_file_open(struct env *env, const char *path, unsigned flags, struct env_file **file);
void uv_file_close(struct env_file *file);
int uv_file_read(struct env_file *file, uint64_t offset, void *bytes, size_t len, size_t *got);
int uv_file_write(struct env_file *file, uint64_t offset, const void *bytes, size_t len);
int uv_file_sync(struct env_file *file);
int uv_file_truncate(struct env_file *file, uint64_t size);
int uv_file_allocate(struct env_file *file, uint64_t size);
int uv_file_size(struct env_file *file, uint64_t *size);
int uv_file_mkdir(struct env *env, const char *path);
int uv_file_rename(struct env *env, const char *from, const char *to);
int uv_file_unlink(struct env *env, const char *path);
int uv_file_dir_sync(struct env *env, const char *path);
int uv_file_dir_list(struct env *env, const char *path, int (*visit)(void *owner, const char *name),
		     void *owner);
int uv_file_free_space(struct env *env, const char *path, uint64_t *bytes);
int uv_file_lock_take(struct env *env, const char *path, struct env_lock **lock);
void uv_file_lock_release(struct env_lock *lock);

/* uv_work.c */
void uv_work_open(struct uv_env *e);
void uv_work_close(struct uv_env *e);
struct env_lane *uv_work_lane_open(struct env *env, const char *name, enum env_lane_priority priority);
void uv_work_lane_submit(struct env_lane *lane, struct env_work *work);
size_t uv_work_lane_pending(const struct env_lane *lane);
void uv_work_lane_close(struct env_lane *lane);
/* Starts a thread that gets no signals: they belong to the loop's. 0, or what pthread_create says. */
int uv_work_thread(pthread_t *thread, size_t stack_bytes, void *(*run)(void *arg), void *arg);

/* uv_alarm.c */
void uv_alarm_open(struct env_alarm *alarm);
void uv_alarm_close(struct env_alarm *alarm);
void uv_alarm_close_all(struct uv_env *e);
_Noreturn void uv_alarm_hold(void);

#endif /* ENV_UV_BODY_H */
