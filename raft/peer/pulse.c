/* The pulse of the members. Each is asked four times a second whether it is there, and answers with its time:
 * who is silent for a second is dialed anew, who is not reached for five is said, with why (link.h has what
 * counts as a sign of life). Nobody is asked while what we put together is held. */
#include <assert.h>

#include "raft/peer/transport_private.h"

/* So long without a connection is no restart: it is said. */
#define UNREACHED_US ((uint64_t)5 * 1000000)

void transport_ping(struct transport *transport, struct link *link)
{
	struct buf *out = link_out(link);
	frame_end(out, frame_begin(out, FRAME_PING, transport->stamp_ms), 0);
	link_out_done(link);
	link_flush(link);
	link->asked_us = link->asked_us != 0 ? link->asked_us : env_now_us(transport->config.env);
}

static void watch(struct transport *transport, struct link *link, uint64_t now_us)
{
	if (!link_ready(link)) {
		return;
	}
	assert(link->dialed);
	assert(now_us >= link->asked_us);
	/* Whom we did not ask need not answer: what we put together was held, or our process stood still. */
	if (link->asked_us != 0 && now_us - link->asked_us >= (uint64_t)LINK_SILENCE_MS * 1000) {
		log_event(transport->config.log, LOG_INFO, "peer_silent", "peer=%llu kind=%u",
			  (unsigned long long)link->peer_id, link->hello.kind);
		link_drop(link);
		return;
	}
	transport_ping(transport, link);
}

/* What an operator looks at first. */
static const char *why_unreached(int status)
{
	switch (status) {
	case 0:
		return "it is there, and one of both does not let the other in: peer_refused in its log or this one says why";
	case ERR_NOT_FOUND:
		return "the name in its member line leads nowhere";
	case ERR_TIMEOUT:
		return "nothing answers: is its machine up, does the network let its peer port through?";
	default:
		return "nobody listens there: it is down, or its peer-listen is not what our member line says";
	}
}

/* A member that we cannot reach hears nothing of us, though we may hear it: nothing else would tell why it
 * does not follow. */
static void say_unreached(struct transport *transport, struct peer *peer, uint64_t now_us)
{
	const struct link *link = &peer->links[0];
	if (link_ready(link)) {
		if (peer->unreached_said_us != 0) {
			log_event(transport->config.log, LOG_INFO, "peer_reached", "peer=%llu address=%s",
				  (unsigned long long)peer->id, link->address);
		}
		peer->lost_us = peer->unreached_said_us = 0;
		return;
	}
	if (peer->lost_us == 0) {
		peer->lost_us = now_us;
	}
	bool due = peer->unreached_said_us == 0 ? now_us - peer->lost_us >= UNREACHED_US
						: now_us - peer->unreached_said_us >= REFUSAL_AGAIN_US;
	if (due) {
		log_event(transport->config.log, LOG_WARN, "peer_unreached",
			  "peer=%llu address=%s ms=%llu reason=\"%s\"", (unsigned long long)peer->id,
			  link->address, (unsigned long long)(now_us - peer->lost_us) / 1000,
			  why_unreached(link->dial_status));
		peer->unreached_said_us = now_us;
	}
}

void transport_pulse_cb(struct env_timer *timer)
{
	struct transport *transport = list_entry(timer, struct transport, ping);
	assert(transport->started);
	assert(!transport->closing);
	uint64_t now_us = env_now_us(transport->config.env);
	for (size_t i = 0; i < transport->peer_count && !transport->held; i++) {
		for (size_t j = 0; j < DIALED; j++) {
			watch(transport, &transport->peers[i]->links[j], now_us);
		}
	}
	for (size_t i = 0; i < transport->peer_count; i++) {
		say_unreached(transport, transport->peers[i], now_us);
	}
	if (++transport->ticks % LINES_TICKS == 0) {
		transport_say_dropped(transport);
	}
	env_timer_start(timer, LINK_PING_MS);
}

/* ---- what time it is ---- */

/* On its way it grew older: what we take the peer's clock for is never ahead of it, unless that is set back. */
void transport_take_clock(struct transport *transport, const struct link *link, struct slice body)
{
	struct peer *peer = transport_find(transport, link->peer_id);
	uint64_t clock_ms;
	if (peer != NULL && slice_take_u64(&body, &clock_ms)) {
		peer->clock_ms = clock_ms;
		peer->clock_us = env_now_us(transport->config.env);
	}
}

uint64_t transport_clock_ms(const struct transport *transport)
{
	uint64_t clocks[LIMIT_MEMBERS + 1] = {env_wall_ms(transport->config.env)};
	uint64_t now_us = env_now_us(transport->config.env);
	size_t count = 1;
	for (size_t i = 0; i < transport->peer_count; i++) {
		const struct peer *peer = transport->peers[i];
		uint64_t clock_ms = peer->clock_ms == 0 ? 0 : peer->clock_ms + (now_us - peer->clock_us) / 1000;
		size_t at = count++;
		for (; at > 0 && clocks[at - 1] < clock_ms; at--) {
			clocks[at] = clocks[at - 1];
		}
		clocks[at] = clock_ms;
	}
	return clocks[count / 2]; /* the latest first: so many and one more have reached it */
}
