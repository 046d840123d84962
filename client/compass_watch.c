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
/* A connection that is silent while its node answers on others, or tells its status; then twice as long for the next
 * one, and so on, or a node that is slow with all it does would have many. */
#define STUCK_MS 4000
#define STUCK_DOUBLED_MAX 6

void compass_heard(struct compass *compass, const struct probe *node, uint64_t now_us, uint64_t took_us)
{
	if (node == compass->target) {
		compass->heard_us = now_us;
		compass->slow_us = took_us > compass->slow_us
					   ? took_us
					   : compass->slow_us - compass->slow_us / SLOW_DECAY;
		compass->rounds = compass->seeking ? compass->rounds : 0;
		compass->set_aside = 0;
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

/* It takes no more calls, and keeps those it has: they may be long ones. */
static void compass_set_aside(struct compass *compass, struct channel *channel, uint64_t now_us)
{
	unsigned doubled = compass->set_aside < STUCK_DOUBLED_MAX ? compass->set_aside : STUCK_DOUBLED_MAX;
	if (channel_quiet_for(channel, now_us, (uint64_t)STUCK_MS << doubled)) {
		channel->retiring = true;
		channel->aside = true;
	}
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
	if (now_us <= compass->heard_us + silence_ms * 1000) {
		if (channel_quiet_for(channel, now_us, STUCK_MS)) {
			channel_close(channel);
		}
		return false;
	}
	if (now_us > compass->told_us + silence_ms * 1000) {
		return channel_quiet_for(channel, now_us, silence_ms);
	}
	compass_set_aside(compass, channel, now_us);
	return false;
}

/* One that is not used any more: nobody finds out whether its node lives, unless that is the target. */
static bool compass_is_done_with(const struct compass *compass, const struct channel *channel, uint64_t now_us)
{
	return channel->aside && channel->node == compass->target
		       ? !channel_has_calls(channel)
		       : channel_quiet_for(channel, now_us, COMPASS_SILENCE_MAX_MS);
}

bool compass_watch(struct compass *compass, uint64_t now_us)
{
	struct channel *asker = NULL;
	bool waits = false;
	bool silent = false;
	bool aside = false;
	list_for_each (link, &compass->tally->channels) {
		struct channel *channel = list_entry(link, struct channel, link);
		if (channel->node == compass->target && !channel->retiring) {
			silent = compass_watch_here(compass, channel, now_us) || silent;
			aside = aside || channel->aside;
			bool asks = channel->state == CHANNEL_READY && !channel->asked && !channel->aside;
			asker = asks ? channel : asker;
		} else if (compass_is_done_with(compass, channel, now_us)) {
			channel_close(channel);
		}
		waits = waits || channel->state == CHANNEL_OPENING || channel_waiting(channel) > 0;
	}
	if (aside) {
		compass->set_aside++;
		compass_connect(compass);
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
