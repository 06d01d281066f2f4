# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash disable=SC2154,SC2034
# The part "faults" of selftests/bench/run, which sources this: what the page fault probe adds to a
# minor fault, beside bpftrace on the same hooks. All of them trace the whole machine.

touch=build/selftests/bench/touch
touch_pages=2000 touch_loops=100

faults_keys=(ours latency_off filtered bpftrace bpftrace_latency)
declare -A faults_of=() # median, least, most
declare -A faults_label=(
	[none]='writing to a fresh page, not added'
	[ours]='otelbpf load faults'
	[latency_off]='the same without times, faults.latency=0'
	[filtered]='with a filter that the loop does not pass'
	[bpftrace]='bpftrace, software:minor-faults:1, count by cgroup'
	[bpftrace_latency]='and the start of each fault, by thread'
)

touch_ns() { timeout 60 $touch $touch_pages "$cpu" $touch_loops; }

load_faults()
{
	timeout 60 build/otelbpf --pin-dir $pins -q load build/progs/faults.bpf.o "$@" >"$log" 2>&1 ||
		{ why=$(tail -n 1 "$log"); return 1; }
}

# bpftrace says when it has attached.
trace_faults()
{
	command -v bpftrace >/dev/null || { why='bpftrace is not installed'; return 1; }
	timeout -k 2 120 bpftrace -e "$1 BEGIN { printf(\"attached\\n\"); }" </dev/null >"$log" 2>&1 &
	tracer=$!
	for _ in {1..100}; do
		grep -q '^attached' "$log" && { sleep 0.3; return 0; }
		kill -0 $tracer 2>/dev/null || break
		sleep 0.1
	done
	why="bpftrace: $(grep -v '^$' "$log" | tail -n 1 | cut -c 1-100)"
	end $tracer
	tracer=''
	return 1
}

faults_count='software:minor-faults:1 { @minor[cgroup] = count(); } software:major-faults:1 { @major[cgroup] = count(); }'
faults_start='tracepoint:exceptions:page_fault_user { @start[tid] = nsecs; }'

start_faults()
{
	case $1 in
	ours) load_faults ;;
	latency_off) load_faults --set faults.latency=0 ;;
	filtered) load_faults --filter comm=nobody ;;
	bpftrace) trace_faults "$faults_count" ;;
	bpftrace_latency) trace_faults "$faults_count $faults_start" ;;
	esac
}

measure_faults()
{
	say "faults"
	measure_in_turn faults touch_ns start_faults
}

print_faults()
{
	printf 'Page faults: added to each minor fault of a loop on CPU %s, ns\n\n' "$cpu"
	print_in_turn faults
}

footer_faults()
{
	cat <<-EOT
	Page faults: medians of $rounds rounds, each measurement between two of the loop alone; of $touch_loops loops of
	$touch_pages pages the lower quartile, and of three of those the least.
	EOT
}
