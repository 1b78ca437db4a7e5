/* Model names: what a file is called, precedence of folders, the catalog, suggestions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "store/catalog.h"
#include "store/models.h"
#include "store/origin.h"

static const struct catalog_entry *default_model(void) { return catalog_find("smollm2:135m"); }

static void names_come_from_files(void **state) {
    struct models m = {0};
    const struct models_entry *found;
    assert_int_equal(models_add(&m, "/a/zebra.gguf", 10, true), 0);
    assert_int_equal(models_add(&m, "/a/ant-1b.gguf", 20, true), 0);
    assert_int_equal(models_add(&m, "/a/notes.txt", 20, true), 0);
    assert_int_equal(models_add(&m, "/a/.gguf", 20, true), 0);
    models_sort(&m);
    assert_int_equal(m.count, 2);
    assert_string_equal(m.entries[0].name, "ant-1b");
    assert_int_equal(models_find(&m, "zebra", &found, NULL), 0);
    assert_string_equal(found->path, "/a/zebra.gguf");
    assert_int_equal(found->bytes, 10);
    models_deinit(&m);
}

static void the_first_folder_wins(void **state) {
    struct models m = {0};
    const struct models_entry *found;
    assert_int_equal(models_add(&m, "/own/x.gguf", 1, false), 0);
    assert_int_equal(models_add(&m, "/other/x.gguf", 2, true), 0);
    assert_int_equal(m.count, 1);
    assert_int_equal(models_find(&m, "x", &found, NULL), 0);
    assert_string_equal(found->path, "/own/x.gguf");
    models_deinit(&m);
}

static void the_catalog_names_its_files(void **state) {
    const struct catalog_entry *known = default_model();
    struct models m = {0};
    const struct models_entry *found;
    assert_non_null(known);
    assert_int_equal(strlen(known->sha256), 64);
    assert_int_equal(models_add(&m, "/home/models/smollm2-135m.gguf", known->bytes, false), 0);
    assert_string_equal(m.entries[0].name, "smollm2:135m");
    models_deinit(&m);

    assert_int_equal(models_add(&m, "/ro/smollm2-135m.gguf", known->bytes, true), 0);
    assert_string_equal(m.entries[0].name, "smollm2-135m");
    assert_int_equal(models_find(&m, "smollm2:135m", &found, NULL), 0);
    assert_string_equal(found->path, "/ro/smollm2-135m.gguf");
    models_deinit(&m);
}

static void a_file_of_another_size_is_not_the_catalogs(void **state) {
    struct models m = {0};
    const struct models_entry *found;
    struct error error = {0};
    assert_int_equal(models_add(&m, "/home/models/smollm2-135m.gguf", 12345, false), 0);
    assert_string_equal(m.entries[0].name, "smollm2-135m");
    assert_int_equal(models_find(&m, "smollm2:135m", &found, &error), ERR_NOT_FOUND);
    assert_non_null(strstr(error.text, "not on this machine"));
    models_deinit(&m);
}

static void near_names_are_suggested(void **state) {
    struct models m = {0};
    const struct models_entry *found;
    struct error error = {0};
    models_add(&m, "/a/llama3.gguf", 1, true);
    models_add(&m, "/a/llama2.gguf", 1, true);
    models_add(&m, "/a/entirely-else.gguf", 1, true);
    assert_int_equal(models_find(&m, "lama3", &found, &error), ERR_NOT_FOUND);
    const char *nearest = strstr(error.text, "llama3"), *next = strstr(error.text, "llama2");
    assert_non_null(nearest);
    assert_true(next == NULL || nearest < next);
    assert_null(strstr(error.text, "entirely"));
    assert_int_equal(models_find(&m, "smolm2:135m", &found, &error), ERR_NOT_FOUND);
    assert_non_null(strstr(error.text, "smollm2:135m"));
    models_deinit(&m);
}

static void long_and_strange_names_are_refused(void **state) {
    struct models m = {0};
    const struct models_entry *found;
    struct error error = {0};
    char name[5000];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    models_add(&m, "/a/b.gguf", 1, true);
    assert_int_equal(models_find(&m, name, &found, &error), ERR_NOT_FOUND);
    assert_int_equal(models_find(&m, "", &found, &error), ERR_NOT_FOUND);
    models_deinit(&m);
}

/* Every line of the catalog names something that can be pulled, and no two are called alike. */
static void the_catalog_can_be_pulled(void **state) {
    struct origin origin;
    for (const struct catalog_entry *e = catalog_table; e->name; e++) {
        assert_int_equal(origin_parse(&origin, e->name, NULL), 0);
        assert_true(origin.repo[0] && (origin.file[0] || origin.quant[0]));
        assert_ptr_equal(catalog_find(e->name), e);
        assert_true(e->licence[0] && e->summary[0]);
        assert_true(e->bytes > e->parameters / 4 && e->bytes < 2 * e->parameters && e->context >= 2048);
    }
    assert_int_equal(default_model()->token_bytes, 30 * 3 * (64 + 64) * 2);
    assert_int_equal(catalog_needs(default_model(), 100000, 2), 98362432 + 2ull * 8192 * 30 * 3 * 128 * 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_come_from_files),
        cmocka_unit_test(the_first_folder_wins),
        cmocka_unit_test(the_catalog_can_be_pulled),
        cmocka_unit_test(the_catalog_names_its_files),
        cmocka_unit_test(a_file_of_another_size_is_not_the_catalogs),
        cmocka_unit_test(near_names_are_suggested),
        cmocka_unit_test(long_and_strange_names_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
