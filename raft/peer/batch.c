/* Frames out. They are put together in a batch, payloads by reference, and leave with one write when the
 * owner flushes: more than a write has slices for go out with several, in order. A pong goes by itself.
 *
 *   spare --link_out--> open --as many slices as a write takes--> full
 *     ^                  |                                          |
 *     |                  +---------------- link_flush --------------+--> writing
 *     +---- written, unless it grew large: then it is freed ----------------+
 */
#include <assert.h>
#include <stdlib.h>

#include "raft/peer/link_private.h"

/* Payloads up to this size are copied: cheaper than a slice of their own. */
#define COPY_MAX 1024
#define BATCH_PAYLOADS (ENV_WRITE_SLICES_MAX / 2 - 1)
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
	} payloads[BATCH_PAYLOADS];
	size_t count;
};

/* ---- life ---- */

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

void link_batches_init(struct link *link)
{
	list_init(&link->full);
	list_init(&link->writing);
	list_init(&link->spare);
}

void link_forget_unsent(struct link *link)
{
	batch_free(link->open);
	link->open = NULL;
	link->open_bytes = 0;
	while (!list_empty(&link->full)) {
		batch_free(list_entry(link->full.next, struct link_batch, siblings));
	}
}

void link_batches_fini(struct link *link)
{
	link_forget_unsent(link);
	link->pong = NULL;
	while (!list_empty(&link->writing)) {
		batch_free(list_entry(link->writing.next, struct link_batch, siblings));
	}
	while (!list_empty(&link->spare)) {
		batch_free(list_entry(link->spare.next, struct link_batch, siblings));
	}
	assert(link->open == NULL);
	assert(list_empty(&link->full));
}

/* ---- put together ---- */

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

size_t link_unsent(const struct link *link)
{
	size_t open = link->open_bytes + (link->open == NULL ? 0 : link->open->bytes.len);
	return link->stream == NULL ? open : open + env_stream_unsent(link->stream);
}

/* ---- written ---- */

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

/* By itself: whoever asks is answered at once, and what was put together waits for the owner's flush, which
 * may be held until a vote is durable. While the kernel has not taken one pong, there is no second: it says
 * as much, and whoever asks without reading does not fill our memory. */
void link_pong(struct link *link)
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
