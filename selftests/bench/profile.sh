# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash disable=SC2154,SC2034
# The part "profile" of selftests/bench/run, which sources this: what a sample costs, what
# exporting 10,000 stacks costs, and how long it takes to a flame graph.

deep=build/selftests/tools/deep
depth=20 different=200 sample_ms=4000 perf_hz=9999
stacks_wanted=10000 # what design says the exporter's cost is for

set_value() { [ -z "$2" ] || value_of[$1]=$2; }

# Id of the one program that a process holds.
program_of() { cat "/proc/$1/fdinfo/"* 2>/dev/null | awk '$1 == "prog_id:" { print $2; exit }'; }

start_bpftrace() # PID; sets id
{
	command -v bpftrace >/dev/null || { why='bpftrace is not installed'; return 1; }
	# At 1 Hz of its own: the samples come from the timer that drive.c gives it.
	timeout -k 2 300 bpftrace -e "profile:hz:1 /pid == $1/ { @[kstack, ustack] = count(); }" \
		</dev/null >"$log" 2>&1 &
	tracer=$!
	for _ in {1..100}; do
		id=$(program_of "$(pgrep -P $tracer || echo $tracer)")
		[ -z "$id" ] || return 0
		kill -0 $tracer 2>/dev/null || break
		sleep 0.1
	done
	why="bpftrace: $(grep -v '^$' "$log" | tail -n 1 | cut -c 1-100)"
	end $tracer
	tracer=''
	return 1
}

# Which program is which, by the kernel's id.
declare -A who_of=()
sample_round()
{
	local pid id ids='' hz runs ns

	coproc DRIVE { exec timeout -k 2 120 build/selftests/bench/drive "$cpu" $sample_ms 99,999 -- \
		$deep 1000000 $depth $different; }
	drive=$DRIVE_PID
	if ! read -r pid <&"${DRIVE[0]}"; then
		skip[ours]='the workload does not start'
		return 0
	fi
	# Paused: the timer is drive.c's. The frequency is what a sample counts for; at 99 Hz that is ten.
	if { timeout 60 build/otelbpf --pin-dir $pins -q load build/progs/cpu.bpf.o --set cpu.frequency=999 \
		--filter "pid=$pid" && timeout 60 build/otelbpf --pin-dir $pins -q pause; } >"$log" 2>&1; then
		id=$(bpftool -j prog show pinned $pins/cpu/prog/sample | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
		ids=$id who_of[$id]=ours
	else
		skip[ours]=$(tail -n 1 "$log")
	fi
	if [ -z "${skip[bpftrace]:-}" ]; then
		if start_bpftrace "$pid"; then
			ids="$ids $id" who_of[$id]=bpftrace
		else
			skip[bpftrace]=$why
		fi
	fi
	echo "$ids" >&"${DRIVE[1]}"
	while read -r hz id runs ns; do
		[ "$runs" -gt 0 ] || continue
		calc '%.1f\n' "$ns / $runs" >>"$tmp/${who_of[$id]}.$hz"
		calc '%.4f\n' "$ns / $runs * $hz / 1e7" >>"$tmp/${who_of[$id]}.share.$hz"
	done <&"${DRIVE[0]}"
	wait $drive || skip[ours]='the workload or its sampling failed'
	drive=''
	end "$tracer"
	tracer=''
	unload
	if [ -s "$tmp/bpftrace.999" ] && [ -s "$tmp/ours.999" ]; then
		for hz in 99 999; do
			calc '%.3f\n' "$(tail -n 1 "$tmp/ours.$hz") / $(tail -n 1 "$tmp/bpftrace.$hz")" >>"$tmp/ratio.$hz"
		done
	fi
}

# CPU time of a turn of the workload, ns, under a command.
turn_ns() { "$@" taskset -c "$cpu" $deep 1000 $depth $different 2>/dev/null | awk '{ print $2 / $1 }'; }

# perf runs no program that the kernel would time: what the workload's turns take longer,
# at a rate that makes it large enough to be seen.
perf_round()
{
	local alone with turns samples data=$tmp/perf.data

	[ -z "${skip[perf]:-}" ] || return 0
	command -v perf >/dev/null || { skip[perf]='perf is not installed'; return 0; }
	alone=$(turn_ns env)
	with=$(turn_ns perf record -q -F $perf_hz -g -o "$data" --)
	if [ -z "$with" ]; then
		skip[perf]="perf record: $(perf record -F $perf_hz -g -o "$data" -- true 2>&1 | grep -v '^$' | tail -n 1 | cut -c 1-100)"
		return 0
	fi
	samples=$(perf script -i "$data" -F time 2>/dev/null | wc -l)
	alone=$(calc '%.2f' "($alone + $(turn_ns env)) / 2")
	# Of a second of CPU time: what the turns did not get, over the samples.
	calc '%.1f\n' "(1 - $alone / $with) * 1e9 / $samples" >>"$tmp/perf.ns"
}

# --- the exporter -------------------------------------------------------------

workloads=()
end_workloads()
{
	local pid

	for pid in "${workloads[@]}"; do end "$pid"; done
	workloads=()
}

# Until the table has as many stacks as the cost is promised for.
collect_stacks()
{
	local n=0 i cpus

	cpus=$(getconf _NPROCESSORS_ONLN)
	timeout 60 build/otelbpf --pin-dir $pins -q load build/progs/cpu.bpf.o --set cpu.frequency=999 \
		--set cpu.stacks.max_entries=32768 --set cpu.samples.max_entries=65536 \
		--filter "comm=deep" >"$log" 2>&1 || { skip[stacks]=$(tail -n 1 "$log"); return 1; }
	for ((i = 0; i < cpus; i++)); do
		taskset -c $i $deep 100000 $depth 100000 once >/dev/null &
		workloads+=($!)
	done
	for _ in {1..90}; do
		sleep 1
		read -r _ n < <(build/selftests/bench/refill $pins/cpu/map)
		[ "$n" -lt $stacks_wanted ] || break
	done
	timeout 30 build/otelbpf --pin-dir $pins -q pause cpu
	end_workloads
	read -r value_of[profile.samples] value_of[profile.stacks] < <(build/selftests/bench/refill $pins/cpu/map)
	[ "$n" -ge $stacks_wanted ] || { skip[stacks]="only $n stacks in 90 s"; return 1; }
}

# export_stacks NAME ARGUMENT...: a window of all these stacks every other second.
export_stacks()
{
	local name=$1 line from=0 to=0 n=0
	shift

	# It has to have read the tables before an exporter empties them.
	coproc REFILL { exec timeout 60 build/selftests/bench/refill $pins/cpu/map 1000 8 2>"$log.refill"; }
	drive=$REFILL_PID
	read -r line <&"${REFILL[0]}" && n=1
	build/otelbpf-exporter --pin-dir $pins --interval 2s --output file:/dev/null --format protobuf "$@" \
		</dev/null >/dev/null 2>"$log" &
	daemon=$!
	# The first two fill buffers and read symbols.
	while read -r line; do
		[ $n != 3 ] || from=$(cpu_ns $daemon)
		[ $n != 8 ] || to=$(cpu_ns $daemon)
		n=$((n + 1))
	done <&"${REFILL[0]}"
	drive=''
	if [ $n != 9 ]; then
		skip[$name]=$(tail -q -n 1 "$log.refill" "$log" | tail -n 1)
	else
		value_of[$name.cpu_ms]=$(calc '%.1f' "($to - $from) / 5 / 1e6")
		value_of[$name.share]=$(calc '%.3f' "($to - $from) / 5 / 1e8")
		value_of[$name.rss_mib]=$(awk '/^VmRSS/ { printf "%.1f", $2 / 1024 }' /proc/$daemon/status)
		value_of[$name.hwm_mib]=$(awk '/^VmHWM/ { printf "%.1f", $2 / 1024 }' /proc/$daemon/status)
	fi
	# No last export: the window that was just filled is the next one's.
	kill -KILL $daemon
	wait $daemon 2>/dev/null || true
	daemon=''
}

# --- the flame graph ----------------------------------------------------------

# Milliseconds that a command takes, the least of three.
takes_ms()
{
	local from to

	for _ in 1 2 3; do
		from=$(date +%s%N)
		timeout 60 "$@" >/dev/null 2>"$log" || return 1
		to=$(date +%s%N)
		calc '%.1f\n' "($to - $from) / 1e6"
	done | sort -n | head -n 1
}

measure_flame()
{
	local data=$tmp/flame.data

	timeout 60 build/otelbpf --pin-dir $pins -q load build/progs/cpu.bpf.o --set cpu.frequency=999 \
		--filter comm=deep >"$log" 2>&1 || { skip[flame]=$(tail -n 1 "$log"); return 0; }
	# Both sample the same run.
	taskset -c "$cpu" $deep 60000 $depth $different >/dev/null &
	workloads+=($!)
	timeout -s INT -k 10 5 perf record -q -F 999 -g -o "$data" -p $! >/dev/null 2>&1 || sleep 1
	timeout 30 build/otelbpf --pin-dir $pins -q pause cpu
	end_workloads
	set_value flame.html_ms "$(takes_ms build/otelbpf-exporter --pin-dir $pins --once --format html --output "file:$tmp/flame.html")"
	set_value flame.folded_ms "$(takes_ms build/otelbpf-exporter --pin-dir $pins --once --format folded)"
	if [ -s "$data" ]; then
		set_value flame.perf_samples "$(perf script -i "$data" -F time 2>/dev/null | wc -l)"
		set_value flame.script_ms "$(takes_ms perf script -i "$data" -F comm,pid,ip,sym)"
		set_value flame.report_ms "$(takes_ms perf report -i "$data" --stdio --no-children -g folded,0,caller,count)"
	fi
	unload
}

measure_profile()
{
	local round key hz

	say "profile"
	for ((round = 0; round < rounds; round++)); do
		say "profile: round $((round + 1)) of $rounds"
		sample_round
		[ -z "${skip[ours]:-}" ] || break
		perf_round
	done
	for key in "$tmp"/{ours,bpftrace,ratio}.{99,999} "$tmp"/{ours,bpftrace}.share.{99,999} "$tmp/perf.ns"; do
		[ ! -s "$key" ] || value_of[profile.${key##*/}]=$(sort -n "$key" |
			awk '{ a[NR] = $1 } END { print NR % 2 ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }')
	done
	[ -z "${skip[ours]:-}" ] || return 0
	say "profile: exporting $stacks_wanted stacks"
	if collect_stacks; then
		export_stacks bare --symbols none
		export_stacks names --symbols names
	fi
	unload
	say "profile: flame graph"
	measure_flame
}

# profile_line LABEL NAME: cost and share at both frequencies
profile_line()
{
	[ -n "${value_of[profile.$2.999]:-}" ] || { printf '  %-50s SKIP %s\n' "$1" "${skip[$2]:-}"; return; }
	printf '  %-50s %9.0f %9.0f %8.4f%% %8.4f%%\n' "$1" "${value_of[profile.$2.99]}" "${value_of[profile.$2.999]}" \
		"${value_of[profile.$2.share.99]}" "${value_of[profile.$2.share.999]}"
}

print_profile()
{
	local name hz

	printf 'Profiles: a sample of a stack of %s user frames, and the kernel where it is in it\n\n' $depth
	printf '  %-50s %9s %9s %9s %9s\n' '' 'ns' 'ns' 'of a CPU' 'of a CPU'
	printf '  %-50s %9s %9s %9s %9s\n' 'in the program' '99 Hz' '999 Hz' '99 Hz' '999 Hz'
	if [ -n "${skip[ours]:-}" ]; then
		printf '  %-50s SKIP %s\n\n' 'otelbpf load cpu' "${skip[ours]}"
		return
	fi
	profile_line 'otelbpf load cpu' ours
	profile_line 'bpftrace, profile by kstack and ustack' bpftrace
	if [ -n "${value_of[profile.perf.ns]:-}" ]; then
		printf '  %-50s %9.0f ns, with the timer interrupt (at %s Hz)\n' 'perf record -g: what the workload takes longer' \
			"${value_of[profile.perf.ns]}" $perf_hz
	else
		printf '  %-50s SKIP %s\n' 'perf record -g' "${skip[perf]:-}"
	fi
	echo
	for hz in 99 999; do
		[ -z "${value_of[profile.ratio.$hz]:-}" ] ||
			bound "otelbpf / bpftrace at $hz Hz" "$(calc %.2f "${value_of[profile.ratio.$hz]}")" 1.50 ''
	done
	echo
	if [ -n "${skip[stacks]:-}" ]; then
		printf '  %-50s SKIP %s\n\n' 'exporting stacks' "${skip[stacks]}"
	else
		printf '  %-50s %9s %9s %9s %9s\n' "exporting ${value_of[profile.stacks]} stacks, a window of" 'CPU ms' 'of a CPU' RSS peak
		printf '  %-50s %9s %9s %9s %9s\n' "${value_of[profile.samples]} different samples" 'an export' 'at 10 s' MiB MiB
		for name in bare names; do
			if [ -n "${skip[$name]:-}" ]; then
				printf '  %-50s SKIP %s\n' "--symbols ${name/bare/none}" "${skip[$name]}"
			else
				printf '  %-50s %9s %8s%% %9s %9s\n' "--symbols ${name/bare/none}" "${value_of[$name.cpu_ms]}" \
					"${value_of[$name.share]}" "${value_of[$name.rss_mib]}" "${value_of[$name.hwm_mib]}"
			fi
		done
		echo
		if [ -n "${value_of[bare.share]:-}" ]; then
			bound 'not symbolized: share of a CPU at 10 s' "${value_of[bare.share]}" 0.1 %
			bound 'not symbolized: peak resident memory' "${value_of[bare.hwm_mib]}" 20 ' MiB'
		fi
		if [ -n "${value_of[names.share]:-}" ]; then
			bound 'symbolized: share of a CPU at 10 s' "${value_of[names.share]}" 0.1 %
			bound 'symbolized: peak resident memory' "${value_of[names.hwm_mib]}" 20 ' MiB'
		fi
		echo
	fi
	if [ -n "${skip[flame]:-}" ]; then
		printf '  %-50s SKIP %s\n\n' 'flame graph' "${skip[flame]}"
		return
	fi
	printf '  %-50s %9s\n' 'to a flame graph, of five seconds at 999 Hz' ms
	printf '  %-50s %9s\n' 'otelbpf-exporter --once --format html' "${value_of[flame.html_ms]:-}"
	printf '  %-50s %9s\n' 'otelbpf-exporter --once --format folded' "${value_of[flame.folded_ms]:-}"
	printf '  %-50s %9s\n' 'perf script, what stackcollapse-perf.pl then reads' "${value_of[flame.script_ms]:-SKIP no perf data}"
	printf '  %-50s %9s\n' 'perf report -g folded' "${value_of[flame.report_ms]:-SKIP no perf data}"
	echo
}

footer_profile()
{
	cat <<-EOT
	Profiles: medians of $rounds rounds. In a round both programs sample one process in turn, 100 ms each,
	$sample_ms ms each at each frequency; nanoseconds are the kernel's statistics of the program.
	EOT
}
