/* JSON for programs: one object or value a line on standard output. */
#ifndef CLIENT_TOOL_JSON_OUT_H
#define CLIENT_TOOL_JSON_OUT_H

#include "base/buf.h"
#include "client/tally.h"

/* Texts that are not UTF-8 get U+FFFD. */
void json_out_value(struct buf *out, const struct tally_value *value);
/* "name": — with the comma before it when the object already has members. */
void json_out_name(struct buf *out, const char *name);
void json_out_text(struct buf *out, const char *name, const char *text);
void json_out_int(struct buf *out, const char *name, int64_t value);
/* us as milliseconds with three places. */
void json_out_ms(struct buf *out, const char *name, uint64_t us);
void json_out_bool(struct buf *out, const char *name, bool value);
/* Prints out and a newline to standard output, and frees it. */
void json_out_print(struct buf *out);
/* One value, so. */
void json_out_print_value(const struct tally_value *value);

#endif /* CLIENT_TOOL_JSON_OUT_H */
