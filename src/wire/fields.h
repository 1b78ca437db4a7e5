/* The walks over structs that several messages share. Private to this room. */
#pragma once
#include "wire/codec.h"
#include "wire/types.h"

void fields_epoch(struct codec *c, struct wire_epoch *epoch);
/* The scope id stays at home. */
void fields_address(struct codec *c, struct wire_address *address);
void fields_readings(struct codec *c, struct wire_readings *readings);
void fields_facts(struct codec *c, struct wire_facts *facts);
void fields_plan(struct codec *c, struct wire_plan *plan);
void fields_sampling(struct codec *c, struct wire_sampling *sampling);
