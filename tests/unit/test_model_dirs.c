/* Folders of models: precedence, paths, and what may be deleted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/model_dirs.h"
#include "os/dir.h"

static char root[64], home[128], extra[256];
static struct model_dirs *dirs;

static int make_root(void **state) {
    snprintf(root, sizeof root, "/tmp/caravan-models-XXXXXX");
    if (mkdtemp(root) == NULL) return -1;
    snprintf(home, sizeof home, "%s/home", root);
    snprintf(extra, sizeof extra, "%s/one::%s/none:%s/two", root, root, root);
    clearenv(); /* the caches of this machine's own programs */
    return model_dirs_new(&dirs, home, extra, NULL);
}

static int remove_root(void **state) {
    char command[128];
    model_dirs_free(dirs);
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static void put(const char *folder, const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, folder);
    assert_int_equal(dir_make(path, NULL), 0);
    snprintf(path, sizeof path, "%s/%s/%s", root, folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("GGUF", file);
    fclose(file);
}

static void assert_found(const char *name, const char *folder) {
    char path[MODEL_DIRS_PATH_BYTES], expected[256];
    assert_int_equal(model_dirs_find(dirs, name, false, path, NULL), 0);
    snprintf(expected, sizeof expected, "%s/%s/%s.gguf", root, folder, name);
    assert_string_equal(path, expected);
}

static void folders_in_order(void **state) {
    struct models models;
    put("two", "b.gguf");
    put("one", "b.gguf");
    put("one", "c.gguf");
    put("home/models", "c.gguf");
    put("two", "readme.md");
    assert_found("b", "one");
    assert_found("c", "home/models");
    assert_int_equal(model_dirs_scan(dirs, &models), 0);
    assert_int_equal(models.count, 2);
    models_deinit(&models);
}

static void paths_only_where_allowed(void **state) {
    char path[MODEL_DIRS_PATH_BYTES], file[256];
    struct error error = {0};
    put("elsewhere", "d.gguf");
    snprintf(file, sizeof file, "%s/elsewhere/d.gguf", root);
    assert_int_equal(model_dirs_find(dirs, file, true, path, NULL), 0);
    assert_string_equal(path, file);
    assert_int_equal(model_dirs_find(dirs, file, false, path, &error), ERR_NOT_FOUND);
    assert_int_equal(model_dirs_find(dirs, "/nowhere/d.gguf", true, path, &error), ERR_NOT_FOUND);
    assert_int_equal(model_dirs_find(dirs, "../elsewhere/d", false, path, &error), ERR_NOT_FOUND);
}

static void only_own_models_are_deleted(void **state) {
    struct error error = {0};
    char path[MODEL_DIRS_PATH_BYTES];
    put("home/models", "mine.gguf");
    put("one", "theirs.gguf");
    assert_int_equal(model_dirs_remove(dirs, "theirs", &error), ERR_DENIED);
    assert_found("theirs", "one");
    assert_int_equal(model_dirs_remove(dirs, "mine", &error), 0);
    assert_int_equal(model_dirs_find(dirs, "mine", false, path, &error), ERR_NOT_FOUND);
    assert_int_equal(model_dirs_remove(dirs, "mine", &error), ERR_NOT_FOUND);
}

static void no_folders_no_models(void **state) {
    struct models models;
    model_dirs_free(dirs);
    assert_int_equal(model_dirs_new(&dirs, home, NULL, NULL), 0);
    assert_int_equal(model_dirs_scan(dirs, &models), 0);
    assert_int_equal(models.count, 0);
    models_deinit(&models);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)
    const struct CMUnitTest tests[] = {
        TEST(folders_in_order),
        TEST(paths_only_where_allowed),
        TEST(only_own_models_are_deleted),
        TEST(no_folders_no_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
