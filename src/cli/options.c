#include "cli/options.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

static int wrong(const char *verb, const char *what, const char *which) {
    fprintf(stderr, "caravan %s: %s%s%s\nusage: caravan %s\n", verb, what, which ? " " : "", which ? which : "",
            cli_usage(verb));
    return OPTIONS_WRONG;
}

static int out_of_range(const char *verb, const struct option_spec *spec) {
    fprintf(stderr, "caravan %s: %s takes a number from %.15g to %.15g\nusage: caravan %s\n", verb, spec->name,
            spec->min, spec->max, cli_usage(verb));
    return OPTIONS_WRONG;
}

/* K, M, G, T with or without "iB" or "B"; 0 for anything else. */
static double bytes_unit(const char *suffix) {
    static const char letters[] = "KMGT";
    if (*suffix == '\0' || strcmp(suffix, "B") == 0) return 1;
    const char *letter = strchr(letters, *suffix);
    if (letter == NULL) return 0;
    if (suffix[1] != '\0' && strcmp(suffix + 1, "B") != 0 && strcmp(suffix + 1, "iB") != 0) return 0;
    return ldexp(1, 10 * (int)(letter - letters + 1));
}

static bool parse_bytes(const char *text, const struct option_spec *spec) {
    char *end;
    double value = strtod(text, &end);
    if (end == text) return false;
    value *= bytes_unit(end);
    if (!(value >= spec->min && value <= spec->max && value < 0x1p63)) return false;
    *(int64_t *)spec->target = (int64_t)value;
    return true;
}

static bool parse_count(const char *text, const struct option_spec *spec) {
    char *end;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || (double)value < spec->min || (double)value > spec->max) return false;
    *(int64_t *)spec->target = value;
    return true;
}

static bool parse_number(const char *text, const struct option_spec *spec) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= spec->min && value <= spec->max)) return false;
    *(double *)spec->target = value;
    return true;
}

static bool append(const char *text, const struct option_spec *spec) {
    const char **list = spec->target;
    size_t count = 0;
    while (list[count] != NULL) count++;
    if ((double)count >= spec->max) return false;
    list[count] = text;
    list[count + 1] = NULL;
    return true;
}

static int take_value(const char *verb, const struct option_spec *spec, const char *value) {
    bool ok = true;
    switch (spec->kind) {
    case OPTION_TEXT: *(const char **)spec->target = value; break;
    case OPTION_COUNT: ok = parse_count(value, spec); break;
    case OPTION_BYTES: ok = parse_bytes(value, spec); break;
    case OPTION_NUMBER: ok = parse_number(value, spec); break;
    case OPTION_LIST:
        if (!append(value, spec)) return wrong(verb, "too many of", spec->name);
        break;
    case OPTION_FLAG: return wrong(verb, "no value goes with", spec->name);
    }
    return ok ? OPTIONS_OK : out_of_range(verb, spec);
}

static const struct option_spec *find(const struct option_spec *specs, const char *argument, size_t len) {
    for (const struct option_spec *spec = specs; spec->name != NULL; spec++)
        if (strlen(spec->name) == len && memcmp(spec->name, argument, len) == 0) return spec;
    return NULL;
}

/* The option at argv[*i], its value included; *i moves on to the last argument used. */
static int take_option(int argc, char **argv, int *i, const struct option_spec *specs) {
    const char *verb = argv[0], *argument = argv[*i];
    const char *equals = strchr(argument, '=');
    const struct option_spec *spec = find(specs, argument, equals ? (size_t)(equals - argument) : strlen(argument));
    if (spec == NULL) return wrong(verb, "unknown option", argument);
    if (equals != NULL) return take_value(verb, spec, equals + 1);
    if (spec->kind == OPTION_FLAG) {
        *(bool *)spec->target = true;
        return OPTIONS_OK;
    }
    if (*i + 1 >= argc) return wrong(verb, "a value must follow", spec->name);
    return take_value(verb, spec, argv[++*i]);
}

int options_parse(int argc, char **argv, const struct option_spec *specs, int words_min, int words_max,
                  struct option_words *words) {
    bool options_end = false;
    *words = (struct option_words){0};
    for (int i = 1; i < argc; i++) {
        if (!options_end && strcmp(argv[i], "--help") == 0) {
            printf("usage: caravan %s\n", cli_usage(argv[0]));
            return OPTIONS_HELP;
        }
        if (!options_end && strcmp(argv[i], "--") == 0) {
            options_end = true;
        } else if (!options_end && argv[i][0] == '-' && argv[i][1] == '-') {
            int result = take_option(argc, argv, &i, specs);
            if (result != OPTIONS_OK) return result;
        } else if (words->count == words_max) {
            return wrong(argv[0], "does not know what to do with", argv[i]);
        } else {
            words->at[words->count++] = argv[i];
        }
    }
    if (words->count < words_min) return wrong(argv[0], "something is missing", NULL);
    return OPTIONS_OK;
}

int options_status(int result) { return result == OPTIONS_HELP ? CLI_DONE : CLI_USAGE; }
