/* Every bound of the house, with what happens there. Related bounds are
 * checked against each other at compile time at the end of this file.
 * Sizes are bytes unless the name says otherwise. */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#include <stddef.h>

#define KIB(n) ((size_t)(n) << 10)
#define MIB(n) ((size_t)(n) << 20)

/* Data. Over it: refused, nothing written. */
#define LIMIT_KEY KIB(1)
#define LIMIT_VALUE MIB(1)
#define LIMIT_ROW_KEY KIB(2)          /* a key of the database: a client's key with its table in front, an index tuple */
#define LIMIT_ROW_VALUE (LIMIT_VALUE + KIB(1)) /* a value of the database: a client's with the version and expiry before it */
#define LIMIT_TXN_BYTES (MIB(1) + KIB(64)) /* keys and values of one transaction */
#define LIMIT_TXN_WRITES 1024         /* distinct keys one transaction writes */
#define LIMIT_TXN_CHURN MIB(64)       /* all it writes, overwritten values too */
#define LIMIT_BATCH_TXNS (1 << 20)    /* transactions of one batch: an ordinal has 20 bits; then it seals */
#define LIMIT_HOT_VALUE KIB(64)       /* a longer value is not kept among the hot rows */
#define LIMIT_ONCE_REPLY KIB(64)      /* a longer reply cannot be kept: refused, nothing written */
#define LIMIT_REQUEST_ID 128          /* bytes of a request id */
#define LIMIT_DEADLINE_MS 3600000     /* the longest DEADLINE */

/* Log entries. A batch seals at LIMIT_BATCH_SEAL; a larger transaction travels alone. */
#define LIMIT_BATCH_SEAL KIB(256)
#define LIMIT_ENTRY (MIB(1) + KIB(128)) /* payload of one log entry */
#define LIMIT_BATCH_OPEN_MS 10          /* an open batch is sealed after this long at the latest */
#define LIMIT_ENTRIES_IN_FLIGHT 3       /* sealed entries not yet committed before the open batch waits */
#define LIMIT_APPLY_AHEAD MIB(4)        /* the same: more, and the open batch is sealed only when it is full */
#define LIMIT_APPLY_LAG MIB(16)         /* committed minus applied: more than that in the overlay; beyond: retry */

/* Protocol. Over it: one error, connection closed. */
#define LIMIT_RESP_ARGS (1024 * 1024) /* elements of one command */
#define LIMIT_RESP_INLINE KIB(64)
#define LIMIT_RESP_DEPTH 32           /* nesting of a reply that a client accepts */
#define LIMIT_REQUEST_BYTES (MIB(1) + KIB(256)) /* all arguments of one command */
#define LIMIT_CONN_REQUESTS 16384     /* unanswered requests of one connection; then it is not read */
#define LIMIT_REPLY MIB(8)            /* one reply; a longer one: refused, nothing written */
#define LIMIT_REPLY_SHORT KIB(64)     /* up to here a reply is kept however much is unsent already */
/* Replies of one connection that it does not take: from here on long ones of reads are answered with retry, and if
 * it is passed all the same, it is closed. */
#define LIMIT_CONN_OUTPUT MIB(16)
/* What a client may still send behind a request that ended its connection, and have its error all the same: as much
 * as the longest value that Redis takes. */
#define LIMIT_CONN_LINGER MIB(512)
#define LIMIT_NODE_REQUESTS 131072    /* the same of all connections of a node */
#define LIMIT_NODE_INPUT MIB(128)     /* unread input of all connections; then those with a long request are closed */
/* Replies of all connections that were not taken yet; then long ones of reads are answered with retry, and who
 * takes none is not read. */
#define LIMIT_NODE_OUTPUT MIB(128)
#define LIMIT_NODE_PARKED MIB(16)     /* requests that wait for a leader to be known; beyond: retry */
#define LIMIT_LISTEN_ADDRESSES 16     /* of one name; a node that is to listen on a longer list does not start */
/* A name's addresses are dialled one beside the other, each after so long without an answer of those before; where
 * so many are under way, the next waits until one of them fails. */
#define LIMIT_DIAL_NEXT_MS 250
#define LIMIT_DIALS 8
#define LIMIT_NAME_MS 5000            /* an answer of the resolver is used again for so long; then it is asked again */
/* A connection on which nothing comes for so long is asked, three times, whether the other end is there: a client whose
 * machine is gone keeps no place, and a firewall between does not forget one that rests. */
#define LIMIT_SILENT_S 120
#define LIMIT_SILENT_AGAIN_S 30
#define LIMIT_SILENT_ASKS 3
#define LIMIT_CONNECTIONS 10000       /* client connections of a node; further ones get one error */
#define LIMIT_QUEUED_COMMANDS 4096    /* commands between MULTI and EXEC */
#define LIMIT_QUEUED_BYTES MIB(8)     /* memory they take, of one connection; watched keys as much again */
#define LIMIT_NODE_QUEUED MIB(64)     /* both of all connections of a node; then who has more than a little gets retry */
#define LIMIT_ADMISSION_BYTES MIB(32) /* requests admitted and not yet answered; beyond: retry, at once */
/* A turn of the loop that took so many requests and so long answers the rest of its input with retry, and so does
 * a leader where so many requests wait for their commit and the oldest of them for so long. Either shows more load
 * than it can execute: until the load falls, turns are short, so that what they refuse is refused soon. */
#define LIMIT_TURN_REQUESTS 256
#define LIMIT_TURN_MS 100
#define LIMIT_WAIT_REQUESTS 2048
#define LIMIT_WAIT_MS 100
/* Fewer requests may take as long, scripts above all. Behind one that took so long, and when a turn's time is over, the
 * rest waits for the loop's next turn: heartbeats go out meanwhile. More than LIMIT_TURN_REQUESTS that do for LIMIT_WAIT_MS
 * are refused. */
#define LIMIT_REQUEST_LONG_MS 20
#define LIMIT_OVERLOAD_REQUESTS 16 /* a short turn takes so many all the same */
#define LIMIT_OVERLOAD_TURN_US 1500
#define LIMIT_OVERLOAD_BATCH_MS 25 /* and several of them make a batch, which costs the same for one as for all */

/* Peer frames. Over it: connection closed, counted. */
#define LIMIT_FRAME MIB(9) /* holds every reply, so that every node can answer what the leader can */
#define LIMIT_HELLO KIB(1) /* a frame of a connection that has not said yet who it is */
#define LIMIT_APPEND MIB(4) /* payloads of one frame of entries */
#define LIMIT_PEER_QUEUE MIB(16) /* unsent bytes to one peer; then raft messages are dropped */
#define LIMIT_MEMBERS 9

/* Scripts. Over it: refused. */
#define LIMIT_SCRIPT_SOURCE KIB(64)
#define LIMIT_SCRIPT_MEMORY MIB(16)
#define LIMIT_SCRIPT_STEPS 5000000 /* VM instructions, and charges by size of library calls */
#define LIMIT_QUEUE_STEPS (4 * LIMIT_SCRIPT_STEPS) /* of all commands and scripts of an EXEC; of the keys that a command looks for: 100,000 */
#define LIMIT_SCRIPTS_CACHED 4096 /* scripts of EVAL and SCRIPT LOAD that a node keeps; then the longest unused goes */
#define LIMIT_LIBRARIES_CACHED 256 /* compiled libraries of FUNCTION LOAD; then the longest unused is compiled again */
#define LIMIT_REFUSED 64 /* scripts that a node refuses (script/refused.h); then the oldest is forgotten */
#define LIMIT_BUNDLE_FILES 256
#define LIMIT_BUNDLE_BYTES KIB(768) /* must fit one transaction */
#define LIMIT_VALUE_DEPTH 32        /* nesting of arguments, results and JSON */
#define LIMIT_RESULT_ITEMS 100000

/* Scans. */
#define LIMIT_SURVEYS 8       /* KEYS and DBSIZE that walk at once, each with a snapshot; further ones: retry */
#define LIMIT_NAME_PATTERNS KIB(2) /* patterns of CONFIG GET, COMMAND LIST, FUNCTION LIST, tried at each byte of each name; more: TOO_LARGE */
#define LIMIT_SCAN_ROWS 10000 /* LIMIT of RANGE and ROWS */

_Static_assert(LIMIT_KEY + 64 <= LIMIT_ROW_KEY, "a client's key fits a key of the database");
_Static_assert(LIMIT_TXN_BYTES + KIB(32) <= LIMIT_ENTRY, "a full transaction fits an entry");
_Static_assert(LIMIT_TXN_BYTES + LIMIT_TXN_WRITES * 16 + KIB(4) <= LIMIT_ENTRY, "with every record's head, too");
_Static_assert(LIMIT_ROW_VALUE + LIMIT_ROW_KEY + KIB(4) <= LIMIT_TXN_BYTES, "a full value fits a transaction");
_Static_assert(LIMIT_ENTRY + KIB(4) <= LIMIT_APPEND && LIMIT_APPEND <= LIMIT_FRAME, "an entry fits a frame");
_Static_assert(LIMIT_REQUEST_BYTES + KIB(64) <= LIMIT_FRAME, "a request can be passed on");
_Static_assert(LIMIT_REPLY + KIB(64) <= LIMIT_FRAME, "so can its reply");
_Static_assert(2 * LIMIT_VALUE < LIMIT_REPLY && LIMIT_REPLY < LIMIT_CONN_OUTPUT, "what was written can be read");
_Static_assert(LIMIT_REPLY_SHORT < LIMIT_REPLY, "a short reply is not the longest");
_Static_assert(LIMIT_CONN_OUTPUT < LIMIT_NODE_OUTPUT, "one connection is not all");
_Static_assert(LIMIT_FRAME < LIMIT_PEER_QUEUE, "a frame fits the queue");
_Static_assert(LIMIT_BATCH_SEAL <= LIMIT_ENTRY, "a sealed batch fits an entry");
_Static_assert(LIMIT_OVERLOAD_REQUESTS <= LIMIT_TURN_REQUESTS && LIMIT_OVERLOAD_TURN_US < LIMIT_TURN_MS * 1000,
	       "a turn under overload is the shorter one");
_Static_assert(LIMIT_BUNDLE_BYTES < LIMIT_TXN_BYTES, "a bundle is pushed in one transaction");

#endif /* BASE_LIMITS_H */
