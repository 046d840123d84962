/* Lanes: one thread each. The loop hands items over under the lane's mutex
 * and gets them back through one uv_async for all lanes. */
#include "env/uv_body.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LANE_LOW_NICE 10
#define LANE_STACK_BYTES (1024 * 1024)

struct uv_lane {
	struct env_lane lane;
	struct list link; /* in uv_env.lanes */
	struct uv_env *e;
	enum env_lane_priority priority;
	size_t pending; /* the loop's: submitted, done not called */
	pthread_t thread;
	char name[16];

	pthread_mutex_t mutex;
	pthread_cond_t wanted;
	/* under mutex */
	struct list queue, finished;
	bool closing;
};

static struct uv_lane *lane_of(const struct env_lane *lane) { return (struct uv_lane *)lane; }

static void *lane_main(void *arg)
{
	struct uv_lane *lane = arg;
	pthread_setname_np(pthread_self(), lane->name);
	if (lane->priority == ENV_LANE_LOW) {
		/* Linux keeps nice per thread. Not being allowed to is no reason to stop. */
		(void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), LANE_LOW_NICE);
	}
	pthread_mutex_lock(&lane->mutex);
	while (!lane->closing) {
		struct list *link = list_pop(&lane->queue);
		if (link == NULL) {
			pthread_cond_wait(&lane->wanted, &lane->mutex);
			continue;
		}
		struct env_work *work = list_entry(link, struct env_work, link);
		pthread_mutex_unlock(&lane->mutex);
		work->run(work);
		pthread_mutex_lock(&lane->mutex);
		list_append(&lane->finished, &work->link);
		uv_async_send(&lane->e->work_ready);
	}
	pthread_mutex_unlock(&lane->mutex);
	return NULL;
}

int uv_work_thread(pthread_t *thread, size_t stack_bytes, void *(*run)(void *arg), void *arg)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, stack_bytes);
	int status = pthread_create(thread, &attr, run, arg);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return status;
}

struct env_lane *uv_work_lane_open(struct env *env, const char *name, enum env_lane_priority priority)
{
	struct uv_env *e = uv_env_of(env);
	struct uv_lane *lane = calloc(1, sizeof(*lane));
	if (lane == NULL) {
		fatal("out of memory for lane %s", name);
	}
	lane->lane.env = env;
	lane->e = e;
	lane->priority = priority;
	snprintf(lane->name, sizeof(lane->name), "%s", name);
	list_init(&lane->queue);
	list_init(&lane->finished);
	pthread_mutex_init(&lane->mutex, NULL);
	pthread_cond_init(&lane->wanted, NULL);

	if (uv_work_thread(&lane->thread, LANE_STACK_BYTES, lane_main, lane) != 0) {
		fatal("cannot start a thread for lane %s; is the limit on processes too low?", name);
	}
	list_append(&e->lanes, &lane->link);
	return &lane->lane;
}

void uv_work_lane_submit(struct env_lane *base, struct env_work *work)
{
	struct uv_lane *lane = lane_of(base);
	work->lane = base;
	lane->pending++;
	pthread_mutex_lock(&lane->mutex);
	assert(!lane->closing);
	bool idle = list_empty(&lane->queue);
	list_append(&lane->queue, &work->link);
	if (idle) {
		pthread_cond_signal(&lane->wanted);
	}
	pthread_mutex_unlock(&lane->mutex);
}

size_t uv_work_lane_pending(const struct env_lane *lane) { return lane_of(lane)->pending; }

static void work_ready_cb(uv_async_t *async)
{
	struct uv_env *e = (struct uv_env *)async->data;
	if (e->env.dead) {
		return;
	}
	list_for_each(link, &e->lanes)
	{
		struct uv_lane *lane = list_entry(link, struct uv_lane, link);
		pthread_mutex_lock(&lane->mutex);
		list_splice(&e->finished, &lane->finished);
		pthread_mutex_unlock(&lane->mutex);
	}
	/* done may close lanes: they take their items out of this list. */
	struct list *link;
	while ((link = list_pop(&e->finished)) != NULL) {
		struct env_work *work = list_entry(link, struct env_work, link);
		lane_of(work->lane)->pending--;
		work->done(work);
	}
}

static void drop_finished(struct uv_env *e, const struct env_lane *lane)
{
	struct list kept;
	list_init(&kept);
	struct list *link;
	while ((link = list_pop(&e->finished)) != NULL) {
		if (list_entry(link, struct env_work, link)->lane != lane) {
			list_append(&kept, link);
		}
	}
	list_splice(&e->finished, &kept);
}

void uv_work_lane_close(struct env_lane *base)
{
	struct uv_lane *lane = lane_of(base);
	pthread_mutex_lock(&lane->mutex);
	lane->closing = true;
	pthread_cond_signal(&lane->wanted);
	pthread_mutex_unlock(&lane->mutex);
	pthread_join(lane->thread, NULL);
	drop_finished(lane->e, base);
	while (list_pop(&lane->queue) != NULL || list_pop(&lane->finished) != NULL) {
	}
	pthread_cond_destroy(&lane->wanted);
	pthread_mutex_destroy(&lane->mutex);
	list_remove(&lane->link);
	free(lane);
}

void uv_work_open(struct uv_env *e)
{
	int status = uv_async_init(e->loop, &e->work_ready, work_ready_cb);
	if (status != 0) {
		fatal("no wake-up for finished work: %s", uv_strerror(status));
	}
	e->work_ready.data = e;
	uv_env_count(e);
}

void uv_work_close(struct uv_env *e)
{
	while (!list_empty(&e->lanes)) {
		uv_work_lane_close(&list_entry(e->lanes.next, struct uv_lane, link)->lane);
	}
	uv_close((uv_handle_t *)&e->work_ready, uv_env_uncount_cb);
}
