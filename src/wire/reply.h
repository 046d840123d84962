/* Writing replies in RESP2 or RESP3 (redis.io/docs/reference/protocol-spec).
 *
 * A command writes its reply through a struct reply and never knows which
 * protocol it speaks; where the two differ (null, map, set, double, boolean,
 * big number, verbatim string, push) the writer decides as Redis 7 does. The bytes go into a
 * buffer of the caller, who checks buf_failed once. */
#ifndef WIRE_REPLY_H
#define WIRE_REPLY_H

#include "base/buf.h"
#include "base/outcome.h"

struct reply {
	struct buf *out; /* borrowed */
	int protocol;    /* 2 or 3 */
};

void reply_simple(struct reply *r, const char *text);            /* +text */
void reply_error(struct reply *r, const char *format, ...) __attribute__((format(printf, 2, 3))); /* -text; CR and LF become spaces */
/* -CODE {"outcome":"…",details}: the inside of a JSON object without braces. NULL or "": the code's own
 * sentence as the reason (outcome.h). */
void reply_code(struct reply *r, enum code code, const char *details);
void reply_integer(struct reply *r, int64_t value);
void reply_bulk(struct reply *r, struct slice bytes);
void reply_bulk_text(struct reply *r, const char *text);
void reply_null(struct reply *r);       /* $-1 or _ */
void reply_null_array(struct reply *r); /* *-1 or _ */
void reply_array(struct reply *r, size_t count);
void reply_map(struct reply *r, size_t pairs); /* *2n or %n; then key, value, … */
/* RESP3 only: |n, then pairs; stands in front of the reply that it adorns. */
void reply_attribute(struct reply *r, size_t pairs);
void reply_set(struct reply *r, size_t count);
void reply_bool(struct reply *r, bool value);     /* :1 or #t */
void reply_double(struct reply *r, double value); /* bulk or , */
void reply_verbatim(struct reply *r, const char *format3, struct slice text);

#endif /* WIRE_REPLY_H */
