#include "client/pace.h"

/* A measurement is at least so long, and of so many calls. */
#define WINDOW_US 50000
#define CALLS_LEAST 16
/* One slow moment must not close the door: a call takes at most so many times longer from one measurement to
 * the next. */
#define SLOWER_MAX 2

static void pace_learn(struct pace *pace, uint64_t ns)
{
	if (pace->call_ns == 0) {
		pace->call_ns = ns;
		return;
	}
	uint64_t most = pace->call_ns * SLOWER_MAX;
	pace->call_ns = (pace->call_ns + (ns < most ? ns : most)) / 2 + 1;
}

void pace_sent(struct pace *pace, uint64_t now_us, size_t sent, bool waiting)
{
	if (pace->since_us != 0) {
		uint64_t us = now_us - pace->since_us;
		pace->sent += sent;
		if (us >= WINDOW_US && pace->sent >= CALLS_LEAST) {
			pace_learn(pace, us * 1000 / pace->sent);
			pace->since_us = now_us;
			pace->sent = 0;
		}
	}
	if (!waiting) {
		pace_pause(pace);
	} else if (pace->since_us == 0) {
		pace->since_us = now_us;
	}
}

void pace_pause(struct pace *pace)
{
	pace->since_us = 0;
	pace->sent = 0;
}

void pace_answered(struct pace *pace, uint64_t latency_us)
{
	pace->answer_us = pace->answer_us == 0 ? latency_us : (7 * pace->answer_us + latency_us) / 8;
}
