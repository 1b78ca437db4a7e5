/* Where log lines go: a sink in the context of whoever logs, never a global.
 *
 * One line per decision, as fact -> consequence: log_info(log, "node b2 silent 812 ms -> suspect"). The
 * simulator reads the same lines as people do. A NULL sink swallows everything. */
#pragma once

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log {
    void (*write)(void *context, enum log_level level, const char *line); /* no newline at the end of line */
    void *context;
    enum log_level level_min;
};

void log_emit(const struct log *log, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_debug(log, ...) log_emit(log, LOG_DEBUG, __VA_ARGS__)
#define log_info(log, ...) log_emit(log, LOG_INFO, __VA_ARGS__)
#define log_warn(log, ...) log_emit(log, LOG_WARN, __VA_ARGS__)
#define log_error(log, ...) log_emit(log, LOG_ERROR, __VA_ARGS__)
