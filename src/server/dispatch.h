/* Where a request runs: here when this node leads, at the leader's node
 * otherwise, later when nobody is known to lead.
 *
 * The order of one client is kept, also over a change of leader: its calls go
 * one way at a time; the next one waits until those under way elsewhere are
 * answered. A request that was sent is never sent again: without an answer a
 * mutation is unknown, a read is a retry. Parked requests hold their encoded
 * frame, are bounded in bytes, and answer a retry code at their deadline.
 *
 * What this file answers itself was not executed, and it knows nothing of earlier
 * copies under the same id: so it answers retry or unknown, never a refusal. */
#ifndef SERVER_DISPATCH_H
#define SERVER_DISPATCH_H

#include "engine/shard.h"

struct call;
struct conn;
struct node;

struct dispatch {
	struct node *node;
	struct list parked; /* in the order of arrival */
	size_t parked_bytes, parked_count;
	uint64_t walk;
	uint64_t foreign_told_us; /* when the last line about what was not understood was written */
	struct env_timer timer;   /* armed while something is parked */
};

void dispatch_init(struct dispatch *dispatch, struct node *node);
void dispatch_fini(struct dispatch *dispatch);
/* Sends an OPEN call of a connection on its way; what its request borrows need only live until
 * the return. False when it was answered on the spot: then it is gone. */
bool dispatch_call(struct dispatch *dispatch, struct call *call);
/* Input of this client is to be kept until the turn's end: under overload others are refused first. */
bool dispatch_defers(struct dispatch *dispatch, const struct conn *conn);
/* Before a request of this client is made a call: true when it is to be answered OVERLOADED instead. */
bool dispatch_sheds(struct dispatch *dispatch, const struct conn *conn, const struct command *command);
/* The client is gone: the call is released now, or by its answer. */
void dispatch_drop(struct dispatch *dispatch, struct call *call);
/* A leader may be known now: parked calls go on, in the next turn. */
void dispatch_kick(struct dispatch *dispatch);
/* Answers everything that is parked with this code. */
void dispatch_refuse_parked(struct dispatch *dispatch, enum code code);
/* A request frame of another node: becomes a call here and is answered with shard_forward_reply. */
void dispatch_foreign(struct dispatch *dispatch, uint64_t from_id, uint64_t token, struct slice frame);

#endif /* SERVER_DISPATCH_H */
