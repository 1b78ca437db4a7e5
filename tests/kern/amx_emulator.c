/* The few instructions of AMX that src/kern/x86/tiles_amx.h is made of, in software: on a CPU without the unit each one
 * raises SIGILL, and the handler does what the instruction would. Encodings and meanings: Intel SDM, volume 2. */
#include "amx_emulator.h"

#if defined __x86_64__
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

enum { TILES = 8, ROWS = 16, ROW_BYTES = 64 };

struct tile {
    uint8_t data[ROWS][ROW_BYTES];
    unsigned rows, bytes;
};

static struct tile tiles[TILES]; /* of one thread: the checks have one */
static uint64_t executed;

/* ---- what an instruction says ---- */

enum prefix { PREFIX_NONE, PREFIX_66, PREFIX_F3, PREFIX_F2 };

struct instruction {
    uint8_t opcode;
    enum prefix prefix;
    unsigned reg, rm, vvvv;
    bool in_memory;
    uint8_t *address; /* in_memory: the base */
    uint64_t stride;  /* in_memory, by an index register: that times its scale */
    size_t bytes;
};

static uint64_t register_of(const ucontext_t *context, unsigned number) {
    static const int places[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                   REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    return (uint64_t)context->uc_mcontext.gregs[places[number]];
}

static int64_t displacement(const uint8_t *code, unsigned mod) {
    int32_t wide;
    memcpy(&wide, code, sizeof wide);
    return mod == 1 ? (int8_t)*code : wide;
}

/* The memory operand behind the ModRM byte; addresses relative to the program counter are known by `end` being known.
 */
static const uint8_t *read_memory(const ucontext_t *context, const uint8_t *code, uint8_t vex, unsigned mod,
                                  struct instruction *out) {
    unsigned base_high = vex & 0x20 ? 0 : 8, index_high = vex & 0x40 ? 0 : 8, base = out->rm;
    bool from_counter = mod == 0 && out->rm == 5, no_base = false;
    uint64_t address = 0;
    out->in_memory = true;
    if (out->rm == 4) {
        unsigned sib = *code++, index = (sib >> 3 & 7) | index_high;
        base = sib & 7;
        no_base = mod == 0 && base == 5;
        if (index != 4) out->stride = register_of(context, index) << (sib >> 6);
    }
    if (!from_counter && !no_base) address = register_of(context, base | base_high);
    if (mod != 0 || from_counter || no_base) {
        address += (uint64_t)displacement(code, from_counter || no_base ? 2 : mod);
        code += mod == 1 ? 1 : 4;
    }
    if (from_counter) address += (uint64_t)(uintptr_t)code;
    memcpy(&out->address, &address, sizeof address);
    return code;
}

/* A three-byte VEX prefix of the map 0F38, as all of them have. */
static bool read_instruction(const ucontext_t *context, struct instruction *out) {
    const uint8_t *begin, *code;
    memcpy(&begin, &context->uc_mcontext.gregs[REG_RIP], sizeof begin);
    if (begin[0] != 0xc4 || (begin[1] & 0x1f) != 2) return false;
    uint8_t modrm = begin[4];
    *out = (struct instruction){
        .opcode = begin[3],
        .prefix = (enum prefix)(begin[2] & 3),
        .reg = modrm >> 3 & 7,
        .rm = modrm & 7,
        .vvvv = ~(unsigned)begin[2] >> 3 & 15,
    };
    code = begin + 5;
    if (modrm >> 6 != 3) code = read_memory(context, code, begin[1], modrm >> 6, out);
    out->bytes = (size_t)(code - begin);
    return true;
}

/* ---- what it does ---- */

/* Where the unit would raise an exception, this aborts. */
static struct tile *configured(unsigned number) {
    if (number >= TILES || tiles[number].rows == 0) abort();
    return &tiles[number];
}

static bool is_zero(const uint8_t *bytes, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (bytes[i]) return false;
    return true;
}

static void configure(const uint8_t *config) {
    memset(tiles, 0, sizeof tiles);
    if (!config) return;
    if (config[0] != 1 || !is_zero(config + 1, 15) || !is_zero(config + 32, 16) || !is_zero(config + 56, 8)) abort();
    for (int i = 0; i < TILES; i++) {
        tiles[i].rows = config[48 + i];
        tiles[i].bytes = config[16 + 2 * i] | config[17 + 2 * i] << 8;
        if (tiles[i].rows > ROWS || tiles[i].bytes > ROW_BYTES || !tiles[i].rows != !tiles[i].bytes) abort();
    }
}

static void load(struct tile *tile, const struct instruction *i) {
    memset(tile->data, 0, sizeof tile->data);
    for (unsigned row = 0; row < tile->rows; row++) memcpy(tile->data[row], i->address + row * i->stride, tile->bytes);
}

static void store(const struct tile *tile, const struct instruction *i) {
    for (unsigned row = 0; row < tile->rows; row++) memcpy(i->address + row * i->stride, tile->data[row], tile->bytes);
}

/* tdpbssd: sums += a . b, four signed bytes at a time. */
static void multiply(struct tile *sums, const struct tile *a, const struct tile *b) {
    if (sums == a || sums == b || a == b || a->bytes % 4 || sums->bytes % 4) abort();
    if (sums->rows != a->rows || a->bytes / 4 != b->rows || sums->bytes != b->bytes) abort();
    for (unsigned row = 0; row < sums->rows; row++)
        for (unsigned column = 0; column < sums->bytes; column += 4) {
            int32_t sum;
            memcpy(&sum, sums->data[row] + column, sizeof sum);
            for (unsigned k = 0; k < a->bytes; k++)
                sum += (int8_t)a->data[row][k] * (int8_t)b->data[k / 4][column + k % 4];
            memcpy(sums->data[row] + column, &sum, sizeof sum);
        }
}

static bool execute(const struct instruction *i) {
    if (i->opcode == 0x49 && i->prefix == PREFIX_NONE)
        configure(i->in_memory ? i->address : NULL); /* ldtilecfg, tilerelease */
    else if (i->opcode == 0x49 && i->prefix == PREFIX_F2)
        memset(configured(i->reg)->data, 0, ROWS * ROW_BYTES); /* tilezero */
    else if (i->opcode == 0x4b && i->prefix == PREFIX_F2)
        load(configured(i->reg), i);
    else if (i->opcode == 0x4b && i->prefix == PREFIX_F3)
        store(configured(i->reg), i);
    else if (i->opcode == 0x5e && i->prefix == PREFIX_F2)
        multiply(configured(i->reg), configured(i->rm), configured(i->vvvv));
    else
        return false;
    return true;
}

static void on_illegal(int number, siginfo_t *info, void *context) {
    ucontext_t *at = context;
    struct instruction instruction;
    (void)number;
    (void)info;
    if (!read_instruction(at, &instruction) || !execute(&instruction)) abort();
    at->uc_mcontext.gregs[REG_RIP] += (greg_t)instruction.bytes;
    executed++;
}

bool amx_emulate(void) {
    struct sigaction action = {.sa_sigaction = on_illegal, .sa_flags = SA_SIGINFO};
    return sigaction(SIGILL, &action, NULL) == 0;
}

uint64_t amx_emulated(void) { return executed; }
#endif
