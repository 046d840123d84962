/* The text of a request on the wire: words as RESP bulk strings, made once
 * when the call starts, and an envelope in front of it that differs between attempts:
 *
 *   ONCE <id>  DEADLINE <ms left>  [SETTLE]  [DRYRUN]  words … */
#ifndef CLIENT_REQUEST_H
#define CLIENT_REQUEST_H

#include "base/buf.h"
#include "client/call.h"

/* Fills call's text. id may be none. words: borrowed. */
void request_make(struct call *call, struct slice id, const struct slice *words, size_t count);
/* `CALL procedure name value …` */
void request_make_call(struct call *call, struct slice id, const char *procedure,
		       const struct tally_arg *args, size_t arg_count);
/* Appends one attempt to out. */
void request_write(const struct call *call, uint64_t now_us, struct buf *out);
void request_free(struct call *call);

#endif /* CLIENT_REQUEST_H */
