/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef OTELBPF_SIGNAL_KIND_H
#define OTELBPF_SIGNAL_KIND_H

/** enum signal_kind - OpenTelemetry's signals */
enum signal_kind { SIGNAL_METRICS, SIGNAL_TRACES, SIGNAL_LOGS, SIGNAL_PROFILES, SIGNAL_KINDS };

#endif
