#include "tests/lib/env_conformance.h"

#include "base/buf.h"
#include "base/limits.h"
#include "tests/lib/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What happened, as letters in order: easy to compare and to read. */
struct story {
	char text[256];
	size_t len;
	size_t want;
};

static void tell(struct story *story, char what)
{
	if (story->len + 1 < sizeof(story->text)) {
		story->text[story->len++] = what;
		story->text[story->len] = '\0';
	}
}

static bool told(void *owner)
{
	struct story *story = owner;
	return story->len >= story->want;
}

/* ---- timers and hooks ---- */

struct tick {
	struct env_timer timer;
	struct env_turn turn;
	struct story *story;
	char letter;
	struct tick *stops, *arms, *hooks;
	int again;
};

static void tick_timer_cb(struct env_timer *timer)
{
	struct tick *tick = list_entry(timer, struct tick, timer);
	tell(tick->story, tick->letter);
	if (tick->stops != NULL) {
		env_timer_stop(&tick->stops->timer);
	}
	if (tick->arms != NULL) {
		env_timer_start_at(&tick->arms->timer, 0);
	}
	if (tick->hooks != NULL) {
		env_turn_arm(&tick->hooks->turn);
		env_turn_arm(&tick->hooks->turn);
	}
}

static void tick_turn_cb(struct env_turn *turn)
{
	struct tick *tick = list_entry(turn, struct tick, turn);
	tell(tick->story, tick->letter);
	if (tick->again-- > 0) {
		env_turn_arm(turn);
	}
}

static void tick_init(struct env *env, struct tick *tick, struct story *story, char letter)
{
	memset(tick, 0, sizeof(*tick));
	env_timer_init(env, &tick->timer, tick_timer_cb);
	env_turn_init(env, &tick->turn, tick_turn_cb);
	tick->story = story;
	tick->letter = letter;
}

static void test_timers(struct env_body *body)
{
	struct env *env = body->env;
	struct story story = {.want = 4};
	struct tick a, b, c, d;
	tick_init(env, &a, &story, 'a');
	tick_init(env, &b, &story, 'b');
	tick_init(env, &c, &story, 'c');
	tick_init(env, &d, &story, 'd');
	uint64_t now = env_now_us(env);
	env_timer_start_at(&c.timer, now + 3000);
	env_timer_start_at(&a.timer, now + 1000);
	env_timer_start_at(&b.timer, now + 2000);
	env_timer_start_at(&d.timer, now + 500);
	env_timer_start_at(&d.timer, now + 4000);
	ok(env_timer_armed(&d.timer) && story.len == 0, "a timer is armed and has not fired from inside its start");
	body->run_until(body, told, &story);
	is_str(story.text, "abcd", "timers fire in order of their times, a re-armed one at its new time only");
	ok(env_now_us(env) >= now + 4000, "and not before their time");
	ok(!env_timer_armed(&a.timer), "a timer that fired is not armed");

	story = (struct story){.want = 2};
	a.stops = &b;
	now = env_now_us(env) + 2000;
	env_timer_start_at(&a.timer, now);
	env_timer_start_at(&b.timer, now);
	env_timer_start_at(&c.timer, now);
	body->run_until(body, told, &story);
	is_str(story.text, "ac", "timers of one time fire in order of arming; one stopped by another does not");
}

static void test_turns(struct env_body *body)
{
	struct env *env = body->env;
	struct story story = {.want = 6};
	struct tick timer, past, hook, second;
	tick_init(env, &timer, &story, 't');
	tick_init(env, &past, &story, 'p');
	tick_init(env, &hook, &story, 'h');
	tick_init(env, &second, &story, 's');
	timer.hooks = &hook;
	timer.arms = &past;
	hook.again = 1;
	uint64_t at = env_now_us(env) + 1000;
	env_timer_start_at(&timer.timer, at);
	env_timer_start_at(&second.timer, at);
	body->run_until(body, told, &(struct story){.want = 0});
	story.want = 5;
	body->run_until(body, told, &story);
	is_str(story.text, "tshhp",
	       "hooks run once, after all expired timers; armed again, in a further round; a timer for the past waits a turn");

	story = (struct story){.want = 1};
	env_turn_arm(&hook.turn);
	env_turn_arm(&second.turn);
	env_turn_cancel(&hook.turn);
	hook.again = 0;
	body->run_until(body, told, &story);
	is_str(story.text, "s", "a hook armed outside a turn runs soon, a cancelled one does not");
}

/* ---- streams ---- */

struct side {
	struct story story;
	struct env_stream *stream;
	struct buf got;
	bool closed, wants_end, ended;
	int opened_status, closed_status;
	size_t want_bytes;
};

static void side_opened(void *owner, int status)
{
	struct side *side = owner;
	side->opened_status = status;
	tell(&side->story, 'o');
}
static void side_data(void *owner, struct slice bytes)
{
	struct side *side = owner;
	buf_append_slice(&side->got, bytes);
}
static void side_closed(void *owner, int status)
{
	struct side *side = owner;
	side->closed = true;
	side->closed_status = status;
	tell(&side->story, 'c');
}
static void side_ended(void *owner)
{
	struct side *side = owner;
	side->ended = true;
	tell(&side->story, 'e');
}
static const struct env_stream_events side_events = {side_opened, side_data, side_closed, NULL};
static const struct env_stream_events ending_events = {side_opened, side_data, side_closed, side_ended};

static bool side_is_closed(void *owner) { return ((struct side *)owner)->closed; }
static bool side_has_ended(void *owner) { return ((struct side *)owner)->ended; }
static bool side_has_bytes(void *owner)
{
	struct side *side = owner;
	return side->got.len >= side->want_bytes || side->closed;
}
static bool side_has_stream(void *owner) { return ((struct side *)owner)->stream != NULL; }

static void side_init(struct side *side)
{
	memset(side, 0, sizeof(*side));
	side->opened_status = 1;
	buf_init(&side->got, MIB(64));
}

static void accepted(void *owner, struct env_stream *stream)
{
	struct side *side = owner;
	side->stream = stream;
	env_stream_set(stream, side->wants_end ? &ending_events : &side_events, side);
}

struct message {
	struct env_write write;
	struct side *side;
	int calls, status;
	char letter;
};
static void message_cb(struct env_write *write, int status)
{
	struct message *message = list_entry(write, struct message, write);
	message->calls++;
	message->status = status;
	tell(&message->side->story, message->letter);
}
static void message_send(struct message *message, struct side *side, char letter, const struct slice *slices,
			 size_t count)
{
	memset(message, 0, sizeof(*message));
	message->side = side;
	message->letter = letter;
	message->write.cb = message_cb;
	env_stream_write(side->stream, &message->write, slices, count);
}

struct pair {
	struct env_listener *listener;
	struct side near, far;
	char address[64];
};

static void pair_open(struct env_body *body, struct pair *pair, bool far_wants_end)
{
	side_init(&pair->near);
	side_init(&pair->far);
	pair->far.wants_end = far_wants_end;
	char address[64];
	snprintf(address, sizeof(address), "%s:0", body->host);
	struct err err = {0};
	pair->listener = env_listen(body->env, address, accepted, &pair->far, &err);
	if (!ok(pair->listener != NULL, "a listener on port 0 opens %s", err.text)) {
		exit(tap_done());
	}
	snprintf(pair->address, sizeof(pair->address), "%s:%u", body->host, env_listener_port(pair->listener));
	pair->near.stream = env_connect(body->env, pair->address, &side_events, &pair->near);
	body->run_until(body, side_has_stream, &pair->far);
	pair->near.story.want = 1;
	body->run_until(body, told, &pair->near.story);
}

static void pair_close(struct env_body *body, struct pair *pair)
{
	if (!pair->near.closed) {
		env_stream_close(pair->near.stream);
		body->run_until(body, side_is_closed, &pair->near);
	}
	if (!pair->far.closed) {
		env_stream_close(pair->far.stream);
		body->run_until(body, side_is_closed, &pair->far);
	}
	env_listener_close(pair->listener);
	buf_fini(&pair->near.got);
	buf_fini(&pair->far.got);
}

static void test_talk(struct env_body *body)
{
	struct pair pair;
	pair_open(body, &pair, false);
	struct side *near = &pair.near;
	struct side *far = &pair.far;
	struct slice hello[2] = {SLICE_LIT("hello "), SLICE_LIT("world")};
	struct message first, second;
	is_str(near->story.text, "o", "opened comes first");
	message_send(&first, near, '1', hello, 2);
	message_send(&second, near, '2', hello, 1);
	ok(first.calls == 0 && second.calls == 0, "a write's callback does not come from inside the write");
	far->want_bytes = 17;
	body->run_until(body, side_has_bytes, far);
	is_bytes(far->got.data, far->got.len, "hello worldhello ", 17, "slices and writes arrive whole and in order");
	near->story.want = 3;
	body->run_until(body, told, &near->story);
	is_str(near->story.text, "o12", "then one callback a write, in order");
	is_int(near->opened_status, 0, "opened says 0");
	is_int(env_stream_unsent(near->stream), 0, "nothing is unsent any more");
	ok(strlen(env_stream_peer(near->stream)) > 2 && strlen(env_stream_peer(far->stream)) > 2,
	   "both sides can name the other");
	message_send(&first, far, 'r', hello, 2);
	near->want_bytes = 11;
	body->run_until(body, side_has_bytes, near);
	is_bytes(near->got.data, near->got.len, "hello world", 11, "an accepted stream answers");
	env_stream_close(near->stream);
	body->run_until(body, side_is_closed, far);
	body->run_until(body, side_is_closed, near);
	pair_close(body, &pair);
	is_int(near->closed_status, ERR_CANCELLED, "who closes is told ERR_CANCELLED");
	is_int(far->closed_status, ERR_CLOSED, "whose peer closed is told ERR_CLOSED");
}

/* ---- input before timers ---- */

struct standstill {
	struct env_body *body;
	struct env_turn begin;
	struct env_timer expires;
	struct message message;
	struct side *side;
	struct story story;
};

static void standstill_begin_cb(struct env_turn *turn)
{
	struct standstill *s = list_entry(turn, struct standstill, begin);
	struct slice x = SLICE_LIT("x");
	env_timer_start_at(&s->expires, env_now_us(s->body->env) + 1000);
	message_send(&s->message, s->side, 'w', &x, 1);
	s->body->stall(s->body, 50000);
}
static void standstill_expires_cb(struct env_timer *timer)
{
	struct standstill *s = list_entry(timer, struct standstill, expires);
	tell(&s->story, 't');
}
static void standstill_data(void *owner, struct slice bytes)
{
	tell(&((struct standstill *)owner)->story, 'd');
}
static void standstill_closed(void *owner, int status) {}
static const struct env_stream_events standstill_events = {NULL, standstill_data, standstill_closed, NULL};

/* libuv by itself runs timers before it polls: a time-out would fire with its answer unread. */
static void test_input_before_timers(struct env_body *body)
{
	struct pair pair;
	pair_open(body, &pair, false);
	struct standstill s = {.body = body, .side = &pair.near, .story = {.want = 2}};
	env_turn_init(body->env, &s.begin, standstill_begin_cb);
	env_timer_init(body->env, &s.expires, standstill_expires_cb);
	env_stream_set(pair.far.stream, &standstill_events, &s);
	env_turn_arm(&s.begin);
	body->run_until(body, told, &s.story);
	is_str(s.story.text, "dt",
	       "after a stall, input that waits is read before the timer that expired meanwhile");
	env_stream_set(pair.far.stream, &side_events, &pair.far);
	pair_close(body, &pair);
}

static void test_bulk(struct env_body *body)
{
	struct pair pair;
	pair_open(body, &pair, false);
	size_t len = MIB(8);
	uint8_t *bytes = malloc(len);
	for (size_t i = 0; i < len; i++) {
		bytes[i] = (uint8_t)(i * 31 + (i >> 11));
	}
	struct slice slices[ENV_WRITE_SLICES_MAX];
	size_t part = len / ENV_WRITE_SLICES_MAX;
	for (size_t i = 0; i < ENV_WRITE_SLICES_MAX; i++) {
		slices[i] = slice_of(bytes + i * part, part);
	}
	env_stream_pause(pair.far.stream);
	struct message message, small;
	message_send(&message, &pair.near, 'b', slices, ENV_WRITE_SLICES_MAX);
	message_send(&small, &pair.near, 's', &(struct slice){(const uint8_t *)"end", 3}, 1);
	body->run_until(body, told, &(struct story){.want = 0});
	is_int(pair.far.got.len, 0, "a paused stream reads nothing");
	ok(env_stream_unsent(pair.near.stream) > 0, "and its writer sees bytes unsent");
	env_stream_resume(pair.far.stream);
	pair.far.want_bytes = len + 3;
	body->run_until(body, side_has_bytes, &pair.far);
	ok(pair.far.got.len == len + 3 && memcmp(pair.far.got.data, bytes, len) == 0 &&
		   memcmp(pair.far.got.data + len, "end", 3) == 0,
	   "8 MiB in 64 slices arrive whole after resume, the next write behind them");
	pair.near.story.want = 3;
	body->run_until(body, told, &pair.near.story);
	is_str(pair.near.story.text, "obs", "one callback each");
	ok(message.status == 0 && small.status == 0, "with 0");

	/* Now a close with bytes unsent. */
	env_stream_pause(pair.far.stream);
	message_send(&message, &pair.near, 'x', slices, ENV_WRITE_SLICES_MAX);
	env_stream_close(pair.near.stream);
	env_stream_close(pair.near.stream);
	ok(message.calls == 0 && !pair.near.closed, "close calls nobody from inside, and may be repeated");
	body->run_until(body, side_is_closed, &pair.near);
	is_str(pair.near.story.text, "obsxc", "the unsent write ends before closed comes");
	is_int(message.status, ERR_CANCELLED, "with ERR_CANCELLED");
	env_stream_resume(pair.far.stream);
	pair_close(body, &pair);
	free(bytes);
}

static void test_ends(struct env_body *body)
{
	struct pair pair;
	pair_open(body, &pair, false);
	env_stream_close(pair.near.stream);
	body->run_until(body, side_is_closed, &pair.far);
	is_str(pair.far.story.text, "c", "the peer's end closes a stream, once");
	pair_close(body, &pair);

	/* The far side answers after the end of the near one: what the near sent must all be read first. */
	pair_open(body, &pair, false);
	struct message last;
	message_send(&last, &pair.near, 'l', &(struct slice){(const uint8_t *)"last words", 10}, 1);
	body->run_until(body, told, &(struct story){.want = 0});
	pair.near.story.want = 2;
	body->run_until(body, told, &pair.near.story);
	env_stream_close(pair.near.stream);
	body->run_until(body, side_is_closed, &pair.far);
	is_bytes(pair.far.got.data, pair.far.got.len, "last words", 10, "what was sent before the end arrives before closed");
	pair_close(body, &pair);

	pair_open(body, &pair, true);
	env_stream_close(pair.near.stream);
	body->run_until(body, side_has_ended, &pair.far);
	ok(!pair.far.closed, "an owner that asks for the end is told it and the stream stays open");
	env_stream_close(pair.far.stream);
	body->run_until(body, side_is_closed, &pair.far);
	is_str(pair.far.story.text, "ec", "until he closes it");
	pair_close(body, &pair);
}

static void test_refused(struct env_body *body)
{
	struct pair pair;
	pair_open(body, &pair, false);
	char address[64];
	memcpy(address, pair.address, sizeof(address));
	pair_close(body, &pair);

	struct side side;
	side_init(&side);
	side.stream = env_connect(body->env, address, &side_events, &side);
	ok(!side.closed && side.story.len == 0, "connecting never fails at once");
	body->run_until(body, side_is_closed, &side);
	is_str(side.story.text, "oc", "where nobody listens: opened, then closed");
	ok(side.opened_status < 0 && side.closed_status == side.opened_status, "both with the reason");

	side_init(&side);
	side.stream = env_connect(body->env, "no address", &side_events, &side);
	body->run_until(body, side_is_closed, &side);
	is_str(side.story.text, "oc", "nonsense for an address ends the same way");
	is_int(side.closed_status, ERR_INVALID, "with ERR_INVALID");

	side_init(&side);
	side.stream = env_connect(body->env, address, &side_events, &side);
	struct message message;
	message_send(&message, &side, 'w', &(struct slice){(const uint8_t *)"x", 1}, 1);
	env_stream_close(side.stream);
	body->run_until(body, side_is_closed, &side);
	is_str(side.story.text, "wc", "a connect given up: writes end, then closed, and no opened");

	pair_open(body, &pair, false);
	struct err err = {0};
	ok(env_listen(body->env, pair.address, accepted, NULL, &err) == NULL && err.text[0] != '\0',
	   "a second listener on one address is refused with a reason");
	pair_close(body, &pair);
}

/* ---- files ---- */

struct names {
	char text[256];
};
static int add_name(void *owner, const char *name)
{
	struct names *names = owner;
	strcat(names->text, name);
	strcat(names->text, " ");
	return 0;
}
static int stop_at_first(void *owner, const char *name) { return 7; }

static void test_files(struct env_body *body)
{
	struct env *env = body->env;
	char dir[256], a[300], b[300];
	snprintf(dir, sizeof(dir), "%s/files", body->dir);
	snprintf(a, sizeof(a), "%s/a", dir);
	snprintf(b, sizeof(b), "%s/b", dir);
	struct env_file *file;
	is_int(env_file_open(env, a, ENV_FILE_READ, &file), ERR_NOT_FOUND, "no file in a directory that is not there");
	is_int(env_mkdir(env, dir), 0, "a directory is made");
	is_int(env_mkdir(env, dir), ERR_EXISTS, "once");
	is_int(env_file_open(env, a, ENV_FILE_READ | ENV_FILE_WRITE, &file), ERR_NOT_FOUND, "an absent file is not made unasked");
	is_int(env_file_open(env, a, ENV_FILE_READ | ENV_FILE_WRITE | ENV_FILE_CREATE | ENV_FILE_EXCLUSIVE, &file), 0,
	       "and made when asked");
	struct env_file *again;
	is_int(env_file_open(env, a, ENV_FILE_WRITE | ENV_FILE_CREATE | ENV_FILE_EXCLUSIVE, &again), ERR_EXISTS,
	       "exclusively, once");
	is_int(env_file_write(file, 3, "abc", 3), 0, "bytes are written beyond the end");
	char bytes[16];
	size_t got;
	is_int(env_file_read(file, 0, bytes, sizeof(bytes), &got), 0, "and read");
	is_bytes(bytes, got, "\0\0\0abc", 6, "with zeroes in the gap, short at the end of the file");
	uint64_t size;
	ok(env_file_allocate(file, 300000) == 0 && env_file_size(file, &size) == 0 && size == 300000,
	   "allocate extends");
	ok(env_file_allocate(file, 10) == 0 && env_file_size(file, &size) == 0 && size == 300000,
	   "allocate never shrinks");
	ok(env_file_read(file, 3, bytes, 4, &got) == 0 && got == 4 && memcmp(bytes, "abc", 4) == 0,
	   "what was there stays, zeroes behind it");
	ok(env_file_truncate(file, 5) == 0 && env_file_size(file, &size) == 0 && size == 5, "truncate cuts");
	ok(env_file_truncate(file, 7) == 0 && env_file_read(file, 0, bytes, 16, &got) == 0 && got == 7 &&
		   memcmp(bytes, "\0\0\0ab\0\0", 7) == 0,
	   "what was cut off comes back as zeroes");
	is_int(env_file_sync(file), 0, "and all is synced");
	is_int(env_rename(env, a, b), 0, "a file is renamed while open");
	ok(env_file_write(file, 0, "xyz", 3) == 0, "and still written through the same handle");
	env_file_close(file);
	ok(env_file_open(env, b, ENV_FILE_READ, &file) == 0 && env_file_read(file, 0, bytes, 16, &got) == 0 &&
		   memcmp(bytes, "xyzab", 5) == 0,
	   "under its new name");
	env_file_close(file);
	is_int(env_file_open(env, a, ENV_FILE_READ, &file), ERR_NOT_FOUND, "not under the old one");
	ok(env_file_open(env, a, ENV_FILE_WRITE | ENV_FILE_CREATE, &file) == 0, "another takes the old name");
	env_file_close(file);
	struct names names = {""};
	is_int(env_dir_list(env, dir, add_name, &names), 0, "the directory is listed");
	is_str(names.text, "a b ", "in byte order");
	is_int(env_dir_list(env, dir, stop_at_first, NULL), 7, "a visitor's answer stops the list");
	is_int(env_dir_sync(env, dir), 0, "the directory is synced");
	ok(env_rename(env, a, b) == 0, "a rename replaces");
	ok(env_unlink(env, b) == 0 && env_unlink(env, b) == ERR_NOT_FOUND, "unlink removes, once");
	ok(env_free_space(env, dir, &size) == 0 && size > 0, "there is space left");
}

static void test_lock(struct env_body *body)
{
	char path[300];
	snprintf(path, sizeof(path), "%s/lock", body->dir);
	struct env_lock *lock, *second;
	is_int(env_lock_take(body->env, path, &lock), 0, "a lock is taken");
	is_int(env_lock_take(body->env, path, &second), ERR_LOCKED, "not twice, in one process either");
	env_lock_release(lock);
	is_int(env_lock_take(body->env, path, &lock), 0, "released, it can be taken again");
	env_lock_release(lock);
}

/* ---- lanes ---- */

struct job {
	struct env_work work;
	struct story *done_story, *run_story;
	char letter;
	struct env_lane *closes;
};
static void job_run(struct env_work *work)
{
	struct job *job = list_entry(work, struct job, work);
	tell(job->run_story, job->letter);
}
static void job_done(struct env_work *work)
{
	struct job *job = list_entry(work, struct job, work);
	tell(job->done_story, job->letter);
	if (job->closes != NULL) {
		env_lane_close(job->closes);
	}
}

static void test_lanes(struct env_body *body)
{
	struct env_lane *lane = env_lane_open(body->env, "first", ENV_LANE_NORMAL);
	struct env_lane *low = env_lane_open(body->env, "low", ENV_LANE_LOW);
	struct story ran = {.want = 0}, low_ran = {.want = 0}, done = {.want = 20}, low_done = {.want = 1};
	struct job jobs[20];
	struct job other = {.done_story = &low_done, .run_story = &low_ran, .letter = 'z'};
	other.work.run = job_run;
	other.work.done = job_done;
	for (int i = 0; i < 20; i++) {
		jobs[i] = (struct job){.done_story = &done, .run_story = &ran, .letter = (char)('a' + i)};
		jobs[i].work.run = job_run;
		jobs[i].work.done = job_done;
		env_lane_submit(lane, &jobs[i].work);
	}
	env_lane_submit(low, &other.work);
	ok(done.len == 0 && env_lane_pending(lane) == 20, "work is pending and no done came from inside submit");
	body->run_until(body, told, &done);
	body->run_until(body, told, &low_done);
	is_str(ran.text, "abcdefghijklmnopqrst", "work of a lane runs in order");
	is_str(done.text, ran.text, "and is done in order, once each");
	is_str(low_done.text, "z", "another lane works as well");
	is_int(env_lane_pending(lane), 0, "nothing is pending");

	done = (struct story){.want = 1};
	jobs[0].closes = lane;
	for (int i = 0; i < 3; i++) {
		env_lane_submit(lane, &jobs[i].work);
	}
	body->run_until(body, told, &done);
	done.want = 2;
	low_done = (struct story){.want = 1};
	env_lane_submit(low, &other.work);
	body->run_until(body, told, &low_done);
	is_str(done.text, "a", "a lane closed by a done drops the rest without theirs");
	env_lane_submit(low, &other.work);
	env_lane_close(low);
}

static void test_chance(struct env_body *body)
{
	uint8_t a[700] = {0}, b[700] = {0};
	env_random(body->env, a, sizeof(a));
	env_random(body->env, b, sizeof(b));
	ok(memcmp(a, b, sizeof(a)) != 0, "random bytes differ from call to call");
	ok(env_wall_ms(body->env) > 1600000000000, "the wall clock is in this century");
}

void env_conformance(struct env_body *body)
{
	tap_note("env: %s", body->name);
	test_timers(body);
	test_turns(body);
	test_talk(body);
	test_input_before_timers(body);
	test_bulk(body);
	test_ends(body);
	test_refused(body);
	test_files(body);
	test_lock(body);
	test_lanes(body);
	test_chance(body);
}
