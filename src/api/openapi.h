/* The description of the HTTP API that the node serves at /openapi.json: the bytes of src/api/openapi.json. */
#pragma once
#include <stddef.h>

extern const char openapi_json[];
extern const size_t openapi_json_len;
