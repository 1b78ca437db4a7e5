/* Model names: what a file is called, precedence of folders, the catalog, suggestions; and what a hub may say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "model/gguf_part.h"
#include "store/catalog.h"
#include "store/chunks.h"
#include "store/manifest.h"
#include "store/models.h"
#include "store/origin.h"
#include "wire/store.h"

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

/* ---- what a hub may say ---- */

static struct origin origin_of(const char *name) {
    struct origin o;
    assert_int_equal(origin_parse(&o, name, NULL), 0);
    return o;
}

static void folders_of_other_models_are_other_folders(void **state) {
    static const char *const names[] = {"a--b/c", "a/b--c", "a-/b", "a/-b", "hf.co/a/b/x/m.gguf",
                                        "hf.co/a/b/x--m.gguf"};
    char folders[6][ORIGIN_FOLDER_BYTES];
    for (size_t i = 0; i < 6; i++) {
        struct origin o = origin_of(names[i]);
        origin_folder(&o, folders[i]);
        for (size_t k = 0; k < i; k++) assert_string_not_equal(folders[i], folders[k]);
    }
    struct origin plain = origin_of("org/repo:Q4_K_M");
    origin_folder(&plain, folders[0]);
    assert_string_equal(folders[0], "org--repo=Q4_K_M");
}

/* A list as long as it may be, of which one name promises as many parts as there can be. */
static void a_file_of_many_parts_is_judged_quickly(void **state) {
    struct listing l = {.files = calloc(LISTING_FILES_MAX, sizeof *l.files), .count = LISTING_FILES_MAX};
    struct origin o = origin_of("org/repo");
    struct error error = {0};
    for (size_t i = 0; i < l.count; i++)
        snprintf(l.files[i].path, sizeof l.files[i].path, "m-Q8_0-%05zu-of-99999.gguf", i < 7 ? i + 1 : i + 2);
    clock_t begin = clock();
    assert_int_equal(listing_choose(&l, &o, &error), ERR_NOT_FOUND);
    assert_true(clock() - begin < 5 * CLOCKS_PER_SEC);
    assert_non_null(strstr(error.text, "only 20000 of its 99999 parts are there, part 8 is missing"));
    listing_deinit(&l);
}

static void files_do_not_take_the_manifests_place(void **state) {
    static const char json[] = "[{\"type\": \"file\", \"path\": \"x/Manifest.json\", \"size\": 5}]";
    struct listing l = {0};
    struct manifest m = {0};
    assert_int_equal(listing_read(&l, json, strlen(json), NULL), 0);
    assert_int_equal(l.count, 1);
    assert_int_equal(manifest_take_files(&m, &l, NULL), ERR_INVALID);
    manifest_deinit(&m);
}

static void a_map_fits_into_a_message(void **state) {
    struct chunks c;
    assert_int_equal(chunks_init(&c, CHUNKS_FILE_BYTES_MAX, CHUNKS_BYTES_MAX), 0);
    assert_true(chunks_map_bytes(&c) <= WIRE_STORE_MAP_BYTES_MAX);
    chunks_deinit(&c);
    assert_int_equal(chunks_init(&c, CHUNKS_FILE_BYTES_MAX + 1, CHUNKS_BYTES_MAX), ERR_LIMIT);
}

static void names_of_parts(void **state) {
    unsigned part = 0, count = 0;
    assert_true(gguf_part("/x-00001-of-00002.gguf/m-00002-of-00005.gguf", &part, &count));
    assert_true(part == 2 && count == 5);
    static const char *const others[] = {"m.gguf", "-00001-of-00002.gguf", "m-00000-of-00002.gguf",
                                         "m-00003-of-00002.gguf", "m-0001-of-00002.gguf",
                                         "m-00001-of-00002.gguf/m.gguf", "m-00001_of-00002.gguf",
                                         "m-00001-of-00002.ggufx"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) assert_false(gguf_part(others[i], &part, &count));
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
        cmocka_unit_test(folders_of_other_models_are_other_folders),
        cmocka_unit_test(a_file_of_many_parts_is_judged_quickly),
        cmocka_unit_test(files_do_not_take_the_manifests_place),
        cmocka_unit_test(a_map_fits_into_a_message),
        cmocka_unit_test(names_of_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
