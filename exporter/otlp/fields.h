/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Field numbers of OTLP's messages, MESSAGE_FIELD, one enum a message.
 *
 * Source: github.com/open-telemetry/opentelemetry-proto v1.11, the .proto file that
 * stands above each group. Metrics, traces, logs, common and resource are stable:
 * their numbers never change. Profiles is v1development: its numbers may move with a
 * release (they did from v1.9 to v1.10), and then they move here and nowhere else.
 */
#ifndef OTELBPF_OTLP_FIELDS_H
#define OTELBPF_OTLP_FIELDS_H

/* --- opentelemetry/proto/common/v1/common.proto -------------------------------- */

/** enum any_value_field - AnyValue; a oneof. STRINDEX is for profiles only */
enum any_value_field {
	ANY_VALUE_STRING = 1,
	ANY_VALUE_BOOL = 2,
	ANY_VALUE_INT = 3, /* int64, a varint: not zigzag */
	ANY_VALUE_DOUBLE = 4,
	ANY_VALUE_ARRAY = 5,
	ANY_VALUE_KVLIST = 6,
	ANY_VALUE_BYTES = 7,
	ANY_VALUE_STRING_STRINDEX = 8,
};

/** enum array_value_field - ArrayValue */
enum array_value_field { ARRAY_VALUE_VALUES = 1 };

/** enum kvlist_field - KeyValueList */
enum kvlist_field { KVLIST_VALUES = 1 };

/** enum key_value_field - KeyValue; KEY_STRINDEX is for profiles only, never with KEY */
enum key_value_field {
	KEY_VALUE_KEY = 1,
	KEY_VALUE_VALUE = 2,
	KEY_VALUE_KEY_STRINDEX = 3,
};

/** enum scope_field - InstrumentationScope */
enum scope_field {
	SCOPE_NAME = 1,
	SCOPE_VERSION = 2,
	SCOPE_ATTRIBUTES = 3,
	SCOPE_DROPPED_ATTRIBUTES_COUNT = 4,
};

/** enum entity_ref_field - EntityRef */
enum entity_ref_field {
	ENTITY_REF_SCHEMA_URL = 1,
	ENTITY_REF_TYPE = 2,
	ENTITY_REF_ID_KEYS = 3,
	ENTITY_REF_DESCRIPTION_KEYS = 4,
};

/* --- opentelemetry/proto/resource/v1/resource.proto ---------------------------- */

/** enum resource_field - Resource */
enum resource_field {
	RESOURCE_ATTRIBUTES = 1,
	RESOURCE_DROPPED_ATTRIBUTES_COUNT = 2,
	RESOURCE_ENTITY_REFS = 3,
};

/* --- opentelemetry/proto/collector/…/…_service.proto --------------------------- */

/**
 * enum request_field - Export{Metrics,Trace,Logs,Profiles}ServiceRequest
 * @REQUEST_RESOURCES:  resource_metrics, resource_spans, resource_logs, resource_profiles
 * @REQUEST_DICTIONARY: dictionary; profiles only
 */
enum request_field { REQUEST_RESOURCES = 1, REQUEST_DICTIONARY = 2 };

/** enum response_field - Export*ServiceResponse, the same for all signals */
enum response_field { RESPONSE_PARTIAL_SUCCESS = 1 };

/**
 * enum partial_success_field - Export*PartialSuccess
 * @PARTIAL_SUCCESS_REJECTED: rejected_{data_points,spans,log_records,profiles}
 */
enum partial_success_field { PARTIAL_SUCCESS_REJECTED = 1, PARTIAL_SUCCESS_ERROR_MESSAGE = 2 };

/** enum rpc_status_field - google.rpc.Status (googleapis google/rpc/status.proto) */
enum rpc_status_field { RPC_STATUS_CODE = 1, RPC_STATUS_MESSAGE = 2, RPC_STATUS_DETAILS = 3 };

/**
 * enum resource_group_field - ResourceMetrics, ResourceSpans, ResourceLogs, ResourceProfiles
 * @RESOURCE_GROUP_SCOPES: scope_metrics, scope_spans, scope_logs, scope_profiles
 */
enum resource_group_field {
	RESOURCE_GROUP_RESOURCE = 1,
	RESOURCE_GROUP_SCOPES = 2,
	RESOURCE_GROUP_SCHEMA_URL = 3,
};

/**
 * enum scope_group_field - ScopeMetrics, ScopeSpans, ScopeLogs, ScopeProfiles
 * @SCOPE_GROUP_ITEMS: metrics, spans, log_records, profiles
 */
enum scope_group_field {
	SCOPE_GROUP_SCOPE = 1,
	SCOPE_GROUP_ITEMS = 2,
	SCOPE_GROUP_SCHEMA_URL = 3,
};

/* --- opentelemetry/proto/metrics/v1/metrics.proto ------------------------------ */

/** enum metric_field - Metric; GAUGE to SUMMARY are a oneof */
enum metric_field {
	METRIC_NAME = 1,
	METRIC_DESCRIPTION = 2,
	METRIC_UNIT = 3,
	METRIC_GAUGE = 5,
	METRIC_SUM = 7,
	METRIC_HISTOGRAM = 9,
	METRIC_EXPONENTIAL_HISTOGRAM = 10,
	METRIC_SUMMARY = 11,
	METRIC_METADATA = 12,
};

/** enum aggregation_temporality - AggregationTemporality, a value; 0 is forbidden */
enum aggregation_temporality { TEMPORALITY_DELTA = 1, TEMPORALITY_CUMULATIVE = 2 };

/** enum data_point_flags - DataPointFlags, bits */
enum data_point_flags { DATA_POINT_NO_RECORDED_VALUE = 1 };

/** enum gauge_field - Gauge */
enum gauge_field { GAUGE_DATA_POINTS = 1 };

/** enum sum_field - Sum */
enum sum_field { SUM_DATA_POINTS = 1, SUM_AGGREGATION_TEMPORALITY = 2, SUM_IS_MONOTONIC = 3 };

/** enum histogram_field - Histogram and ExponentialHistogram */
enum histogram_field { HISTOGRAM_DATA_POINTS = 1, HISTOGRAM_AGGREGATION_TEMPORALITY = 2 };

/** enum summary_field - Summary */
enum summary_field { SUMMARY_DATA_POINTS = 1 };

/** enum number_point_field - NumberDataPoint; AS_DOUBLE and AS_INT are a oneof */
enum number_point_field {
	NUMBER_POINT_START_TIME = 2, /* fixed64 */
	NUMBER_POINT_TIME = 3,	     /* fixed64 */
	NUMBER_POINT_AS_DOUBLE = 4,
	NUMBER_POINT_EXEMPLARS = 5,
	NUMBER_POINT_AS_INT = 6, /* sfixed64 */
	NUMBER_POINT_ATTRIBUTES = 7,
	NUMBER_POINT_FLAGS = 8,
};

/** enum histogram_point_field - HistogramDataPoint */
enum histogram_point_field {
	HISTOGRAM_POINT_START_TIME = 2,	     /* fixed64 */
	HISTOGRAM_POINT_TIME = 3,	     /* fixed64 */
	HISTOGRAM_POINT_COUNT = 4,	     /* fixed64 */
	HISTOGRAM_POINT_SUM = 5,	     /* optional double */
	HISTOGRAM_POINT_BUCKET_COUNTS = 6,   /* packed fixed64 */
	HISTOGRAM_POINT_EXPLICIT_BOUNDS = 7, /* packed double */
	HISTOGRAM_POINT_EXEMPLARS = 8,
	HISTOGRAM_POINT_ATTRIBUTES = 9,
	HISTOGRAM_POINT_FLAGS = 10,
	HISTOGRAM_POINT_MIN = 11, /* optional double */
	HISTOGRAM_POINT_MAX = 12, /* optional double */
};

/** enum exphist_point_field - ExponentialHistogramDataPoint */
enum exphist_point_field {
	EXPHIST_POINT_ATTRIBUTES = 1,
	EXPHIST_POINT_START_TIME = 2, /* fixed64 */
	EXPHIST_POINT_TIME = 3,	      /* fixed64 */
	EXPHIST_POINT_COUNT = 4,      /* fixed64 */
	EXPHIST_POINT_SUM = 5,	      /* optional double */
	EXPHIST_POINT_SCALE = 6,      /* sint32: zigzag */
	EXPHIST_POINT_ZERO_COUNT = 7, /* fixed64 */
	EXPHIST_POINT_POSITIVE = 8,
	EXPHIST_POINT_NEGATIVE = 9,
	EXPHIST_POINT_FLAGS = 10,
	EXPHIST_POINT_EXEMPLARS = 11,
	EXPHIST_POINT_MIN = 12, /* optional double */
	EXPHIST_POINT_MAX = 13, /* optional double */
	EXPHIST_POINT_ZERO_THRESHOLD = 14,
};

/** enum exphist_buckets_field - ExponentialHistogramDataPoint.Buckets */
enum exphist_buckets_field {
	EXPHIST_BUCKETS_OFFSET = 1,	   /* sint32: zigzag */
	EXPHIST_BUCKETS_BUCKET_COUNTS = 2, /* packed uint64: varints */
};

/** enum summary_point_field - SummaryDataPoint */
enum summary_point_field {
	SUMMARY_POINT_START_TIME = 2, /* fixed64 */
	SUMMARY_POINT_TIME = 3,	      /* fixed64 */
	SUMMARY_POINT_COUNT = 4,      /* fixed64 */
	SUMMARY_POINT_SUM = 5,
	SUMMARY_POINT_QUANTILE_VALUES = 6,
	SUMMARY_POINT_ATTRIBUTES = 7,
	SUMMARY_POINT_FLAGS = 8,
};

/** enum quantile_field - SummaryDataPoint.ValueAtQuantile */
enum quantile_field { QUANTILE_QUANTILE = 1, QUANTILE_VALUE = 2 };

/** enum exemplar_field - Exemplar; AS_DOUBLE and AS_INT are a oneof */
enum exemplar_field {
	EXEMPLAR_TIME = 2, /* fixed64 */
	EXEMPLAR_AS_DOUBLE = 3,
	EXEMPLAR_SPAN_ID = 4,
	EXEMPLAR_TRACE_ID = 5,
	EXEMPLAR_AS_INT = 6, /* sfixed64 */
	EXEMPLAR_FILTERED_ATTRIBUTES = 7,
};

/* --- opentelemetry/proto/trace/v1/trace.proto ---------------------------------- */

/** enum span_field - Span */
enum span_field {
	SPAN_TRACE_ID = 1,
	SPAN_SPAN_ID = 2,
	SPAN_TRACE_STATE = 3,
	SPAN_PARENT_SPAN_ID = 4,
	SPAN_NAME = 5,
	SPAN_KIND = 6,
	SPAN_START_TIME = 7, /* fixed64 */
	SPAN_END_TIME = 8,   /* fixed64 */
	SPAN_ATTRIBUTES = 9,
	SPAN_DROPPED_ATTRIBUTES_COUNT = 10,
	SPAN_EVENTS = 11,
	SPAN_DROPPED_EVENTS_COUNT = 12,
	SPAN_LINKS = 13,
	SPAN_DROPPED_LINKS_COUNT = 14,
	SPAN_STATUS = 15,
	SPAN_FLAGS = 16, /* fixed32 */
};

/** enum span_event_field - Span.Event */
enum span_event_field {
	SPAN_EVENT_TIME = 1, /* fixed64 */
	SPAN_EVENT_NAME = 2,
	SPAN_EVENT_ATTRIBUTES = 3,
	SPAN_EVENT_DROPPED_ATTRIBUTES_COUNT = 4,
};

/** enum span_link_field - Span.Link */
enum span_link_field {
	SPAN_LINK_TRACE_ID = 1,
	SPAN_LINK_SPAN_ID = 2,
	SPAN_LINK_TRACE_STATE = 3,
	SPAN_LINK_ATTRIBUTES = 4,
	SPAN_LINK_DROPPED_ATTRIBUTES_COUNT = 5,
	SPAN_LINK_FLAGS = 6, /* fixed32 */
};

/** enum span_status_field - Status */
enum span_status_field { SPAN_STATUS_MESSAGE = 2, SPAN_STATUS_CODE = 3 };

/** enum span_status_code - Status.code */
enum span_status_code { STATUS_ERROR = 2 };

/* --- opentelemetry/proto/logs/v1/logs.proto ------------------------------------ */

/** enum log_record_field - LogRecord */
enum log_record_field {
	LOG_RECORD_TIME = 1, /* fixed64 */
	LOG_RECORD_SEVERITY_NUMBER = 2,
	LOG_RECORD_SEVERITY_TEXT = 3,
	LOG_RECORD_BODY = 5,
	LOG_RECORD_ATTRIBUTES = 6,
	LOG_RECORD_DROPPED_ATTRIBUTES_COUNT = 7,
	LOG_RECORD_FLAGS = 8, /* fixed32 */
	LOG_RECORD_TRACE_ID = 9,
	LOG_RECORD_SPAN_ID = 10,
	LOG_RECORD_OBSERVED_TIME = 11, /* fixed64 */
	LOG_RECORD_EVENT_NAME = 12,
};

/* --- opentelemetry/proto/profiles/v1development/profiles.proto ------------------ */

/** enum dictionary_field - ProfilesDictionary; entry 0 of each is the zero value, present */
enum dictionary_field {
	DICTIONARY_MAPPINGS = 1,
	DICTIONARY_LOCATIONS = 2,
	DICTIONARY_FUNCTIONS = 3,
	DICTIONARY_LINKS = 4,
	DICTIONARY_STRINGS = 5,
	DICTIONARY_ATTRIBUTES = 6,
	DICTIONARY_STACKS = 7,
};

/** enum profile_field - Profile */
enum profile_field {
	PROFILE_SAMPLE_TYPE = 1,
	PROFILE_SAMPLES = 2,
	PROFILE_TIME = 3,     /* fixed64 */
	PROFILE_DURATION = 4, /* uint64: a varint */
	PROFILE_PERIOD_TYPE = 5,
	PROFILE_PERIOD = 6, /* int64: a varint */
	PROFILE_PROFILE_ID = 7,
	PROFILE_DROPPED_ATTRIBUTES_COUNT = 8,
	PROFILE_ORIGINAL_PAYLOAD_FORMAT = 9,
	PROFILE_ORIGINAL_PAYLOAD = 10,
	PROFILE_ATTRIBUTE_INDICES = 11, /* packed int32 */
};

/** enum sample_field - Sample */
enum sample_field {
	SAMPLE_STACK_INDEX = 1,
	SAMPLE_ATTRIBUTE_INDICES = 2, /* packed int32 */
	SAMPLE_LINK_INDEX = 3,
	SAMPLE_VALUES = 4,     /* packed int64 */
	SAMPLE_TIMESTAMPS = 5, /* packed fixed64 */
};

/** enum value_type_field - ValueType */
enum value_type_field { VALUE_TYPE_TYPE_STRINDEX = 1, VALUE_TYPE_UNIT_STRINDEX = 2 };

/** enum link_field - Link */
enum link_field { LINK_TRACE_ID = 1, LINK_SPAN_ID = 2 };

/** enum stack_field - Stack; leaf first */
enum stack_field { STACK_LOCATION_INDICES = 1 };

/** enum mapping_field - Mapping */
enum mapping_field {
	MAPPING_MEMORY_START = 1,
	MAPPING_MEMORY_LIMIT = 2,
	MAPPING_FILE_OFFSET = 3,
	MAPPING_FILENAME_STRINDEX = 4,
	MAPPING_ATTRIBUTE_INDICES = 5, /* packed int32 */
};

/** enum location_field - Location */
enum location_field {
	LOCATION_MAPPING_INDEX = 1,
	LOCATION_ADDRESS = 2, /* uint64: a varint */
	LOCATION_LINES = 3,
	LOCATION_ATTRIBUTE_INDICES = 4, /* packed int32 */
};

/** enum line_field - Line */
enum line_field { LINE_FUNCTION_INDEX = 1, LINE_LINE = 2, LINE_COLUMN = 3 };

/** enum function_field - Function */
enum function_field {
	FUNCTION_NAME_STRINDEX = 1,
	FUNCTION_SYSTEM_NAME_STRINDEX = 2,
	FUNCTION_FILENAME_STRINDEX = 3,
	FUNCTION_START_LINE = 4,
};

/** enum key_value_and_unit_field - KeyValueAndUnit */
enum key_value_and_unit_field {
	KEY_VALUE_AND_UNIT_KEY_STRINDEX = 1,
	KEY_VALUE_AND_UNIT_VALUE = 2,
	KEY_VALUE_AND_UNIT_UNIT_STRINDEX = 3,
};

#endif
