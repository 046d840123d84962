/* What a body of env provides, for bodies only. env.c forwards each call of
 * env.h here; timers and turn hooks are the same for all bodies (schedule.c)
 * and a body says when a turn reaches them. */
#ifndef ENV_ENV_OPS_H
#define ENV_ENV_OPS_H

#include "env/env.h"

/* Every object of a body begins with its env, so that calls find the body. */
struct env_stream {
	struct env *env;
};
struct env_listener {
	struct env *env;
};
struct env_file {
	struct env *env;
};
struct env_lock {
	struct env *env;
};
struct env_lane {
	struct env *env;
};

struct env_ops {
	uint64_t (*now_us)(struct env *env);
	uint64_t (*wall_ms)(struct env *env);
	void (*random)(struct env *env, void *bytes, size_t len);
	/* A timer became the earliest, or a hook was armed: the body makes sure that a turn comes. */
	void (*wake)(struct env *env);

	struct env_stream *(*connect)(struct env *env, const char *address,
				      const struct env_stream_events *events, void *owner);
	void (*stream_set)(struct env_stream *stream, const struct env_stream_events *events, void *owner);
	void (*stream_write)(struct env_stream *stream, struct env_write *write, const struct slice *slices,
			     size_t count);
	size_t (*stream_unsent)(const struct env_stream *stream);
	void (*stream_pause)(struct env_stream *stream);
	void (*stream_resume)(struct env_stream *stream);
	bool (*stream_finish)(struct env_stream *stream); /* optional */
	void (*stream_close)(struct env_stream *stream);
	const char *(*stream_peer)(const struct env_stream *stream);
	struct env_listener *(*listen)(struct env *env, const char *address,
				       void (*accepted)(void *owner, struct env_stream *stream), void *owner,
				       struct err *err);
	unsigned (*listener_port)(const struct env_listener *listener);
	void (*listener_close)(struct env_listener *listener);

	int (*file_open)(struct env *env, const char *path, unsigned flags, struct env_file **file);
	void (*file_close)(struct env_file *file);
	int (*file_read)(struct env_file *file, uint64_t offset, void *bytes, size_t len, size_t *got);
	int (*file_write)(struct env_file *file, uint64_t offset, const void *bytes, size_t len);
	int (*file_sync)(struct env_file *file);
	int (*file_truncate)(struct env_file *file, uint64_t size);
	int (*file_allocate)(struct env_file *file, uint64_t size);
	int (*file_size)(struct env_file *file, uint64_t *size);
	int (*mkdir)(struct env *env, const char *path);
	int (*rename)(struct env *env, const char *from, const char *to);
	int (*unlink)(struct env *env, const char *path);
	int (*dir_sync)(struct env *env, const char *path);
	int (*dir_list)(struct env *env, const char *path, int (*visit)(void *owner, const char *name),
			void *owner);
	int (*free_space)(struct env *env, const char *path, uint64_t *bytes);
	int (*lock_take)(struct env *env, const char *path, struct env_lock **lock);
	void (*lock_release)(struct env_lock *lock);

	struct env_lane *(*lane_open)(struct env *env, const char *name, enum env_lane_priority priority);
	void (*lane_submit)(struct env_lane *lane, struct env_work *work);
	size_t (*lane_pending)(const struct env_lane *lane);
	void (*lane_close)(struct env_lane *lane);

	void (*alarm_open)(struct env_alarm *alarm);
	void (*alarm_close)(struct env_alarm *alarm);
	void (*alarm_hold)(void); /* does not return; NULL where alarms never ring */
};

/* ---- schedule.c: timers and turn hooks ---- */

void env_schedule_init(struct env *env, const struct env_ops *ops);
/* Disarms all that is armed; their owners may still call stop and cancel. Idempotent. */
void env_schedule_fini(struct env *env);
/* Fires the timers due at due_us or before. What they arm fires in a later turn. */
void env_schedule_fire(struct env *env, uint64_t due_us);
/* Runs the hooks that are armed now, one round. False when there were none. */
bool env_schedule_hooks(struct env *env);
/* When the earliest timer is due; UINT64_MAX for none. */
uint64_t env_schedule_next(const struct env *env);

#endif /* ENV_ENV_OPS_H */
