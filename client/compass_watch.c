/* Looking while served: is the target silent, or a single connection? */
#include "client/compass_private.h"

#include "client/channel.h"

/* The target tells its role among the requests this often, while there are any. */
#define ROLE_MS 1000
/* A connection that does not come up. */
#define CONNECT_MS 1000
/* An overloaded node is not a dead one: patience grows with the time that answers take, which is forgotten
 * by this part with each quicker answer. */
#define SLOW_TIMES 4
#define SLOW_DECAY 256
/* A connection that is silent while its node answers on others. */
#define STUCK_MS 4000

void compass_heard(struct compass *compass, const struct probe *node, uint64_t now_us, uint64_t took_us)
{
	if (node == compass->target) {
		compass->heard_us = now_us;
		compass->slow_us = took_us > compass->slow_us
					   ? took_us
					   : compass->slow_us - compass->slow_us / SLOW_DECAY;
		compass->rounds = compass->seeking ? compass->rounds : 0;
	}
}

static bool channel_quiet_for(const struct channel *channel, uint64_t now_us, uint64_t limit_ms)
{
	bool waits = channel->state == CHANNEL_OPENING || channel_waiting(channel) > 0;
	return channel->state != CHANNEL_CLOSING && waits &&
	       now_us > channel->quiet_since_us + limit_ms * 1000;
}

static uint64_t compass_silence_ms(const struct compass *compass)
{
	uint64_t ms = compass->slow_us * SLOW_TIMES / 1000;
	if (ms < COMPASS_SILENCE_MS) {
		return COMPASS_SILENCE_MS;
	}
	return ms < COMPASS_SILENCE_MAX_MS ? ms : COMPASS_SILENCE_MAX_MS;
}

/* One connection among those to the target: true when it makes the node suspect. */
static bool compass_watch_here(struct compass *compass, struct channel *channel, uint64_t now_us)
{
	if (channel->state == CHANNEL_OPENING) {
		if (channel_quiet_for(channel, now_us, CONNECT_MS)) {
			channel_close(channel);
		}
		return false;
	}
	uint64_t silence_ms = compass_silence_ms(compass);
	if (now_us > compass->heard_us + silence_ms * 1000) {
		return channel_quiet_for(channel, now_us, silence_ms);
	}
	if (channel_quiet_for(channel, now_us, STUCK_MS)) {
		channel_close(channel);
	}
	return false;
}

bool compass_watch(struct compass *compass, uint64_t now_us)
{
	struct channel *asker = NULL;
	bool waits = false;
	bool silent = false;
	list_for_each (link, &compass->tally->channels) {
		struct channel *channel = list_entry(link, struct channel, link);
		if (channel->node == compass->target && !channel->retiring) {
			silent = compass_watch_here(compass, channel, now_us) || silent;
			asker = channel->state == CHANNEL_READY && !channel->asked ? channel : asker;
		} else if (channel_quiet_for(channel, now_us, COMPASS_SILENCE_MAX_MS)) {
			channel_close(channel); /* nobody finds out whether its node lives */
		}
		waits = waits || channel->state == CHANNEL_OPENING || channel_waiting(channel) > 0;
	}
	if (silent) {
		compass->suspect = true;
		compass_seek(compass, false);
	} else if (waits && asker != NULL && now_us > compass->asked_us + ROLE_MS * 1000) {
		compass->asked_us = now_us;
		channel_ask(asker);
		client_wake(compass->tally);
	}
	return waits;
}
