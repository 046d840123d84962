#include "server/call.h"

#include "server/node_private.h"

#include <assert.h>
#include <stdlib.h>

#define SLAB_CALLS 64
/* A call that grew more than this gives its memory back. Thousands are kept, and under overload each of them
 * once holds a run of refusals. */
#define KEEP_BYTES KIB(1)

/* So many are kept however idle the node is. */
#define KEEP_CALLS 1024

struct call_slab {
	struct list link;
	size_t taken;
	struct call calls[SLAB_CALLS];
};

void call_pool_init(struct call_pool *pool)
{
	list_init(&pool->free);
	list_init(&pool->slabs);
	pool->taken = pool->made = 0;
}

static void slab_free(struct call_slab *slab)
{
	for (size_t i = 0; i < SLAB_CALLS; i++) {
		list_remove(&slab->calls[i].link);
		request_fini(&slab->calls[i].request);
		buf_fini(&slab->calls[i].frame);
	}
	free(slab);
}

void call_pool_fini(struct call_pool *pool)
{
	struct list *link;
	while ((link = list_pop(&pool->slabs)) != NULL) {
		struct call_slab *slab = list_entry(link, struct call_slab, link);
		for (size_t i = 0; i < SLAB_CALLS; i++) {
			list_init(&slab->calls[i].link); /* what it hung in may be gone */
		}
		slab_free(slab);
	}
	list_init(&pool->free);
}

void call_pool_trim(struct call_pool *pool)
{
	for (struct list *link = pool->slabs.next, *next; link != &pool->slabs; link = next) {
		struct call_slab *slab = list_entry(link, struct call_slab, link);
		next = link->next;
		if (pool->made <= KEEP_CALLS || pool->taken >= pool->made / 4) {
			return;
		}
		if (slab->taken == 0) {
			list_remove(link);
			slab_free(slab);
			pool->made -= SLAB_CALLS;
		}
	}
}

static void pool_grow(struct call_pool *pool)
{
	struct call_slab *slab = calloc(1, sizeof *slab);
	if (slab == NULL) {
		fatal("out of memory: requests under way");
	}
	list_init(&slab->link);
	list_append(&pool->slabs, &slab->link);
	pool->made += SLAB_CALLS;
	for (size_t i = 0; i < SLAB_CALLS; i++) {
		struct call *call = &slab->calls[i];
		call->slab = slab;
		request_init(&call->request);
		buf_init(&call->frame, LIMIT_FRAME);
		list_init(&call->parked);
		list_append(&pool->free, &call->link);
	}
}

struct call *call_take(struct node *node)
{
	struct call_pool *pool = &node->calls;
	if (list_empty(&pool->free)) {
		pool_grow(pool);
	}
	struct call *call = list_entry(list_pop(&pool->free), struct call, link);
	assert(call->state == CALL_FREE);
	call->node = node;
	call->conn = NULL;
	call->answered = NULL;
	call->finish = NULL;
	call->asked = NULL;
	call->deadline_us = call->rebuffed_by = 0;
	call->held_bytes = 0;
	call->spoken = call->muted = call->meta = call->mutates = call->routed = false;
	call->state = CALL_OPEN;
	pool->taken++;
	call->slab->taken++;
	return call;
}

void call_release(struct call *call)
{
	struct call_pool *pool = &call->node->calls;
	assert(call->state == CALL_OPEN || call->state == CALL_ANSWERED);
	assert(pool->taken > 0);
	list_remove(&call->link);
	if (call->request.reply.cap > KEEP_BYTES) {
		request_fini(&call->request);
		request_init(&call->request);
	} else {
		request_reset(&call->request);
	}
	if (call->frame.cap > KEEP_BYTES) {
		buf_fini(&call->frame);
		buf_init(&call->frame, LIMIT_FRAME);
	} else {
		buf_reset(&call->frame);
	}
	call->conn = NULL;
	call->state = CALL_FREE;
	pool->taken--;
	call->slab->taken--;
	/* To the front: the memory that was just used is warm. */
	list_append(pool->free.next, &call->link);
	if (pool->taken < LIMIT_NODE_REQUESTS / 2 && !list_empty(&call->node->listener.starved)) {
		listener_feed(&call->node->listener);
	}
}

void call_answer(struct call *call)
{
	assert(call->state != CALL_FREE && call->state != CALL_ANSWERED);
	call->state = CALL_ANSWERED;
	call->answered(call);
}

void call_replace(struct call *call, enum code code, const char *details)
{
	buf_reset(&call->request.reply);
	struct reply reply = call_reply(call);
	reply_code(&reply, code, details);
	call->request.code = code;
	call->request.outcome = code_outcome(code);
}

void call_answer_code(struct call *call, enum code code, const char *details)
{
	call_replace(call, code, details);
	call_answer(call);
}

struct reply call_reply(struct call *call)
{
	return (struct reply){&call->request.reply, call->request.protocol};
}
