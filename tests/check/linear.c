/* The search. Entries are kept in one list in order of time: a call and, when
 * it has one, its return. From the front, any call that comes before the first
 * return may be the next to take effect; a return in front means that its
 * call must have been taken. (set of calls taken, value) that was seen once
 * is not tried again. */
#include "tests/check/linear.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "base/map.h"

struct entry {
	struct entry *next, *prev;
	struct entry *match; /* call: its return, or NULL; return: NULL */
	const struct history_op *op;
	uint64_t t;
	uint32_t id;
	bool is_call;
};

struct state {
	bool present;
	int64_t value;
};

struct frame {
	struct entry *call;
	struct state before;
};

struct search {
	struct arena arena;
	struct entry head;
	struct frame *stack;
	size_t depth, must; /* must: calls with a return that are not yet taken */
	uint64_t *taken;    /* bit set of calls */
	size_t words;
	struct map seen;
};

static int by_time(const void *a, const void *b)
{
	const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;
	if (x->t != y->t) {
		return x->t < y->t ? -1 : 1;
	}
	/* At one instant calls come first: concurrent, the weaker claim. */
	if (x->is_call != y->is_call) {
		return x->is_call ? -1 : 1;
	}
	return x->id < y->id ? -1 : x->id > y->id;
}

/* True when op may take effect on state; *after is the state then. */
static bool apply(const struct history_op *op, struct state state, struct state *after)
{
	*after = state;
	switch (op->function) {
	case HISTORY_READ:
		return op->found == state.present && (!op->found || op->value == state.value);
	case HISTORY_WRITE:
		*after = (struct state){true, op->value};
		return true;
	case HISTORY_CAS: {
		bool matches = state.present && state.value == op->expected;
		if (matches) {
			after->value = op->value;
		}
		return op->outcome == HISTORY_INFO || matches == op->found;
	}
	default:
		return false;
	}
}

static void unlink_entry(struct entry *e)
{
	e->prev->next = e->next;
	if (e->next != NULL) {
		e->next->prev = e->prev;
	}
}

static void relink_entry(struct entry *e)
{
	e->prev->next = e;
	if (e->next != NULL) {
		e->next->prev = e;
	}
}

static void lift(struct search *s, struct entry *call)
{
	unlink_entry(call);
	if (call->match != NULL) {
		unlink_entry(call->match);
		s->must--;
	}
	s->taken[call->id / 64] |= (uint64_t)1 << (call->id % 64);
}

static void unlift(struct search *s, struct entry *call)
{
	if (call->match != NULL) {
		relink_entry(call->match);
		s->must++;
	}
	relink_entry(call);
	s->taken[call->id / 64] &= ~((uint64_t)1 << (call->id % 64));
}

/* Remembers (taken, state); false when it was there already. */
static bool first_time(struct search *s, struct state state)
{
	size_t len = s->words * sizeof(uint64_t);
	uint8_t *key = arena_alloc(&s->arena, len + sizeof(int64_t) + 1);
	memcpy(key, s->taken, len);
	memcpy(key + len, &state.value, sizeof(int64_t));
	key[len + sizeof(int64_t)] = state.present;
	struct slice slice = slice_of(key, len + sizeof(int64_t) + 1);
	if (map_get(&s->seen, slice) != NULL) {
		return false;
	}
	map_put(&s->seen, slice, key);
	return true;
}

static bool belongs(const struct history_op *op, int64_t key)
{
	bool is_register = op->function == HISTORY_READ || op->function == HISTORY_WRITE || op->function == HISTORY_CAS;
	/* A FAIL must have had no effect, an unanswered read had none. */
	return is_register && op->key == key && op->outcome != HISTORY_FAIL &&
	       !(op->outcome == HISTORY_INFO && op->function == HISTORY_READ);
}

static void build(struct search *s, const struct history *history, int64_t key)
{
	struct entry **order = malloc((history->count * 2 + 1) * sizeof(struct entry *));
	size_t count = 0;
	uint32_t calls = 0;
	for (size_t i = 0; i < history->count; i++) {
		const struct history_op *op = &history->ops[i];
		if (!belongs(op, key)) {
			continue;
		}
		struct entry *call = arena_zalloc(&s->arena, sizeof(*call));
		*call = (struct entry){.op = op, .t = op->invoked_us, .id = calls, .is_call = true};
		order[count++] = call;
		if (op->outcome == HISTORY_OK) {
			struct entry *end = arena_zalloc(&s->arena, sizeof(*end));
			*end = (struct entry){.op = op, .t = op->returned_us, .id = calls};
			call->match = end;
			order[count++] = end;
			s->must++;
		}
		calls++;
	}
	qsort(order, count, sizeof(struct entry *), by_time);
	struct entry *last = &s->head;
	for (size_t i = 0; i < count; i++) {
		last->next = order[i];
		order[i]->prev = last;
		last = order[i];
	}
	free(order);
	s->words = calls / 64 + 1;
	s->taken = arena_zalloc(&s->arena, s->words * sizeof(uint64_t));
	s->stack = arena_alloc(&s->arena, (calls + 1) * sizeof(*s->stack));
}

static enum linear_verdict run(struct search *s, uint64_t steps_max, const struct history_op **stuck)
{
	struct state state = {0};
	struct entry *at = s->head.next;
	size_t deepest = 0;
	for (uint64_t steps = 0; s->must > 0; steps++) {
		if (steps == steps_max) {
			return LINEAR_UNDECIDED;
		}
		struct state after;
		if (at != NULL && at->is_call) {
			if (apply(at->op, state, &after)) {
				lift(s, at);
				if (first_time(s, after)) {
					s->stack[s->depth++] = (struct frame){at, state};
					state = after;
					at = s->head.next;
					continue;
				}
				unlift(s, at);
			}
			at = at->next;
			continue;
		}
		/* A return whose call was not taken, or the end: undo the last choice. */
		if (at != NULL && s->depth >= deepest) {
			deepest = s->depth;
			*stuck = at->op;
		}
		if (s->depth == 0) {
			return LINEAR_NO;
		}
		struct frame top = s->stack[--s->depth];
		unlift(s, top.call);
		state = top.before;
		at = top.call->next;
	}
	return LINEAR_YES;
}

enum linear_verdict linear_check_key(const struct history *history, int64_t key, uint64_t steps_max, struct err *err)
{
	struct search s = {0};
	const struct history_op *stuck = NULL;
	arena_init(&s.arena, 1 << 16);
	map_init(&s.seen);
	build(&s, history, key);
	enum linear_verdict verdict = run(&s, steps_max, &stuck);
	if (verdict == LINEAR_NO && stuck != NULL) {
		err_set(err, ERR_INVALID,
		        "key %" PRId64 " is not linearizable: no order explains function %d of client %u, value %" PRId64
		        ", found %d, from %" PRIu64 " to %" PRIu64 " us",
		        key, (int)stuck->function, stuck->client, stuck->value, stuck->found, stuck->invoked_us,
		        stuck->returned_us);
	}
	map_fini(&s.seen);
	arena_fini(&s.arena);
	return verdict;
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return x < y ? -1 : x > y;
}

enum linear_verdict linear_check(const struct history *history, uint64_t steps_max, size_t *keys, size_t *undecided,
                                 struct err *err)
{
	int64_t *all = malloc((history->count + 1) * sizeof(*all));
	size_t count = 0;
	for (size_t i = 0; i < history->count; i++) {
		if (belongs(&history->ops[i], history->ops[i].key)) {
			all[count++] = history->ops[i].key;
		}
	}
	qsort(all, count, sizeof(*all), by_value);
	enum linear_verdict verdict = LINEAR_YES;
	*keys = *undecided = 0;
	for (size_t i = 0; i < count && verdict != LINEAR_NO; i++) {
		if (i > 0 && all[i] == all[i - 1]) {
			continue;
		}
		(*keys)++;
		verdict = linear_check_key(history, all[i], steps_max, err);
		*undecided += verdict == LINEAR_UNDECIDED;
	}
	free(all);
	if (verdict == LINEAR_NO) {
		return LINEAR_NO;
	}
	return *undecided > 0 ? LINEAR_UNDECIDED : LINEAR_YES;
}
