#include "env/env_ops.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

uint64_t env_now_us(struct env *env) { return env->ops->now_us(env); }
uint64_t env_wall_ms(struct env *env) { return env->ops->wall_ms(env); }
void env_random(struct env *env, void *bytes, size_t len) { env->ops->random(env, bytes, len); }

struct env_stream *env_connect(struct env *env, const char *address, const struct env_stream_events *events,
			       void *owner)
{
	assert(events != NULL && events->closed != NULL && events->data != NULL);
	return env->ops->connect(env, address, events, owner);
}

void env_stream_set(struct env_stream *stream, const struct env_stream_events *events, void *owner)
{
	assert(events != NULL && events->closed != NULL && events->data != NULL);
	stream->env->ops->stream_set(stream, events, owner);
}

void env_stream_write(struct env_stream *stream, struct env_write *write, const struct slice *slices,
		      size_t count)
{
	assert(count >= 1 && count <= ENV_WRITE_SLICES_MAX);
	assert(write->cb != NULL);
	stream->env->ops->stream_write(stream, write, slices, count);
}

size_t env_stream_unsent(const struct env_stream *stream) { return stream->env->ops->stream_unsent(stream); }
void env_stream_pause(struct env_stream *stream) { stream->env->ops->stream_pause(stream); }
void env_stream_resume(struct env_stream *stream) { stream->env->ops->stream_resume(stream); }
bool env_stream_finish(struct env_stream *stream)
{
	return stream->env->ops->stream_finish != NULL && stream->env->ops->stream_finish(stream);
}
void env_stream_close(struct env_stream *stream) { stream->env->ops->stream_close(stream); }
const char *env_stream_peer(const struct env_stream *stream) { return stream->env->ops->stream_peer(stream); }

struct env_listener *env_listen(struct env *env, const char *address,
				void (*accepted)(void *owner, struct env_stream *stream), void *owner,
				struct err *err)
{
	assert(accepted != NULL);
	return env->ops->listen(env, address, accepted, owner, err);
}

unsigned env_listener_port(const struct env_listener *listener)
{
	return listener->env->ops->listener_port(listener);
}

void env_listener_close(struct env_listener *listener) { listener->env->ops->listener_close(listener); }

int env_file_open(struct env *env, const char *path, unsigned flags, struct env_file **file)
{
	assert((flags & (ENV_FILE_READ | ENV_FILE_WRITE)) != 0);
	return env->ops->file_open(env, path, flags, file);
}

void env_file_close(struct env_file *file) { file->env->ops->file_close(file); }

int env_file_read(struct env_file *file, uint64_t offset, void *bytes, size_t len, size_t *got)
{
	return file->env->ops->file_read(file, offset, bytes, len, got);
}

int env_file_write(struct env_file *file, uint64_t offset, const void *bytes, size_t len)
{
	return file->env->ops->file_write(file, offset, bytes, len);
}

int env_file_sync(struct env_file *file) { return file->env->ops->file_sync(file); }

int env_file_truncate(struct env_file *file, uint64_t size)
{
	return file->env->ops->file_truncate(file, size);
}

int env_file_allocate(struct env_file *file, uint64_t size)
{
	return file->env->ops->file_allocate(file, size);
}

int env_file_size(struct env_file *file, uint64_t *size) { return file->env->ops->file_size(file, size); }

int env_mkdir(struct env *env, const char *path) { return env->ops->mkdir(env, path); }
int env_rename(struct env *env, const char *from, const char *to) { return env->ops->rename(env, from, to); }
int env_unlink(struct env *env, const char *path) { return env->ops->unlink(env, path); }
int env_dir_sync(struct env *env, const char *path) { return env->ops->dir_sync(env, path); }

int env_dir_list(struct env *env, const char *path, int (*visit)(void *owner, const char *name), void *owner)
{
	return env->ops->dir_list(env, path, visit, owner);
}

int env_free_space(struct env *env, const char *path, uint64_t *bytes)
{
	return env->ops->free_space(env, path, bytes);
}

int env_lock_take(struct env *env, const char *path, struct env_lock **lock)
{
	return env->ops->lock_take(env, path, lock);
}

void env_lock_release(struct env_lock *lock) { lock->env->ops->lock_release(lock); }

struct env_lane *env_lane_open(struct env *env, const char *name, enum env_lane_priority priority)
{
	return env->ops->lane_open(env, name, priority);
}

void env_lane_submit(struct env_lane *lane, struct env_work *work)
{
	assert(work->run != NULL && work->done != NULL);
	lane->env->ops->lane_submit(lane, work);
}

size_t env_lane_pending(const struct env_lane *lane) { return lane->env->ops->lane_pending(lane); }
void env_lane_close(struct env_lane *lane) { lane->env->ops->lane_close(lane); }

void env_alarm_open(struct env_alarm *alarm)
{
	assert(alarm->rang != NULL && alarm->limit_us >= 1000);
	assert(alarm->word == 0);
	alarm->env->ops->alarm_open(alarm);
}

void env_alarm_close(struct env_alarm *alarm)
{
	assert(alarm->word == 0);
	alarm->env->ops->alarm_close(alarm);
}

void env_alarm_hold(struct env_alarm *alarm)
{
	assert(alarm->env->ops->alarm_hold != NULL); /* it rang */
	alarm->env->ops->alarm_hold();
}

bool env_address_split(const char *address, char *host, size_t host_size, unsigned *port)
{
	const char *colon = strrchr(address, ':');
	if (colon == NULL || colon == address || colon[1] == '\0') {
		return false;
	}
	const char *from = address;
	const char *to = colon;
	if (*from == '[') {
		from++;
		to--;
		if (to <= from || *to != ']') {
			return false;
		}
	} else if (memchr(from, ':', (size_t)(to - from)) != NULL) {
		return false; /* IPv6 wants its brackets */
	}
	size_t len = (size_t)(to - from);
	if (len == 0 || len >= host_size) {
		return false;
	}
	unsigned number = 0;
	for (const char *digit = colon + 1; *digit != '\0'; digit++) {
		if (*digit < '0' || *digit > '9' || number > 65535) {
			return false;
		}
		number = number * 10 + (unsigned)(*digit - '0');
	}
	if (number > 65535) {
		return false;
	}
	memcpy(host, from, len);
	host[len] = '\0';
	*port = number;
	return true;
}
