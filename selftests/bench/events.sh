# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash disable=SC2154,SC2034
# The part "events" of selftests/bench/run, which sources this: how many events a second reach a receiver before the first is
# lost, beside bpftrace and perf trace that print the same ones; what sending spans costs the exporter; and what a span and a
# data point take on the wire, beside the OpenTelemetry SDK for Python. Only the workload is traced: it has a cgroup of its own.

burst=build/selftests/bench/burst
venv=build/bench-venv
events_shared=$pins-shared
events_seconds=3
events_rates=(5000 10000 20000 40000 60000 80000 120000 160000 240000)
events_spans=100000
events_ring=$((32 << 20))
events_keys=(ours bpftrace perf)
declare -A events_label=(
	[ours]='otelbpf, to a receiver of OTLP/HTTP'
	[bpftrace]='bpftrace, a line for each, to /dev/null'
	[perf]='perf trace, likewise'
)

# Of the kind that takes the least: what is measured is the way out.
load_events()
{
	mkdir -p "$events_shared"
	timeout 60 build/otelbpf --pin-dir $pins --shared-dir "$events_shared" -q load build/progs/syscalls.bpf.o \
		--set syscalls.events=1 --set syscalls.slow_us=0 --set syscalls.events_per_second=0 \
		--set syscalls.slow_calls.max_entries=$events_ring --filter cgroup="$cgroup/in" --filter syscall=getppid \
		>"$log" 2>&1 || { why=$(tail -n 1 "$log"); return 1; }
}

unload_events()
{
	mkdir -p "$events_shared"
	unload
	rm -f "$events_shared/otel_traces_ctx_v1"
	rmdir "$events_shared" 2>/dev/null || true
}

burst_in() { (echo "$BASHPID" >"$cgroup/in/cgroup.procs" && exec timeout 60 "$@"); }

events_lost() { timeout 30 build/otelbpf --pin-dir $pins status syscalls 2>/dev/null | awk '/event_ring_full/ { n += $NF } END { print n + 0 }'; }

# rate_KEY RATE: sets value to what was made a second, lost to how many did not arrive.
rate_ours()
{
	load_events || return 1
	build/otelbpf-exporter --pin-dir $pins -q --interval 1s --output otlp </dev/null >/dev/null 2>"$log" &
	daemon=$!
	value=$(burst_in $burst "$1" $events_seconds | cut -d' ' -f2)
	lost=$(events_lost)
	end "$daemon"
	daemon=''
	unload_events
}

rate_bpftrace()
{
	command -v bpftrace >/dev/null || { why='bpftrace is not installed'; return 1; }
	: >"$log"
	: >"$tmp/printed"
	timeout -k 2 120 bpftrace -e "BEGIN { printf(\"attached\\n\"); } tracepoint:syscalls:sys_enter_getppid
		/cgroup == cgroupid(\"$cgroup/in\")/ { printf(\"%s %d %d %d\\n\", comm, pid, tid, nsecs); }" </dev/null \
		>"$tmp/printed" 2>"$log" &
	tracer=$!
	for _ in {1..100}; do grep -q '^attached' "$tmp/printed" && break; sleep 0.1; done
	if ! kill -0 $tracer 2>/dev/null; then
		why="bpftrace: $(grep -v '^$' "$log" | tail -n 1 | cut -c 1-100)"
		tracer=''
		return 1
	fi
	burst_in $burst "$1" $events_seconds >"$tmp/made"
	sleep 1
	end "$tracer"
	tracer=''
	value=$(cut -d' ' -f2 "$tmp/made")
	lost=$(($(cut -d' ' -f1 "$tmp/made") - $(grep -c '^burst' "$tmp/printed")))
	[ $lost -ge 0 ] || lost=0
	: >"$tmp/printed"
}

rate_perf()
{
	command -v perf >/dev/null || { why='perf is not installed'; return 1; }
	burst_in perf trace -e getppid -o "$tmp/printed" -- $burst "$1" $events_seconds >"$tmp/made" 2>"$log" ||
		{ why="perf trace: $(grep -v '^$' "$log" | tail -n 1 | cut -c 1-100)"; return 1; }
	value=$(cut -d' ' -f2 "$tmp/made")
	lost=$(($(cut -d' ' -f1 "$tmp/made") - $(grep -c 'getppid(' "$tmp/printed")))
	[ $lost -ge 0 ] || lost=0
	: >"$tmp/printed"
}

start_sink()
{
	: >"$tmp/port"
	build/selftests/bench/sink >"$tmp/port" &
	sink=$!
	for _ in {1..50}; do [ -s "$tmp/port" ] && break; sleep 0.1; done
	export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf OTEL_EXPORTER_OTLP_ENDPOINT
	OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:$(cat "$tmp/port")
}

measure_rates()
{
	local key rate

	for key in "${events_keys[@]}"; do
		for rate in "${events_rates[@]}"; do
			if ! rate_$key "$rate"; then
				skip[events.$key]=${why#otelbpf: }
				break
			fi
			if [ "$lost" -gt 0 ]; then
				value_of[events.$key.loses_at]=$value
				break
			fi
			# A rate that the workload itself no longer reaches under it is none.
			value_of[events.$key.rate]=$value
			holds "$value > 0.9 * $rate" || break
		done
	done
}

# User and system time in ms of an export of what is in the ring.
export_ms()
{
	local TIMEFORMAT='%U %S'
	{ time build/otelbpf-exporter --pin-dir $pins -q --interval 60s --duration 1ms --output otlp >/dev/null 2>"$log"; } 2>&1 |
		awk '{ printf "%.0f\n", ($1 + $2) * 1000 }'
}

measure_export_cpu()
{
	local round full empty made

	load_events || { skip[events.cpu]=${why#otelbpf: }; return 0; }
	for ((round = 0; round < rounds; round++)); do
		made=$(burst_in $burst $events_spans 1 | cut -d' ' -f1)
		full=$(export_ms)
		empty=$(export_ms)
		calc '%.1f\n' "($full - $empty) * 100000 / $made" >>"$tmp/events.cpu"
	done
	value_of[events.cpu_ms]=$(spread <"$tmp/events.cpu" | cut -d' ' -f1)
	unload_events
}

# wire NAME SIGNAL ITEMS COMMAND...: bytes of the bodies for each item.
wire()
{
	local name=$1 signal=$2 items=$3 bytes
	shift 3
	bytes=$(timeout 300 python3 selftests/bench/events.py receive "$@" 2>"$log" | awk -v s="$signal" '$1 == s { print $2 }')
	if [ -n "$bytes" ]; then
		value_of[wire.$name]=$(calc '%.1f' "$bytes / $items")
	else
		skip[wire.$name]="nothing came: $(grep -v '^$' "$log" | tail -n 1 | cut -c 1-80)"
	fi
}

wire_points=1000 # of the SDK, which takes a while to record values
measure_wire()
{
	local compression made ours=(build/otelbpf-exporter --pin-dir $pins -q --interval 60s --duration 1ms --output otlp)
	local once=(build/otelbpf-exporter --pin-dir $pins -q --once --output otlp)

	command -v python3 >/dev/null || { skip[wire]='python3 is not installed'; return 0; }
	if load_events; then
		for compression in none gzip zstd; do
			made=$(burst_in $burst 20000 1 | cut -d' ' -f1)
			OTEL_EXPORTER_OTLP_COMPRESSION=$compression wire "traces.ours.$compression" traces "$made" "${ours[@]}"
		done
	fi
	unload_events
	if load build/selftests/progs/bench_series.bpf.o; then
		build/selftests/bench/fill $pins/bench_series/map/series
		for compression in none gzip zstd; do
			OTEL_EXPORTER_OTLP_COMPRESSION=$compression wire "metrics.ours.$compression" metrics 10000 "${once[@]}"
		done
	fi
	unload
	if [ ! -x $venv/bin/python3 ] || ! $venv/bin/python3 -c 'import opentelemetry.sdk' 2>/dev/null; then
		python3 -m venv $venv >"$log" 2>&1 &&
			timeout 120 $venv/bin/pip -q install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http >>"$log" 2>&1 ||
			{ skip[wire.sdk]="the SDK is not to be had: $(grep -v '^$' "$log" | tail -n 1 | cut -c 1-80)"; return 0; }
	fi
	for compression in none gzip; do
		wire "traces.sdk.$compression" traces 20000 $venv/bin/python3 selftests/bench/events.py sdk traces 20000 $compression
		wire "metrics.sdk.$compression" metrics $wire_points \
			$venv/bin/python3 selftests/bench/events.py sdk metrics $wire_points $compression
	done
}

measure_events()
{
	local root
	root=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
	say "events"
	if [ -z "$cgroup" ]; then
		{ [ -n "$root" ] && mkdir "$root/otelbpf-bench-$$" 2>/dev/null; } || { skip[events]='no cgroup v2 here'; return 0; }
		cgroup=$root/otelbpf-bench-$$
		mkdir "$cgroup/in" "$cgroup/out"
	fi
	start_sink
	measure_rates
	measure_export_cpu
	end "$sink"
	sink=''
	measure_wire
}

print_events()
{
	local key signal what

	if [ -n "${skip[events]:-}" ]; then
		printf 'Events: SKIP %s\n\n' "${skip[events]}"
		return
	fi
	printf 'Events: a second, for %d s, until the first is lost\n\n' $events_seconds
	printf '  %-50s %9s %9s\n' '' 'none lost' 'some lost'
	for key in "${events_keys[@]}"; do
		if [ -n "${skip[events.$key]:-}" ]; then
			printf '  %-50s SKIP %s\n' "${events_label[$key]}" "${skip[events.$key]}"
		else
			printf '  %-50s %9s %9s\n' "${events_label[$key]}" "${value_of[events.$key.rate]:--}" "${value_of[events.$key.loses_at]:--}"
		fi
	done
	if [ -n "${skip[events.cpu]:-}" ]; then
		printf '\n  %-50s SKIP %s\n' "exporter, 100,000 spans" "${skip[events.cpu]}"
	else
		printf '\n  %-50s %9s ms of CPU time\n' "exporter, 100,000 spans" "${value_of[events.cpu_ms]}"
	fi
	printf '\n  %-50s %9s %9s %9s\n' 'bytes on the wire (OTLP/HTTP, bodies)' plain gzip zstd
	for signal in traces metrics; do
		what='a span'
		[ $signal = traces ] || what='an exponential histogram point'
		printf '  %-50s %9s %9s %9s\n' "$what, otelbpf-exporter" "${value_of[wire.$signal.ours.none]:--}" \
			"${value_of[wire.$signal.ours.gzip]:--}" "${value_of[wire.$signal.ours.zstd]:--}"
		if [ -n "${skip[wire.sdk]:-}" ]; then
			printf '  %-50s SKIP %s\n' "$what, SDK for Python" "${skip[wire.sdk]}"
		else
			printf '  %-50s %9s %9s %9s\n' "$what, SDK for Python" "${value_of[wire.$signal.sdk.none]:--}" \
				"${value_of[wire.$signal.sdk.gzip]:--}" -
		fi
	done
	echo
}

footer_events()
{
	cat <<-EOT
	Events: each getppid(2) of one process is one; the rate was raised until not all arrived or the process no longer came to
	90 % of it. The exporter exports each second from a ring of $((events_ring >> 20)) MiB; its CPU time is the median of $rounds times
	$events_spans spans at once, less that of an export of none. The SDK sends spans with the same attributes, 512 in a
	request; its histograms have 400 values like ours and their own buckets, at most 160.
	EOT
}
