/* Dependencies and cycles.
 *
 * The longest list read of a key is its order of appends. From it: ww (who
 * appended next), wr (who read my append last in the list), rw (who appended
 * what I did not see yet). Time: operations that returned before another began come first; a chain
 * of clock nodes carries these edges, so that they are linear in number.
 *
 *   node 0 … n-1            transactions
 *   node n … n + r - 1      clock: one a return, in order of time
 *
 * Tarjan's components are taken with growing sets of edges: writes only (G0),
 * plus reads (G1c), plus anti-dependencies (G-single, G2), plus time. The
 * first set with a component of more than one transaction names the anomaly. */
#include "tests/check/append.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/map.h"

enum edge_kind { EDGE_WW = 1, EDGE_WR = 2, EDGE_RW = 4, EDGE_TIME = 8 };

struct edge {
	uint32_t to;
	uint32_t next; /* 0: none; else index + 1 */
	uint8_t kind;
};

struct version {
	uint32_t writer; /* transaction + 1; 0: nobody we know */
	bool last_of_txn;
	bool seen; /* in some list that was read */
};

/* One key: the order of its values. */
struct chain_of_key {
	int64_t key;
	const int64_t *order;
	size_t count;
	uint64_t last_read_us; /* the latest begin of a read */
};

struct graph {
	const struct history *history;
	struct arena arena;
	struct map writers; /* (key, value) -> struct version */
	struct map keys;    /* key -> struct chain_of_key */
	struct edge *edges;
	size_t edge_count, edge_cap;
	uint32_t *first; /* per node: index + 1 */
	uint32_t nodes;
	struct err *err;
};

const char *append_anomaly_name(enum append_anomaly anomaly)
{
	static const char *const names[] = {"none", "duplicate",  "incompatible order", "G1a", "G1b",      "internal", "lost",
	                                    "G0",   "G1c", "G-single",           "G2",  "real time"};
	return names[anomaly];
}

static void add_edge(struct graph *g, uint32_t from, uint32_t to, enum edge_kind kind)
{
	if (from == to) {
		return;
	}
	if (g->edge_count == g->edge_cap) {
		g->edge_cap = g->edge_cap == 0 ? 1024 : g->edge_cap * 2;
		g->edges = realloc(g->edges, g->edge_cap * sizeof(*g->edges));
		if (g->edges == NULL) {
			fatal("out of memory: %zu edges", g->edge_cap);
		}
	}
	g->edges[g->edge_count] = (struct edge){to, g->first[from], (uint8_t)kind};
	g->first[from] = (uint32_t)++g->edge_count;
}

static struct slice pair_key(struct graph *g, int64_t key, int64_t value)
{
	int64_t pair[2] = {key, value};
	return arena_copy(&g->arena, slice_of(pair, sizeof(pair)));
}

static struct version *find_writer(struct graph *g, int64_t key, int64_t value)
{
	int64_t pair[2] = {key, value};
	return map_get(&g->writers, slice_of(pair, sizeof(pair)));
}

/* ---- what one transaction tells by itself ---- */

static enum append_anomaly note_appends(struct graph *g, uint32_t txn)
{
	const struct history_op *op = &g->history->ops[txn];
	for (size_t i = 0; i < op->part_count; i++) {
		const struct history_part *part = &op->parts[i];
		if (!part->append) {
			continue;
		}
		struct version *version = arena_zalloc(&g->arena, sizeof(*version));
		*version = (struct version){.writer = txn + 1, .last_of_txn = true};
		for (size_t j = i + 1; j < op->part_count; j++) {
			if (op->parts[j].append && op->parts[j].key == part->key) {
				version->last_of_txn = false;
			}
		}
		if (map_put(&g->writers, pair_key(g, part->key, part->value), version) != NULL) {
			err_set(g->err, ERR_INVALID, "value %" PRId64 " was appended to list %" PRId64 " twice", part->value,
			        part->key);
			return APPEND_DUPLICATE;
		}
	}
	return APPEND_NONE;
}

/* A read ends with what the transaction itself appended before it. */
static bool sees_own(const struct history_op *op, size_t at)
{
	const struct history_part *read = &op->parts[at];
	size_t end = read->count;
	for (size_t i = at; i-- > 0;) {
		if (op->parts[i].append && op->parts[i].key == read->key) {
			if (end == 0 || read->list[end - 1] != op->parts[i].value) {
				return false;
			}
			end--;
		}
	}
	return true;
}

static enum append_anomaly note_read(struct graph *g, uint32_t txn, size_t at)
{
	const struct history_part *read = &g->history->ops[txn].parts[at];
	if (!sees_own(&g->history->ops[txn], at)) {
		err_set(g->err, ERR_INVALID, "transaction %u does not see its own append to list %" PRId64, txn, read->key);
		return APPEND_INTERNAL;
	}
	struct chain_of_key *chain = map_get(&g->keys, slice_of(&read->key, sizeof(read->key)));
	if (chain == NULL) {
		chain = arena_zalloc(&g->arena, sizeof(*chain));
		chain->key = read->key;
		map_put(&g->keys, slice_of(&chain->key, sizeof(chain->key)), chain);
	}
	size_t shared = read->count < chain->count ? read->count : chain->count;
	if (shared > 0 && memcmp(read->list, chain->order, shared * sizeof(int64_t)) != 0) {
		err_set(g->err, ERR_INVALID, "transaction %u read list %" PRId64 " in an order that contradicts another read",
		        txn, read->key);
		return APPEND_INCOMPATIBLE;
	}
	if (g->history->ops[txn].invoked_us > chain->last_read_us) {
		chain->last_read_us = g->history->ops[txn].invoked_us;
	}
	if (read->count > chain->count) {
		chain->order = read->list;
		chain->count = read->count;
	}
	return APPEND_NONE;
}

static enum append_anomaly check_versions(struct graph *g, const struct chain_of_key *chain)
{
	for (size_t i = 0; i < chain->count; i++) {
		struct version *version = find_writer(g, chain->key, chain->order[i]);
		if (version == NULL || g->history->ops[version->writer - 1].outcome == HISTORY_FAIL) {
			err_set(g->err, ERR_INVALID, "list %" PRId64 " holds %" PRId64 ", which was never appended",
			        chain->key, chain->order[i]);
			return APPEND_G1A;
		}
		if (version->seen) {
			err_set(g->err, ERR_INVALID, "list %" PRId64 " holds %" PRId64 " twice", chain->key, chain->order[i]);
			return APPEND_DUPLICATE;
		}
		version->seen = true;
	}
	return APPEND_NONE;
}

/* An append that was acknowledged is in the list as soon as somebody reads it later. */
static enum append_anomaly check_lost(struct graph *g, const struct history_op *writer)
{
	for (size_t i = 0; i < writer->part_count; i++) {
		const struct history_part *part = &writer->parts[i];
		const struct chain_of_key *chain = map_get(&g->keys, slice_of(&part->key, sizeof(part->key)));
		if (part->append && chain != NULL && chain->last_read_us > writer->returned_us &&
		    !find_writer(g, part->key, part->value)->seen) {
			err_set(g->err, ERR_INVALID,
			        "list %" PRId64 " lacks %" PRId64 ", which was acknowledged before a read of it began", part->key,
			        part->value);
			return APPEND_LOST;
		}
	}
	return APPEND_NONE;
}

/* ---- edges ---- */

static void edges_of_read(struct graph *g, uint32_t txn, const struct history_part *read)
{
	const struct chain_of_key *chain = map_get(&g->keys, slice_of(&read->key, sizeof(read->key)));
	if (read->count > 0) {
		add_edge(g, find_writer(g, read->key, read->list[read->count - 1])->writer - 1, txn, EDGE_WR);
	}
	if (chain->count > read->count) {
		add_edge(g, txn, find_writer(g, read->key, chain->order[read->count])->writer - 1, EDGE_RW);
	}
}

static void edges_of_chain(struct graph *g, const struct chain_of_key *chain)
{
	for (size_t i = 1; i < chain->count; i++) {
		add_edge(g, find_writer(g, chain->key, chain->order[i - 1])->writer - 1,
		         find_writer(g, chain->key, chain->order[i])->writer - 1, EDGE_WW);
	}
}

struct moment {
	uint64_t t;
	uint32_t txn;
	bool begins;
};

static int by_moment(const void *a, const void *b)
{
	const struct moment *x = a, *y = b;
	if (x->t != y->t) {
		return x->t < y->t ? -1 : 1;
	}
	/* At one instant beginnings come first: concurrent. */
	if (x->begins != y->begins) {
		return x->begins ? -1 : 1;
	}
	return x->txn < y->txn ? -1 : x->txn > y->txn;
}

static void edges_of_time(struct graph *g)
{
	size_t n = g->history->count, count = 0;
	struct moment *moments = malloc((2 * n + 1) * sizeof(*moments));
	for (uint32_t i = 0; i < n; i++) {
		const struct history_op *op = &g->history->ops[i];
		if (op->function != HISTORY_TXN || op->outcome == HISTORY_FAIL) {
			continue;
		}
		moments[count++] = (struct moment){op->invoked_us, i, true};
		if (op->outcome == HISTORY_OK) {
			moments[count++] = (struct moment){op->returned_us, i, false};
		}
	}
	qsort(moments, count, sizeof(*moments), by_moment);
	uint32_t clock = (uint32_t)n;
	bool ticked = false;
	for (size_t i = 0; i < count; i++) {
		if (moments[i].begins) {
			if (ticked) {
				add_edge(g, clock - 1, moments[i].txn, EDGE_TIME);
			}
			continue;
		}
		if (ticked) {
			add_edge(g, clock - 1, clock, EDGE_TIME);
		}
		add_edge(g, moments[i].txn, clock, EDGE_TIME);
		clock++;
		ticked = true;
	}
	free(moments);
}

/* ---- cycles ---- */

struct tarjan {
	uint32_t *number, *low, *stack, *work, *cursor;
	bool *on_stack;
	uint32_t count, depth, work_depth;
};

/* A component with two transactions under edges of these kinds: stores two of its members. Iterative: histories are long. */
static bool find_cycle(struct graph *g, unsigned kinds, uint32_t members[2])
{
	uint32_t n = g->nodes;
	struct arena scratch;
	arena_init(&scratch, 1 << 16);
	struct tarjan t = {
		.number = arena_zalloc(&scratch, n * sizeof(uint32_t)),
		.low = arena_zalloc(&scratch, n * sizeof(uint32_t)),
		.stack = arena_zalloc(&scratch, n * sizeof(uint32_t)),
		.work = arena_zalloc(&scratch, n * sizeof(uint32_t)),
		.cursor = arena_zalloc(&scratch, n * sizeof(uint32_t)),
		.on_stack = arena_zalloc(&scratch, n),
	};
	bool found = false;
	for (uint32_t root = 0; root < n && !found; root++) {
		if (t.number[root] != 0) {
			continue;
		}
		t.work[t.work_depth++] = root;
		while (t.work_depth > 0 && !found) {
			uint32_t at = t.work[t.work_depth - 1];
			if (t.number[at] == 0) {
				t.number[at] = t.low[at] = ++t.count;
				t.stack[t.depth++] = at;
				t.on_stack[at] = true;
				t.cursor[at] = g->first[at];
			}
			bool deeper = false;
			while (t.cursor[at] != 0 && !deeper) {
				const struct edge *e = &g->edges[t.cursor[at] - 1];
				if ((e->kind & kinds) == 0) {
					t.cursor[at] = e->next;
				} else if (t.number[e->to] == 0) {
					t.work[t.work_depth++] = e->to;
					deeper = true;
				} else {
					if (t.on_stack[e->to] && t.low[e->to] < t.low[at]) {
						t.low[at] = t.low[e->to];
					}
					t.cursor[at] = e->next;
				}
			}
			if (deeper) {
				continue;
			}
			t.work_depth--;
			if (t.low[at] == t.number[at]) {
				uint32_t size = 0, member;
				do {
					member = t.stack[--t.depth];
					t.on_stack[member] = false;
					if (member < g->history->count && size < 2) {
						members[size++] = member;
					}
				} while (member != at);
				found = size == 2;
			}
		}
	}
	arena_fini(&scratch);
	return found;
}

/* True when the cycle needs only one anti-dependency: some rw edge's target reaches its source without rw. */
static bool is_single(struct graph *g)
{
	for (uint32_t from = 0; from < g->history->count; from++) {
		for (uint32_t e = g->first[from]; e != 0; e = g->edges[e - 1].next) {
			if (g->edges[e - 1].kind != EDGE_RW) {
				continue;
			}
			uint8_t *seen = calloc(g->nodes, 1);
			uint32_t *queue = malloc(g->nodes * sizeof(*queue));
			uint32_t head = 0, tail = 0;
			queue[tail++] = g->edges[e - 1].to;
			seen[g->edges[e - 1].to] = 1;
			while (head < tail && !seen[from]) {
				for (uint32_t f = g->first[queue[head++]]; f != 0; f = g->edges[f - 1].next) {
					const struct edge *edge = &g->edges[f - 1];
					if ((edge->kind & (EDGE_WW | EDGE_WR)) && !seen[edge->to]) {
						seen[edge->to] = 1;
						queue[tail++] = edge->to;
					}
				}
			}
			bool single = seen[from];
			free(seen);
			free(queue);
			if (single) {
				return true;
			}
		}
	}
	return false;
}

static enum append_anomaly find_anomaly(struct graph *g)
{
	static const struct {
		unsigned kinds;
		enum append_anomaly anomaly;
	} sets[] = {
		{EDGE_WW, APPEND_G0},
		{EDGE_WW | EDGE_WR, APPEND_G1C},
		{EDGE_WW | EDGE_WR | EDGE_RW, APPEND_G2},
		{EDGE_WW | EDGE_WR | EDGE_RW | EDGE_TIME, APPEND_REALTIME},
	};
	for (size_t i = 0; i < 4; i++) {
		uint32_t members[2];
		if (find_cycle(g, sets[i].kinds, members)) {
			enum append_anomaly anomaly = sets[i].anomaly;
			if (anomaly == APPEND_G2 && is_single(g)) {
				anomaly = APPEND_G_SINGLE;
			}
			err_set(g->err, ERR_INVALID, "%s: a cycle through transactions %u and %u",
			        append_anomaly_name(anomaly), members[0], members[1]);
			return anomaly;
		}
	}
	return APPEND_NONE;
}

static enum append_anomaly gather(struct graph *g)
{
	const struct history *h = g->history;
	enum append_anomaly anomaly = APPEND_NONE;
	for (uint32_t i = 0; i < h->count && anomaly == APPEND_NONE; i++) {
		if (h->ops[i].function == HISTORY_TXN) {
			anomaly = note_appends(g, i);
		}
	}
	for (uint32_t i = 0; i < h->count; i++) {
		const struct history_op *op = &h->ops[i];
		for (size_t j = 0; j < op->part_count && anomaly == APPEND_NONE && op->outcome == HISTORY_OK; j++) {
			anomaly = op->parts[j].append ? APPEND_NONE : note_read(g, i, j);
		}
	}
	size_t at = 0;
	struct slice key;
	void *chain;
	while (anomaly == APPEND_NONE && map_next(&g->keys, &at, &key, &chain)) {
		anomaly = check_versions(g, chain);
	}
	return anomaly;
}

static enum append_anomaly judge_reads(struct graph *g)
{
	const struct history *h = g->history;
	for (uint32_t i = 0; i < h->count; i++) {
		const struct history_op *op = &h->ops[i];
		for (size_t j = 0; j < op->part_count && op->outcome == HISTORY_OK; j++) {
			const struct history_part *read = &op->parts[j];
			if (read->append) {
				continue;
			}
			if (read->count > 0) {
				const struct version *last = find_writer(g, read->key, read->list[read->count - 1]);
				if (!last->last_of_txn && last->writer != i + 1) {
					err_set(g->err, ERR_INVALID,
					        "transaction %u read list %" PRId64 " in the middle of transaction %u", i,
					        read->key, last->writer - 1);
					return APPEND_G1B;
				}
			}
			edges_of_read(g, i, read);
		}
	}
	return APPEND_NONE;
}

enum append_anomaly append_check(const struct history *history, struct err *err)
{
	struct graph g = {.history = history, .err = err, .nodes = (uint32_t)(2 * history->count + 1)};
	arena_init(&g.arena, 1 << 16);
	map_init(&g.writers);
	map_init(&g.keys);
	g.first = arena_zalloc(&g.arena, g.nodes * sizeof(uint32_t));
	enum append_anomaly anomaly = gather(&g);
	if (anomaly == APPEND_NONE) {
		anomaly = judge_reads(&g);
	}
	for (uint32_t i = 0; i < history->count && anomaly == APPEND_NONE; i++) {
		if (history->ops[i].function == HISTORY_TXN && history->ops[i].outcome == HISTORY_OK) {
			anomaly = check_lost(&g, &history->ops[i]);
		}
	}
	if (anomaly == APPEND_NONE) {
		size_t at = 0;
		struct slice key;
		void *chain;
		while (map_next(&g.keys, &at, &key, &chain)) {
			edges_of_chain(&g, chain);
		}
		edges_of_time(&g);
		anomaly = find_anomaly(&g);
	}
	free(g.edges);
	map_fini(&g.keys);
	map_fini(&g.writers);
	arena_fini(&g.arena);
	return anomaly;
}
