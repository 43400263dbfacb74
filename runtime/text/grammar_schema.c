/* JSON schemas to a tree. */
#include "grammar_tree.h"

void schema_parse(grammar_tree *t, const char *json, size_t n) {
    (void)json;
    (void)n;
    tree_fail(t, LEAT_E_UNSUPPORTED, "JSON schemas are not supported yet");
}
