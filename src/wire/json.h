/* JSON (RFC 8259), in and out. Reading goes through jansson with bounds of our own
 * before it; writing is ours, straight into a buffer.
 *
 * Integers are 64-bit and stay integers; a number with a point or an exponent is VALUE_REAL. */
#ifndef WIRE_JSON_H
#define WIRE_JSON_H

#include "base/buf.h"
#include "base/err.h"
#include "wire/value.h"

/* Builds the value of text in arena. ERR_INVALID: not JSON, a name twice, an integer over 64 bits;
 * ERR_TOO_LARGE: deeper than LIMIT_VALUE_DEPTH, more than LIMIT_RESULT_ITEMS values. err says where. */
int json_parse(struct slice text, struct arena *arena, struct value *value, struct err *err);

/* A quoted string. Bytes that are not UTF-8 become U+FFFD, so what comes out is always JSON. */
void json_write_text(struct buf *out, struct slice text);
void json_write_int(struct buf *out, int64_t value);
void json_write_real(struct buf *out, double value); /* shortest form that reads back; null when not finite */
void json_write(struct buf *out, const struct value *value);

#endif /* WIRE_JSON_H */
