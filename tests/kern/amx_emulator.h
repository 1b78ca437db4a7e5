/* AMX for CPUs that have AVX-512 and no AMX, so that its kernels are checked there too. One thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#if defined __x86_64__
/* From here on AMX instructions are done in software, some microseconds each. False: the system did not let us. */
bool amx_emulate(void);
uint64_t amx_emulated(void); /* instructions so far */
#endif
