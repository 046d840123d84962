/* One flash sale: a campaign with so many units, a fleet of buyers who arrive as
 * they please (open loop), the leader killed in the middle if asked for, and a judgement
 * at the end from the buyers' own list of acknowledgements against every
 * order row read back.
 *
 * Buyers: each has an order id of his own and asks for one unit. Arrivals
 * follow 0.5 B exp(-t / 2 s) a second, so 63 % come within two seconds.
 * Three in a hundred click twice, two in a hundred give up after
 * SALE_HURRY_MS and ask again with the same id. Latencies count from the intended arrival. */
#ifndef CLIENT_TOOL_SALE_H
#define CLIENT_TOOL_SALE_H

#include "client/tool/bench.h"

enum sale_answer { SALE_NONE, SALE_SOLD, SALE_REFUSED, SALE_CONFLICT, SALE_RETRY, SALE_UNKNOWN };

#define SALE_HURRY_MS 5

struct sale_buyer {
	uint64_t due_us;
	int64_t number; /* of the order that was acknowledged */
	uint8_t answer; /* enum sale_answer */
	uint8_t second; /* of the double click, SALE_NONE without one */
	bool clicks_twice;
	bool hurries; /* gives up soon, and asks again */
	bool rows;    /* an order row of his was read back */
};

/* Sold units over time, in steps. */
#define SALE_STEP_US 20000
#define SALE_STEPS 6000

struct sale_verdict {
	uint64_t rows, left; /* orders read back, units left by campaign.status */
	uint64_t lost;       /* acknowledged, not there */
	uint64_t oversold;   /* rows beyond the units */
	uint64_t doubled;    /* customers with two orders, double clicks with two answers */
	uint64_t ghosts;     /* refused for good, and yet there */
	uint64_t numbers;    /* order numbers that differ from the acknowledged one, or come twice */
	uint64_t audit;      /* findings of audit.check; UINT64_MAX when it did not answer */
	bool balanced;       /* rows + left = units */
	bool same_bytes;     /* on every node, at one index */
	uint64_t hash_index;
	char hash[40];
};

struct sale {
	struct bench *bench;
	uint64_t units, buyers;
	bool kill_leader;
	uint64_t kill_at; /* sale number */

	char campaign[40], prefix[24];
	struct sale_buyer *list;
	uint64_t next; /* buyer to arrive */
	uint64_t under_way, answered;
	struct env_timer arrivals, revival;
	struct sale_slot *free_slots;
	struct sale_slab *slabs;

	uint64_t shown_us;
	uint64_t started_us, sold_out_us, last_sold_us, ended_us;
	uint64_t counts[SALE_UNKNOWN + 1];
	uint64_t sold_out_answers;
	uint64_t were_unknown, resolved, replayed, repeats, gave_up;
	uint32_t curve[SALE_STEPS];
	struct histogram sold, refused;

	uint64_t killed_us, killed_at_sale, under_way_at_kill;
	size_t killed_node;              /* local.count: none */
	uint64_t back_us;                /* it was started again */
	uint64_t last_answer_us, gap_us; /* longest silence around the kill */

	struct sale_verdict verdict;
};

/* The campaign, the buyers, the arrivals; returns when everybody has his answer. 0 or an exit code. */
int sale_run(struct sale *sale);
/* Reads everything back; 0 or an exit code when it cannot be read. */
int sale_judge(struct sale *sale);
/* The leader was killed between 30 % and 70 % of the units sold, with requests under way; else the run shows
 * nothing. */
bool sale_kill_in_time(const struct sale *sale);
/* Do all invariants hold? */
bool sale_holds(const struct sale *sale);
void sale_report(struct sale *sale); /* for people */
void sale_report_json(const struct sale *sale);
void sale_free(struct sale *sale);

/* A campaign of units, sold from now on. 0 or an exit code. */
int sale_allot(struct bench *bench, const char *campaign, uint64_t units, uint64_t per_customer);

#endif /* CLIENT_TOOL_SALE_H */
