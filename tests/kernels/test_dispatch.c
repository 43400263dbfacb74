/* The kernel table: names, order, completeness, and what is refused. */
#include "support.h"

#include "kernels/cpu.h"

static void c_comes_first_and_names_are_those_of_isa_def(test *t) {
    static const char *const known[] = {
#define X(name, architecture, needs) #name,
#include "kernels/isa.def"
#undef X
    };
    CHECK_STR(t, kernels_isa(0), "c");
    size_t at = 0;
    for (size_t i = 0; kernels_isa(i); i++) { /* a subsequence of isa.def */
        while (at < sizeof known / sizeof *known && strcmp(known[at], kernels_isa(i)) != 0) at++;
        REQUIRE(t, at++ < sizeof known / sizeof *known);
    }
    CHECK(t, kernels_isa(100) == NULL);
}

static void every_set_has_every_kernel(test *t) {
    kernels k;
    for (size_t i = 0; kernels_isa(i); i++) {
        REQUIRE(t, kernels_init(&k, kernels_isa(i)));
        CHECK_STR(t, k.isa, kernels_isa(i));
#define W(name, NAME, act, panel)                                                                            \
    CHECK(t, k.decode[FORMAT_##NAME] && k.matvec[FORMAT_##NAME] && k.unpack[FORMAT_##NAME]);
#define P(name, KIND)                                                                                        \
    CHECK(t, k.panel_mul[KIND] && k.panel_rows[KIND] && k.panel_tokens[KIND]);                               \
    CHECK(t, k.peak[KIND] && k.peak[KIND](3) == 3 * k.peak[KIND](1));
#define D(name, NAME) CHECK(t, k.decode[FORMAT_##NAME] != NULL);
#define E(name, NAME) CHECK(t, k.decode[FORMAT_##NAME] && k.encode[FORMAT_##NAME]);
#define O(name)       CHECK(t, k.name != NULL);
#include "kernels/kernels.def"
#undef W
#undef P
#undef D
#undef E
#undef O
    }
}

static void the_default_is_the_highest(test *t) {
    kernels k;
    const char *highest = NULL;
    for (size_t i = 0; kernels_isa(i); i++) highest = kernels_isa(i);
    REQUIRE(t, kernels_init(&k, NULL));
    CHECK_STR(t, k.isa, highest);
}

static void what_it_does_not_know_is_refused(test *t) {
    kernels k, before;
    memset(&k, 0x5a, sizeof k);
    memcpy(&before, &k, sizeof k);
    CHECK(t, !kernels_init(&k, "mmx"));
    CHECK(t, !kernels_init(&k, ""));
    CHECK(t, !kernels_init(&k, "AVX2"));
    CHECK(t, memcmp(&k, &before, sizeof k) == 0);
}

static void traits_are_those_of_kernels_def(test *t) {
    size_t computable = 0;
    kernels k;
    REQUIRE(t, kernels_init(&k, "c"));
    for (uint32_t id = 0; id < FORMAT_COUNT; id++) {
        weight_traits w = kernels_traits(id);
        CHECK_EQ(t, w.act == ACT_COUNT, w.panel == PANEL_COUNT);
        CHECK_EQ(t, w.act == ACT_COUNT, k.matvec[id] == NULL);
        computable += w.act != ACT_COUNT;
    }
    static const uint32_t listed[] = {
#define W(name, NAME, act, panel) FORMAT_##NAME,
#include "kernels/kernels.def"
#undef W
    };
    CHECK_EQ(t, computable, sizeof listed / sizeof *listed);
    CHECK_EQ(t, kernels_traits(FORMAT_Q6_K).act, ACT_Q8_256);
    CHECK_EQ(t, kernels_traits(FORMAT_Q4_1).panel, PANEL_Q8_32_MIN);
    CHECK_EQ(t, kernels_traits(UINT32_MAX).act, ACT_COUNT);
}

/* The bundle named CPU_AVX512 promises the smaller sets. */
static void flags_are_consistent(test *t) {
    uint32_t flags = cpu_flags(), base = CPU_AVX2 | CPU_FMA | CPU_F16C;
    CHECK(t, !(flags & CPU_AVX512) || (flags & base) == base);
    CHECK(t, !(flags & CPU_AVX_VNNI) || (flags & base) == base);
    CHECK(t, !(flags & (CPU_AVX512_VNNI | CPU_AVX512_VBMI)) || (flags & CPU_AVX512));
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    CHECK_EQ(t, (flags & CPU_AVX2) != 0, __builtin_cpu_supports("avx2") != 0);
    CHECK_EQ(t, (flags & CPU_FMA) != 0, __builtin_cpu_supports("fma") != 0);
    CHECK_EQ(t, (flags & CPU_AVX512_VNNI) != 0, __builtin_cpu_supports("avx512vnni") != 0);
#endif
}

/* On a CPU with a higher set but not all below it, the missing ones are passed over: their kernels are not in
 * the table, those of the sets around them are. */
static void a_missing_set_is_passed_over(test *t) {
#if defined(__x86_64__)
    const uint32_t avx2 = CPU_AVX2 | CPU_FMA | CPU_F16C, avx512 = avx2 | CPU_AVX512;
    const uint32_t server = avx512 | CPU_AVX512_VNNI | CPU_AVX512_VBMI;
    kernels plain, client, old, ice_lake, newest;
    REQUIRE(t, kernels_init_for(&plain, NULL, avx2));
    REQUIRE(t, kernels_init_for(&client, NULL, avx2 | CPU_AVX_VNNI));
    REQUIRE(t, kernels_init_for(&old, NULL, avx512));
    REQUIRE(t, kernels_init_for(&ice_lake, NULL, server));
    REQUIRE(t, kernels_init_for(&newest, NULL, server | CPU_AVX_VNNI));
    CHECK_STR(t, plain.isa, "avx2");
    CHECK_STR(t, client.isa, "avxvnni");
    CHECK_STR(t, old.isa, "avx512");
    CHECK_STR(t, ice_lake.isa, "avx512vnni");
    CHECK_STR(t, newest.isa, "avx512vnni");
    CHECK(t, client.matvec[FORMAT_Q4_0] != plain.matvec[FORMAT_Q4_0]);
    CHECK(t, client.matvec[FORMAT_F16] == plain.matvec[FORMAT_F16]);
    CHECK(t, old.matvec[FORMAT_Q4_0] == plain.matvec[FORMAT_Q4_0]);
    CHECK(t, old.panel_mul[PANEL_Q8_32] == plain.panel_mul[PANEL_Q8_32]);
    CHECK(t, ice_lake.matvec[FORMAT_Q4_0] == newest.matvec[FORMAT_Q4_0]);
    CHECK(t, ice_lake.panel_mul[PANEL_Q8_32] == newest.panel_mul[PANEL_Q8_32]);

    kernels k;
    CHECK(t, !kernels_init_for(&k, "avxvnni", server));
    CHECK(t, !kernels_init_for(&k, "avxvnni", CPU_AVX_VNNI)); /* every flag a set needs */
    REQUIRE(t, kernels_init_for(&k, "avx512", server | CPU_AVX_VNNI));
    CHECK(t, k.matvec[FORMAT_Q4_0] == client.matvec[FORMAT_Q4_0]); /* lower sets that the machine has */
    REQUIRE(t, kernels_init_for(&k, NULL, 0));
    CHECK_STR(t, k.isa, "c");
#else
    (void)t;
#endif
}

#define TESTS(X)                                                                                             \
    X(c_comes_first_and_names_are_those_of_isa_def)                                                          \
    X(every_set_has_every_kernel)                                                                            \
    X(the_default_is_the_highest)                                                                            \
    X(what_it_does_not_know_is_refused)                                                                      \
    X(a_missing_set_is_passed_over)                                                                          \
    X(traits_are_those_of_kernels_def)                                                                       \
    X(flags_are_consistent)
TEST_SUITE(TESTS)
