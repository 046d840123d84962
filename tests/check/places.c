#include "tests/check/places.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *memory)
{
	if (memory == NULL) {
		fatal("out of memory: the places of a history");
	}
	return memory;
}

struct moment {
	uint64_t t, place;
};

static int by_time(const void *a, const void *b)
{
	const struct moment *x = a, *y = b;
	return x->t < y->t ? -1 : x->t > y->t;
}

bool places_is_read(const struct history_op *op)
{
	switch (op->function) {
	case HISTORY_READ:
	case HISTORY_COUNT:
	case HISTORY_BALANCES:
	case HISTORY_LINKS:
	case HISTORY_SIZE:
		return true;
	case HISTORY_TXN:
		return op->id == NULL || *op->id == '\0';
	default:
		return false;
	}
}

int places_check_requests(const struct history *whole, const uint64_t *places, uint64_t last, struct err *err)
{
	uint32_t *order = must(calloc(last + 1, sizeof(*order)));
	for (size_t i = 0; i < whole->count; i++) {
		if (places[i] != 0) {
			order[places[i] - 1] = (uint32_t)i;
		}
	}
	uint64_t latest = 0;
	int rc = 0;
	for (uint64_t i = 0; i < last && rc == 0; i++) {
		const struct history_op *op = &whole->ops[order[i]];
		if (op->returned_us < latest) {
			rc = err_set(err, ERR_INVALID,
				     "request %s (%s) was answered before one began that comes before it in "
				     "the log",
				     op->id, history_function_name(op->function));
		}
		latest = op->invoked_us > latest ? op->invoked_us : latest;
	}
	free(order);
	return rc;
}

/* Requests in the log by time of their answer, with the last place up to there; by time of their begin, with
 * the first place from there on. */
struct calendar {
	struct moment *answers, *begins;
	size_t answer_count, begin_count;
};

static void calendar_make(const struct history *whole, const uint64_t *places, struct calendar *c)
{
	size_t n = whole->count + 1;
	*c = (struct calendar){must(calloc(n, sizeof(struct moment))), must(calloc(n, sizeof(struct moment))),
			       0, 0};
	for (size_t i = 0; i < whole->count; i++) {
		const struct history_op *op = &whole->ops[i];
		if (places[i] == 0) {
			continue;
		}
		c->begins[c->begin_count++] = (struct moment){op->invoked_us, places[i]};
		if (op->outcome == HISTORY_OK) {
			c->answers[c->answer_count++] = (struct moment){op->returned_us, places[i]};
		}
	}
	qsort(c->answers, c->answer_count, sizeof(struct moment), by_time);
	qsort(c->begins, c->begin_count, sizeof(struct moment), by_time);
	for (size_t i = 1; i < c->answer_count; i++) {
		uint64_t before = c->answers[i - 1].place;
		c->answers[i].place = c->answers[i].place > before ? c->answers[i].place : before;
	}
	for (size_t i = c->begin_count; i-- > 1;) {
		uint64_t after = c->begins[i].place;
		c->begins[i - 1].place = c->begins[i - 1].place < after ? c->begins[i - 1].place : after;
	}
}

/* The number of moments before t. */
static size_t before(const struct moment *moments, size_t count, uint64_t t)
{
	size_t low = 0;
	while (low < count) {
		size_t middle = low + (count - low) / 2;
		if (moments[middle].t < t) {
			low = middle + 1;
		} else {
			count = middle;
		}
	}
	return low;
}

/* The places at which it may have seen the database. */
static uint64_t lowest(const struct calendar *c, const struct history_op *op)
{
	size_t done = before(c->answers, c->answer_count, op->invoked_us);
	return done == 0 ? 0 : c->answers[done - 1].place;
}

static uint64_t highest(const struct calendar *c, const struct history_op *op, uint64_t last)
{
	size_t begun = before(c->begins, c->begin_count, op->returned_us + 1);
	return begun == c->begin_count ? last : c->begins[begun].place - 1;
}

static void calendar_free(struct calendar *c)
{
	free(c->answers);
	free(c->begins);
}

static int no_place(const struct history_op *op, uint64_t low, uint64_t high, struct err *err)
{
	int64_t key = op->function == HISTORY_TXN && op->part_count > 0 ? op->parts[0].key : op->key;
	return err_set(err, ERR_INVALID,
		       "%s %" PRId64 " of client %u from %" PRIu64 " to %" PRIu64 " us: value %" PRId64
		       ", found %d is the model's at no place from %" PRIu64 " to %" PRIu64,
		       history_function_name(op->function), key, op->client, op->invoked_us, op->returned_us,
		       op->value, op->found, low, high);
}

/* Reads in order of their begin, each at the earliest place that explains it and is not before those of reads
 * answered earlier: if any choice of places fits, this one does. */
int places_check_reads(const struct history *whole, uint64_t *places, uint64_t last,
		       const struct model *model, struct err *err)
{
	struct moment *reads =
		must(calloc(whole->count + 1, sizeof(*reads))); /* place: the operation's number */
	struct moment *told =
		must(calloc(whole->count + 1, sizeof(*told))); /* by answer; place: the operation's number */
	size_t count = 0, told_at = 0;
	uint64_t floor = 0;
	struct calendar c;
	calendar_make(whole, places, &c);
	for (size_t i = 0; i < whole->count; i++) {
		const struct history_op *op = &whole->ops[i];
		if (op->outcome == HISTORY_OK && places_is_read(op)) {
			reads[count] = (struct moment){op->invoked_us, i};
			told[count++] = (struct moment){op->returned_us, i};
		}
	}
	qsort(reads, count, sizeof(*reads), by_time);
	qsort(told, count, sizeof(*told), by_time);
	int rc = 0;
	for (size_t i = 0; i < count && rc == 0; i++) {
		const struct history_op *op = &whole->ops[reads[i].place];
		for (; told_at < count && told[told_at].t < op->invoked_us; told_at++) {
			uint64_t place = places[told[told_at].place];
			floor = place > floor ? place : floor;
		}
		uint64_t low = lowest(&c, op), high = highest(&c, op, last);
		low = low > floor ? low : floor;
		uint64_t at = low;
		while (at <= high && !model_explains(model, op, at)) {
			at++;
		}
		places[reads[i].place] = at;
		rc = at <= high ? 0 : no_place(op, low, high, err);
	}
	calendar_free(&c);
	free(reads);
	free(told);
	return rc;
}

static int check_refusal(const struct history_op *op, uint64_t low, uint64_t high,
			 const struct places_kept *kept, const struct model *model, struct err *err)
{
	bool other = kept != NULL && strcmp(kept->code, op->code) != 0;
	if (kept != NULL && !other && kept->place <= high) {
		return 0;
	}
	high = other && kept->place < high ? kept->place : high;
	for (uint64_t at = low; at <= high; at++) {
		const char *code = model_refusal_at(model, op, at);
		if (code != NULL && strcmp(code, op->code) == 0) {
			return 0;
		}
	}
	return err_set(err, ERR_INVALID,
		       "request %s: client %u was told %s, the model's at no place from %" PRIu64
		       " to %" PRIu64,
		       op->id, op->client, op->code, low, high);
}

int places_check_refusals(const struct places_log *log, struct err *err)
{
	struct calendar c;
	int rc = 0;
	calendar_make(log->whole, log->places, &c);
	for (size_t i = 0; i < log->attempts->count && rc == 0; i++) {
		const struct history_op *op = &log->attempts->ops[i];
		if (op->outcome == HISTORY_FAIL && op->function == HISTORY_BUY &&
		    model_refuses_with(op->code) && op->returned_us < log->until_us) {
			rc = check_refusal(op, lowest(&c, op), highest(&c, op, log->last),
					   map_get(log->kept, slice_str(op->id)), log->model, err);
		}
	}
	calendar_free(&c);
	return rc;
}
