#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Bytes on the wire: what one item of a signal takes in OTLP/HTTP.

  events.py receive COMMAND...    run a command, its OTLP/HTTP going to a receiver here; print a line for each signal:
                                  signal, bytes of the bodies, requests
  events.py sdk traces|metrics N none|gzip
                                  send N of the same with the OpenTelemetry SDK for Python

What is counted is the body as it came, compressed or not, without headers.
"""
import http.server
import os
import random
import subprocess
import sys
import threading

totals = {}


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        left = length
        while left > 0:
            got = self.rfile.read(min(left, 1 << 20))
            if not got:
                return
            left -= len(got)
        signal = self.path.rsplit("/", 1)[-1]
        size, requests = totals.get(signal, (0, 0))
        totals[signal] = (size + length, requests + 1)
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


def receive(command):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = dict(os.environ)
    environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:%d" % server.server_port
    environment["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf"
    status = subprocess.call(command, env=environment, stdout=subprocess.DEVNULL)
    server.shutdown()
    for signal, (size, requests) in sorted(totals.items()):
        print(signal, size, requests)
    return status


def sdk_traces(n):
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), max_queue_size=n + 1))
    tracer = provider.get_tracer("otelbpf/syscalls", "0.1.0")
    for i in range(n):
        span = tracer.start_span("syscall getppid", kind=trace.SpanKind.INTERNAL)
        span.set_attribute("thread.id", os.getpid())
        span.set_attribute("thread.name", "burst")
        span.set_attribute("syscall.name", "getppid")
        span.set_attribute("syscall.result", os.getppid())
        span.end()
    provider.shutdown()


def sdk_metrics(n):
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import Histogram, MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation

    exporter = OTLPMetricExporter(preferred_aggregation={Histogram: ExponentialBucketHistogramAggregation()})
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3600 * 1000)
    provider = MeterProvider(metric_readers=[reader])
    histogram = provider.get_meter("otelbpf/bench_series", "0.1.0").create_histogram(
        "bench.duration", unit="s", description="Made up")
    chance = random.Random(1)
    for i in range(n):
        attributes = {"syscall.name": "syscall_%d" % (i % 300), "shard": i // 300}
        median = 0.5e-6 * 2 ** chance.uniform(0, 11)
        for _ in range(400):
            far = 2 ** chance.uniform(0, 10) if chance.random() < 0.05 else 1
            histogram.record(median * chance.lognormvariate(0, 0.7) * far, attributes)
    provider.shutdown()


def main():
    arguments = sys.argv[1:]
    if arguments[:1] == ["receive"] and len(arguments) > 1:
        return receive(arguments[1:])
    if arguments[:1] == ["sdk"] and len(arguments) == 4:
        os.environ["OTEL_EXPORTER_OTLP_COMPRESSION"] = arguments[3]
        {"traces": sdk_traces, "metrics": sdk_metrics}[arguments[1]](int(arguments[2]))
        return 0
    sys.stderr.write(__doc__)
    return 2


sys.exit(main())
