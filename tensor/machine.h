/* tensor/machine.h - what the system leaves to this process: processors and memory, within the limits of the
 * control groups (cgroup v1 and v2) that a container or a service runs in.
 *
 * root is where the file system begins: "" for this system's, or a folder in which a test has laid out files.
 * Where nothing is told (another system than Linux, no /proc) nothing is limited.
 */
#ifndef MT_MACHINE_H
#define MT_MACHINE_H

#include "base.h"

MT_BEGIN
/* How many processors the quota of the groups amounts to, the least along the path of nested groups, rounded
 * up: at least 1, and INT_MAX where there is no quota. */
MT_INTERNAL int mt_machine_processors(const char *root);
/* About how many bytes more the process can come to hold: see mt_memory_room in alloc.h. */
MT_INTERNAL double mt_machine_memory(const char *root);
MT_END

#endif
