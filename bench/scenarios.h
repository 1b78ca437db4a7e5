/* Shapes of real models and data sheets of real machines: what the planner's bench plans. */
#pragma once
#include <stdint.h>

struct scenario_model {
    const char *name;
    uint32_t layers, width, heads, kv_heads, head_size, inside, vocab;
    int tied; /* the head is the embedding */
};

/* Of config.json of the original repositories. */
static const struct scenario_model llama_1b = {"Llama 3.2 1B", 16, 2048, 32, 8, 64, 8192, 128256, 1};
static const struct scenario_model llama_3b = {"Llama 3.2 3B", 28, 3072, 24, 8, 128, 8192, 128256, 1};
static const struct scenario_model llama_8b = {"Llama 3.1 8B", 32, 4096, 32, 8, 128, 14336, 128256, 0};
static const struct scenario_model llama_70b = {"Llama 3.3 70B", 80, 8192, 64, 8, 128, 28672, 128256, 0};
static const struct scenario_model llama_405b = {"Llama 3.1 405B", 126, 16384, 128, 8, 128, 53248, 128256, 0};

struct scenario_machine {
    const char *name;
    double memory_gb;    /* free for models: what is built in, less what its system keeps */
    double read_gb_s;    /* of the data sheet */
    double multiply_g_s; /* int8 multiply-adds, 10^9/s */
};

static const struct scenario_machine m2_ultra = {"M2 Ultra 64 GB", 56, 800, 13600};
static const struct scenario_machine pi_5 = {"Raspberry Pi 5 8 GB", 7, 17, 300};
static const struct scenario_machine laptop = {"laptop, DDR5-4800, 16 GB", 12, 76.8, 2000};
static const struct scenario_machine rtx_4090 = {"RTX 4090 PC", 22, 1008, 330000};

struct scenario_network {
    const char *name;
    uint32_t rtt_us; /* as TCP sees it between two machines that wait */
    double bandwidth_gb_s;
};

static const struct scenario_network gigabit = {"gigabit Ethernet", 250, 0.117};
static const struct scenario_network ten_gigabit = {"10 GbE", 100, 1.15};
static const struct scenario_network thunderbolt = {"Thunderbolt 4", 50, 2.5};
static const struct scenario_network wifi = {"Wi-Fi 6", 3000, 0.06};

enum { SCENARIO_MACHINES_MAX = 8, SCENARIO_MODELS_MAX = 4 };

struct scenario {
    const char *name;
    const struct scenario_machine *machines[SCENARIO_MACHINES_MAX]; /* NULL ends */
    const struct scenario_network *network;
    const struct scenario_model *models[SCENARIO_MODELS_MAX]; /* NULL ends */
};

#define FIVE(machine)                                                                                                  \
    { &machine, &machine, &machine, &machine, &machine }
#define EIGHT(machine)                                                                                                 \
    { &machine, &machine, &machine, &machine, &machine, &machine, &machine, &machine }

static const struct scenario scenarios[] = {
    {"five M2 Ultra on 10 GbE", FIVE(m2_ultra), &ten_gigabit, {&llama_1b, &llama_70b, &llama_405b}},
    {"five M2 Ultra on Thunderbolt", FIVE(m2_ultra), &thunderbolt, {&llama_1b, &llama_70b, &llama_405b}},
    {"a Raspberry Pi 5 with a laptop", {&pi_5, &laptop}, &gigabit, {&llama_1b, &llama_8b}},
    {"a Raspberry Pi 5 with a laptop on Wi-Fi", {&pi_5, &laptop}, &wifi, {&llama_1b, &llama_8b}},
    {"an RTX 4090 PC with a Mac", {&rtx_4090, &m2_ultra}, &ten_gigabit, {&llama_8b, &llama_70b}},
    {"eight Raspberry Pi 5", EIGHT(pi_5), &gigabit, {&llama_1b, &llama_3b, &llama_8b, &llama_70b}},
};
