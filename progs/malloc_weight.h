/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sampling by bytes without bias.
 *
 * Imagine a Poisson process on the bytes that a thread allocates, one point in @rate bytes on
 * average. An allocation of s bytes is sampled if a point falls on it, which has the probability
 * 1 - e^(-s/rate). A sampled one stands for s / (1 - e^(-s/rate)) bytes and as many objects
 * as s goes into that, so that sums are what they would be if each was counted.
 *
 * Fixed point, as BPF has no other. Also compiled natively, by a test that compares it with
 * libm's.
 */
#ifndef MALLOC_WEIGHT_H
#define MALLOC_WEIGHT_H

#define RATE_MAX (1U << 30)
#define ONE (1ULL << 32)

/**
 * weight__distance - bytes to the next point: exponentially distributed, mean @rate
 * @rate:   1 to RATE_MAX
 * @random: 32 random bits
 *
 * -ln(U) * rate. The logarithm of the mantissa comes bit by bit: squared, it has passed 2
 * if the bit is set. Without a branch: the verifier would follow each way.
 */
static __attribute__((always_inline)) inline __u64 weight__distance(__u32 rate, __u32 random)
{
	__u64 mantissa = random ? random : 1, logarithm = 31, passed, ln;

	for (int i = 0; i < 5; i++) {
		/* All bits are set if it is below 2^(32 - 16), 2^(32 - 8), ... */
		__u64 below = -((mantissa - (1ULL << (32 - (16 >> i)))) >> 63);

		mantissa <<= (16 >> i) & below;
		logarithm -= (16 >> i) & below;
	}
	for (int i = 0; i < 16; i++) {
		mantissa = (mantissa * mantissa) >> 31;
		passed = mantissa >> 32;
		mantissa >>= passed;
		logarithm = logarithm << 1 | passed;
	}
	ln = ((32ULL << 16) - logarithm) * 2977044472 >> 32; /* 2^32 * ln(2) */
	return (__u64)rate * ln >> 16;
}

/**
 * weight__bytes - how many bytes a sampled allocation stands for
 * @size: at least 1
 * @rate: 1 to RATE_MAX
 *
 * With x = s/rate it is rate * x / (1 - e^-x). Below 1 by that function's series, whose
 * coefficients are Bernoulli's numbers; then with e^-x = (e^(-x/32))^32.
 */
static __attribute__((always_inline)) inline __u64 weight__bytes(__u64 size, __u32 rate)
{
	__u64 x, y, e, term, x2;

	if (size >= 24ULL * rate)
		return size; /* e^-24: less than a byte in 10 GB */
	if (size < rate) {
		x = (size << 32) / rate;
		x2 = x * x >> 32;
		term = ONE + x / 2 + x2 / 12;
		y = x2 * x2 >> 32;
		term -= y / 720;
		y = y * x2 >> 32;
		term += y / 30240;
		y = y * x2 >> 32;
		term -= y / 1209600;
		return (__u64)rate * term >> 32;
	}
	y = (size << 27) / rate; /* x/32 in 2^-32: below 0.75 */
	e = ONE;
	term = ONE;
	for (int i = 1; i <= 8; i++) {
		term = (term * y >> 32) / i;
		e = i & 1 ? e - term : e + term;
	}
	for (int i = 0; i < 5; i++)
		e = e * e >> 32;
	return size + (size * ((e << 28) / (ONE - e)) >> 28);
}

/**
 * weight__objects - how many allocations one stands for
 * @size:   of it, at least 1
 * @bytes:  weight__bytes()
 * @random: 16 random bits decide about the fraction
 */
static __attribute__((always_inline)) inline __u64 weight__objects(__u64 size, __u64 bytes,
								   __u32 random)
{
	if (bytes >> 47)
		return 1;
	return ((bytes << 16) / size + (random & 0xffff)) >> 16;
}

#endif
