/* The text of a request on the wire: words as RESP bulk strings, made once
 * when the call starts, and an envelope in front of it that differs between attempts:
 *
 *   ONCE <id>  DEADLINE <ms left>  [SETTLE]  [DRYRUN]  words … */
#ifndef CLIENT_REQUEST_H
#define CLIENT_REQUEST_H

#include "base/buf.h"
#include "client/call.h"

/* What tally_arg.type says. */
enum { ARG_INTEGER = 1, ARG_TEXT = 2 };

/* Whether count words, or arguments of each words, can be looked at; else the call is refused (call.h). */
bool request_counts(struct call *call, const void *words, size_t count, size_t each);
/* Fills call's text, or refuses it: a word that is NULL but not empty, an empty or long id, more than a node
 * takes. id may be none (data NULL). words: borrowed. */
void request_make(struct call *call, struct slice id, const struct slice *words, size_t count);
/* `CALL procedure name value …` */
void request_make_call(struct call *call, struct slice id, const char *procedure,
		       const struct tally_arg *args, size_t arg_count);
/* Appends one attempt to out. */
void request_write(const struct call *call, uint64_t now_us, struct buf *out);
void request_free(struct call *call);

#endif /* CLIENT_REQUEST_H */
