/* What an error tells: `CODE {"outcome":"refused","bought":1}` or the plain
 * `CODE text` of a Redis error. Bytes from the wire: anything is accepted, what
 * makes no sense is a refusal without details. */
#ifndef CLIENT_DETAILS_H
#define CLIENT_DETAILS_H

#include "base/arena.h"
#include "base/outcome.h"
#include "wire/resp.h"

/* The first word, and what is to be done about it. line: behind the '-'. */
enum outcome details_outcome(struct slice line, struct slice *code);
/* The JSON object of the line as a MAP in arena, or NULL when there is none.
 * Texts are copied and NUL-terminated. */
struct resp_value *details_parse(struct slice line, struct arena *arena);

#endif /* CLIENT_DETAILS_H */
