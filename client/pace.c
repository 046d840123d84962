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
		/* One alone may have seen a pause of the node, and there is none before to measure it by. */
		pace->call_ns = pace->first_ns < ns ? pace->first_ns : ns;
		pace->first_ns = ns;
		return;
	}
	uint64_t most = pace->call_ns * SLOWER_MAX;
	pace->call_ns = (pace->call_ns + (ns < most ? ns : most)) / 2 + 1;
}

/* All that waited is sent: no call took longer, however few they were. Else an estimate of a slow hour would
 * stay for ever when no crowd is large enough any more to be measured. */
static void pace_drained(struct pace *pace, uint64_t us)
{
	uint64_t ns = pace->sent > 0 ? us * 1000 / pace->sent : UINT64_MAX;
	if (ns < pace->call_ns) {
		pace_learn(pace, ns);
	}
}

void pace_sent(struct pace *pace, uint64_t now_us, size_t sent, bool waiting, size_t room)
{
	if (pace->since_us != 0) {
		uint64_t us = now_us - pace->since_us;
		pace->sent += sent;
		if (us >= WINDOW_US && pace->sent >= CALLS_LEAST) {
			pace_learn(pace, us * 1000 / pace->sent);
			pace->since_us = now_us;
			pace->sent = 0;
		} else if (!waiting) {
			pace_drained(pace, us);
		}
	}
	if (!waiting) {
		pace_pause(pace);
	} else if (pace->since_us == 0) {
		pace->since_us = now_us;
	}
	pace->room = waiting ? 0 : room;
}

void pace_pause(struct pace *pace)
{
	pace->since_us = 0;
	pace->sent = 0;
	pace->room = 0;
}

void pace_answered(struct pace *pace, uint64_t latency_us)
{
	/* Nor does one answer: it may have waited for us, in a process that was stopped for minutes. */
	uint64_t most = pace->answer_us * SLOWER_MAX;
	latency_us = pace->answer_us == 0 || latency_us < most ? latency_us : most;
	pace->answer_us = pace->answer_us == 0 ? latency_us : (7 * pace->answer_us + latency_us + 7) / 8;
}
