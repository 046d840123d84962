/* LCS: the longest common subsequence of two strings, by the table of lengths of
 * all their prefixes. */
#include "command/room.h"

#include "base/err.h"

/* Cells of the table, four bytes each: a bound in memory and in time (some 10 ms). */
#define LCS_CELLS_MAX ((size_t)4 << 20)
#define LCS_STEP_CELLS 2 /* that are filled in one step (txn_spend) */

struct lcs {
	struct slice a, b;
	uint32_t *lengths; /* (a.len + 1) rows of (b.len + 1) */
	bool idx, len, with_match_len;
	int64_t min_match_len;
};

static uint32_t *cell(const struct lcs *lcs, size_t i, size_t j)
{
	return &lcs->lengths[i * (lcs->b.len + 1) + j];
}

static void fill_table(struct lcs *lcs, struct arena *arena)
{
	lcs->lengths = arena_zalloc(arena, (lcs->a.len + 1) * (lcs->b.len + 1) * sizeof(uint32_t));
	for (size_t i = 1; i <= lcs->a.len; i++) {
		for (size_t j = 1; j <= lcs->b.len; j++) {
			uint32_t up = *cell(lcs, i - 1, j), left = *cell(lcs, i, j - 1);
			if (lcs->a.data[i - 1] == lcs->b.data[j - 1]) {
				*cell(lcs, i, j) = *cell(lcs, i - 1, j - 1) + 1;
			} else {
				*cell(lcs, i, j) = up > left ? up : left;
			}
		}
	}
}

/* The run of equal bytes that ends before *i and *j on the way back through the table: its length,
 * and *i and *j at its start. 0: none is left. */
static size_t run_before(const struct lcs *lcs, size_t *i, size_t *j)
{
	size_t length = 0;

	while (*i > 0 && *j > 0 && lcs->a.data[*i - 1] != lcs->b.data[*j - 1]) {
		if (*cell(lcs, *i - 1, *j) > *cell(lcs, *i, *j - 1)) {
			*i -= 1;
		} else {
			*j -= 1;
		}
	}
	while (*i > 0 && *j > 0 && lcs->a.data[*i - 1] == lcs->b.data[*j - 1]) {
		*i -= 1;
		*j -= 1;
		length++;
	}
	return length;
}

static void reply_text(struct command_call *call, const struct lcs *lcs)
{
	size_t len = *cell(lcs, lcs->a.len, lcs->b.len), at = len, i = lcs->a.len, j = lcs->b.len, run;
	uint8_t *text = arena_alloc(call->arena, len);

	while ((run = run_before(lcs, &i, &j)) > 0) {
		at -= run;
		memcpy(text + at, lcs->a.data + i, run);
	}
	reply_bulk(call->reply, slice_of(text, len));
}

static void reply_place(struct reply *r, size_t start, size_t len)
{
	reply_array(r, 2);
	reply_integer(r, (int64_t)start);
	reply_integer(r, (int64_t)(start + len) - 1);
}

static void reply_matches(struct command_call *call, const struct lcs *lcs)
{
	size_t i = lcs->a.len, j = lcs->b.len, count = 0, run;

	while ((run = run_before(lcs, &i, &j)) > 0) {
		count += (int64_t)run >= lcs->min_match_len;
	}
	reply_map(call->reply, 2);
	reply_bulk_text(call->reply, "matches");
	reply_array(call->reply, count);
	i = lcs->a.len;
	j = lcs->b.len;
	while ((run = run_before(lcs, &i, &j)) > 0) {
		if ((int64_t)run < lcs->min_match_len) {
			continue;
		}
		reply_array(call->reply, lcs->with_match_len ? 3 : 2);
		reply_place(call->reply, i, run);
		reply_place(call->reply, j, run);
		if (lcs->with_match_len) {
			reply_integer(call->reply, (int64_t)run);
		}
	}
	reply_bulk_text(call->reply, "len");
	reply_integer(call->reply, *cell(lcs, lcs->a.len, lcs->b.len));
}

static bool parse_lcs_options(struct command_call *call, struct lcs *lcs)
{
	for (size_t at = 3; at < call->argc; at++) {
		if (argument_is(call, at, "IDX")) {
			lcs->idx = true;
		} else if (argument_is(call, at, "LEN")) {
			lcs->len = true;
		} else if (argument_is(call, at, "WITHMATCHLEN")) {
			lcs->with_match_len = true;
		} else if (argument_is(call, at, "MINMATCHLEN") && at + 1 < call->argc) {
			if (!argument_integer(call, ++at, &lcs->min_match_len)) {
				return false;
			}
		} else {
			reply_syntax_error(call->reply);
			return false;
		}
	}
	if (lcs->idx && lcs->len) {
		reply_error(call->reply, "ERR If you want both the length and indexes, please just use IDX.");
		return false;
	}
	return true;
}

int lcs_command(struct command_call *call)
{
	struct lcs lcs = {0};
	struct row a, b;
	int rc = row_find(&a, call->txn, call->arena, call->db, call->argv[1]);

	if (rc == 0) {
		rc = row_find(&b, call->txn, call->arena, call->db, call->argv[2]);
	}
	if (rc != 0) {
		return rc;
	}
	if ((a.found && a.type != ROW_STRING) || (b.found && b.type != ROW_STRING)) {
		reply_error(call->reply, "ERR The specified keys must contain string values");
		return 0;
	}
	if (!parse_lcs_options(call, &lcs)) {
		return 0;
	}
	lcs.a = a.bytes;
	lcs.b = b.bytes;
	if ((lcs.a.len + 1) * (lcs.b.len + 1) > LCS_CELLS_MAX) {
		reply_error(call->reply, "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
		return 0;
	}
	txn_spend(call->txn, (lcs.a.len + 1) * (lcs.b.len + 1) / LCS_STEP_CELLS);
	fill_table(&lcs, call->arena);
	if (lcs.idx) {
		reply_matches(call, &lcs);
	} else if (lcs.len) {
		reply_integer(call->reply, *cell(&lcs, lcs.a.len, lcs.b.len));
	} else {
		reply_text(call, &lcs);
	}
	return 0;
}
