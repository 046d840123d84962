/* Reading RESP: requests as a server gets them, replies as a client gets them.
 *
 * Both parsers work in place over bytes that the caller has gathered, copy
 * nothing, allocate only from the given arena, and accept any bytes: a lie is an error
 * with the text Redis 7 gives, never a crash. */
#ifndef WIRE_RESP_H
#define WIRE_RESP_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

/* ---- requests ---- */

/* Progress inside a request that has not fully arrived, so that a long one is
 * not parsed again from its start for each segment. Zero = at a boundary. */
struct resp_request_state {
	size_t at;          /* bytes of the request already understood */
	int64_t remaining;  /* arguments still to come; 0 before the header */
	size_t count;       /* arguments found */
	size_t *bounds;     /* begin and length of each, relative to the request's start; malloc */
	size_t bounds_cap;
	size_t bytes;       /* of all arguments so far */
};
void resp_request_init(struct resp_request_state *state);
void resp_request_fini(struct resp_request_state *state);

/* Takes one request, multibulk or inline, from the front of input. On 0:
 * *argv (from arena, its slices borrowed from input), *argc (0 for an empty
 * line or *0: skip it) and *used are set and the state is at a boundary again.
 * ERR_MORE: call again with the same start and more bytes behind it. ERR_INVALID:
 * err has the text after "-ERR Protocol error: ". ERR_TOO_LARGE: a request that Redis would take is over
 * LIMIT_REQUEST_BYTES; that is known before its bytes are there. After both framing is lost. */
int resp_request_parse(struct resp_request_state *state, struct slice input, struct arena *arena,
                       struct slice **argv, size_t *argc, size_t *used, struct err *err);

/* ---- replies ---- */

enum resp_type {
	RESP_SIMPLE, RESP_ERROR, RESP_INTEGER, RESP_BULK, RESP_ARRAY, RESP_NULL,
	RESP_MAP, RESP_SET, RESP_DOUBLE, RESP_BOOL, RESP_BIGNUM, RESP_VERBATIM, RESP_PUSH
};
struct resp_value {
	enum resp_type type;
	struct slice text;         /* SIMPLE, ERROR, BULK, BIGNUM, VERBATIM (without "txt:"), DOUBLE's spelling */
	int64_t integer;           /* INTEGER, BOOL */
	double number;             /* DOUBLE */
	struct resp_value *items;  /* ARRAY, SET, PUSH: count of them; MAP: 2 * count, key then value */
	size_t count;
};

/* Length of the first whole reply in input, without building it: 0 and *used, or ERR_MORE, ERR_INVALID, ERR_TOO_LARGE. */
int resp_reply_measure(struct slice input, size_t max, size_t *used);
/* Builds the first reply of input in arena; text slices are borrowed from input. */
int resp_reply_parse(struct slice input, struct arena *arena, struct resp_value *value, size_t *used);
/* Value of a key of a MAP (or of a flat ARRAY of pairs), or NULL. */
const struct resp_value *resp_map_get(const struct resp_value *map, const char *key);

#endif /* WIRE_RESP_H */
