/* Alarms: one thread each, which looks 32 times a limit at the processor time of the loop's thread.
 *
 * A look finds the set of the look before: the same piece of work runs on, and what the thread used since is
 * its. Between two looks no more is counted than the time between them: the clock of a guest that was
 * suspended may jump. So what is counted is never more than what was used, work is asked to end after at
 * least five looks and has 28 more before the alarm rings, and one that comes late rings late. */
#include "env/uv_body.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LOOKS 32   /* a limit */
#define ASKED_AT 8 /* a part of the limit */
#define ALARM_STACK_BYTES (256 * 1024)

/* Found through the list of its env. */
struct uv_alarm {
	struct list link; /* in uv_env.alarms */
	struct env_alarm *alarm;
	pthread_t thread;
	clockid_t clock; /* of the loop's thread */
	pthread_mutex_t mutex;
	pthread_cond_t wanted;
	bool closing; /* under mutex */

	/* the thread's */
	uint64_t look_us; /* between two looks */
	uint64_t seen;    /* which set, at the last look */
	uint64_t clock_us, used_us;
};

static uint64_t clock_us(clockid_t clock)
{
	struct timespec now;
	int status = clock_gettime(clock, &now);
	assert(status == 0);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* False: the work has ended, or come to another part, meanwhile. */
static bool change(struct uv_alarm *a, uint64_t from, uint64_t to)
{
	return __atomic_compare_exchange_n(&a->alarm->word, &from, to, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}

/* True when it is to ring: then the loop cannot go past the work's end any more. */
static bool look(struct uv_alarm *a)
{
	uint64_t word = __atomic_load_n(&a->alarm->word, __ATOMIC_ACQUIRE);
	uint64_t now_us = clock_us(a->clock), used_us = now_us - a->clock_us;
	a->clock_us = now_us;
	uint64_t set = word & ~(uint64_t)(ENV_ALARM_ASKED | ENV_ALARM_EASED);
	if (set == 0 || set != a->seen) {
		a->seen = set;
		a->used_us = 0;
		return false;
	}
	a->used_us += used_us < a->look_us ? used_us : a->look_us;
	if (a->used_us >= a->alarm->limit_us && (word & ENV_ALARM_EASED) == 0) {
		return change(a, word, ENV_ALARM_RINGING);
	}
	if (a->used_us >= a->alarm->limit_us / ASKED_AT) {
		change(a, word, word | ENV_ALARM_ASKED); /* else at the next look */
	}
	return false;
}

static void *alarm_main(void *arg)
{
	struct uv_alarm *a = arg;
	pthread_setname_np(pthread_self(), "alarm");
	pthread_mutex_lock(&a->mutex);
	while (!a->closing) {
		uint64_t until_us = clock_us(CLOCK_MONOTONIC) + a->look_us;
		struct timespec until = {(time_t)(until_us / 1000000), (long)(until_us % 1000000) * 1000};
		pthread_cond_clockwait(&a->wanted, &a->mutex, CLOCK_MONOTONIC, &until);
		if (!a->closing && look(a)) {
			a->alarm->rang(a->alarm);
			fatal("an alarm rang, and nobody ended the process");
		}
	}
	pthread_mutex_unlock(&a->mutex);
	return NULL;
}

void uv_alarm_open(struct env_alarm *alarm)
{
	struct uv_env *e = uv_env_of(alarm->env);
	struct uv_alarm *a = calloc(1, sizeof(*a));
	if (a == NULL) {
		fatal("out of memory for an alarm");
	}
	a->alarm = alarm;
	a->look_us = (alarm->limit_us + LOOKS - 1) / LOOKS;
	int status = pthread_getcpuclockid(pthread_self(), &a->clock);
	assert(status == 0);
	pthread_mutex_init(&a->mutex, NULL);
	pthread_cond_init(&a->wanted, NULL);
	if (uv_work_thread(&a->thread, ALARM_STACK_BYTES, alarm_main, a) != 0) {
		fatal("cannot start a thread for an alarm; is the limit on processes too low?");
	}
	list_append(&e->alarms, &a->link);
}

static void close_one(struct uv_alarm *a)
{
	pthread_mutex_lock(&a->mutex);
	a->closing = true;
	pthread_cond_signal(&a->wanted);
	pthread_mutex_unlock(&a->mutex);
	pthread_join(a->thread, NULL);
	pthread_cond_destroy(&a->wanted);
	pthread_mutex_destroy(&a->mutex);
	list_remove(&a->link);
	free(a);
}

void uv_alarm_close(struct env_alarm *alarm)
{
	struct uv_env *e = uv_env_of(alarm->env);
	list_for_each (link, &e->alarms) {
		struct uv_alarm *a = list_entry(link, struct uv_alarm, link);
		if (a->alarm == alarm) {
			close_one(a);
			return;
		}
	}
}

/* What rang() does may take its time; the process ends with it. */
_Noreturn void uv_alarm_hold(void)
{
	for (;;) {
		pause();
	}
}

void uv_alarm_close_all(struct uv_env *e)
{
	while (!list_empty(&e->alarms)) {
		close_one(list_entry(e->alarms.next, struct uv_alarm, link));
	}
}
