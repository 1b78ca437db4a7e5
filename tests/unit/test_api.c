/* Requests read and answers written, without a server: what holds for any model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/body.h"
#include "api/cluster/generate.h"
#include "api/openai/openai.h"
#include "api/stops.h"

/* ---- stop strings and characters ---- */

/* `pieces`: what the tokens give, NULL-terminated. The text that may be shown, with '|' after each piece. */
static const char *shown(const char *const *stops, size_t count, const char *const *pieces) {
    static char result[256];
    struct stops s;
    struct text out = {0};
    stops_init(&s, stops, count);
    for (; *pieces; pieces++) {
        stops_add(&s, *pieces, strlen(*pieces), &out);
        text_add_char(&out, '|');
    }
    stops_finish(&s, &out);
    snprintf(result, sizeof result, "%s", text_str(&out));
    text_deinit(&out);
    stops_deinit(&s);
    return result;
}

#define SHOWN(stops, ...) shown(stops, sizeof(stops) / sizeof *(stops), (const char *const[]){__VA_ARGS__, NULL})
static const char *const none[] = {""};

static void stops_are_found_across_tokens(void **state) {
    static const char *const one[] = {"STOP"}, *const two[] = {"abc", "bx"};
    assert_string_equal(SHOWN(one, "go ", "S", "T", "OP", " more"), "go |||||");
    assert_string_equal(SHOWN(one, "go S", "TO", "mato"), "go ||STOmato|");
    assert_string_equal(SHOWN(one, "go ST"), "go |ST");
    assert_string_equal(SHOWN(one, "SSTOP"), "S|");
    assert_string_equal(SHOWN(two, "ab", "x"), "|a|");
    assert_string_equal(SHOWN(two, "xab", "cd"), "x||");
}

static void the_stop_that_came_is_told(void **state) {
    static const char *const strings[] = {"never", "END"};
    struct stops s;
    struct text out = {0};
    stops_init(&s, strings, 2);
    assert_false(stops_add(&s, "n", 1, &out));
    assert_true(stops_add(&s, "oEND", 4, &out));
    assert_string_equal(s.found, "END");
    assert_string_equal(text_str(&out), "no");
    text_deinit(&out);
    stops_deinit(&s);
}

static void characters_are_never_split(void **state) {
    assert_string_equal(SHOWN(none, "\xe2", "\x82", "\xac"), "||\xe2\x82\xac|");
    assert_string_equal(SHOWN(none, "a\xf0\x9f", "\x91\xa9z"), "a|\xf0\x9f\x91\xa9z|");
    assert_string_equal(SHOWN(none, "a\xf0\x9f\x91"), "a|"); /* cut off by the end: left out */
}

static void what_is_no_utf8_becomes_one_mark(void **state) {
    assert_string_equal(SHOWN(none, "a\xff"
                                    "b"),
                        "a\xef\xbf\xbd"
                        "b|");
    assert_string_equal(SHOWN(none, "\xf0\x9f", "x"), "|\xef\xbf\xbd"
                                                      "x|"); /* one for the whole beginning */
    assert_string_equal(SHOWN(none, "\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|"); /* a surrogate */
    assert_string_equal(SHOWN(none, "\xc0\xaf"), "\xef\xbf\xbd\xef\xbf\xbd|");
}

/* ---- reading ---- */

static struct api_job job;
static struct api_error error;

static int read_as(const struct api_dialect *dialect, const char *body) {
    api_job_deinit(&job);
    api_job_init(&job);
    error = (struct api_error){0};
    return dialect->read(&job, body, strlen(body), &error);
}

#define CHAT(fields) "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]" fields "}"

static void a_plain_chat_has_defaults(void **state) {
    assert_int_equal(read_as(&openai_chat, CHAT("")), 0);
    assert_true(job.temperature == 1 && job.top_p == 1 && job.repetition_penalty == 1 && !job.stream && !job.has_seed);
    assert_int_equal(job.tokens_max, API_TOKENS_UNLIMITED);
    assert_int_equal(read_as(&cluster_generate, CHAT("")), 0);
    assert_true(job.temperature == 0.7f && job.top_p == 0.95f && job.stream);
}

static void nulls_and_unknown_fields_are_nothing(void **state) {
    assert_int_equal(read_as(&openai_chat, CHAT(",\"stop\":null,\"max_tokens\":null,\"temperature\":null,\"seed\":null,"
                                                "\"n\":1,\"user\":\"u\",\"metadata\":{},\"store\":false,\"tools\":[],"
                                                "\"logprobs\":false,\"logit_bias\":{},\"tool_choice\":\"auto\","
                                                "\"response_format\":{\"type\":\"text\"},\"new_thing\":[1,2]")),
                     0);
    assert_true(job.tools == NULL && job.stop_count == 0);
}

static void limits_are_whole_numbers(void **state) {
    assert_int_equal(read_as(&openai_chat, CHAT(",\"max_tokens\":7")), 0);
    assert_int_equal(job.tokens_max, 7);
    assert_int_equal(read_as(&openai_chat, CHAT(",\"max_tokens\":7,\"max_completion_tokens\":8.0")), 0);
    assert_int_equal(job.tokens_max, 8);
    assert_int_equal(read_as(&openai_chat, CHAT(",\"max_tokens\":9007199254740991")), 0);
    assert_int_equal(job.tokens_max, API_TOKENS_UNLIMITED);
}

static void errors_name_the_field(void **state) {
    static const struct {
        const char *body, *param;
    } cases[] = {
        {"{\"messages\":[]}", "model"},
        {"{\"model\":\"\",\"messages\":[]}", "model"},
        {"{\"model\":\"m\"}", "messages"},
        {"{\"model\":\"m\",\"messages\":[]}", "messages"},
        {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\"}]}", "messages[0].content"},
        {"{\"model\":\"m\",\"messages\":[{\"role\":\"owner\",\"content\":\"x\"}]}", "messages[0].role"},
        {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}",
         "messages[0].content"},
        {"{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[1]}]}", "messages[0].tool_calls"},
        {CHAT(",\"temperature\":-1"), "temperature"},
        {CHAT(",\"temperature\":\"hot\""), "temperature"},
        {CHAT(",\"top_p\":1.5"), "top_p"},
        {CHAT(",\"max_tokens\":0"), "max_tokens"},
        {CHAT(",\"max_tokens\":-1"), "max_tokens"},
        {CHAT(",\"max_tokens\":1.5"), "max_tokens"},
        {CHAT(",\"max_completion_tokens\":\"5\""), "max_completion_tokens"},
        {CHAT(",\"seed\":1.5"), "seed"},
        {CHAT(",\"n\":9"), "n"},
        {CHAT(",\"best_of\":2"), "best_of"},
        {CHAT(",\"stop\":[1]"), "stop"},
        {CHAT(",\"stop\":5"), "stop"},
        {CHAT(",\"stream\":\"yes\""), "stream"},
        {CHAT(",\"stream_options\":true"), "stream_options"},
        {CHAT(",\"logprobs\":1"), "logprobs"},
        {CHAT(",\"top_logprobs\":2"), "top_logprobs"},
        {CHAT(",\"logprobs\":true,\"top_logprobs\":21"), "top_logprobs"},
        {CHAT(",\"logit_bias\":{\"5\":101}"), "logit_bias"},
        {CHAT(",\"logit_bias\":{\"five\":1}"), "logit_bias"},
        {CHAT(",\"response_format\":{\"type\":\"yaml\"}"), "response_format"},
        {CHAT(",\"response_format\":{\"type\":\"json_schema\"}"), "response_format"},
        {CHAT(",\"reasoning_effort\":\"much\""), "reasoning_effort"},
        {CHAT(",\"chat_template_kwargs\":{\"x\":\"<|im_start|>\"}"), "chat_template_kwargs"},
        {CHAT(",\"tool_choice\":\"required\""), "tool_choice"},
        {CHAT(",\"tools\":{}"), "tools"},
        {CHAT(",\"tools\":[{\"type\":\"function\"}]"), "tools[0]"},
        {CHAT(",\"grammar\":{}"), "grammar"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(read_as(&openai_chat, cases[i].body), 400);
        assert_string_equal(error.param, cases[i].param);
        assert_non_null(strstr(error.message, cases[i].param));
    }
}

static void stops_are_a_text_or_several(void **state) {
    assert_int_equal(read_as(&openai_chat, CHAT(",\"stop\":\"a\"")), 0);
    assert_int_equal(job.stop_count, 1);
    assert_int_equal(read_as(&openai_chat, CHAT(",\"stop\":[\"a\",\"\",\"b\"]")), 0);
    assert_int_equal(job.stop_count, 2);
    assert_string_equal(job.stops[1], "b");
    assert_int_equal(read_as(&openai_chat, CHAT(",\"stop\":[1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7]")), 400);
}

static void bodies_are_bounded(void **state) {
    struct text body = {0};
    for (int i = 0; i < 500000; i++) text_add_str(&body, "[");
    assert_int_equal(read_as(&openai_chat, text_str(&body)), 400);
    text_clear(&body);
    text_add_str(&body, "{\"model\":\"m\",\"messages\":[");
    for (int i = 0; i < 1000000; i++) text_add_str(&body, "{},");
    text_add_str(&body, "{}]}");
    assert_int_equal(read_as(&openai_chat, text_str(&body)), 400);
    assert_non_null(strstr(error.message, "values"));
    text_deinit(&body);
    assert_int_equal(read_as(&openai_chat, CHAT(",\"x\":\"[[[[[[[[[[{{{{{{{{{{,,,,\"")),
                     0); /* in a text they are none */
    assert_int_equal(read_as(&openai_chat, "{\"model\":\"a\",\"model\":\"b\"}"), 400);
}

/* ---- writing ---- */

static void a_stream_has_its_pieces_in_order(void **state) {
    struct text out = {0};
    struct api_answer answer = {.prompt_tokens = 3, .cached_tokens = 2, .completion_tokens = 4, .finish = API_LENGTH};
    struct api_reply reply = {.id = "id-1", .created_s = 5, .model = "m", .answers = &answer, .count = 1};
    job = (struct api_job){.stream = true, .include_usage = true};
    openai_chat.begin(&job, &reply, &out);
    openai_chat.piece(&job, &reply, &(struct api_piece){.answer = &answer, .text = "\"\n\xe2\x82\xac", .len = 5}, &out);
    openai_chat.answered(&job, &reply, &answer, &out);
    openai_chat.end(&job, &reply, &out);
    const char *at = text_str(&out);
    static const char *const parts[] = {"data: {\"id\":\"id-1\"",
                                        "\"role\":\"assistant\"",
                                        "\"content\":\"\\\"\\n\xe2\x82\xac\"",
                                        "\"finish_reason\":\"length\"",
                                        "\"choices\":[]",
                                        "\"cached_tokens\":2",
                                        "data: [DONE]\n\n"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        at = strstr(at, parts[i]);
        assert_non_null(at);
    }
    text_deinit(&out);
}

static void errors_have_the_dialects_shape(void **state) {
    struct text out = {0};
    api_error_set(&error, 404, "invalid_request_error", "model_not_found", "model", "no %s", "x\xffy");
    openai_write_error(&error, &out);
    json_t *value = json_loads(text_str(&out), 0, NULL);
    const json_t *inner = json_object_get(value, "error");
    assert_string_equal(json_string_value(json_object_get(inner, "code")), "model_not_found");
    assert_string_equal(json_string_value(json_object_get(inner, "param")), "model");
    assert_string_equal(json_string_value(json_object_get(inner, "message")), "no x\xef\xbf\xbdy");
    assert_string_equal(json_string_value(json_object_get(inner, "type")), "invalid_request_error");
    json_decref(value);
    text_deinit(&out);
}

static int forget_job(void **state) {
    api_job_deinit(&job);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stops_are_found_across_tokens),
        cmocka_unit_test(the_stop_that_came_is_told),
        cmocka_unit_test(characters_are_never_split),
        cmocka_unit_test(what_is_no_utf8_becomes_one_mark),
        cmocka_unit_test_teardown(a_plain_chat_has_defaults, forget_job),
        cmocka_unit_test_teardown(nulls_and_unknown_fields_are_nothing, forget_job),
        cmocka_unit_test_teardown(limits_are_whole_numbers, forget_job),
        cmocka_unit_test_teardown(errors_name_the_field, forget_job),
        cmocka_unit_test_teardown(stops_are_a_text_or_several, forget_job),
        cmocka_unit_test_teardown(bodies_are_bounded, forget_job),
        cmocka_unit_test(a_stream_has_its_pieces_in_order),
        cmocka_unit_test(errors_have_the_dialects_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
