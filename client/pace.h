/* How fast the cluster answers us, learned while more calls wait than it takes.
 *
 * A call that would wait longer than it has is told so when it starts; one that has waited until there is
 * hardly time for an answer makes room for the next. Without both, ten times too many calls leave a first-in
 * first-out queue in which each call is sent just before its deadline: the cluster works, and nobody is still
 * there to hear of it. ("Metastable failures in distributed systems", Bronson et al., HotOS 2021.) */
#ifndef CLIENT_PACE_H
#define CLIENT_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pace {
	uint64_t since_us, sent; /* of the measurement that runs; since_us 0: none does, no call waits */
	size_t room;             /* calls that the connections would have taken after the last turn */
	uint64_t first_ns;       /* the first measurement, which says nothing alone */
	uint64_t call_ns;   /* from one call that is sent to the next, while others wait; 0: not known yet */
	uint64_t answer_us; /* from sending to the answer, smoothed; 0: not known yet */
};

/* Calls were handed out, and some still wait, or none does and there is room for so many. */
void pace_sent(struct pace *pace, uint64_t now_us, size_t sent, bool waiting, size_t room);
/* Nobody serves: what goes by now says nothing. */
void pace_pause(struct pace *pace);
void pace_answered(struct pace *pace, uint64_t latency_us);

/* A call with left_us to its deadline, behind so many others, would be sent too late. A quarter of its time
 * is kept for a cluster that becomes slower meanwhile. Others that began in the same turn are no crowd as
 * far as there is room for them. */
static inline bool pace_hopeless(const struct pace *pace, size_t waiting, uint64_t left_us)
{
	return waiting > pace->room && pace->call_ns > 0 &&
	       (waiting - pace->room) * pace->call_ns / 1000 + 2 * pace->answer_us > left_us * 3 / 4;
}
/* One that has waited for waited_us would not be answered in time. */
static inline bool pace_late(const struct pace *pace, uint64_t waited_us, uint64_t left_us)
{
	return left_us < pace->answer_us && waited_us > left_us;
}

#endif /* CLIENT_PACE_H */
