#include "env/env_ops.h"

#include <assert.h>

void env_schedule_init(struct env *env, const struct env_ops *ops)
{
	env->ops = ops;
	heap_init(&env->timers);
	list_init(&env->hooks);
	env->order = 0;
	env->due_us = 0;
	env->dead = false;
}

void env_schedule_fini(struct env *env)
{
	struct heap_node *node;
	while ((node = heap_top(&env->timers)) != NULL) {
		heap_remove(&env->timers, node);
	}
	heap_fini(&env->timers);
	while (list_pop(&env->hooks) != NULL) {
	}
}

void env_timer_init(struct env *env, struct env_timer *timer, void (*cb)(struct env_timer *))
{
	heap_node_init(&timer->node);
	timer->env = env;
	timer->cb = cb;
}

void env_timer_start_at(struct env_timer *timer, uint64_t at_us)
{
	struct env *env = timer->env;
	assert(timer->cb != NULL);
	env_timer_stop(timer);
	if (env->dead) {
		return;
	}
	/* Later than all that fires now: a timer that re-arms itself in the past must not hold the turn. */
	timer->node.at = at_us > env->due_us ? at_us : env->due_us + 1;
	timer->node.order = ++env->order;
	heap_push(&env->timers, &timer->node);
	if (heap_top(&env->timers) == &timer->node) {
		env->ops->wake(env);
	}
}

void env_timer_start(struct env_timer *timer, uint64_t after_ms)
{
	env_timer_start_at(timer, env_now_us(timer->env) + after_ms * 1000);
}

void env_timer_stop(struct env_timer *timer)
{
	if (heap_holds(&timer->node)) {
		heap_remove(&timer->env->timers, &timer->node);
	}
}

void env_schedule_fire(struct env *env, uint64_t due_us)
{
	assert(due_us >= env->due_us);
	env->due_us = due_us;
	while (!env->dead) {
		struct heap_node *node = heap_top(&env->timers);
		if (node == NULL || node->at > due_us) {
			return;
		}
		heap_remove(&env->timers, node);
		struct env_timer *timer = list_entry(node, struct env_timer, node);
		timer->cb(timer);
	}
}

uint64_t env_schedule_next(const struct env *env)
{
	const struct heap_node *node = heap_top(&env->timers);
	return node == NULL ? UINT64_MAX : node->at;
}

void env_turn_init(struct env *env, struct env_turn *turn, void (*cb)(struct env_turn *))
{
	list_init(&turn->link);
	turn->env = env;
	turn->cb = cb;
}

void env_turn_arm(struct env_turn *turn)
{
	struct env *env = turn->env;
	assert(turn->cb != NULL);
	if (env->dead || !list_empty(&turn->link)) {
		return;
	}
	bool first = list_empty(&env->hooks);
	list_append(&env->hooks, &turn->link);
	if (first) {
		env->ops->wake(env);
	}
}

void env_turn_cancel(struct env_turn *turn) { list_remove(&turn->link); }

bool env_schedule_hooks(struct env *env)
{
	if (list_empty(&env->hooks)) {
		return false;
	}
	/* A mark at the end bounds the round: what hooks arm lands behind it. */
	struct list *mark = &env->hooks_mark;
	list_append(&env->hooks, mark);
	while (!env->dead) {
		struct list *link = list_pop(&env->hooks);
		if (link == mark) {
			break;
		}
		struct env_turn *turn = list_entry(link, struct env_turn, link);
		turn->cb(turn);
	}
	list_remove(mark);
	return true;
}
