#include "raft/peer/link.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"

/* Payloads up to this size are copied: cheaper than a slice of their own. */
#define COPY_MAX 1024
#define SPARE_MAX 4
#define SPARE_BYTES_MAX KIB(256) /* a batch that grew larger is not kept */

/* Frames of one write: bytes of ours, cut where a payload goes in between. */
struct link_batch {
	struct list siblings;
	struct env_write write;
	struct link *link;
	struct buf bytes;
	struct {
		size_t at;           /* the payload goes in front of this place in bytes */
		struct entry *entry; /* owned */
	} payloads[ENV_WRITE_SLICES_MAX / 2 - 1];
	size_t count;
};
#define BATCH_PAYLOADS (ENV_WRITE_SLICES_MAX / 2 - 1)

/* ---- batches ---- */

static struct link_batch *batch_new(struct link *link)
{
	struct list *spare = list_pop(&link->spare);
	if (spare != NULL) {
		struct link_batch *used = list_entry(spare, struct link_batch, siblings);
		assert(link->spare_count > 0);
		assert(used->count == 0);
		assert(used->bytes.len == 0);
		assert(used->link == link);
		link->spare_count--;
		return used;
	}
	struct link_batch *batch = calloc(1, sizeof(*batch));
	if (batch == NULL) {
		fatal("out of memory: frames to a member");
	}
	list_init(&batch->siblings);
	batch->link = link;
	buf_init(&batch->bytes, LIMIT_PEER_QUEUE + 2 * LIMIT_FRAME);
	return batch;
}

static void batch_release(struct link_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		entry_unref(batch->payloads[i].entry);
	}
	batch->count = 0;
}

static void batch_free(struct link_batch *batch)
{
	if (batch == NULL) {
		return;
	}
	batch_release(batch);
	buf_fini(&batch->bytes);
	list_remove(&batch->siblings);
	free(batch);
}

static void batch_written_cb(struct env_write *write, int status)
{
	struct link_batch *batch = list_entry(write, struct link_batch, write);
	struct link *link = batch->link;
	assert(batch != link->open);
	link->pong = batch == link->pong ? NULL : link->pong;
	batch_release(batch);
	list_remove(&batch->siblings);
	if (link->spare_count >= SPARE_MAX || batch->bytes.cap > SPARE_BYTES_MAX) {
		batch_free(batch);
		return;
	}
	buf_reset(&batch->bytes);
	list_append(&link->spare, &batch->siblings);
	link->spare_count++;
}

struct buf *link_out(struct link *link)
{
	assert(link->state == LINK_READY || link->state == LINK_GREETING);
	if (link->open == NULL) {
		link->open = batch_new(link);
	}
	return &link->open->bytes;
}

/* The batch has as many slices as a write takes. */
static void set_aside(struct link *link)
{
	assert(link->open->count == BATCH_PAYLOADS);
	link->open_bytes += link->open->bytes.len;
	list_append(&link->full, &link->open->siblings);
	link->open = NULL;
}

void link_out_entry(struct link *link, struct entry *entry)
{
	struct link_batch *batch = link->open;
	assert(batch != NULL);
	assert(entry->len <= LIMIT_ENTRY);
	if (entry->len <= COPY_MAX) {
		buf_append_slice(&batch->bytes, entry_payload(entry));
		return;
	}
	if (batch->count == BATCH_PAYLOADS) {
		set_aside(link);
		link_out(link);
		batch = link->open;
	}
	assert(batch->count == 0 || batch->payloads[batch->count - 1].at <= batch->bytes.len);
	batch->payloads[batch->count].at = batch->bytes.len;
	batch->payloads[batch->count].entry = entry_ref(entry);
	batch->count++;
	link->open_bytes += entry->len;
}

void link_out_done(struct link *link)
{
	link->frames_out++;
}

static void batch_write(struct link *link, struct link_batch *batch)
{
	struct slice slices[ENV_WRITE_SLICES_MAX];
	size_t count = 0, at = 0;
	assert(link->stream != NULL);
	assert(!buf_failed(&batch->bytes));
	assert(batch->link == link);
	for (size_t i = 0; i < batch->count; i++) {
		if (batch->payloads[i].at > at) {
			slices[count++] = slice_of(batch->bytes.data + at, batch->payloads[i].at - at);
			at = batch->payloads[i].at;
		}
		slices[count++] = entry_payload(batch->payloads[i].entry);
	}
	if (batch->bytes.len > at) {
		slices[count++] = slice_of(batch->bytes.data + at, batch->bytes.len - at);
	}
	assert(count > 0);
	assert(count <= ENV_WRITE_SLICES_MAX);
	list_append(&link->writing, &batch->siblings);
	batch->write.cb = batch_written_cb;
	env_stream_write(link->stream, &batch->write, slices, count);
}

void link_flush(struct link *link)
{
	for (struct list *full; (full = list_pop(&link->full)) != NULL;) {
		batch_write(link, list_entry(full, struct link_batch, siblings));
	}
	link->open_bytes = 0;
	/* The last frame may end in payloads alone. */
	if (link->open != NULL && (link->open->bytes.len > 0 || link->open->count > 0)) {
		struct link_batch *batch = link->open;
		link->open = NULL;
		batch_write(link, batch);
	}
	assert(list_empty(&link->full));
}

size_t link_unsent(const struct link *link)
{
	size_t open = link->open_bytes + (link->open == NULL ? 0 : link->open->bytes.len);
	return link->stream == NULL ? open : open + env_stream_unsent(link->stream);
}

/* ---- life ---- */

static void forget_unsent(struct link *link)
{
	batch_free(link->open);
	link->open = NULL;
	link->open_bytes = 0;
	while (!list_empty(&link->full)) {
		batch_free(list_entry(link->full.next, struct link_batch, siblings));
	}
}

/* Whoever has not said who it is shall not fill our memory. */
static void await_hello(struct link *link)
{
	frame_reader_init(&link->reader);
	link->reader.body_max = LIMIT_HELLO;
}

static void timer_cb(struct env_timer *timer);

static void init(struct link *link, struct env *env, const struct link_events *events, void *owner,
		 const struct hello *hello, uint64_t *stamp_ms)
{
	memset(link, 0, sizeof(*link));
	link->env = env;
	link->events = events;
	link->owner = owner;
	link->hello = *hello;
	link->stamp_ms = stamp_ms;
	list_init(&link->siblings);
	list_init(&link->full);
	list_init(&link->writing);
	list_init(&link->spare);
	await_hello(link);
	env_timer_init(env, &link->timer, timer_cb);
}

void link_fini(struct link *link)
{
	env_timer_stop(&link->timer);
	forget_unsent(link);
	link->pong = NULL;
	while (!list_empty(&link->writing)) {
		batch_free(list_entry(link->writing.next, struct link_batch, siblings));
	}
	while (!list_empty(&link->spare)) {
		batch_free(list_entry(link->spare.next, struct link_batch, siblings));
	}
	frame_reader_fini(&link->reader);
	assert(link->open == NULL);
	assert(list_empty(&link->full));
}

static void send_hello(struct link *link)
{
	assert(link->state == LINK_GREETING);
	hello_encode(link_out(link), &link->hello, *link->stamp_ms);
	link_out_done(link);
	link_flush(link);
}

static void become_ready(struct link *link)
{
	assert(link->state == LINK_GREETING);
	link->state = LINK_READY;
	link->reader.body_max = LIMIT_FRAME;
	link->failures = 0;
	link->sign_us = env_now_us(link->env);
	link->came = 0;
	env_timer_stop(&link->timer);
	link->events->ready(link);
}

void link_welcome(struct link *link)
{
	assert(!link->dialed);
	assert(link->state == LINK_GREETING);
	link->waiting = false;
	link->hello.seen = link->peer_life;
	send_hello(link);
	become_ready(link);
}

static void act(struct link *link, enum link_verdict verdict)
{
	switch (verdict) {
	case LINK_REFUSED:
		link->dial_status = 0;
		link_drop(link);
		return;
	case LINK_ASKS:
		send_hello(link);
		return;
	case LINK_WAITS:
		assert(!link->dialed);
		link->waiting = true;
		return;
	case LINK_WELCOME:
		if (link->dialed) {
			become_ready(link);
		} else {
			link_welcome(link);
		}
		return;
	}
}

static void take_hello(struct link *link, const struct frame *frame)
{
	struct hello hello;
	assert(link->state == LINK_GREETING);
	int status = frame->type == FRAME_HELLO && !link->waiting ? hello_decode(frame->body, &hello)
								  : ERR_INVALID;
	if (status != 0) {
		link->events->bad_frame(link, status);
		link_drop(link);
		return;
	}
	if (!link->dialed) {
		link->peer_id = link->hello.to_id = hello.from_id;
		link->hello.kind = hello.kind;
	}
	link->peer_life = hello.life;
	act(link, link->events->greeted(link, &hello));
}

/* By itself: whoever asks is answered at once, and what was put together waits for the owner's flush, which
 * may be held until a vote is durable. While the kernel has not taken one pong, there is no second: it says
 * as much, and whoever asks without reading does not fill our memory. */
static void pong(struct link *link)
{
	if (link->pong != NULL) {
		return;
	}
	struct link_batch *batch = link->pong = batch_new(link);
	link->sign_us = env_now_us(link->env);
	size_t begin = frame_begin(&batch->bytes, FRAME_PONG, *link->stamp_ms);
	buf_append_u64(&batch->bytes, env_wall_ms(link->env));
	frame_end(&batch->bytes, begin, 0);
	link_out_done(link);
	batch_write(link, batch);
}

/* What is long takes its time, as long as it comes. */
static void much_came(struct link *link)
{
	uint64_t now_us = env_now_us(link->env);
	uint8_t type = frame_reader_coming(&link->reader);
	link->came = 0;
	if (link->dialed) {
		link->sign_us = now_us;
		return;
	}
	if (now_us - link->sign_us >= LINK_PING_MS * 1000) {
		pong(link);
	}
	if (type != 0) {
		link->events->coming(link, type);
	}
}

/* What came is no frame. A member's first bytes are a checksum: one that begins as a client's command, and is damaged
 * behind that, is told what it does not understand, and closed as ever. */
static void tell_stranger(struct link *link, int status)
{
	if (link->commands && link->state == LINK_GREETING && !link->waiting) {
		buf_append_text(link_out(link), "-ERR this is the port between nodes: clients use the port of the setting "
						"listen, 7401 unless set\r\n");
		link_flush(link);
	}
	link->events->bad_frame(link, status);
	link_drop(link);
}

static void data_cb(void *owner, struct slice bytes)
{
	struct link *link = owner;
	struct frame frame;
	int status = 0;
	if (link->came == 0 && link->state == LINK_GREETING && !link->dialed && bytes.len > 0) {
		link->commands = bytes.data[0] == '*';
	}
	link->came += bytes.len;
	while ((link->state == LINK_GREETING || link->state == LINK_READY) &&
	       (status = frame_reader_next(&link->reader, &bytes, &frame)) == 0) {
		if (link->state == LINK_GREETING) {
			take_hello(link, &frame);
		} else if (frame.type == FRAME_PING) {
			pong(link);
		} else {
			link->sign_us = frame.type == FRAME_PONG ? env_now_us(link->env) : link->sign_us;
			link->events->frame(link, &frame);
		}
	}
	if (status != 0 && status != ERR_MORE) {
		tell_stranger(link, status);
	} else if (link->state == LINK_READY && link->came >= LINK_LEAST) {
		much_came(link);
	}
}

static uint64_t backoff_ms(struct link *link)
{
	if (link->failures == 0) {
		return 0;
	}
	unsigned doublings = link->failures - 1 < 10 ? link->failures - 1 : 10;
	uint64_t ms = (uint64_t)LINK_BACKOFF_FIRST_MS << doublings;
	ms = ms < LINK_BACKOFF_MAX_MS ? ms : LINK_BACKOFF_MAX_MS;
	uint64_t jitter = 0;
	env_random(link->env, &jitter, sizeof(jitter));
	return ms / 2 + jitter % (ms / 2 + 1);
}

static void closed_cb(void *owner, int status)
{
	struct link *link = owner;
	assert(link->stream != NULL);
	bool was_ready = link->state == LINK_READY || link->was_ready;
	link->dial_status = link->state == LINK_GREETING ? 0 : link->dial_status;
	link->was_ready = link->waiting = false;
	link->hello.seen = (struct life){0, 0};
	link->stream = NULL;
	forget_unsent(link);
	frame_reader_fini(&link->reader);
	await_hello(link);
	env_timer_stop(&link->timer);
	link->state = LINK_CLOSED;
	if (link->dialed && !link->closing) {
		link->state = LINK_WAITING;
		env_timer_start(&link->timer, backoff_ms(link));
		link->failures++;
	}
	link->events->ended(link, was_ready);
}

static void opened_cb(void *owner, int status)
{
	struct link *link = owner;
	if (link->state != LINK_CONNECTING) {
		return; /* given up meanwhile: closed follows */
	}
	link->dial_status = status != 0 ? status : ERR_TIMEOUT;
	if (status != 0) {
		if (status != ERR_TIMEOUT && status != ERR_CANCELLED) {
			link->events->refused(link);
		}
		return;
	}
	link->state = LINK_GREETING;
	env_timer_start(&link->timer, LINK_GREETING_MS);
	send_hello(link);
}

static const struct env_stream_events stream_events = {
	.opened = opened_cb,
	.data = data_cb,
	.closed = closed_cb,
};

void link_init_dialed(struct link *link, struct env *env, const struct link_events *events, void *owner,
		      const char *address, const struct hello *hello, uint64_t *stamp_ms)
{
	init(link, env, events, owner, hello, stamp_ms);
	assert(hello->to_id != 0);
	assert(hello->to_id != hello->from_id);
	link->dialed = true;
	link->peer_id = hello->to_id;
	link->state = LINK_WAITING;
	snprintf(link->address, sizeof(link->address), "%s", address);
}

void link_init_accepted(struct link *link, struct env *env, const struct link_events *events, void *owner,
			struct env_stream *stream, const struct hello *hello, uint64_t *stamp_ms)
{
	init(link, env, events, owner, hello, stamp_ms);
	assert(stream != NULL);
	link->state = LINK_GREETING;
	link->stream = stream;
	env_stream_set(stream, &stream_events, link);
	env_timer_start(&link->timer, LINK_GREETING_MS);
}

void link_dial(struct link *link)
{
	assert(link->dialed);
	if (link->state != LINK_WAITING || link->closing) {
		return;
	}
	assert(link->stream == NULL);
	link->state = LINK_CONNECTING;
	env_timer_start(&link->timer, LINK_CONNECT_MS);
	link->stream = env_connect(link->env, link->address, &stream_events, link);
}

static void timer_cb(struct env_timer *timer)
{
	struct link *link = list_entry(timer, struct link, timer);
	if (link->state == LINK_WAITING) {
		link_dial(link);
	} else if (link->state == LINK_CONNECTING || link->state == LINK_GREETING) {
		link->dial_status = ERR_TIMEOUT;
		link_drop(link);
	}
}

void link_drop(struct link *link)
{
	if (link->stream == NULL) {
		env_timer_stop(&link->timer);
		return;
	}
	if (link->state == LINK_CLOSING) {
		return;
	}
	env_timer_stop(&link->timer);
	link->was_ready = link->state == LINK_READY;
	link->state = LINK_CLOSING;
	forget_unsent(link);
	env_stream_close(link->stream);
}
