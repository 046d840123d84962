/* A simulated world: one event queue, one generator of chance, one clock.
 *
 * Hosts live in it. A host has a disk and a name; while a program runs on it, it
 * has an env, the second body of env/env.h. Programs are whole nodes or
 * clients, unchanged. Everything that happens is an event of the one queue and
 * enters the trace hash, so that two runs of a seed can be compared bit for bit.
 *
 * One thread; nothing here sleeps. Times are microseconds of the world. */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "base/heap.h"
#include "base/prng.h"
#include "env/env.h"

#define SIM_HOSTS_MAX 24

struct sim;
struct sim_host;

/* ---- the world ---- */

struct sim *sim_new(uint64_t seed);
/* All hosts must be down and their envs freed. */
void sim_free(struct sim *sim);
uint64_t sim_now_us(const struct sim *sim);
struct prng *sim_prng(struct sim *sim);
/* Fires the next event; false when there is none. */
bool sim_step(struct sim *sim);
void sim_run(struct sim *sim, uint64_t for_us);
/* Until done() is true after an event, at most for_us. Returns what done says last. */
bool sim_run_until(struct sim *sim, bool (*done)(void *owner), void *owner, uint64_t for_us);

/* An event of a scenario or a fault: embedded by the owner, one shot. */
struct sim_event {
	struct heap_node node; /* private */
	void (*fire)(struct sim_event *event);
};
void sim_event_init(struct sim_event *event, void (*fire)(struct sim_event *event));
void sim_event_at(struct sim *sim, struct sim_event *event, uint64_t at_us);
void sim_event_in(struct sim *sim, struct sim_event *event, uint64_t after_us);
void sim_event_cancel(struct sim *sim, struct sim_event *event);

/* What happened, in the order it happened. kind is a short word. */
void sim_trace(struct sim *sim, const struct sim_host *host, const char *kind, struct slice bytes);
uint64_t sim_trace_hash(const struct sim *sim);
uint64_t sim_event_count(const struct sim *sim);
/* Every traced event as a line on standard error. */
void sim_trace_print(struct sim *sim, bool on);

/* ---- hosts ---- */

/* name: what addresses call it, "n1:7401". */
struct sim_host *sim_host_new(struct sim *sim, const char *name);
const char *sim_host_name(const struct sim_host *host);
/* Starts a program: the env it gets. The host must be down. */
struct env *sim_host_start(struct sim_host *host);
bool sim_host_up(const struct sim_host *host);
bool sim_host_crashing(const struct sim_host *host); /* the power went inside a disk call; on_crash comes at once */
struct env *sim_host_env(struct sim_host *host); /* NULL when down */

enum sim_kill {
	SIM_KILL_PROCESS, /* the kernel lives: files as written, peers get a reset */
	SIM_KILL_POWER    /* what was not synced is kept, lost or torn; peers hear nothing */
};
/* The program ends here. Its env gives no callback any more and starts nothing;
 * the owner frees what lived on it, then calls sim_env_free. */
void sim_host_kill(struct sim_host *host, enum sim_kill kill);
/* Once all that lived on it is freed. Also ends a live env (as SIM_KILL_PROCESS). */
void sim_env_free(struct env *env);

/* SIGSTOP and SIGCONT. */
void sim_host_pause(struct sim_host *host);
void sim_host_resume(struct sim_host *host);
bool sim_host_paused(const struct sim_host *host);
/* Up and hindered by nothing: it runs at its pace, its clock too, its disk is quick, has space and does not fail. */
bool sim_host_sound(const struct sim_host *host);
/* Adds to the host's wall clock. */
void sim_host_wall_jump(struct sim_host *host, int64_t ms);
/* How fast both its clocks run from now on, in thousandths of the world's: 500 to 2000. */
void sim_host_clock_rate(struct sim_host *host, uint32_t thousandths);
/* What env_now_us says on it. */
uint64_t sim_host_now_us(const struct sim_host *host);
/* How much of the world's time a turn of the loop takes: 0 is the usual, else microseconds. */
void sim_host_slow(struct sim_host *host, uint64_t turn_us);
/* How long its threads sleep before each item of work, at most: 0 is the usual, else microseconds. */
void sim_host_threads_slow(struct sim_host *host, uint64_t wake_us);

/* ---- the network: one link for each ordered pair of hosts ---- */

struct sim_link {
	bool cut;                 /* nothing arrives; what is sent waits as TCP would repeat it */
	uint32_t delay_us, jitter_us;
	uint32_t bytes_per_ms;    /* 0: no bound */
	uint32_t reset_per_million; /* a segment that arrives resets its connection instead */
	uint32_t flip_per_million;  /* one bit of a segment */
	uint32_t split_per_million; /* a segment arrives in pieces */
	uint32_t loss_per_million;  /* a segment is lost and comes when TCP repeats it, and all behind it */
	uint32_t replay_per_million; /* with a segment comes an old one of the same two hosts and port, see sim_links_remember */
};
struct sim_link *sim_link(struct sim *sim, const struct sim_host *from, const struct sim_host *to);
/* Nothing is wrong with it, and it is quick. */
bool sim_link_sound(const struct sim_link *link);
/* Sets every link to the defaults: 50 us and a bit, no faults. */
void sim_links_reset(struct sim *sim);
/* After cut went false on any link: what waited is sent again soon. */
void sim_links_healed(struct sim *sim);
/* From now on some of the segments that arrive are kept, to be replayed much later, also on other connections. */
void sim_links_remember(struct sim *sim);
/* Breaks every connection between two hosts, both sides told. */
void sim_links_break(struct sim *sim, struct sim_host *a, struct sim_host *b);

/* ---- the disk ---- */

struct sim_disk_faults {
	uint32_t op_us, sync_us;              /* how long calls take; 0: the usual */
	uint64_t capacity;                    /* bytes; 0: no bound */
	uint32_t write_error_per_million, read_error_per_million, sync_error_per_million;
	uint32_t flip_per_million;            /* a read gives one wrong bit, and the file keeps it */
	bool flips_spare_end;                 /* not of what a file's last two writes wrote, or lies behind it */
	uint32_t misdirect_per_million;       /* a write lands a sector away */
	bool dir_forgets;                     /* what a failed sync of a directory should have carried, no later one does:
					       * as with the pages of a file, the disk has it or not */
};
struct sim_disk_faults *sim_disk_faults(struct sim_host *host);
/* The n-th call of this kind from now on (1: the next) fails, once. n 0: none does. */
enum sim_disk_nth {
	SIM_NTH_ERROR, /* any call: ERR_IO; nothing of it is done, but a sync leaves pages clean and lost */
	SIM_NTH_NO_SPACE,    /* one that may want space: nothing of it is done */
	SIM_NTH_SHORT_WRITE, /* half is written, then there is no space */
	SIM_NTH_SHORT_READ,  /* half is read, as if the file ended there */
	SIM_NTH_DIR,         /* a rename, an unlink or the sync of a directory: ERR_IO */
};
void sim_disk_fail_nth(struct sim_host *host, enum sim_disk_nth kind, uint64_t n);
/* Whether that call has not come yet. */
bool sim_disk_nth_waits(const struct sim_host *host);
/* The host loses power inside its n-th disk call from now (1: the next). 0: not. The
 * world's on_crash is told; it must call nothing but note it, and free the program soon. */
void sim_disk_crash_after(struct sim_host *host, uint64_t calls);
void sim_on_crash(struct sim *sim, void (*crashed)(void *owner, struct sim_host *host), void *owner);
/* Flips a bit at rest in a random file whose path contains part; false when there is none. */
bool sim_disk_flip(struct sim_host *host, const char *part);
/* So many, one or two, in the first bytes of what was written last to any of those files: in a log, the head of its last
 * group. One is turned back at the next start (raft/wal/mend.h). */
bool sim_disk_flip_last(struct sim_host *host, const char *part, unsigned bits);
/* How often this host's disk failed, lied or flipped a bit so far (a full disk is not counted). */
uint64_t sim_disk_wounds(const struct sim_host *host);
/* Removes all files, as a new disk would. The host must be down. */
void sim_disk_wipe(struct sim_host *host);
/* Makes to's disk the same as from's is now (all of it durable). Both must be down. */
void sim_disk_copy(struct sim_host *from, struct sim_host *to);
uint64_t sim_disk_used(const struct sim_host *host);

struct sim_stats {
	uint64_t events, turns, segments, bytes, connects, resets, replays, losses, disk_calls, syncs, sectors_lost, sectors_torn,
		entries_lost, flips, disk_errors, kills, power_cuts;
};
const struct sim_stats *sim_stats(const struct sim *sim);

#endif /* TESTS_SIM_SIM_H */
