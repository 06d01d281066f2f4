/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What tools/heap.c allocates, for who has to know. */
#ifndef SELFTESTS_HEAP_H
#define SELFTESTS_HEAP_H

/* plain(): 64 of malloc(), a large one, a calloc(). */
#define PLAIN_BYTES (85344ul + (3 << 20) + 77)

/* weighed(): of a size each, all told to stand for more. */
#define WEIGHED 100
#define WEIGHED_SIZE 1000ul
#define WEIGHT 524288ul

/* sampled(): sizes from 1 KiB to 2 MiB, in no order. */
#define SAMPLED 1600u
#define SAMPLED_SIZE(i) (1024ul + (i)*2654435761u % (2u << 20))

#endif
