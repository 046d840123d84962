/* The one table of codes a client can see, and the four outcomes, each with
 * one action (ARCHITECTURE D10):
 *
 *   refused   never as asked; nothing was written
 *   conflict  nothing was written; read again, use a new id
 *   retry     nothing happened; same id, later or elsewhere
 *   unknown   may have happened; same id, now
 *
 * On the RESP wire: `-CODE {"outcome":"retry", ...}`. Procedures declare
 * further codes of their own with refused or conflict. Codes that Redis client
 * libraries repeat by themselves (LOADING, READONLY, MASTERDOWN, CLUSTERDOWN,
 * TRYAGAIN) may only be retry. */
#ifndef BASE_OUTCOME_H
#define BASE_OUTCOME_H

#include "base/slice.h"

enum outcome { OUTCOME_DONE, OUTCOME_REFUSED, OUTCOME_CONFLICT, OUTCOME_RETRY, OUTCOME_UNKNOWN };

/* X(name, outcome, what to do, in a sentence without a full stop) */
#define OUTCOME_CODES(X)                                                                                     \
	X(VALIDATION, REFUSED, "an argument is missing, unknown or of the wrong kind")                       \
	X(NOT_FOUND, REFUSED, "a row that the call needs is not there")                                      \
	X(ALREADY_EXISTS, REFUSED, "a row with this key is already there")                                   \
	X(FORBIDDEN, REFUSED, "this key or command is not for clients")                                      \
	X(IDEMPOTENCY_KEY_REUSED, REFUSED, "the request id was used for another request; make a new id")     \
	X(ID_TOO_OLD, REFUSED, "the request id is older than the retention; make a new id")                  \
	X(ID_IN_FUTURE, REFUSED, "the request id carries a time in the future; check the client's clock")    \
	X(BUDGET_EXCEEDED, REFUSED, "the script used up its steps; nothing was written")                     \
	X(MEMORY_EXCEEDED, REFUSED, "the script used up its memory; nothing was written")                    \
	X(SCRIPT_ERROR, REFUSED, "the script failed; nothing was written")                                   \
	X(SCRIPT_INVALID, REFUSED, "the source does not compile or declares something wrong")                \
	X(RESULT_INVALID, REFUSED, "the script returned something that cannot be sent")                      \
	X(NO_SUCH_PROCEDURE, REFUSED, "no active bundle has this procedure")                                 \
	X(TOO_LARGE, REFUSED, "a key, value, transaction or reply is over its bound")                        \
	X(OVERFLOW, REFUSED, "a number would leave its range")                                               \
	X(NEGATIVE, REFUSED, "a count would go below zero")                                                  \
	X(VERSION_CONFLICT, CONFLICT, "somebody changed it in between; read again")                          \
	X(DEADLINE_PASSED, RETRY, "the deadline passed before the request ran; nothing happened")            \
	X(NOT_LEADER, RETRY, "this node does not lead and knows no leader yet")                              \
	X(LEADER_LOST, RETRY, "leadership was lost before anything was proposed")                            \
	X(NO_QUORUM, RETRY, "a majority did not answer in time; the read was not served")                    \
	X(OVERLOADED, RETRY, "too many requests wait; come back later")                                      \
	X(NO_SPACE, RETRY, "the disk is nearly full; writes wait until there is space")                      \
	X(STOPPING, RETRY, "the node is stopping; ask another")                                              \
	X(OUTCOME_UNKNOWN, UNKNOWN, "the request may have happened; ask again with the same id")

enum code {
	CODE_NONE,
#define X(name, outcome, text) CODE_##name,
	OUTCOME_CODES(X)
#undef X
};

const char *code_name(enum code code);          /* "OVERLOADED" */
enum outcome code_outcome(enum code code);
const char *code_text(enum code code);
/* CODE_NONE when the word is none of the table. */
enum code code_find(struct slice word);
const char *outcome_name(enum outcome outcome); /* "retry" */
bool outcome_parse(struct slice word, enum outcome *outcome);

#endif /* BASE_OUTCOME_H */
