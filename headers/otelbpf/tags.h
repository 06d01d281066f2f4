/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The vocabulary: what a map means, written where the map is declared.
 *
 * Every macro here becomes a BTF declaration tag (clang >= 14, kernel >= 5.16),
 * a string that libbpf loads into the kernel with the object's types. A reader
 * finds it through bpf_map_info.btf_id, so a pinned map explains itself to
 * otelbpf-exporter, and to bpftool btf dump.
 *
 * A tag is "otel:WORD" followed by arguments, each after a '|'. Arguments hold
 * no '|', no control character, and are written as string literals.
 */
#ifndef OTELBPF_TAGS_H
#define OTELBPF_TAGS_H

#define OTEL_TAG(text) __attribute__((btf_decl_tag("otel:" text)))

/**
 * OTEL_METRICS - mark a map as a metric table
 *
 * Goes behind SEC(".maps"). Each entry of the map is one data point for each
 * instrument of its value struct; the key struct's tagged members are the
 * attributes. Hash and array maps, shared or per-CPU (summed by the exporter).
 *
 * A hash table's key of which every byte is 0xff is the overflow entry
 * (see otel_table__get()): exported with otel.metric.overflow=true.
 */
#define OTEL_METRICS OTEL_TAG("metrics")

/**
 * OTEL_ATTR - make a member of a key struct an attribute
 * @name:    attribute name, a string literal
 * @decoder: how the number becomes what a person reads, a bare word:
 *           number, string, bool, syscall, errno, enum, uid, pid, comm,
 *           ipaddr, port, ifindex, cgroup, or kenum:TYPE
 *
 * Members without a tag are not exported; make explicit padding so, and zero it.
 */
#define OTEL_ATTR(name, decoder) OTEL_TAG("attr|" name "|" #decoder)

/**
 * OTEL_UNSET - beside OTEL_ATTR(): leave the attribute out where all bytes are zero
 *
 * For what a point may have or not: an error, or an address that only an option asks for.
 */
#define OTEL_UNSET OTEL_TAG("unset")

/**
 * OTEL_CURRENT - what a table tells is there now; behind OTEL_METRICS
 *
 * For an updown count of things that come and go. While no program is attached they do
 * so unseen, so the loader empties the table before it attaches again, and an iterator
 * program counts afresh what is there. Also on a map that is no table and says what such a
 * table's counts are made of.
 */
#define OTEL_CURRENT OTEL_TAG("current")

/**
 * OTEL_HOOK - make a program one of several for the same measurement
 * @measurement: its name, a string literal; what a kernel without any loses
 * @rank:        programs of equal rank belong together; the lowest rank of which this
 *               kernel has every hook is loaded, the others are not
 *
 * Stands before SEC("?..."). A program without this tag has to have its hook.
 */
#define OTEL_HOOK(measurement, rank) OTEL_TAG("hook|" measurement "|" #rank)

/**
 * OTEL_WHEN - make a program, or a map, one that is there only when it is asked for
 * @option: a bare word, the OTEL_OPTION() that says so when it is not 0
 *
 * Stands before SEC() of a program, behind that of a map, whose uses then stand behind
 * if (option): the verifier never sees them otherwise. For what costs more than its measurement is
 * worth to most: a program that is not attached costs nothing, one that returns at once still costs
 * the call.
 */
#define OTEL_WHEN(option) OTEL_TAG("when|" #option)

/**
 * OTEL_KEY - make the whole key of a map an attribute; behind OTEL_METRICS
 * @name:    attribute name
 * @decoder: as for OTEL_ATTR()
 *
 * For array maps, whose key is an index and no struct.
 */
#define OTEL_KEY(name, decoder) OTEL_TAG("key|" name "|" #decoder)

/**
 * OTEL_WITH - give an instrument a constant attribute
 * @name:  attribute name
 * @value: its value, a string literal
 *
 * Lets several members of one value struct be points of one metric.
 */
#define OTEL_WITH(name, value) OTEL_TAG("with|" name "|" value)

/**
 * OTEL_RESOURCE - make a member of a key struct select the points' Resource
 * @decoder: cgroup (a cgroup v2 id, as bpf_get_current_cgroup_id() gives it), or, in
 *           a profile table, process (a struct otel_process_id, profile.bpf.h)
 */
#define OTEL_RESOURCE(decoder) OTEL_TAG("resource|" #decoder)

/**
 * OTEL_SUM - a monotonic sum: a member that only grows
 * @name: metric name
 * @unit: UCUM unit, for instance "By", "s", "{call}"
 * @desc: one sentence
 *
 * The member is an integer of 4 or 8 bytes; per-CPU copies are added.
 */
#define OTEL_SUM(name, unit, desc) OTEL_TAG("sum|" name "|" unit "|" desc)

/** OTEL_UPDOWN - a sum that also falls; a signed member. See OTEL_SUM(). */
#define OTEL_UPDOWN(name, unit, desc) OTEL_TAG("updown|" name "|" unit "|" desc)

/** OTEL_GAUGE - a last value; in a per-CPU map the sum over CPUs. See OTEL_SUM(). */
#define OTEL_GAUGE(name, unit, desc) OTEL_TAG("gauge|" name "|" unit "|" desc)

/**
 * OTEL_SCALE - multiply a number on its way out
 * @factor: decimal, for instance "1e-9" for nanoseconds in a metric of unit s
 */
#define OTEL_SCALE(factor) OTEL_TAG("scale|" factor)

/**
 * OTEL_HISTOGRAM - an explicit-bucket histogram
 * @name:   metric name
 * @unit:   UCUM unit
 * @desc:   one sentence
 * @bounds: ascending upper bounds (inclusive), comma separated: "1,2,5,10"
 *
 * The member is an array of __u64 counts, one more than there are bounds.
 */
#define OTEL_HISTOGRAM(name, unit, desc, bounds) \
	OTEL_TAG("histogram|" name "|" unit "|" desc "|" bounds)

/**
 * OTEL_EXPHIST - an exponential histogram
 * @name: metric name
 * @unit: UCUM unit; "s" for a struct exphist_s
 * @desc: one sentence
 *
 * The member is a struct exphist or struct exphist_s (exphist.bpf.h), or any
 * struct that tags its own buckets with OTEL_BUCKETS().
 */
#define OTEL_EXPHIST(name, unit, desc) OTEL_TAG("exphist|" name "|" unit "|" desc)

/**
 * OTEL_BUCKETS - describe the buckets array of an exponential histogram struct
 * @scale:  OTLP scale, decimal
 * @offset: OTLP bucket index of the array's first element, decimal
 * @factor: what one unit of the members sum, min and max is worth, decimal
 * @zero:   zero_threshold as a power of two exponent, or "none" for 0
 *
 * The struct's members count, sum, min, max and zero_count are found by name.
 */
#define OTEL_BUCKETS(scale, offset, factor, zero) \
	OTEL_TAG("buckets|" scale "|" offset "|" factor "|" zero)

/**
 * OTEL_PROFILE - mark a map as a profile table
 *
 * Goes behind SEC(".maps"). A hash map; each entry is one sample of the profile
 * that its value's OTEL_SAMPLES() member describes. The key has members tagged
 * OTEL_WINDOW, OTEL_STACK(), OTEL_RESOURCE(process) and, maybe, OTEL_TRACE;
 * OTEL_ATTR() members are attributes of the sample. Of several in a probe, all have the same key
 * and value; see OTEL_PROFILE_TABLES().
 */
#define OTEL_PROFILE OTEL_TAG("profile")

/**
 * OTEL_SAMPLES - the value of a profile's samples; of each such member another profile is made
 * @type:        sample type, for instance "samples" or "off_cpu"
 * @unit:        its unit, "count", "nanoseconds", "bytes"
 * @period_type: what is counted between two samples, "" for nothing
 * @period_unit: its unit
 *
 * The period is what the variable tagged OTEL_FREQUENCY makes of a second.
 */
#define OTEL_SAMPLES(type, unit, period_type, period_unit) \
	OTEL_TAG("samples|" type "|" unit "|" period_type "|" period_unit)

/**
 * OTEL_STATE - mark a map as a state that is shown as profiles
 *
 * Goes behind SEC(".maps"). A hash map of what is there now, in an object that has a profile table,
 * too: each of its OTEL_SAMPLES() members becomes a profile, summed over entries by process and
 * stack each time that is exported, and the entries stay. The key has a member tagged
 * OTEL_RESOURCE(process), the value OTEL_STACK(user) and, maybe, OTEL_SINCE and OTEL_ENDED.
 *
 * The program run that adds an entry has put its stack into the open window before. The
 * exporter then keeps that stack for as long as the entry is there.
 */
#define OTEL_STATE OTEL_TAG("state")

/** OTEL_SINCE - when an entry of a state was made: a __u64, ns on CLOCK_BOOTTIME */
#define OTEL_SINCE OTEL_TAG("since")

/**
 * OTEL_ENDED - a __u64 of a state's value that is not 0 once what the entry tells of has ended
 *
 * It is exported a last time, then the exporter deletes it.
 */
#define OTEL_ENDED OTEL_TAG("ended")

/** OTEL_FREQUENCY - the option that says how often a second a perf_event program samples */
#define OTEL_FREQUENCY OTEL_TAG("frequency")

/**
 * OTEL_HARDWARE - the option that lets a perf_event program sample by the CPU's cycles
 *
 * 0: by the kernel's clock. Otherwise by the cycle counter; on a machine that has none the
 * loader says so and takes the clock.
 */
#define OTEL_HARDWARE OTEL_TAG("hardware")

/**
 * OTEL_SOFTWARE - which of the kernel's software events runs a SEC("perf_event") program, each
 * time that it happens; before the program
 * @event: page-faults-min or page-faults-maj, a string literal
 *
 * Without it the program samples a clock.
 */
#define OTEL_SOFTWARE(event) OTEL_TAG("software|" event)

/** OTEL_WINDOW - the key member with the number of the window that a sample belongs to */
#define OTEL_WINDOW OTEL_TAG("window")

/**
 * OTEL_STACK - a key member with the hash of a stack
 * @side: user or kernel, a bare word: which of the stack table's maps has it
 */
#define OTEL_STACK(side) OTEL_TAG("stack|" #side)

/**
 * OTEL_TRACE - the key member with the trace context of a sample, a struct otel_trace
 *
 * Trace id and span id, 16 and 8 bytes; all zero: none. It becomes the sample's link.
 */
#define OTEL_TRACE OTEL_TAG("trace")

/**
 * OTEL_SPAN - make the records of a ring spans; see OTEL_EVENTS() (event.bpf.h)
 * @name: name of the span, or what stands before the member tagged OTEL_NAME
 * @kind: internal, server, client, producer or consumer, a bare word
 *
 * Members of the record are attributes by OTEL_ATTR() and OTEL_UNSET.
 */
#define OTEL_SPAN(name, kind) OTEL_TAG("span|" name "|" #kind)

/**
 * OTEL_LOG - make the records of a ring log records
 * @name:     EventName: what kind of event it is
 * @severity: OTLP's SeverityNumber, 1 to 24: 9 is INFO, 13 WARN, 17 ERROR
 * @body:     one sentence
 */
#define OTEL_LOG(name, severity, body) OTEL_TAG("log|" name "|" #severity "|" body)

/** OTEL_EVENT - the first member of a record, a struct otel_event */
#define OTEL_EVENT OTEL_TAG("event")

/** OTEL_NAME - beside OTEL_ATTR(): the value is the last word of the span's name */
#define OTEL_NAME OTEL_TAG("name")

/**
 * OTEL_KIND - a member of a span's record that says its kind, where OTEL_SPAN() does not
 *
 * An integer of 4 bytes with a number of OTLP's SpanKind: 2 server, 3 client. 0: as OTEL_SPAN()
 * says.
 */
#define OTEL_KIND OTEL_TAG("kind")

/** OTEL_ERROR - beside OTEL_ATTR(): where it is not zero the span has failed */
#define OTEL_ERROR OTEL_TAG("error")

/**
 * OTEL_SHARED - mark a map as one that other tools use, too
 * @name: its name at the root of bpffs, a string literal
 *
 * The loader takes the map that is pinned there under this name, whoever made it, and
 * pins one if there is none. Type and sizes of key and value have to be as declared.
 * Unloading the probe leaves it.
 */
#define OTEL_SHARED(name) OTEL_TAG("shared|" name)

/**
 * OTEL_OPTION - make a const volatile variable an option of the probe
 * @range: "MIN..MAX", decimal integers; of a char array the length of the text
 * @unit:  unit or ""
 * @help:  one sentence
 *
 * otelbpf load --set PROBE.VARIABLE=VALUE; listed by otelbpf options.
 */
#define OTEL_OPTION(range, unit, help) OTEL_TAG("option|" range "|" unit "|" help)

/**
 * OTEL_INTERFACES - the option that says which network interfaces XDP and tc programs are
 * attached to
 *
 * On a const volatile char array that is an OTEL_OPTION(), too, whose range is then the
 * length of the text. Names with * ? [ ] as in a shell, separated by commas; a name behind
 * a '!' is left out. "eth*,veth-a,!eth9", or "!lo" for all but one.
 */
#define OTEL_INTERFACES OTEL_TAG("interfaces")

/**
 * OTEL_XDP_MODE - the option that says how XDP programs are attached
 *
 * A char array like OTEL_INTERFACES: "auto", "native", "generic", or "none" for not at
 * all, so that a program OTEL_TC(ingress_without_xdp) takes its place.
 */
#define OTEL_XDP_MODE OTEL_TAG("xdp_mode")

/**
 * OTEL_TC - which packets of an interface a SEC("tc") program gets; before the program
 * @direction: a bare word: ingress, egress, or ingress_without_xdp: on those interfaces
 *             only that could not get the XDP programs of the same object
 */
#define OTEL_TC(direction) OTEL_TAG("tc|" #direction)

/**
 * OTEL_HOME_NETNS - a const volatile __u32 that the loader sets to its network namespace
 *
 * The inode of /proc/self/ns/net. An ifindex means something in one namespace only.
 */
#define OTEL_HOME_NETNS OTEL_TAG("home_netns")

/** OTEL_PAGE_SIZE - a const volatile __u32 that the loader sets to the size of a page, in bytes */
#define OTEL_PAGE_SIZE OTEL_TAG("page_size")

/** OTEL_MEMORY_PAGES - the same of the machine's memory and swap together, in pages */
#define OTEL_MEMORY_PAGES OTEL_TAG("memory_pages")

/**
 * OTEL_FILTER_SET - a set of small numbers as a filter that changes at run time
 * @decoder: the decoder whose names are the set's members, a bare word; also
 *           the kind on the command line: otelbpf filter add KIND NAME
 *
 * Goes on a __u64 array in SEC(".data.filter"): bit N set means N passes. The
 * program looks at it only while otel_filter.flags has OTEL_FILTER_F_SET.
 */
#define OTEL_FILTER_SET(decoder) OTEL_TAG("set|" #decoder)

#endif
