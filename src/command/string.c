/* Strings: reading, many at once, and parts. Writing a whole value is in set.c, counters in counter.c, bits in bit.c. */
#include "command/room.h"

#include "base/err.h"

int string_find(struct command_call *call, size_t at, struct row *row)
{
	int rc = row_find(row, call->txn, call->arena, call->db, call->argv[at]);

	if (rc == 0 && row->found && row->type != ROW_STRING) {
		reply_wrong_type(call->reply);
		return ERR_TYPE;
	}
	return rc;
}

void reply_value(struct reply *r, const struct row *row)
{
	if (row->found) {
		reply_bulk(r, row->bytes);
	} else {
		reply_null(r);
	}
}

int get_command(struct command_call *call)
{
	struct row row;
	int rc = string_find(call, 1, &row);

	if (rc == 0) {
		reply_value(call->reply, &row);
	}
	return string_answered(rc);
}

/* ---- many at once ---- */

int mget_command(struct command_call *call)
{
	reply_array(call->reply, call->argc - 1);
	for (size_t i = 1; i < call->argc; i++) {
		struct row row;
		int rc = row_find(&row, call->txn, call->arena, call->db, call->argv[i]);
		if (rc != 0) {
			return rc;
		}
		row.found = row.found && row.type == ROW_STRING;
		reply_value(call->reply, &row);
	}
	return 0;
}

static int put_pairs(struct command_call *call)
{
	for (size_t i = 1; i < call->argc; i += 2) {
		struct row row;
		int rc = row_aim(&row, call->txn, call->arena, call->db, call->argv[i]);
		if (rc == 0) {
			rc = row_put(&row, call->argv[i + 1], 0, 0);
		}
		if (rc != 0) {
			return rc;
		}
	}
	return 0;
}

int mset_command(struct command_call *call)
{
	if (call->argc % 2 == 0) {
		reply_wrong_arity(call->reply, "mset");
		return 0;
	}
	reply_ok(call->reply);
	return put_pairs(call);
}

int msetnx_command(struct command_call *call)
{
	if (call->argc % 2 == 0) {
		reply_wrong_arity(call->reply, "msetnx");
		return 0;
	}
	for (size_t i = 1; i < call->argc; i += 2) {
		struct row row;
		int rc = row_find(&row, call->txn, call->arena, call->db, call->argv[i]);
		if (rc != 0) {
			return rc;
		}
		if (row.found) {
			reply_integer(call->reply, 0);
			return 0;
		}
	}
	reply_integer(call->reply, 1);
	return put_pairs(call);
}

/* ---- parts ---- */

int strlen_command(struct command_call *call)
{
	struct row row;
	int rc = string_find(call, 1, &row);

	if (rc == 0) {
		reply_integer(call->reply, (int64_t)row.bytes.len);
	}
	return string_answered(rc);
}

int append_command(struct command_call *call)
{
	struct slice more = call->argv[2];
	struct row row;
	uint8_t *whole;
	int rc = string_find(call, 1, &row);

	if (rc != 0) {
		return string_answered(rc);
	}
	if (row.bytes.len + more.len > LIMIT_VALUE) {
		reply_too_long(call->reply);
		return 0;
	}
	reply_integer(call->reply, (int64_t)(row.bytes.len + more.len));
	if (!row.found) {
		return row_put(&row, more, 0, 0);
	}
	whole = arena_alloc(call->arena, row.bytes.len + more.len);
	memcpy(whole, row.bytes.data, row.bytes.len);
	memcpy(whole + row.bytes.len, more.data, more.len);
	return row_put(&row, slice_of(whole, row.bytes.len + more.len), ROW_RAW, row.expire_at_ms);
}

int setrange_command(struct command_call *call)
{
	struct slice part = call->argv[3];
	struct row row;
	int64_t offset;
	uint8_t *whole;
	size_t len;
	int rc;

	if (!argument_integer(call, 2, &offset)) {
		return 0;
	}
	if (offset < 0) {
		reply_error(call->reply, "ERR offset is out of range");
		return 0;
	}
	rc = string_find(call, 1, &row);
	if (rc != 0) {
		return string_answered(rc);
	}
	if (part.len == 0) {
		reply_integer(call->reply, (int64_t)row.bytes.len);
		return 0;
	}
	if ((uint64_t)offset + part.len > LIMIT_VALUE) {
		reply_too_long(call->reply);
		return 0;
	}
	len = (size_t)offset + part.len > row.bytes.len ? (size_t)offset + part.len : row.bytes.len;
	whole = arena_zalloc(call->arena, len);
	if (row.bytes.len > 0) {
		memcpy(whole, row.bytes.data, row.bytes.len);
	}
	memcpy(whole + offset, part.data, part.len);
	reply_integer(call->reply, (int64_t)len);
	return row_put(&row, slice_of(whole, len), ROW_RAW, row.expire_at_ms);
}

int getrange_command(struct command_call *call)
{
	int64_t start, end, len;
	struct row row;
	int rc;

	if (!argument_integer(call, 2, &start) || !argument_integer(call, 3, &end)) {
		return 0;
	}
	rc = string_find(call, 1, &row);
	if (rc != 0) {
		return string_answered(rc);
	}
	len = (int64_t)row.bytes.len;
	if (start < 0 && end < 0 && start > end) {
		reply_bulk(call->reply, SLICE_NONE);
		return 0;
	}
	start += start < 0 ? len : 0;
	end += end < 0 ? len : 0;
	start = start < 0 ? 0 : start;
	end = end < 0 ? 0 : end >= len ? len - 1 : end;
	if (len == 0 || start > end) {
		reply_bulk(call->reply, SLICE_NONE);
		return 0;
	}
	reply_bulk(call->reply, slice_of(row.bytes.data + start, (size_t)(end - start) + 1));
	return 0;
}
