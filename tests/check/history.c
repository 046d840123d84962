#include "tests/check/history.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

static const char *const function_names[HISTORY_FUNCTIONS] = {
	"read", "write",    "cas",  "txn",  "buy",   "add",   "count", "bank",  "move",
	"balances", "ring", "swap", "links", "size", "allot", "order", "stock", "other",
};
static const char *const outcome_names[] = {"ok", "fail", "info"};

void history_init(struct history *history)
{
	*history = (struct history){0};
	arena_init(&history->arena, 4096);
}

void history_fini(struct history *history)
{
	arena_fini(&history->arena);
	free(history->ops);
	free(history->entries);
	free(history->hashes);
	*history = (struct history){0};
}

static const struct history_part *copy_parts(struct arena *arena, const struct history_part *parts, size_t count)
{
	struct history_part *copy = arena_alloc(arena, count * sizeof(*copy));
	for (size_t i = 0; i < count; i++) {
		copy[i] = parts[i];
		if (parts[i].count > 0) {
			struct slice list = slice_of(parts[i].list, parts[i].count * sizeof(int64_t));
			copy[i].list = (const int64_t *)(const void *)arena_copy(arena, list).data;
		}
	}
	return copy;
}

/* Room for one more. */
static void *grow(void *list, size_t count, size_t *cap, size_t size)
{
	if (count < *cap) {
		return list;
	}
	*cap = *cap == 0 ? 256 : *cap * 2;
	list = realloc(list, *cap * size);
	if (list == NULL) {
		fatal("out of memory: a history of %zu", *cap);
	}
	return list;
}

static const char *copy_text(struct arena *arena, const char *text)
{
	return text == NULL || *text == '\0' ? "" : (const char *)arena_copy(arena, slice_str(text)).data;
}

struct history_op *history_borrow(struct history *history, const struct history_op *op)
{
	history->ops = grow(history->ops, history->count, &history->cap, sizeof(*history->ops));
	history->ops[history->count] = *op;
	return &history->ops[history->count++];
}

struct history_op *history_add(struct history *history, const struct history_op *op)
{
	struct history_op *copy = history_borrow(history, op);
	copy->code = copy_text(&history->arena, op->code);
	copy->id = copy_text(&history->arena, op->id);
	copy->parts = op->part_count > 0 ? copy_parts(&history->arena, op->parts, op->part_count) : NULL;
	struct slice list = slice_of(op->list, op->list_count * sizeof(int64_t));
	copy->list = op->list_count > 0 ? (const int64_t *)(const void *)arena_copy(&history->arena, list).data : NULL;
	return copy;
}

void history_add_entry(struct history *history, uint64_t index, struct slice payload)
{
	history->entries = grow(history->entries, history->entry_count, &history->entry_cap, sizeof(*history->entries));
	history->entries[history->entry_count++] = (struct history_entry){index, arena_copy(&history->arena, payload)};
}

void history_add_hash(struct history *history, const struct history_hash *hash)
{
	history->hashes = grow(history->hashes, history->hash_count, &history->hash_cap, sizeof(*history->hashes));
	history->hashes[history->hash_count++] = *hash;
}

const char *history_function_name(enum history_function function) { return function_names[function]; }

/* ---- writing ---- */

static void write_list(const int64_t *list, size_t count, FILE *out)
{
	fprintf(out, ",\"list\":[");
	for (size_t i = 0; i < count; i++) {
		fprintf(out, "%s%" PRId64, i > 0 ? "," : "", list[i]);
	}
	fprintf(out, "]");
}

static void write_parts(const struct history_op *op, FILE *out)
{
	fprintf(out, ",\"parts\":[");
	for (size_t i = 0; i < op->part_count; i++) {
		const struct history_part *part = &op->parts[i];
		fprintf(out, "%s{\"f\":\"%s\",\"key\":%" PRId64, i > 0 ? "," : "", part->append ? "append" : "read",
		        part->key);
		if (part->append) {
			fprintf(out, ",\"value\":%" PRId64, part->value);
		} else {
			write_list(part->list, part->count, out);
		}
		fprintf(out, "}");
	}
	fprintf(out, "]");
}

static void write_event(const struct history_op *op, size_t id, bool invoke, FILE *out)
{
	uint64_t t = invoke ? op->invoked_us : op->returned_us;
	fprintf(out, "{\"op\":%zu,\"type\":\"%s\"", id, invoke ? "invoke" : outcome_names[op->outcome]);
	if (t != HISTORY_NEVER) {
		fprintf(out, ",\"t_us\":%" PRIu64, t);
	}
	fprintf(out, ",\"client\":%u,\"node\":%u,\"f\":\"%s\"", op->client, op->node, function_names[op->function]);
	if (op->id != NULL && *op->id != '\0') {
		fprintf(out, ",\"id\":\"%s\"", op->id);
	}
	if (op->function != HISTORY_TXN) {
		fprintf(out, ",\"key\":%" PRId64 ",\"value\":%" PRId64 ",\"expected\":%" PRId64, op->key, op->value,
		        op->expected);
	}
	if (!invoke) {
		if (op->function == HISTORY_TXN) {
			write_parts(op, out);
		}
		if (op->list_count > 0) {
			write_list(op->list, op->list_count, out);
		}
		if (op->replayed) {
			fprintf(out, ",\"replayed\":true");
		}
		fprintf(out, ",\"found\":%s,\"index\":%" PRIu64 ",\"ordinal\":%u,\"attempts\":%u,\"code\":\"%s\"",
		        op->found ? "true" : "false", op->index, op->ordinal, op->attempts, op->code);
	}
	fprintf(out, "}\n");
}

static void write_entry(const struct history_entry *entry, FILE *out)
{
	fprintf(out, "{\"type\":\"entry\",\"index\":%" PRIu64 ",\"payload\":\"", entry->index);
	for (size_t i = 0; i < entry->payload.len; i++) {
		fprintf(out, "%02x", entry->payload.data[i]);
	}
	fprintf(out, "\"}\n");
}

static void write_hash(const struct history_hash *hash, FILE *out)
{
	fprintf(out, "{\"type\":\"hash\",\"node\":%u,\"index\":%" PRIu64 ",\"hash\":\"%016" PRIx64 "%016" PRIx64 "\"}\n",
	        hash->node, hash->index, hash->hash.high, hash->hash.low);
}

struct event {
	uint64_t t;
	size_t op;
	bool invoke;
};

static int by_time(const void *a, const void *b)
{
	const struct event *x = a, *y = b;
	if (x->t != y->t) {
		return x->t < y->t ? -1 : 1;
	}
	if (x->op != y->op) {
		return x->op < y->op ? -1 : 1;
	}
	return (int)y->invoke - (int)x->invoke;
}

int history_write(const struct history *history, FILE *out)
{
	struct event *events = malloc((history->count * 2 + 1) * sizeof(*events));
	if (events == NULL) {
		fatal("out of memory: the events of %zu operations", history->count);
	}
	for (size_t i = 0; i < history->count; i++) {
		events[2 * i] = (struct event){history->ops[i].invoked_us, i, true};
		events[2 * i + 1] = (struct event){history->ops[i].returned_us, i, false};
	}
	qsort(events, history->count * 2, sizeof(*events), by_time);
	for (size_t i = 0; i < history->count * 2; i++) {
		write_event(&history->ops[events[i].op], events[i].op, events[i].invoke, out);
	}
	free(events);
	for (size_t i = 0; i < history->entry_count; i++) {
		write_entry(&history->entries[i], out);
	}
	for (size_t i = 0; i < history->hash_count; i++) {
		write_hash(&history->hashes[i], out);
	}
	return fflush(out) == 0 && !ferror(out) ? 0 : ERR_IO;
}

/* ---- reading ---- */

static int64_t get_int(const json_t *line, const char *name)
{
	return json_integer_value(json_object_get(line, name));
}

static int find_name(const char *const *names, size_t count, const json_t *name)
{
	for (size_t i = 0; i < count && json_is_string(name); i++) {
		if (strcmp(names[i], json_string_value(name)) == 0) {
			return (int)i;
		}
	}
	return -1;
}

static const int64_t *read_list(struct history *history, const json_t *values, size_t *count)
{
	*count = json_array_size(values);
	int64_t *copy = arena_alloc(&history->arena, *count * sizeof(*copy) + 1);
	for (size_t i = 0; i < *count; i++) {
		copy[i] = json_integer_value(json_array_get(values, i));
	}
	return copy;
}

static const char *read_text(struct history *history, const json_t *line, const char *name)
{
	return copy_text(&history->arena, json_string_value(json_object_get(line, name)));
}

static void read_parts(struct history *history, struct history_op *op, const json_t *parts)
{
	op->part_count = json_array_size(parts);
	struct history_part *list = arena_zalloc(&history->arena, op->part_count * sizeof(*list) + 1);
	for (size_t i = 0; i < op->part_count; i++) {
		const json_t *part = json_array_get(parts, i);
		const json_t *values = json_object_get(part, "list");
		list[i].append = !json_is_array(values);
		list[i].key = get_int(part, "key");
		list[i].value = get_int(part, "value");
		list[i].list = read_list(history, values, &list[i].count);
	}
	op->parts = list;
}

/* Lines come in order of time, numbers in order of completion: the places between stay open until their line. */
static struct history_op *place(struct history *history, size_t id)
{
	const struct history_op open = {.invoked_us = HISTORY_NEVER};
	while (history->count <= id) {
		history_add(history, &open);
	}
	return &history->ops[id];
}

static int read_invoke(struct history *history, const json_t *line, int function)
{
	struct history_op *op = place(history, (size_t)get_int(line, "op"));
	if (op->invoked_us != HISTORY_NEVER) {
		return ERR_INVALID;
	}
	*op = (struct history_op){
		.invoked_us = (uint64_t)get_int(line, "t_us"),
		.returned_us = HISTORY_NEVER,
		.client = (uint32_t)get_int(line, "client"),
		.node = (uint32_t)get_int(line, "node"),
		.outcome = HISTORY_INFO,
		.function = (enum history_function)function,
		.key = get_int(line, "key"),
		.value = get_int(line, "value"),
		.expected = get_int(line, "expected"),
		.id = read_text(history, line, "id"),
		.code = "",
	};
	return 0;
}

static int read_end(struct history *history, const json_t *line, int outcome)
{
	struct history_op *op = &history->ops[get_int(line, "op")];
	const json_t *t = json_object_get(line, "t_us");
	op->returned_us = t != NULL ? (uint64_t)json_integer_value(t) : HISTORY_NEVER;
	if (op->returned_us < op->invoked_us) {
		return ERR_INVALID;
	}
	op->outcome = (enum history_outcome)outcome;
	op->value = get_int(line, "value");
	op->node = (uint32_t)get_int(line, "node");
	op->found = json_is_true(json_object_get(line, "found"));
	op->index = (uint64_t)get_int(line, "index");
	op->ordinal = (uint32_t)get_int(line, "ordinal");
	op->attempts = (uint32_t)get_int(line, "attempts");
	op->replayed = json_is_true(json_object_get(line, "replayed"));
	op->code = read_text(history, line, "code");
	op->list = read_list(history, json_object_get(line, "list"), &op->list_count);
	if (op->function == HISTORY_TXN) {
		read_parts(history, op, json_object_get(line, "parts"));
	}
	return 0;
}

static int hex_digit(char c)
{
	const char *digits = "0123456789abcdef", *at = c == '\0' ? NULL : strchr(digits, c);
	return at == NULL ? -1 : (int)(at - digits);
}

static int read_entry(struct history *history, const json_t *line)
{
	const char *text = json_string_value(json_object_get(line, "payload"));
	size_t len = text == NULL ? 0 : strlen(text) / 2;
	uint8_t *bytes = arena_alloc(&history->arena, len + 1);
	for (size_t i = 0; i < len; i++) {
		int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
		if (high < 0 || low < 0) {
			return ERR_INVALID;
		}
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	history_add_entry(history, (uint64_t)get_int(line, "index"), slice_of(bytes, len));
	return 0;
}

static int read_hash(struct history *history, const json_t *line)
{
	struct history_hash hash = {.node = (uint32_t)get_int(line, "node"), .index = (uint64_t)get_int(line, "index")};
	const char *text = json_string_value(json_object_get(line, "hash"));
	if (text == NULL || sscanf(text, "%16" SCNx64 "%16" SCNx64, &hash.hash.high, &hash.hash.low) != 2) {
		return ERR_INVALID;
	}
	history_add_hash(history, &hash);
	return 0;
}

static int read_line(struct history *history, const json_t *line)
{
	const char *what = json_string_value(json_object_get(line, "type"));
	if (what != NULL && strcmp(what, "entry") == 0) {
		return read_entry(history, line);
	}
	if (what != NULL && strcmp(what, "hash") == 0) {
		return read_hash(history, line);
	}
	if (what != NULL && strcmp(what, "nemesis") == 0) {
		return 0; /* what was done to the servers is for people */
	}
	int function = find_name(function_names, HISTORY_FUNCTIONS, json_object_get(line, "f"));
	int outcome = find_name(outcome_names, 3, json_object_get(line, "type"));
	int64_t id = get_int(line, "op");
	if (function < 0 || id < 0 || id > 100000000) {
		return ERR_INVALID;
	}
	if (what != NULL && strcmp(what, "invoke") == 0) {
		return read_invoke(history, line, function);
	}
	if (outcome < 0 || (size_t)id >= history->count || history->ops[id].invoked_us == HISTORY_NEVER) {
		return ERR_INVALID;
	}
	return read_end(history, line, outcome);
}

int history_read(struct history *history, FILE *in, struct err *err)
{
	char *text = NULL;
	size_t cap = 0;
	int rc = 0;
	for (size_t number = 1; rc == 0 && getline(&text, &cap, in) > 0; number++) {
		json_t *line = json_loads(text, 0, NULL);
		rc = line != NULL ? read_line(history, line) : ERR_INVALID;
		if (rc != 0) {
			err_set(err, rc, "line %zu is no line of a history", number);
		}
		json_decref(line);
	}
	free(text);
	for (size_t i = 0; rc == 0 && i < history->count; i++) {
		if (history->ops[i].invoked_us == HISTORY_NEVER) {
			rc = err_set(err, ERR_INVALID, "operation %zu has no line: the history is cut", i);
		}
	}
	return rc;
}
