#include "os/topology.h"

#include <hwloc.h>

/* Leave out what the calling thread may not run on; where its binding cannot be asked for, everything stays. */
static void keep_allowed(hwloc_topology_t topology) {
    hwloc_bitmap_t allowed = hwloc_bitmap_alloc();
    if (allowed && hwloc_get_cpubind(topology, allowed, HWLOC_CPUBIND_THREAD) == 0)
        hwloc_topology_restrict(topology, allowed, 0);
    hwloc_bitmap_free(allowed);
}

static int load(hwloc_topology_t topology) {
    hwloc_topology_set_all_types_filter(topology, HWLOC_TYPE_FILTER_KEEP_NONE);
    hwloc_topology_set_type_filter(topology, HWLOC_OBJ_CORE, HWLOC_TYPE_FILTER_KEEP_ALL);
    return hwloc_topology_load(topology);
}

unsigned topology_cores(void) {
    hwloc_topology_t topology;
    if (hwloc_topology_init(&topology) < 0) return 0;
    int cores = 0;
    if (load(topology) == 0) {
        keep_allowed(topology);
        cores = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE);
    }
    hwloc_topology_destroy(topology);
    return cores > 0 ? (unsigned)cores : 0;
}
