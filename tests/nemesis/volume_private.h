/* What volume.c and volume_name.c know of each other. */
#ifndef NEMESIS_VOLUME_PRIVATE_H
#define NEMESIS_VOLUME_PRIVATE_H

#include "tests/nemesis/volume.h"

int volume_inode_new(struct volume *volume, mode_t mode, struct inode **made);
void volume_inode_free(struct volume *volume, struct inode *inode);

void volume_names_clear(struct names *names);
int volume_names_assign(struct names *to, const struct names *from);

/* To the face that is durable, or to the one readers see. */
int volume_change_apply(const struct name_change *change, bool durable);
/* Forgets the oldest. */
void volume_changes_drop(struct volume *volume, size_t count);

#endif /* NEMESIS_VOLUME_PRIVATE_H */
