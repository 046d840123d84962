/* A stack of its own for work that must wait in the middle: run() is called on
 * it, and may stop there until it is resumed. No thread: whoever resumes it waits. */
#ifndef TESTS_SIM_SIM_FIBER_H
#define TESTS_SIM_SIM_FIBER_H

#include <stdbool.h>

struct sim_fiber;

/* One of spare, which is a list of those that were given back, or a new one. */
struct sim_fiber *sim_fiber_take(struct sim_fiber **spare, void (*run)(void *owner), void *owner);
/* Not in the middle of run(). NULL is taken. */
void sim_fiber_give(struct sim_fiber **spare, struct sim_fiber *fiber);
void sim_fibers_free(struct sim_fiber **spare);
/* Goes on with run(), or begins it anew: until it waits (false) or returns (true). */
bool sim_fiber_resume(struct sim_fiber *fiber);
/* Inside run(): back to who resumed it. */
void sim_fiber_wait(struct sim_fiber *fiber);

#endif /* TESTS_SIM_SIM_FIBER_H */
