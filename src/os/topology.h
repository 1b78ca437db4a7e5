/* How the CPUs of this host hang together, as hwloc sees them (https://www.open-mpi.org/projects/hwloc/). Read anew
 * each time, a few milliseconds; no memory is kept. Any thread. */
#pragma once

/* Cores on which the calling thread may run. Two hardware threads of one core count once: they share its multipliers
 * and its way to memory, so a second compute thread there only gets in the way of the first. 0 when it cannot be told.
 */
unsigned topology_cores(void);
