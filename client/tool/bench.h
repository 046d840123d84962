/* What the benches share: options, a cluster of their own if asked for, a client
 * on an env of the tool, progress lines, tables of latencies. */
#ifndef CLIENT_TOOL_BENCH_H
#define CLIENT_TOOL_BENCH_H

#include "base/histogram.h"
#include "base/prng.h"
#include "client/client.h"
#include "client/tool/cpu.h"
#include "client/tool/footprint.h"
#include "client/tool/local.h"
#include "client/tool/options.h"
#include "env/env.h"

#define BENCH_OPTIONS 11

struct bench {
	struct tool *tool;
	struct local_options local_options;
	struct local local;
	uint64_t connections, depth, seconds, seed;
	const char *bundle; /* directory of the commerce bundle */
	const char *unset;  /* tool->servers, while no flag names others */
	struct prng prng;
	struct env *env;
	struct tally *tally;
	uint64_t shown_us; /* progress */
	bool stop;         /* bench_wait returns */
	bool interrupted;  /* by Ctrl-C */
	bool closed;
};

/* Sets defaults and fills the options every bench has. */
void bench_init(struct bench *bench, struct tool *tool, struct option options[BENCH_OPTIONS]);
/* Starts the local cluster, opens the client. 0, or an exit code after a line was printed; bench_close in any
 * case. */
int bench_open(struct bench *bench);
void bench_close(struct bench *bench);
/* Runs the loop until stop, an interrupt, or done returns true. */
void bench_wait(struct bench *bench, bool (*done)(void *owner), void *owner);
/* Pushes the commerce bundle; 0 or an exit code. */
int bench_push(struct bench *bench);
/* A blocking call of a procedure; its outcome must be DONE, else a line is printed and an exit code returned.
 */
int bench_call(struct bench *bench, const char *procedure, const struct tally_arg *args, size_t count,
	       const struct tally_call **call);
/* A line of progress on standard error, now and then, overwritten by the next on a terminal. */
void bench_progress(struct bench *bench, const char *format, ...) __attribute__((format(printf, 2, 3)));
void bench_progress_end(struct bench *bench);

/* ---- tables ---- */

void bench_table_head(void);
void bench_table_row(const char *name, const struct histogram *histogram);

/* ---- a closed loop: so many slots, each asks again when it was answered ---- */

struct load;
struct load_slot {
	struct tally_call call;
	struct load *load;
	void *owner;      /* of slots without a load */
	uint64_t seq;     /* of the request it is at, counted over all slots */
	char text[2][64]; /* room for keys and ids of that request */
};
struct load {
	struct bench *bench;
	const char *name;
	/* Starts the slot's next call with load_cb as its callback. */
	void (*next)(struct load_slot *slot);
	/* Optional: looks at each answer. */
	void (*answered)(struct load_slot *slot);
	void *owner;

	struct load_slot *slots;
	size_t count, running;
	uint64_t next_seq;
	uint64_t measure_from_us, until_us, last_us;
	uint64_t outcomes[TALLY_UNKNOWN + 1]; /* while measured */
	uint64_t shown;
	struct histogram done, refused; /* us */
	uint64_t answers;               /* of the whole run, start included */
	struct cpu_sample before, after;
	struct footprint footprint; /* of local nodes, start included */
	struct env_timer second;
};
void load_cb(struct tally_call *call);
/* connections x depth slots for the bench's seconds, after a short start that is not measured. */
void load_run(struct load *load);
/* What an answer cost each process, what each took, and how much of the machine there was: of nodes that are local.
 * Behind `of`, when something is told. */
void load_print_cost(const struct load *load, const char *of);
/* The same but for the processes' shares. */
void load_json_cost(const struct load *load, struct buf *out);
/* Measured answers of an outcome a second. */
uint64_t load_rate(const struct load *load, enum tally_outcome outcome);

#endif /* CLIENT_TOOL_BENCH_H */
