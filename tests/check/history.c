#include "tests/check/history.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

static const char *const function_names[] = {"read", "write", "cas", "txn", "buy"};
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

struct history_op *history_add(struct history *history, const struct history_op *op)
{
	if (history->count == history->cap) {
		history->cap = history->cap == 0 ? 256 : history->cap * 2;
		history->ops = realloc(history->ops, history->cap * sizeof(*history->ops));
		if (history->ops == NULL) {
			fatal("out of memory: a history of %zu operations", history->cap);
		}
	}
	struct history_op *copy = &history->ops[history->count++];
	*copy = *op;
	copy->code = op->code == NULL || *op->code == '\0'
	                     ? ""
	                     : (const char *)arena_copy(&history->arena, slice_str(op->code)).data;
	copy->parts = op->part_count > 0 ? copy_parts(&history->arena, op->parts, op->part_count) : NULL;
	return copy;
}

/* ---- writing ---- */

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
			fprintf(out, ",\"list\":[");
			for (size_t j = 0; j < part->count; j++) {
				fprintf(out, "%s%" PRId64, j > 0 ? "," : "", part->list[j]);
			}
			fprintf(out, "]");
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
	if (op->function != HISTORY_TXN) {
		fprintf(out, ",\"key\":%" PRId64 ",\"value\":%" PRId64 ",\"expected\":%" PRId64, op->key, op->value,
		        op->expected);
	}
	if (!invoke) {
		if (op->function == HISTORY_TXN) {
			write_parts(op, out);
		}
		fprintf(out, ",\"found\":%s,\"index\":%" PRIu64 ",\"ordinal\":%u,\"attempts\":%u,\"code\":\"%s\"",
		        op->found ? "true" : "false", op->index, op->ordinal, op->attempts, op->code);
	}
	fprintf(out, "}\n");
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
		list[i].count = json_array_size(values);
		int64_t *copy = arena_alloc(&history->arena, list[i].count * sizeof(*copy) + 1);
		for (size_t j = 0; j < list[i].count; j++) {
			copy[j] = json_integer_value(json_array_get(values, j));
		}
		list[i].list = copy;
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
		.code = "",
	};
	return 0;
}

static int read_end(struct history *history, const json_t *line, int outcome)
{
	struct history_op *op = &history->ops[get_int(line, "op")];
	const json_t *t = json_object_get(line, "t_us");
	op->returned_us = t != NULL ? (uint64_t)json_integer_value(t) : HISTORY_NEVER;
	op->outcome = (enum history_outcome)outcome;
	op->value = get_int(line, "value");
	op->node = (uint32_t)get_int(line, "node");
	op->found = json_is_true(json_object_get(line, "found"));
	op->index = (uint64_t)get_int(line, "index");
	op->ordinal = (uint32_t)get_int(line, "ordinal");
	op->attempts = (uint32_t)get_int(line, "attempts");
	const char *code = json_string_value(json_object_get(line, "code"));
	op->code = code != NULL ? (const char *)arena_copy(&history->arena, slice_str(code)).data : "";
	if (op->function == HISTORY_TXN) {
		read_parts(history, op, json_object_get(line, "parts"));
	}
	return 0;
}

static int read_line(struct history *history, const json_t *line)
{
	const char *type = json_string_value(json_object_get(line, "type"));
	if (type != NULL && strcmp(type, "nemesis") == 0) {
		return 0; /* what was done to the servers is for people */
	}
	int function = find_name(function_names, 5, json_object_get(line, "f"));
	int outcome = find_name(outcome_names, 3, json_object_get(line, "type"));
	int64_t id = get_int(line, "op");
	if (function < 0 || id < 0 || id > 100000000) {
		return ERR_INVALID;
	}
	if (type != NULL && strcmp(type, "invoke") == 0) {
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
	return rc;
}
