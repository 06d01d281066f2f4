# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash disable=SC2154,SC2034
# The part "network" of selftests/bench/run, which sources this: what the network probes cost a
# connection, a byte to and fro, a stream and a web server; and the packet probe's programs
# (selftests/bench/packets).
#
# Two network namespaces with a veth pair between them, and one cgroup, of this script's own. Probes
# measure that cgroup and that interface only. drops has no filter: it is loaded for seconds.

talk=build/selftests/bench/talk
server_ip=10.97.31.1 client_ip=10.97.31.2
network_cgroup='' server_ns='' client_ns='' network_pids=()

network_configs=(tcp udp packets drops all tcplife tcprtt tcpconnlat tcptop)
network_works=(lo.connect lo.pingpong lo.datagram veth.connect veth.pingpong lo.iperf veth.iperf lo.wrk veth.wrk lo.cpu veth.cpu)
# An interpreted machine is slow, and only there for the peers: they, what they compare with, and less of each.
network_connects=60 network_bytes=120 network_pairs=$((3 * rounds))
if [ -n "${OTELBPF_BENCH_GUEST:-}" ]; then
	network_configs=(tcp all tcplife tcprtt tcpconnlat tcptop)
	network_works=(lo.connect lo.pingpong lo.iperf lo.wrk lo.cpu)
	network_connects=8 network_bytes=16 network_pairs=0
fi
declare -A network_of=() # median, least, most
declare -A network_label=(
	[lo.connect]='connect, 1 byte each way, close: loopback'
	[lo.pingpong]='1 byte to and fro: loopback'
	[lo.datagram]='the same by UDP: loopback'
	[veth.connect]='connect, 1 byte each way, close: veth'
	[veth.pingpong]='1 byte to and fro: veth'
	[lo.iperf]='iperf3, 1 stream: loopback'
	[veth.iperf]='iperf3, 1 stream: veth'
	[lo.wrk]='wrk on nginx, keep-alive: loopback'
	[veth.wrk]='wrk on nginx, keep-alive: veth'
	[lo.cpu]='CPU time of both for a request: loopback'
	[veth.cpu]='CPU time of both for a request: veth'
)

# in_net PID COMMAND...: in that process's network namespace and in our cgroup
in_net()
{
	local ns=$1
	shift
	(echo "$BASHPID" >"$network_cgroup/cgroup.procs" && exec nsenter -t "$ns" -n "$@")
}

end_network()
{
	local pid

	for pid in "${network_pids[@]}"; do end "$pid"; done
	network_pids=()
	[ -z "$network_cgroup" ] || rmdir "$network_cgroup" 2>/dev/null || true
}

# in_background NAMESPACE COMMAND...
in_background()
{
	local ns=$1
	shift
	(echo "$BASHPID" >"$network_cgroup/cgroup.procs" && exec nsenter -t "$ns" -n "$@") </dev/null >>"$tmp/network.log" 2>&1 &
	network_pids+=($!)
}

start_network()
{
	local root nginx i

	root=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
	[ -n "$root" ] || { why='no cgroup v2 here'; return 1; }
	network_cgroup=$root/otelbpf-bench-network-$$
	mkdir "$network_cgroup" || { why="$network_cgroup cannot be made"; return 1; }
	unshare -n setpriv --pdeathsig KILL sleep 86400 &
	server_ns=$!
	network_pids+=($!)
	unshare -n setpriv --pdeathsig KILL sleep 86400 &
	client_ns=$!
	network_pids+=($!)
	for i in $server_ns $client_ns; do
		until [ "$(readlink "/proc/$i/ns/net")" != "$(readlink /proc/self/ns/net)" ]; do
			kill -0 "$i" 2>/dev/null || { why='no network namespace'; return 1; }
			sleep 0.05
		done
		nsenter -t "$i" -n ip link set lo up || { why='no ip'; return 1; }
		# Connections by the thousand, one after another.
		nsenter -t "$i" -n sh -c 'echo 1024 65000 >/proc/sys/net/ipv4/ip_local_port_range'
	done
	nsenter -t $server_ns -n ip link add otelbench0 type veth peer name otelbench1 netns $client_ns ||
		{ why='no veth pair'; return 1; }
	nsenter -t $server_ns -n sh -c "ip addr add $server_ip/30 dev otelbench0 && ip link set otelbench0 up"
	nsenter -t $client_ns -n sh -c "ip addr add $client_ip/30 dev otelbench1 && ip link set otelbench1 up"
	in_background $server_ns $talk serve 0.0.0.0 7001 "$cpu"
	if command -v iperf3 >/dev/null; then
		in_background $server_ns iperf3 -s -p 7002
	else
		skip[lo.iperf]='iperf3 is not installed' skip[veth.iperf]='iperf3 is not installed'
	fi
	if ! command -v wrk >/dev/null; then
		skip[lo.wrk]='wrk is not installed'
	elif ! nginx=$(scripts/nginx 2>"$log"); then
		skip[lo.wrk]=$(tail -n 1 "$log")
	else
		mkdir "$tmp/nginx"
		cat >"$tmp/nginx/nginx.conf" <<-EOT
		daemon off; worker_processes 1; pid $tmp/nginx/pid; error_log stderr crit; user root;
		events { worker_connections 1024; }
		http {
			access_log off; keepalive_requests 100000000;
			client_body_temp_path $tmp/nginx/a; proxy_temp_path $tmp/nginx/b; fastcgi_temp_path $tmp/nginx/c;
			uwsgi_temp_path $tmp/nginx/d; scgi_temp_path $tmp/nginx/e;
			server { listen 7003; location / { return 200 "an answer of some length\n"; } }
		}
		EOT
		in_background $server_ns "$nginx" -p "$tmp/nginx" -c "$tmp/nginx/nginx.conf"
	fi
	for i in veth.wrk lo.cpu veth.cpu; do
		[ -z "${skip[lo.wrk]:-}" ] || skip[$i]=${skip[lo.wrk]}
	done
	for i in 7001 7002 7003; do
		[ $i != 7002 ] || [ -z "${skip[lo.iperf]:-}" ] || continue
		[ $i != 7003 ] || [ -z "${skip[lo.wrk]:-}" ] || continue
		timeout 20 nsenter -t $server_ns -n bash -c \
			"until (exec 3<>/dev/tcp/127.0.0.1/$i) 2>/dev/null; do sleep 0.1; done" ||
			{ why="nothing listens at port $i: $(tail -n 1 "$tmp/network.log")"; return 1; }
	done
}

# A tool of libbpf-tools, as far as it can choose on our server alone. A guest has no other traffic.
# (tcprtt's --lport is refused by the verifier: it reads beyond struct sock.)
network_trace()
{
	local only=(-p "${network_pids[2]}")

	[ "$1" != tcprtt ] || only=(--rport 7001)
	[ -z "${OTELBPF_BENCH_GUEST:-}" ] || only=()
	command -v "$1" >/dev/null || { why="$1 is not installed"; return 1; }
	timeout -k 2 120 "$1" "${only[@]}" </dev/null >/dev/null 2>"$log" &
	tracer=$!
	sleep 2
	kill -0 $tracer 2>/dev/null && return
	why="$1: $(grep -v '^$' "$log" | tail -n 1 | cut -c 1-100)"
	tracer=''
	return 1
}

# network_load CONFIG: a probe, all four, or a peer
network_load()
{
	local probes=$1 probe arguments

	case $1 in
	all) probes='tcp udp packets drops' ;;
	tcplife | tcprtt | tcpconnlat | tcptop) network_trace "$1"; return ;;
	esac
	for probe in $probes; do
		arguments=()
		case $probe in
		tcp | udp) arguments=(--filter "cgroup=$network_cgroup") ;;
		packets) arguments=(--set packets.interfaces=otelbench0) ;;
		esac
		timeout 60 nsenter -t $server_ns -n build/otelbpf --pin-dir $pins -q load "build/progs/$probe.bpf.o" \
			"${arguments[@]}" >"$log" 2>&1 || { why=$(tail -n 1 "$log"); return 1; }
	done
}

# network_once WORK: nanoseconds, Gbit/s or requests per second
network_once()
{
	local from=$server_ns to=127.0.0.1 usage

	case $1 in veth.*) from=$client_ns to=$server_ip ;; esac
	case $1 in
	*.connect | *.pingpong | *.datagram)
		in_net $from timeout 30 $talk "${1#*.}" $to 7001 "$cpu" \
			$([ "${1#*.}" = connect ] && echo $network_connects || echo $network_bytes)
		;;
	*.iperf)
		in_net $from timeout 30 iperf3 -c $to -p 7002 -t 1 -f m 2>&1 |
			awk '/receiver/ { for (i = 2; i <= NF; i++) if ($i == "Mbits/sec") printf "%.3f\n", $(i - 1) / 1000 }'
		;;
	*.wrk)
		usage=$(usage_us)
		in_net $from timeout 30 wrk -t 1 -c 16 -d 1s "http://$to:7003/" >"$tmp/wrk"
		usage=$(($(usage_us) - usage))
		awk -v us=$usage '$2 == "requests" { printf "%.1f\n", us * 1000 / $1 }' "$tmp/wrk" >"$tmp/network.${1%.*}.cpu"
		awk '/^Requests\/sec/ { print $2 }' "$tmp/wrk"
		;;
	*.cpu) cat "$tmp/network.$1" ;; # of the same run
	esac
}

# CPU time of all in our cgroup, with the interrupts that came meanwhile: what others take
# on a busy machine is not in it, as it is in requests per second.
usage_us() { awk '$1 == "usage_usec" { print $2 }' "$network_cgroup/cpu.stat"; }

# network_turn NAME [WORK]...: every work once, or these, into NAME.WORK
network_turn()
{
	local name=$1 work number
	shift

	for work in "${@:-${network_works[@]}}"; do
		[ -z "${skip[$work]:-}" ] || continue
		number=$(network_once "$work" 2>>"$log" || true)
		if [[ $number =~ ^[0-9.]+$ ]]; then
			echo "$number" >"$tmp/network.$name.$work"
		else
			skip[$work]=$(tail -n 1 "$log")
			skip[$work]=${skip[$work]:-no number came out}
		fi
	done
}

# What a configuration adds to a work, in percent of the time that the work takes without: from
# the mean of what was measured before and after.
network_note() # CONFIG [WORK]...
{
	local config=$1 work before after with file
	shift

	for work in "${@:-${network_works[@]}}"; do
		[ -z "${skip[$work]:-}" ] || continue
		read -r before <"$tmp/network.before.$work"
		read -r after <"$tmp/network.after.$work"
		read -r with <"$tmp/network.with.$work"
		case $work in
		*.iperf | *.wrk) calc '%.3f\n' "(1 - $with / (($before + $after) / 2)) * 100" ;;
		*) calc '%.3f\n' "$with - ($before + $after) / 2" ;;
		esac >>"$tmp/network.$config.$work.added"
		echo "$before" >>"$tmp/network.none.$work"
	done
	for file in "$tmp"/network.after.*; do mv "$file" "${file/after/before}"; done
}

# What is judged: a web server's requests, by many short pairs of with and without. One of them scatters by more than
# the bound, as it matters to wrk and nginx who runs on which CPU; the median of many does not.
network_judge()
{
	local works=(lo.wrk veth.wrk lo.cpu veth.cpu) i

	[ -z "${skip[lo.wrk]:-}${skip[network.all]:-}" ] || return 0
	network_turn before "${works[@]}"
	for ((i = 1; i <= network_pairs; i++)); do
		say "network: all four, pair $i of $network_pairs"
		network_load all || { skip[network.all]=${why#otelbpf: }; unload; return 0; }
		network_turn with "${works[@]}"
		unload
		network_turn after "${works[@]}"
		network_note judged "${works[@]}"
	done
}

measure_network()
{
	local round i config file

	say network
	if ! start_network; then
		skip[network]=$why
		end_network
		return 0
	fi
	for ((round = 0; round < rounds; round++)); do
		say "network: round $((round + 1)) of $rounds: without"
		network_turn before
		for ((i = 0; i < ${#network_configs[@]}; i++)); do
			config=${network_configs[(i + round) % ${#network_configs[@]}]}
			[ -z "${skip[network.$config]:-}" ] || continue
			say "network: round $((round + 1)) of $rounds: $config"
			if network_load "$config"; then
				network_turn with
			else
				skip[network.$config]=${why#otelbpf: }
			fi
			end "$tracer"
			tracer=''
			unload
			[ -z "${skip[network.$config]:-}" ] || continue
			network_turn after
			network_note "$config"
		done
	done
	network_judge
	end_network
	for file in "$tmp"/network.none.* "$tmp"/network.*.added; do
		[ ! -s "$file" ] || network_of[${file##*/}]=$(spread <"$file")
	done
	# Nanoseconds say nothing where instructions are interpreted.
	[ -z "${OTELBPF_BENCH_GUEST:-}" ] || { skip[bench_packets]='in a virtual machine'; return 0; }
	say "network: packets"
	timeout 300 selftests/bench/packets >"$tmp/packets" 2>"$log" || true
	[ -s "$tmp/packets" ] || skip[bench_packets]=$(tail -n 1 "$log")
}

network_unit() { case $1 in *.iperf) echo 'Gbit/s' ;; *.wrk) echo 'requests/s' ;; *) echo ns ;; esac; }

print_network()
{
	local work config line over

	if [ -n "${skip[network]:-}" ]; then
		printf 'Network: SKIP %s\n\n' "${skip[network]}"
		return
	fi
	printf 'Network: what is added to each, ns; of iperf3 and wrk what is taken away, percent. Median (least, most)\n\n'
	for work in "${network_works[@]}"; do
		if [ -n "${skip[$work]:-}" ]; then
			printf '  %-46s SKIP %s\n' "${network_label[$work]}" "${skip[$work]}"
			continue
		fi
		read -r line _ <<<"${network_of[network.none.$work]:-}"
		printf '  %-46s %s %s\n' "${network_label[$work]}" "${line:-?}" "$(network_unit "$work")"
		for config in "${network_configs[@]}"; do
			[ -n "${network_of[network.$config.$work.added]:-}" ] || continue
			# shellcheck disable=SC2086 # three numbers
			printf '    %-44s %+9.1f (%+.1f, %+.1f)\n' "$config" ${network_of[network.$config.$work.added]}
		done
	done
	echo
	for config in "${network_configs[@]}"; do
		[ -z "${skip[network.$config]:-}" ] || printf '  %-46s SKIP %s\n' "$config" "${skip[network.$config]}"
	done
	echo
	for work in lo.wrk veth.wrk; do
		read -r line _ <<<"${network_of[network.judged.$work.added]:-}"
		[ -z "$line" ] || bound "all four: wrk's requests a second, ${work%.*}" "$line" 5 %
		config=${work%.*}.cpu
		read -r over _ <<<"${network_of[network.none.$config]:-}"
		read -r line _ <<<"${network_of[network.judged.$config.added]:-}"
		[ -z "$line" ] || bound "all four: CPU time of a request, ${work%.*}" "$(calc %.1f "$line / $over * 100")" 5 %
	done
	echo
	if [ -n "${skip[bench_packets]:-}" ]; then
		printf '  %-46s SKIP %s\n\n' 'packet programs' "${skip[bench_packets]}"
	else
		sed 's/^/  /' "$tmp/packets"
		over=$(awk '$1 == "tcp4" && $2 == "ingress" { print $5 }' "$tmp/packets")
		echo
		[ -z "$over" ] || bound 'XDP over an empty XDP program' "$over" 25 ' ns'
		echo
	fi
}

footer_network()
{
	cat <<-EOT
	Network: medians of $rounds rounds, each against the mean of the same without, before and after. Both ends
	of a conversation on CPU $cpu, the lower quartile of blocks of 100; iperf3 and wrk (16 connections) 1 s
	each, over the other CPUs too. Probes are filtered by cgroup, packets is on the veth interface.
	$([ $network_pairs = 0 ] || echo "All four are judged by the medians of $network_pairs more such pairs of wrk's.")
	EOT
}
