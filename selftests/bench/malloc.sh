# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash disable=SC2154,SC2034
# The part "malloc" of selftests/bench/run, which sources this: what the malloc probe adds to a pair of
# malloc() and free(), beside what plain probes at the symbols cost, by a program of ours, by bpftrace
# and by bcc's memleak. All of them trace one process. Then what it adds where the program tells its pairs itself.

pairs_tool=build/selftests/bench/pairs pairs_probed_tool=build/selftests/bench/pairs_probed
memleak_tool=build/selftests/bench/memleak
pairs_pairs=200 pairs_loops=40 pairs_pid='' pairs_in='' pairs_out='' libc=''

malloc_keys=(ours every plain bpftrace memleak)
declare -A malloc_of=() # median, least, most
declare -A malloc_label=(
	[none]='a pair of malloc() and free(), not added'
	[ours]='otelbpf load malloc'
	[every]='with malloc.sample_bytes=1: every call'
	[plain]='plain entry and return probes, a hash of pointers'
	[bpftrace]='the same in bpftrace'
	[memleak]='memleak-bpfcc'
)

told_keys=(ours)
declare -A told_of=()
declare -A told_label=(
	[none]='a pair in a program that has USDT probes, not added'
	[ours]='otelbpf load malloc: a pair that it tells'
)

# start_pairs TOOL
start_pairs()
{
	rm -f "$tmp/pairs.in" "$tmp/pairs.out"
	mkfifo "$tmp/pairs.in" "$tmp/pairs.out"
	"$1" $pairs_pairs "$cpu" $pairs_loops <"$tmp/pairs.in" >"$tmp/pairs.out" &
	pairs_pid=$!
	exec {pairs_in}>"$tmp/pairs.in" {pairs_out}<"$tmp/pairs.out"
	libc=$(awk '$6 ~ /\/libc[.-]/ { print $6; exit }' /proc/$pairs_pid/maps)
	[ -n "$libc" ]
}

end_pairs()
{
	[ -n "$pairs_pid" ] || return 0
	exec {pairs_in}>&- {pairs_out}<&-
	end "$pairs_pid"
	pairs_pid=''
}

pair_ns()
{
	local ns

	echo >&"$pairs_in"
	read -r -t 60 ns <&"$pairs_out" && echo "$ns"
}

load_malloc()
{
	timeout 60 build/otelbpf --pin-dir $pins -q load build/progs/malloc.bpf.o --set "malloc.pid=$pairs_pid" \
		--set malloc.guard_percent=0 "$@" \
		>"$log" 2>&1 || { why=$(tail -n 1 "$log"); return 1; }
}

# trace_pairs WORD COMMAND...: a tracer that says WORD when it has attached.
trace_pairs()
{
	local word=$1
	shift

	command -v "$1" >/dev/null || { why="$1 is not installed"; return 1; }
	: >"$log"
	timeout -k 2 120 "$@" >"$log" 2>&1 < <(exec sleep 120) &
	tracer=$!
	for _ in {1..200}; do
		grep -q "$word" "$log" && { sleep 0.3; return 0; }
		kill -0 $tracer 2>/dev/null || break
		sleep 0.1
	done
	why="${1##*/}: $({ grep -m 1 'kernel headers' "$log" || grep -v '^$' "$log" | tail -n 1; } | cut -c 1-100)"
	end $tracer
	tracer=''
	return 1
}

start_malloc()
{
	case $1 in
	ours) load_malloc ;;
	every) load_malloc --set malloc.sample_bytes=1 ;;
	plain) trace_pairs '^attached' $memleak_tool build/selftests/progs/bench_memleak.bpf.o $pairs_pid "$libc" ;;
	bpftrace) trace_pairs '^attached' bpftrace -p $pairs_pid -e "BEGIN { printf(\"attached\\n\"); }
		uprobe:$libc:malloc { @size[tid] = arg0; }
		uretprobe:$libc:malloc /@size[tid]/ { @held[retval] = @size[tid]; delete(@size[tid]); }
		uprobe:$libc:free { delete(@held[arg0]); }" ;;
	# Its first report: it has attached. BCC_KERNEL_SOURCE says where headers are, if not where modules are.
	memleak) PYTHONUNBUFFERED=1 trace_pairs '^\[' memleak-bpfcc -p $pairs_pid 5 ;;
	esac
}

measure_malloc()
{
	say "malloc"
	start_pairs $pairs_tool || { say "the program that allocates does not run"; exit 1; }
	measure_in_turn malloc pair_ns start_malloc
	end_pairs
	start_pairs $pairs_probed_tool || { say "the program that has probes does not run"; exit 1; }
	measure_in_turn told pair_ns start_malloc
	end_pairs
}

print_malloc()
{
	local key

	printf 'Allocations: added to each malloc(512) and free() of a loop on CPU %s, ns\n\n' "$cpu"
	print_in_turn malloc
	print_in_turn told
	for key in plain bpftrace memleak; do
		if [ -z "${malloc_of[ours]:-}" ] || [ -z "${malloc_of[$key]:-}" ]; then continue; fi
		bound "otelbpf / $key" "$(calc %.2f "${malloc_of[ours]%% *} / ${malloc_of[$key]%% *}")" \
			"$([ $key = plain ] && echo 0.25 || echo 0.20)" ''
	done
	echo
}

footer_malloc()
{
	cat <<-EOT
	Allocations: medians of $rounds rounds, each measurement between two of the loop alone; of $pairs_loops loops of
	$pairs_pairs pairs the lower quartile, and of three of those the least.
	EOT
}
