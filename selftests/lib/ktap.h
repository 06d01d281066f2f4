/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A test harness that speaks KTAP version 1, which prove(1) reads too.
 *
 *	TEST(adds_up)
 *	{
 *		EXPECT_EQ(1 + 1, 2);
 *	}
 *	TEST_MAIN()
 *
 * Each test runs in a child process with a process group of its own, so that a crash, a hang or
 * a process left behind is that test's failure and no other's. Its output is kept and printed as
 * comments when the test did not pass, or with -v.
 *
 *	PROGRAM [-v] [-l] [GLOB]…	-v: print all output; -l: list tests; GLOB: select by name
 *	PROGRAM -a			status 0: wants to run alone, see TEST_MAIN_ALONE()
 *
 * A test whose name starts with an underscore runs only when a GLOB starting so selects it.
 * KTAP_TIMEOUT_FACTOR=N in the environment multiplies every time limit, for emulated machines.
 * Exit code: 0 all passed or were skipped, 1 something failed, 2 usage.
 */
#ifndef SELFTESTS_KTAP_H
#define SELFTESTS_KTAP_H

#include <stdbool.h>
#include <stddef.h>

#define KTAP_TIMEOUT_DEFAULT 30 /* s */

/**
 * TEST() - define a test with the default time limit of 30 s
 * @name: a C identifier, unique in the program; tests run in the order of their definitions
 *
 * The body follows. Returning from it ends the test; so does a failed ASSERT_*() or a SKIP() in
 * any function that it calls.
 */
#define TEST(name) TEST_TIMEOUT(name, KTAP_TIMEOUT_DEFAULT)

/**
 * TEST_TIMEOUT() - define a test with a time limit of its own
 * @name: as for TEST()
 * @seconds: after this long the test's process group is killed and the test has failed
 */
#define TEST_TIMEOUT(name, seconds)                                                             \
	static void ktap_test_##name(void);                                                     \
	static struct ktap_test ktap_entry_##name = {#name, ktap_test_##name, (seconds), NULL}; \
	static void __attribute__((constructor)) ktap_register_##name(void)                     \
	{                                                                                       \
		ktap__register(&ktap_entry_##name);                                             \
	}                                                                                       \
	static void ktap_test_##name(void)

/**
 * TEST_MAIN() - define main(), which runs the tests of this program
 */
#define TEST_MAIN()                            \
	int main(int argc, char **argv)        \
	{                                      \
		return ktap__main(argc, argv); \
	}

/**
 * TEST_MAIN_ALONE() - the same for a program that selftests/run has to run beside no other
 *
 * For those that compare times: samples with CPU time, say. What only waits, within generous
 * limits, runs beside others.
 */
#define TEST_MAIN_ALONE()                      \
	int main(int argc, char **argv)        \
	{                                      \
		ktap__alone();                 \
		return ktap__main(argc, argv); \
	}

/**
 * SKIP() - end the test as skipped
 * @...: the reason, printf-like
 *
 * A test that has already failed stays failed.
 */
#define SKIP(...) ktap__skip(__VA_ARGS__)

/** ktap__factor - KTAP_TIMEOUT_FACTOR, for time limits of a test's own; 1 without it */
unsigned int ktap__factor(void);

/**
 * EXPECT_EQ() - demand a == b, and go on if it is not so
 * @a: integer, floating point number, bool or pointer; evaluated once. Not a bit-field: cast it.
 * @b: likewise; the types may differ, numbers are compared by value: -1 is not UINT_MAX
 *
 * A failure prints file, line and both values. The same holds for EXPECT_NE(), EXPECT_LT(),
 * EXPECT_LE(), EXPECT_GT() and EXPECT_GE().
 *
 * Return: true if the relation holds.
 */
#define EXPECT_EQ(a, b) KTAP_COMPARE("EXPECT_EQ", KTAP_EQ, a, b, #a, #b, false)
#define EXPECT_NE(a, b) KTAP_COMPARE("EXPECT_NE", KTAP_NE, a, b, #a, #b, false)
#define EXPECT_LT(a, b) KTAP_COMPARE("EXPECT_LT", KTAP_LT, a, b, #a, #b, false)
#define EXPECT_LE(a, b) KTAP_COMPARE("EXPECT_LE", KTAP_LE, a, b, #a, #b, false)
#define EXPECT_GT(a, b) KTAP_COMPARE("EXPECT_GT", KTAP_GT, a, b, #a, #b, false)
#define EXPECT_GE(a, b) KTAP_COMPARE("EXPECT_GE", KTAP_GE, a, b, #a, #b, false)

/**
 * EXPECT_TRUE() - demand that a value is not zero, and go on if it is
 * @a: integer, bool or pointer; EXPECT_FALSE() is the opposite
 *
 * Return: true if it is as expected.
 */
#define EXPECT_TRUE(a) KTAP_TRUTH("EXPECT_TRUE", true, a, #a, false)
#define EXPECT_FALSE(a) KTAP_TRUTH("EXPECT_FALSE", false, a, #a, false)

/**
 * EXPECT_STREQ() - demand that two strings are equal, and go on if they are not
 * @a: string or NULL; NULL equals NULL only
 * @b: likewise; EXPECT_STRNE() is the opposite
 *
 * Return: true if it is as expected.
 */
#define EXPECT_STREQ(a, b) KTAP_STRINGS("EXPECT_STREQ", KTAP_EQ, a, b, #a, #b, false)
#define EXPECT_STRNE(a, b) KTAP_STRINGS("EXPECT_STRNE", KTAP_NE, a, b, #a, #b, false)

/**
 * ASSERT_EQ() - demand a == b, and end the test if it is not so
 * @a: as for EXPECT_EQ()
 * @b: as for EXPECT_EQ()
 *
 * Each EXPECT_*() has its ASSERT_*(). The process ends at once, without cleanup handlers; the
 * harness kills what else is in the process group.
 */
#define ASSERT_EQ(a, b) KTAP_COMPARE("ASSERT_EQ", KTAP_EQ, a, b, #a, #b, true)
#define ASSERT_NE(a, b) KTAP_COMPARE("ASSERT_NE", KTAP_NE, a, b, #a, #b, true)
#define ASSERT_LT(a, b) KTAP_COMPARE("ASSERT_LT", KTAP_LT, a, b, #a, #b, true)
#define ASSERT_LE(a, b) KTAP_COMPARE("ASSERT_LE", KTAP_LE, a, b, #a, #b, true)
#define ASSERT_GT(a, b) KTAP_COMPARE("ASSERT_GT", KTAP_GT, a, b, #a, #b, true)
#define ASSERT_GE(a, b) KTAP_COMPARE("ASSERT_GE", KTAP_GE, a, b, #a, #b, true)
#define ASSERT_TRUE(a) KTAP_TRUTH("ASSERT_TRUE", true, a, #a, true)
#define ASSERT_FALSE(a) KTAP_TRUTH("ASSERT_FALSE", false, a, #a, true)
#define ASSERT_STREQ(a, b) KTAP_STRINGS("ASSERT_STREQ", KTAP_EQ, a, b, #a, #b, true)
#define ASSERT_STRNE(a, b) KTAP_STRINGS("ASSERT_STRNE", KTAP_NE, a, b, #a, #b, true)

/* --- what the macros above are made of ------------------------------------------------------- */

struct ktap_test {
	const char *name;
	void (*run)(void);
	unsigned int timeout; /* s */
	struct ktap_test *next;
};

enum ktap_op { KTAP_EQ, KTAP_NE, KTAP_LT, KTAP_LE, KTAP_GT, KTAP_GE };

struct ktap_value {
	enum { KTAP_SIGNED, KTAP_UNSIGNED, KTAP_FLOAT, KTAP_POINTER, KTAP_BOOL } kind;
	union {
		long long i;
		unsigned long long u; /* also pointers and bool */
	};
	long double f;
};

struct ktap_place {
	const char *file;
	int line;
	const char *macro;
	bool fatal;
};

struct ktap_value ktap__signed(long long v);
struct ktap_value ktap__unsigned(unsigned long long v);
struct ktap_value ktap__float(long double v);
struct ktap_value ktap__bool(bool v);
struct ktap_value ktap__pointer(const volatile void *v);

bool ktap__compare(struct ktap_place at, enum ktap_op op, const char *a_text, const char *b_text,
		   struct ktap_value a, struct ktap_value b);
bool ktap__truth(struct ktap_place at, bool want, const char *text, struct ktap_value v);
bool ktap__strings(struct ktap_place at, enum ktap_op op, const char *a_text, const char *b_text,
		   const char *a, const char *b);
void ktap__skip(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
void ktap__register(struct ktap_test *test);
void ktap__alone(void);
int ktap__main(int argc, char **argv);

/* clang-format off */
#define KTAP_VALUE(x)                                                                              \
	_Generic((x),                                                                              \
		bool: ktap__bool,                                                                  \
		char: ktap__signed, signed char: ktap__signed, short: ktap__signed,                \
		int: ktap__signed, long: ktap__signed, long long: ktap__signed,                    \
		unsigned char: ktap__unsigned, unsigned short: ktap__unsigned,                     \
		unsigned int: ktap__unsigned, unsigned long: ktap__unsigned,                       \
		unsigned long long: ktap__unsigned,                                                \
		float: ktap__float, double: ktap__float, long double: ktap__float,                 \
		default: ktap__pointer)(x)
/* clang-format on */

#define KTAP_PLACE(macro, fatal) ((struct ktap_place){__FILE__, __LINE__, macro, fatal})

/* The variables evaluate each argument once, and turn arrays into pointers. */
#define KTAP_COMPARE(macro, op, a, b, a_text, b_text, fatal)                                    \
	({                                                                                      \
		__auto_type ktap_a = (a);                                                       \
		__auto_type ktap_b = (b);                                                       \
		ktap__compare(KTAP_PLACE(macro, fatal), op, a_text, b_text, KTAP_VALUE(ktap_a), \
			      KTAP_VALUE(ktap_b));                                              \
	})

#define KTAP_TRUTH(macro, want, a, a_text, fatal)                                        \
	({                                                                               \
		__auto_type ktap_a = (a);                                                \
		ktap__truth(KTAP_PLACE(macro, fatal), want, a_text, KTAP_VALUE(ktap_a)); \
	})

#define KTAP_STRINGS(macro, op, a, b, a_text, b_text, fatal) \
	ktap__strings(KTAP_PLACE(macro, fatal), op, a_text, b_text, a, b)

#endif /* SELFTESTS_KTAP_H */
