/* Alarms of the libuv body, each in a process of its own, for who rings ends. Limits are short; nothing is
 * measured: what must ring burns until it does, what must not uses up many limits of what does not count. */
#include "env/uv_env.h"
#include "tests/lib/tap.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_US 40000
#define RANG 7   /* exit status of who rang */
#define PASSED 9 /* of who came past the end all the same */
#define SETTLE_MS 200

struct story {
	struct env_alarm alarm; /* first: rang finds the story */
	struct env *env;
	int note; /* written before the set */
	int pipe[2];
};

static void burn(uint64_t us)
{
	struct timespec begin, now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
	do {
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	} while ((uint64_t)(now.tv_sec - begin.tv_sec) * 1000000 + (uint64_t)now.tv_nsec / 1000 -
			 (uint64_t)begin.tv_nsec / 1000 <
		 us);
}

static void rang_cb(struct env_alarm *alarm)
{
	_exit(((struct story *)alarm)->note);
}

/* Lets whoever is held come past its clear, if it can. */
static void rang_and_wait_cb(struct env_alarm *alarm)
{
	struct story *story = (struct story *)alarm;
	char byte;
	ssize_t got = read(story->pipe[0], &byte, 1);
	poll(NULL, 0, SETTLE_MS);
	_exit(got == 1 ? RANG : 1);
}

/* Plays the story in a child: its exit status, or 1000 and the signal. Meanwhile, in the parent: */
static int played(void (*play)(struct story *story), void (*meanwhile)(pid_t child))
{
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		struct story story = {.alarm = {.limit_us = LIMIT_US, .rang = rang_cb}};
		story.env = story.alarm.env = uv_env_new(NULL);
		play(&story);
		_exit(0);
	}
	if (meanwhile != NULL) {
		meanwhile(child);
	}
	int status = -1;
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void end(struct story *story)
{
	env_alarm_close(&story->alarm);
	uv_env_free(story->env, NULL, NULL);
}

static void play_endless(struct story *story)
{
	env_alarm_open(&story->alarm);
	story->note = 1;
	env_alarm_set(&story->alarm);
	env_alarm_clear(&story->alarm);
	story->note = RANG;
	env_alarm_set(&story->alarm);
	for (;;) {
		burn(1000);
	}
}

/* Asked, and gone on with other work, which is not. */
static void play_asked(struct story *story)
{
	story->note = RANG;
	env_alarm_open(&story->alarm);
	env_alarm_set(&story->alarm);
	while (!env_alarm_asks(&story->alarm)) {
		burn(1000);
	}
	env_alarm_clear(&story->alarm);
	bool clear = !env_alarm_asks(&story->alarm);
	for (int i = 0; i < 200; i++) {
		env_alarm_set(&story->alarm);
		burn(LIMIT_US / 40);
		clear = clear && !env_alarm_asks(&story->alarm);
		env_alarm_clear(&story->alarm);
	}
	end(story);
	_exit(clear ? PASSED : 1);
}

static void play_late_end(struct story *story)
{
	bool piped = pipe(story->pipe) == 0;
	story->alarm.rang = rang_and_wait_cb;
	env_alarm_open(&story->alarm);
	env_alarm_set(&story->alarm);
	while (__atomic_load_n(&story->alarm.word, __ATOMIC_ACQUIRE) != ENV_ALARM_RINGING) {
		burn(1000);
	}
	ssize_t put = piped ? write(story->pipe[1], "x", 1) : 0;
	env_alarm_clear(&story->alarm);
	_exit(put == 1 ? PASSED : 1);
}

static void play_waiting(struct story *story)
{
	story->note = RANG;
	env_alarm_open(&story->alarm);
	env_alarm_set(&story->alarm);
	poll(NULL, 0, 10 * LIMIT_US / 1000);
	env_alarm_clear(&story->alarm);
	end(story);
}

static void play_stopped(struct story *story)
{
	story->note = RANG;
	env_alarm_open(&story->alarm);
	env_alarm_set(&story->alarm);
	raise(SIGSTOP);
	env_alarm_clear(&story->alarm);
	end(story);
}

static void stop_and_go_on(pid_t child)
{
	int status;
	if (waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status)) {
		poll(NULL, 0, 10 * LIMIT_US / 1000);
		kill(child, SIGCONT);
	}
}

static void play_pieces(struct story *story)
{
	story->note = RANG;
	env_alarm_open(&story->alarm);
	for (int i = 0; i < 200; i++) {
		env_alarm_set(&story->alarm);
		burn(LIMIT_US / 40);
		env_alarm_clear(&story->alarm);
	}
	end(story);
}

/* Parts of one work: what is used between those that it rings for counts, and is asked to end. */
static void play_eased(struct story *story)
{
	story->note = RANG;
	env_alarm_open(&story->alarm);
	env_alarm_set(&story->alarm);
	env_alarm_ease(&story->alarm);
	while (!env_alarm_asks(&story->alarm)) {
		burn(1000);
	}
	burn(3 * LIMIT_US);
	env_alarm_clear(&story->alarm);
	end(story);
	_exit(PASSED);
}

static void play_pressed(struct story *story)
{
	story->note = RANG;
	env_alarm_open(&story->alarm);
	env_alarm_set(&story->alarm);
	for (;;) {
		env_alarm_ease(&story->alarm);
		burn(LIMIT_US / 40);
		env_alarm_press(&story->alarm);
		burn(LIMIT_US / 40);
	}
}

static void play_between(struct story *story)
{
	story->note = RANG;
	env_alarm_open(&story->alarm);
	for (int i = 0; i < 3; i++) {
		burn(3 * LIMIT_US);
		env_alarm_set(&story->alarm);
		env_alarm_clear(&story->alarm);
	}
	end(story);
}

static void play_left_open(struct story *story)
{
	struct env_alarm second = {.env = story->env, .limit_us = LIMIT_US, .rang = rang_cb};
	env_alarm_open(&story->alarm);
	env_alarm_open(&second);
	env_alarm_close(&second);
	uv_env_free(story->env, NULL, NULL);
	story->note = RANG;
	env_alarm_set(&story->alarm); /* nobody looks any more */
	burn(5 * LIMIT_US);
}

int main(void)
{
	is_int(played(play_endless, NULL), RANG,
	       "work that does not end rings, and who rings sees what was written before it began");
	is_int(played(play_asked, NULL), PASSED,
	       "it is asked to end before; when it does, nothing rings, and what comes next is not asked");
	is_int(played(play_late_end, NULL), RANG,
	       "work that ends after all, too late, does not get past its end");
	is_int(played(play_waiting, NULL), 0, "time in which the thread waits is not counted");
	is_int(played(play_stopped, stop_and_go_on), 0, "nor time in which the process is stopped");
	is_int(played(play_pieces, NULL), 0, "short pieces of work do not add up");
	is_int(played(play_eased, NULL), PASSED, "work that is eased is asked to end, and nothing rings for it");
	is_int(played(play_pressed, NULL), RANG, "parts of one work add up, and ring when it is pressed");
	is_int(played(play_between, NULL), 0, "what is used while nothing is set is nobody's");
	is_int(played(play_left_open, NULL), 0, "an env that goes takes its alarms along");
	return tap_done();
}
