/* Names: what readers see, what is durable, and the changes between the two. */
#include "tests/nemesis/volume_private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- lists of names ---- */

static struct name *find(const struct names *names, const char *text)
{
	for (size_t i = 0; i < names->count; i++) {
		if (strcmp(names->list[i].text, text) == 0) {
			return &names->list[i];
		}
	}
	return NULL;
}

static void take_out(struct names *names, struct name *name)
{
	free(name->text);
	size_t at = (size_t)(name - names->list);
	memmove(name, name + 1, (names->count - at - 1) * sizeof(*name));
	names->count--;
}

static int put(struct names *names, const char *text, struct inode *inode)
{
	struct name *name = find(names, text);
	if (name != NULL) {
		name->inode = inode;
		return 0;
	}
	if (names->count == names->cap) {
		size_t cap = names->cap == 0 ? 16 : names->cap * 2;
		struct name *grown = realloc(names->list, cap * sizeof(*grown));
		if (grown == NULL) {
			return -ENOMEM;
		}
		names->list = grown;
		names->cap = cap;
	}
	char *own = strdup(text);
	if (own == NULL) {
		return -ENOMEM;
	}
	names->list[names->count++] = (struct name){own, inode};
	return 0;
}

void volume_names_clear(struct names *names)
{
	while (names->count > 0) {
		take_out(names, &names->list[names->count - 1]);
	}
	free(names->list);
	*names = (struct names){0};
}

int volume_names_assign(struct names *to, const struct names *from)
{
	int status = 0;
	volume_names_clear(to);
	for (size_t i = 0; status == 0 && i < from->count; i++) {
		status = put(to, from->list[i].text, from->list[i].inode);
	}
	return status;
}

/* ---- changes ---- */

static struct names *face(struct inode *folder, bool durable)
{
	return durable ? &folder->old : &folder->now;
}

int volume_change_apply(const struct name_change *change, bool durable)
{
	if (change->from != NULL) {
		struct name *name = find(face(change->from, durable), change->from_text);
		if (name != NULL && name->inode == change->inode) {
			take_out(face(change->from, durable), name);
		}
	}
	return change->to == NULL ? 0 : put(face(change->to, durable), change->to_text, change->inode);
}

static void change_fini(struct name_change *change)
{
	free(change->from_text);
	free(change->to_text);
}

void volume_changes_drop(struct volume *volume, size_t count)
{
	assert(count <= volume->change_count);
	for (size_t i = 0; i < count; i++) {
		change_fini(&volume->changes[i]);
	}
	volume->change_count -= count;
	if (volume->change_count > 0) {
		memmove(volume->changes, volume->changes + count,
			volume->change_count * sizeof(*volume->changes));
	}
}

/* Shows the change at once and remembers it for the folder's sync. */
static int change(struct volume *volume, struct inode *from, const char *from_text, struct inode *to,
		  const char *to_text, struct inode *inode)
{
	if (volume->change_count == volume->change_cap) {
		size_t cap = volume->change_cap == 0 ? 64 : volume->change_cap * 2;
		struct name_change *grown = realloc(volume->changes, cap * sizeof(*grown));
		if (grown == NULL) {
			return -ENOMEM;
		}
		volume->changes = grown;
		volume->change_cap = cap;
	}
	struct name_change made = {.from = from, .to = to, .inode = inode};
	made.from_text = from != NULL ? strdup(from_text) : NULL;
	made.to_text = to != NULL ? strdup(to_text) : NULL;
	if ((from != NULL && made.from_text == NULL) || (to != NULL && made.to_text == NULL)) {
		change_fini(&made);
		return -ENOMEM;
	}
	int status = volume_change_apply(&made, false);
	if (status != 0) {
		change_fini(&made);
		return status;
	}
	volume->changes[volume->change_count++] = made;
	return 0;
}

int volume_folder_sync(struct volume *volume, struct inode *folder)
{
	/* From the newest to the oldest: what touches this folder, and then what touches a folder that such a
	 * change touches, or a rename between two folders would overtake an older change of the other. */
	size_t count = volume->change_count, kept = 0;
	bool *due = calloc(count + 1, sizeof(*due));
	if (due == NULL) {
		return -ENOMEM;
	}
	folder->met = true;
	for (size_t i = count; i-- > 0;) {
		struct name_change *at = &volume->changes[i];
		due[i] = (at->from != NULL && at->from->met) || (at->to != NULL && at->to->met);
		if (due[i] && at->from != NULL) {
			at->from->met = true;
		}
		if (due[i] && at->to != NULL) {
			at->to->met = true;
		}
	}
	int status = 0;
	for (size_t i = 0; i < count; i++) {
		if (due[i]) {
			int applied = volume_change_apply(&volume->changes[i], true);
			status = status != 0 ? status : applied;
			change_fini(&volume->changes[i]);
		} else {
			volume->changes[kept++] = volume->changes[i];
		}
	}
	volume->change_count = kept;
	free(due);
	for (size_t i = 0; i < volume->count; i++) {
		if (volume->inodes[i] != NULL) {
			volume->inodes[i]->met = false;
		}
	}
	return status;
}

/* ---- what a process may ask for ---- */

struct inode *volume_lookup(struct inode *folder, const char *text)
{
	struct name *name = find(&folder->now, text);
	return name == NULL ? NULL : name->inode;
}

int volume_make(struct volume *volume, struct inode *folder, const char *text, mode_t mode,
		struct inode **made)
{
	if (volume_lookup(folder, text) != NULL) {
		return -EEXIST;
	}
	struct inode *inode;
	int status = volume_inode_new(volume, mode, &inode);
	if (status == 0) {
		status = change(volume, NULL, NULL, folder, text, inode);
		if (status != 0) {
			volume_inode_free(volume, inode);
			return status;
		}
		inode->links = 1;
		*made = inode;
	}
	return status;
}

int volume_link(struct volume *volume, struct inode *inode, struct inode *folder, const char *text)
{
	if (volume_lookup(folder, text) != NULL) {
		return -EEXIST;
	}
	int status = change(volume, NULL, NULL, folder, text, inode);
	inode->links += status == 0;
	return status;
}

int volume_unlink(struct volume *volume, struct inode *folder, const char *text)
{
	struct inode *inode = volume_lookup(folder, text);
	if (inode == NULL) {
		return -ENOENT;
	}
	if (inode->now.count > 0) {
		return -ENOTEMPTY;
	}
	int status = change(volume, folder, text, NULL, NULL, inode);
	inode->links -= status == 0;
	return status;
}

int volume_rename(struct volume *volume, struct inode *from, const char *from_text, struct inode *to,
		  const char *to_text)
{
	struct inode *inode = volume_lookup(from, from_text);
	struct inode *gone = volume_lookup(to, to_text);
	if (inode == NULL) {
		return -ENOENT;
	}
	if (inode == gone) {
		return 0;
	}
	if (gone != NULL && gone->now.count > 0) {
		return -ENOTEMPTY;
	}
	int status = change(volume, from, from_text, to, to_text, inode);
	if (gone != NULL) {
		gone->links -= status == 0;
	}
	return status;
}
