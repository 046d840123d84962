/* The one table of codes a client can see, and the four outcomes, each with
 * one action:
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

/* X(name, outcome, what happened: what to do), for JSON as it is. A reply that has nothing better to say says
 * this. Nodes tell each other a code by its place: new ones stand at the end. */
#define OUTCOME_CODES(X)                                                                                     \
	X(VALIDATION, REFUSED, "an argument is missing, unknown or of the wrong kind: correct the call")     \
	X(NOT_FOUND, REFUSED,                                                                                \
	  "a row that the call needs is not there: check the key, or make the row first")                    \
	X(ALREADY_EXISTS, REFUSED,                                                                           \
	  "a row with this key is already there: use another key, or change that row")                       \
	X(FORBIDDEN, REFUSED, "this key or command is not for clients")                                      \
	X(IDEMPOTENCY_KEY_REUSED, REFUSED,                                                                   \
	  "the id was used for another request: make a new id for this one")                                 \
	X(ID_TOO_OLD, REFUSED,                                                                               \
	  "the id is older than what is kept: read whether it happened, then use a new id")                  \
	X(ID_IN_FUTURE, REFUSED, "the id carries a time in the future: set the client's clock")              \
	X(BUDGET_EXCEEDED, REFUSED,                                                                          \
	  "the script used up its steps, nothing was written: let it do less in one call")                   \
	X(MEMORY_EXCEEDED, REFUSED, "the script used up its memory, nothing was written: let it keep less")  \
	X(SCRIPT_ERROR, REFUSED, "the script failed, nothing was written: mend it")                          \
	X(SCRIPT_INVALID, REFUSED, "the source does not compile or declares something wrong: mend it")       \
	X(RESULT_INVALID, REFUSED, "the script returned something that cannot be sent: mend its result")     \
	X(NO_SUCH_PROCEDURE, REFUSED,                                                                        \
	  "no active bundle has this procedure: check its name, or push its bundle")                         \
	X(TOO_LARGE, REFUSED,                                                                                \
	  "a key, value, transaction or reply is over its bound: do it in smaller parts")                    \
	X(OVERFLOW, REFUSED, "a number would leave its range")                                               \
	X(NEGATIVE, REFUSED, "a count would go below zero")                                                  \
	X(VERSION_CONFLICT, CONFLICT, "somebody changed it in between: read again and decide anew")          \
	X(DEADLINE_PASSED, RETRY, "the deadline passed before the request ran: ask again, with more time")   \
	X(NOT_LEADER, RETRY,                                                                                 \
	  "this node does not lead and knows no leader yet: ask again soon, or another node")                \
	X(LEADER_LOST, RETRY, "leadership was lost before anything was written: ask again")                  \
	X(NO_QUORUM, RETRY, "a majority did not answer in time, nothing was read: ask again")                \
	X(OVERLOADED, RETRY, "too much waits already: ask again a little later")                             \
	X(NO_SPACE, RETRY, "the disk is nearly full, reads go on: free space, and writes are taken again")   \
	X(STOPPING, RETRY, "the node is stopping: ask another")                                              \
	X(OUTCOME_UNKNOWN, UNKNOWN,                                                                          \
	  "it may have happened: ask again with the same id, or without one read first")                     \
	X(SCRIPT_REFUSED, REFUSED,                                                                           \
	  "a call of this script did not come back and ended this node: push a changed source (its hash "    \
	  "differs), or remove the file refused in the node's directory and restart it")                     \
	X(NOT_UNDERSTOOD, RETRY,                                                                             \
	  "the leader does not understand what this node asked, as while versions are mixed; nothing "       \
	  "was done: ask again when all nodes run one version")

enum code {
	CODE_NONE,
#define X(name, outcome, text) CODE_##name,
	OUTCOME_CODES(X)
#undef X
	CODE_LAST = CODE_NOT_UNDERSTOOD
};

const char *code_name(enum code code); /* "OVERLOADED" */
enum outcome code_outcome(enum code code);
const char *code_text(enum code code);
/* CODE_NONE when the word is none of the table. */
enum code code_find(struct slice word);
const char *outcome_name(enum outcome outcome); /* "retry" */
bool outcome_parse(struct slice word, enum outcome *outcome);

#endif /* BASE_OUTCOME_H */
