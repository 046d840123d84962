/* Whole nodes in the simulated world: what a machine room does to them.
 *
 *   DOWN ──start──▶ UP ──kill, crash, truth lost──▶ DOWN
 *    │               └──polite stop──▶ STOPPING ──▶ DOWN
 *    └──refused for good (its disk was damaged)──▶ LOST
 *
 * The data of a member outlive its lives: the host's disk, and RocksDB's disk in memory. */
#ifndef TESTS_SIM_CLUSTER_H
#define TESTS_SIM_CLUSTER_H

#include "server/node.h"
#include "tests/sim/judge.h"
#include "tests/sim/sim.h"

#define FLEET_LOG_LINES 24

struct fleet;
enum member_state { MEMBER_DOWN, MEMBER_UP, MEMBER_STOPPING, MEMBER_LOST };

struct member {
	struct fleet *fleet;
	unsigned number; /* from 0; the node is n<number + 1> */
	enum member_state state;
	struct sim_host *host;
	struct store_disk *disk;
	struct node_config config;
	struct log log;
	char lines[FLEET_LOG_LINES][200];
	size_t line_count;
	struct err why; /* it is LOST: what it said */
	struct env *env;
	struct node *node;
	struct sim_event start, bury;
	bool burying; /* the env is dead and waits to be freed */
	uint64_t starts, restarts;
};

struct fleet {
	struct sim *sim;
	struct judge *judge;
	struct member members[JUDGE_MEMBERS];
	unsigned count;
	bool print; /* log lines, as they come */
	struct sim_event watch;
	uint64_t restarts, truth_lost, refused, polite;
};

/* Draws small thresholds from the world's chance. All members are down. */
void fleet_init(struct fleet *fleet, struct sim *sim, struct judge *judge, unsigned count, bool print);
void fleet_fini(struct fleet *fleet);
/* "n1:7401,n2:7401,…" */
void fleet_servers(const struct fleet *fleet, char *text, size_t size);

void fleet_start_in(struct fleet *fleet, unsigned number, uint64_t after_us);
void fleet_kill(struct fleet *fleet, unsigned number, enum sim_kill kill); /* harmless when down */
void fleet_stop(struct fleet *fleet, unsigned number);                    /* politely; starts again by itself */
/* The member that leads in the highest term, or -1. */
int fleet_leader(const struct fleet *fleet);
unsigned fleet_lost(const struct fleet *fleet);
/* Every live member has applied the same index, and that is all that is committed. */
bool fleet_converged(const struct fleet *fleet);
/* The last log lines of each, to standard error. */
void fleet_print(const struct fleet *fleet);

#endif /* TESTS_SIM_CLUSTER_H */
