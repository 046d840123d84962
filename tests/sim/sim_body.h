/* Private to the simulated body. */
#ifndef TESTS_SIM_SIM_BODY_H
#define TESTS_SIM_SIM_BODY_H

#include "env/env_ops.h"
#include "tests/sim/sim.h"

struct sim_disk;
struct sim_lane;

struct sim {
	uint64_t now_us;
	struct heap events;
	uint64_t order;
	struct prng prng;
	uint64_t trace;
	bool print;
	struct sim_host *hosts[SIM_HOSTS_MAX];
	size_t host_count;
	struct sim_link links[SIM_HOSTS_MAX][SIM_HOSTS_MAX]; /* from, to */
	struct list conns; /* sim_net.c */
	bool remembers;
	struct list memory; /* of old segments */
	size_t memory_count;
	uint64_t next_port;
	struct sim_fiber *fibers; /* spare ones */
	void (*crashed)(void *owner, struct sim_host *host);
	void *crashed_owner;
	struct sim_stats stats;
};

/* Something that waits for a host's next turn. */
struct sim_item {
	struct list link;
	void (*deliver)(struct sim_item *item);
};

struct sim_host {
	struct sim *sim;
	size_t index;
	char name[32];
	struct sim_env *env;
	struct sim_disk *disk;
	struct sim_disk_faults faults;
	uint64_t wounds;
	enum sim_disk_nth nth_kind;
	uint64_t nth;         /* calls of that kind until one fails; 0: none does */
	uint64_t crash_after; /* disk calls; 0: none planned */
	uint64_t stalls_until_us; /* a sync takes so long, also when the disk is quick again by then */
	bool crashing;        /* power is gone; the kill is on its way */
	struct sim_event crash;
	bool powered; /* false after a power cut until the next start: packets vanish */
	bool paused;
	int64_t wall_offset_ms;
	/* Its clock showed clock_us at the world's clock_from_us, and runs at clock_rate thousandths. */
	uint64_t clock_us, clock_from_us, clock_rate;
	uint64_t slow_us, threads_us;
};

struct sim_env {
	struct env env;
	struct sim *sim;
	struct sim_host *host;
	struct sim_event turn;
	bool in_turn;
	uint64_t busy_until_us;
	struct list inbox;                  /* of sim_item */
	struct list written, gone;          /* as in the libuv body */
	struct list streams, listeners;     /* all, also dead ones */
	struct list lanes, files, locks;
	uint64_t call_us; /* disk time used up by the work item or the opening that runs now */
	struct sim_lane *lane; /* whose work item is making calls */
};

#define SIM_WALL_START_MS 1700000000000u

static inline struct sim_env *sim_env_of(struct env *env) { return (struct sim_env *)env; }

/* sim_env.c */
void sim_env_post(struct sim_env *e, struct sim_item *item); /* delivered in the next turn; idempotent */
void sim_env_schedule(struct sim_env *e);
uint64_t sim_host_moment(const struct sim_host *host, uint64_t at_us); /* sim.c */
extern const struct env_ops sim_env_ops;

/* sim_net.c, sim_stream.c, sim_receive.c */
struct env_stream *sim_net_connect(struct env *env, const char *address, const struct env_stream_events *events,
				   void *owner);
void sim_net_set(struct env_stream *stream, const struct env_stream_events *events, void *owner);
void sim_net_write(struct env_stream *stream, struct env_write *write, const struct slice *slices, size_t count);
size_t sim_net_unsent(const struct env_stream *stream);
void sim_net_pause(struct env_stream *stream);
void sim_net_resume(struct env_stream *stream);
void sim_net_close(struct env_stream *stream);
const char *sim_net_peer(const struct env_stream *stream);
struct env_listener *sim_net_listen(struct env *env, const char *address,
				    void (*accepted)(void *owner, struct env_stream *stream), void *owner,
				    struct err *err);
unsigned sim_net_listener_port(const struct env_listener *listener);
void sim_net_listener_close(struct env_listener *listener);
bool sim_net_report(struct sim_env *e);                 /* write callbacks and closed events; false when none */
void sim_net_kill(struct sim_env *e, enum sim_kill kill); /* the other sides are told, or not */
void sim_net_free(struct sim_env *e);                   /* memory of a dead env */
void sim_net_fini(struct sim *sim);

/* sim_disk.c */
void sim_disk_takes(struct sim_env *e, uint64_t us); /* the call that is made now, so long */
struct sim_disk *sim_disk_new(void);
void sim_disk_free(struct sim_disk *disk);
void sim_disk_crash(struct sim_host *host); /* resolves what was not synced */
void sim_disk_release(struct sim_env *e);   /* an env ended: its handles lead nowhere */
void sim_disk_forget(struct sim_env *e);    /* handles and locks that work under way left behind */
bool sim_disk_nth(struct sim_host *host, enum sim_disk_nth kind); /* whether this call is the chosen one */
int sim_disk_full(struct sim_env *e);                             /* ERR_NO_SPACE, traced */
int sim_disk_open(struct env *env, const char *path, unsigned flags, struct env_file **file);
void sim_disk_close(struct env_file *file);
int sim_disk_read(struct env_file *file, uint64_t offset, void *bytes, size_t len, size_t *got);
int sim_disk_write(struct env_file *file, uint64_t offset, const void *bytes, size_t len);
int sim_disk_sync(struct env_file *file);
int sim_disk_truncate(struct env_file *file, uint64_t size);
int sim_disk_allocate(struct env_file *file, uint64_t size);
int sim_disk_size(struct env_file *file, uint64_t *size);
int sim_disk_mkdir(struct env *env, const char *path);
int sim_disk_rename(struct env *env, const char *from, const char *to);
int sim_disk_unlink(struct env *env, const char *path);
int sim_disk_dir_sync(struct env *env, const char *path);
int sim_disk_dir_list(struct env *env, const char *path, int (*visit)(void *owner, const char *name), void *owner);
int sim_disk_free_space(struct env *env, const char *path, uint64_t *bytes);
int sim_disk_lock_take(struct env *env, const char *path, struct env_lock **lock);
void sim_disk_lock_release(struct env_lock *lock);

/* sim_lane.c */
struct env_lane *sim_lane_open(struct env *env, const char *name, enum env_lane_priority priority);
void sim_lane_submit(struct env_lane *lane, struct env_work *work);
size_t sim_lane_pending(const struct env_lane *lane);
void sim_lane_close(struct env_lane *lane);
/* Inside a disk call: when a work item makes it, the time its calls took passes here. False
 * when the program or the power ended meanwhile, and the call is to end with ERR_IO. */
bool sim_lane_pass(struct sim_env *e);
void sim_lane_kill(struct sim_env *e);
void sim_lane_free(struct sim_env *e);
void sim_lane_resume(struct sim_env *e); /* the host runs again */

#endif /* TESTS_SIM_SIM_BODY_H */
