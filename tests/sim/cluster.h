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

#define CLUSTER_LOG_LINES 24

struct cluster;
enum member_state { MEMBER_DOWN, MEMBER_UP, MEMBER_STOPPING, MEMBER_LOST };

struct member {
	struct cluster *cluster;
	unsigned number; /* from 0; the node is n<number + 1> */
	enum member_state state;
	struct sim_host *host;
	struct store_disk *disk;
	struct node_config config;
	struct log log;
	char lines[CLUSTER_LOG_LINES][200];
	size_t line_count;
	struct env *env;
	struct node *node;
	struct sim_event start, bury;
	bool burying; /* the env is dead and waits to be freed */
	uint64_t starts, restarts;
};

struct cluster {
	struct sim *sim;
	struct judge *judge;
	struct member members[JUDGE_MEMBERS];
	unsigned count;
	bool print; /* log lines, as they come */
	struct sim_event watch;
	uint64_t restarts, truth_lost, refused, polite;
};

/* Draws small thresholds from the world's chance. All members are down. */
void cluster_init(struct cluster *cluster, struct sim *sim, struct judge *judge, unsigned count, bool print);
void cluster_fini(struct cluster *cluster);
/* "n1:7401,n2:7401,…" */
void cluster_servers(const struct cluster *cluster, char *text, size_t size);

void cluster_start_in(struct cluster *cluster, unsigned number, uint64_t after_us);
void cluster_kill(struct cluster *cluster, unsigned number, enum sim_kill kill); /* harmless when down */
void cluster_stop(struct cluster *cluster, unsigned number);                    /* politely; starts again by itself */
/* The member that leads in the highest term, or -1. */
int cluster_leader(const struct cluster *cluster);
unsigned cluster_lost(const struct cluster *cluster);
/* Every live member has applied the same index, and that is all that is committed. */
bool cluster_converged(const struct cluster *cluster);
/* The last log lines of each, to standard error. */
void cluster_print(const struct cluster *cluster);

#endif /* TESTS_SIM_CLUSTER_H */
