/* The compiled bundles that a host keeps: a few, by hash; the one longest unused goes. */
#include "script/host.h"

struct script_bundle *host_find(struct script_host *host, struct chain hash)
{
	for (struct script_bundle *bundle = host->bundles; bundle != NULL; bundle = bundle->next) {
		if (chain_equal(bundle->hash, hash)) {
			return bundle;
		}
	}
	return NULL;
}

/* Frees the bundle that was used longest ago, when there are too many. */
static void evict(struct script_host *host)
{
	size_t count = 0;
	struct script_bundle **oldest = &host->bundles;
	for (struct script_bundle **at = &host->bundles; *at != NULL; at = &(*at)->next) {
		count++;
		if ((*at)->used < (*oldest)->used) {
			oldest = at;
		}
	}
	if (count > HOST_BUNDLES) {
		struct script_bundle *gone = *oldest;
		*oldest = gone->next;
		if (host->active == gone) {
			host->active = NULL;
			host->active_row_len = 0;
		}
		script_bundle_free(gone);
	}
}

void script_install(struct script_host *host, struct script_bundle *bundle)
{
	host->stats.compiled++;
	struct script_bundle *same = host_find(host, bundle->hash);
	if (same != NULL) {
		same->used = ++host->uses;
		script_bundle_free(bundle);
		return;
	}
	bundle->used = ++host->uses;
	bundle->next = host->bundles;
	host->bundles = bundle;
	evict(host);
}

bool script_installed(const struct script_host *host, struct chain hash)
{
	return host_find((struct script_host *)(uintptr_t)host, hash) != NULL;
}
