// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Source: the .proto files named in fields.h. JSON names are lowerCamelCase of the
 * .proto names; which bytes are hex is in the protocol's specification ("JSON Protobuf
 * Encoding": trace and span ids). profileId is hex too because the Collector reads and
 * writes it so, though the text does not mention it.
 */
#include "schema.h"

#include <stddef.h>

#include "fields.h"

/* Only AnyValue contains itself: through these two. */
static const struct schema_message any_value;
static const struct schema_message key_value;

/* clang-format off */

#define MESSAGE(message_name, proto_name, ...)                                                 \
	static const struct schema_message message_name = {                                    \
		.name = proto_name,                                                            \
		.fields = (const struct schema_field[]){__VA_ARGS__, {0}},                     \
	}

#define F(number, name, kind) {number, name, SCHEMA_##kind, false, false, NULL}
#define ONEOF(number, name, kind) {number, name, SCHEMA_##kind, false, true, NULL}
#define LIST(number, name, kind) {number, name, SCHEMA_##kind, true, false, NULL}
#define SUB(number, name, message) {number, name, SCHEMA_MESSAGE, false, false, &(message)}
#define ONEOF_SUB(number, name, message) {number, name, SCHEMA_MESSAGE, false, true, &(message)}
#define SUBS(number, name, message) {number, name, SCHEMA_MESSAGE, true, false, &(message)}

/* --- common, resource -------------------------------------------------------- */

MESSAGE(array_value, "ArrayValue",
	SUBS(ARRAY_VALUE_VALUES, "values", any_value));

MESSAGE(kvlist, "KeyValueList",
	SUBS(KVLIST_VALUES, "values", key_value));

MESSAGE(any_value, "AnyValue",
	ONEOF(ANY_VALUE_STRING, "stringValue", STRING),
	ONEOF(ANY_VALUE_BOOL, "boolValue", BOOL),
	ONEOF(ANY_VALUE_INT, "intValue", INT64),
	ONEOF(ANY_VALUE_DOUBLE, "doubleValue", DOUBLE),
	ONEOF_SUB(ANY_VALUE_ARRAY, "arrayValue", array_value),
	ONEOF_SUB(ANY_VALUE_KVLIST, "kvlistValue", kvlist),
	ONEOF(ANY_VALUE_BYTES, "bytesValue", BYTES),
	ONEOF(ANY_VALUE_STRING_STRINDEX, "stringValueStrindex", INT32));

MESSAGE(key_value, "KeyValue",
	F(KEY_VALUE_KEY, "key", STRING),
	SUB(KEY_VALUE_VALUE, "value", any_value),
	F(KEY_VALUE_KEY_STRINDEX, "keyStrindex", INT32));

MESSAGE(scope, "InstrumentationScope",
	F(SCOPE_NAME, "name", STRING),
	F(SCOPE_VERSION, "version", STRING),
	SUBS(SCOPE_ATTRIBUTES, "attributes", key_value),
	F(SCOPE_DROPPED_ATTRIBUTES_COUNT, "droppedAttributesCount", UINT32));

MESSAGE(entity_ref, "EntityRef",
	F(ENTITY_REF_SCHEMA_URL, "schemaUrl", STRING),
	F(ENTITY_REF_TYPE, "type", STRING),
	LIST(ENTITY_REF_ID_KEYS, "idKeys", STRING),
	LIST(ENTITY_REF_DESCRIPTION_KEYS, "descriptionKeys", STRING));

MESSAGE(resource, "Resource",
	SUBS(RESOURCE_ATTRIBUTES, "attributes", key_value),
	F(RESOURCE_DROPPED_ATTRIBUTES_COUNT, "droppedAttributesCount", UINT32),
	SUBS(RESOURCE_ENTITY_REFS, "entityRefs", entity_ref));

/* --- metrics ----------------------------------------------------------------- */

MESSAGE(exemplar, "Exemplar",
	F(EXEMPLAR_TIME, "timeUnixNano", FIXED64),
	ONEOF(EXEMPLAR_AS_DOUBLE, "asDouble", DOUBLE),
	F(EXEMPLAR_SPAN_ID, "spanId", ID),
	F(EXEMPLAR_TRACE_ID, "traceId", ID),
	ONEOF(EXEMPLAR_AS_INT, "asInt", SFIXED64),
	SUBS(EXEMPLAR_FILTERED_ATTRIBUTES, "filteredAttributes", key_value));

MESSAGE(number_point, "NumberDataPoint",
	F(NUMBER_POINT_START_TIME, "startTimeUnixNano", FIXED64),
	F(NUMBER_POINT_TIME, "timeUnixNano", FIXED64),
	ONEOF(NUMBER_POINT_AS_DOUBLE, "asDouble", DOUBLE),
	SUBS(NUMBER_POINT_EXEMPLARS, "exemplars", exemplar),
	ONEOF(NUMBER_POINT_AS_INT, "asInt", SFIXED64),
	SUBS(NUMBER_POINT_ATTRIBUTES, "attributes", key_value),
	F(NUMBER_POINT_FLAGS, "flags", UINT32));

MESSAGE(histogram_point, "HistogramDataPoint",
	F(HISTOGRAM_POINT_START_TIME, "startTimeUnixNano", FIXED64),
	F(HISTOGRAM_POINT_TIME, "timeUnixNano", FIXED64),
	F(HISTOGRAM_POINT_COUNT, "count", FIXED64),
	F(HISTOGRAM_POINT_SUM, "sum", DOUBLE),
	LIST(HISTOGRAM_POINT_BUCKET_COUNTS, "bucketCounts", FIXED64),
	LIST(HISTOGRAM_POINT_EXPLICIT_BOUNDS, "explicitBounds", DOUBLE),
	SUBS(HISTOGRAM_POINT_EXEMPLARS, "exemplars", exemplar),
	SUBS(HISTOGRAM_POINT_ATTRIBUTES, "attributes", key_value),
	F(HISTOGRAM_POINT_FLAGS, "flags", UINT32),
	F(HISTOGRAM_POINT_MIN, "min", DOUBLE),
	F(HISTOGRAM_POINT_MAX, "max", DOUBLE));

MESSAGE(exphist_buckets, "Buckets",
	F(EXPHIST_BUCKETS_OFFSET, "offset", SINT32),
	LIST(EXPHIST_BUCKETS_BUCKET_COUNTS, "bucketCounts", UINT64));

MESSAGE(exphist_point, "ExponentialHistogramDataPoint",
	SUBS(EXPHIST_POINT_ATTRIBUTES, "attributes", key_value),
	F(EXPHIST_POINT_START_TIME, "startTimeUnixNano", FIXED64),
	F(EXPHIST_POINT_TIME, "timeUnixNano", FIXED64),
	F(EXPHIST_POINT_COUNT, "count", FIXED64),
	F(EXPHIST_POINT_SUM, "sum", DOUBLE),
	F(EXPHIST_POINT_SCALE, "scale", SINT32),
	F(EXPHIST_POINT_ZERO_COUNT, "zeroCount", FIXED64),
	SUB(EXPHIST_POINT_POSITIVE, "positive", exphist_buckets),
	SUB(EXPHIST_POINT_NEGATIVE, "negative", exphist_buckets),
	F(EXPHIST_POINT_FLAGS, "flags", UINT32),
	SUBS(EXPHIST_POINT_EXEMPLARS, "exemplars", exemplar),
	F(EXPHIST_POINT_MIN, "min", DOUBLE),
	F(EXPHIST_POINT_MAX, "max", DOUBLE),
	F(EXPHIST_POINT_ZERO_THRESHOLD, "zeroThreshold", DOUBLE));

MESSAGE(quantile, "ValueAtQuantile",
	F(QUANTILE_QUANTILE, "quantile", DOUBLE),
	F(QUANTILE_VALUE, "value", DOUBLE));

MESSAGE(summary_point, "SummaryDataPoint",
	F(SUMMARY_POINT_START_TIME, "startTimeUnixNano", FIXED64),
	F(SUMMARY_POINT_TIME, "timeUnixNano", FIXED64),
	F(SUMMARY_POINT_COUNT, "count", FIXED64),
	F(SUMMARY_POINT_SUM, "sum", DOUBLE),
	SUBS(SUMMARY_POINT_QUANTILE_VALUES, "quantileValues", quantile),
	SUBS(SUMMARY_POINT_ATTRIBUTES, "attributes", key_value),
	F(SUMMARY_POINT_FLAGS, "flags", UINT32));

MESSAGE(gauge, "Gauge",
	SUBS(GAUGE_DATA_POINTS, "dataPoints", number_point));

MESSAGE(sum, "Sum",
	SUBS(SUM_DATA_POINTS, "dataPoints", number_point),
	F(SUM_AGGREGATION_TEMPORALITY, "aggregationTemporality", ENUM),
	F(SUM_IS_MONOTONIC, "isMonotonic", BOOL));

MESSAGE(histogram, "Histogram",
	SUBS(HISTOGRAM_DATA_POINTS, "dataPoints", histogram_point),
	F(HISTOGRAM_AGGREGATION_TEMPORALITY, "aggregationTemporality", ENUM));

MESSAGE(exphist, "ExponentialHistogram",
	SUBS(HISTOGRAM_DATA_POINTS, "dataPoints", exphist_point),
	F(HISTOGRAM_AGGREGATION_TEMPORALITY, "aggregationTemporality", ENUM));

MESSAGE(summary, "Summary",
	SUBS(SUMMARY_DATA_POINTS, "dataPoints", summary_point));

MESSAGE(metric, "Metric",
	F(METRIC_NAME, "name", STRING),
	F(METRIC_DESCRIPTION, "description", STRING),
	F(METRIC_UNIT, "unit", STRING),
	ONEOF_SUB(METRIC_GAUGE, "gauge", gauge),
	ONEOF_SUB(METRIC_SUM, "sum", sum),
	ONEOF_SUB(METRIC_HISTOGRAM, "histogram", histogram),
	ONEOF_SUB(METRIC_EXPONENTIAL_HISTOGRAM, "exponentialHistogram", exphist),
	ONEOF_SUB(METRIC_SUMMARY, "summary", summary),
	SUBS(METRIC_METADATA, "metadata", key_value));

/* --- traces ------------------------------------------------------------------ */

MESSAGE(span_event, "Event",
	F(SPAN_EVENT_TIME, "timeUnixNano", FIXED64),
	F(SPAN_EVENT_NAME, "name", STRING),
	SUBS(SPAN_EVENT_ATTRIBUTES, "attributes", key_value),
	F(SPAN_EVENT_DROPPED_ATTRIBUTES_COUNT, "droppedAttributesCount", UINT32));

MESSAGE(span_link, "Link",
	F(SPAN_LINK_TRACE_ID, "traceId", ID),
	F(SPAN_LINK_SPAN_ID, "spanId", ID),
	F(SPAN_LINK_TRACE_STATE, "traceState", STRING),
	SUBS(SPAN_LINK_ATTRIBUTES, "attributes", key_value),
	F(SPAN_LINK_DROPPED_ATTRIBUTES_COUNT, "droppedAttributesCount", UINT32),
	F(SPAN_LINK_FLAGS, "flags", FIXED32));

MESSAGE(span_status, "Status",
	F(SPAN_STATUS_MESSAGE, "message", STRING),
	F(SPAN_STATUS_CODE, "code", ENUM));

MESSAGE(span, "Span",
	F(SPAN_TRACE_ID, "traceId", ID),
	F(SPAN_SPAN_ID, "spanId", ID),
	F(SPAN_TRACE_STATE, "traceState", STRING),
	F(SPAN_PARENT_SPAN_ID, "parentSpanId", ID),
	F(SPAN_NAME, "name", STRING),
	F(SPAN_KIND, "kind", ENUM),
	F(SPAN_START_TIME, "startTimeUnixNano", FIXED64),
	F(SPAN_END_TIME, "endTimeUnixNano", FIXED64),
	SUBS(SPAN_ATTRIBUTES, "attributes", key_value),
	F(SPAN_DROPPED_ATTRIBUTES_COUNT, "droppedAttributesCount", UINT32),
	SUBS(SPAN_EVENTS, "events", span_event),
	F(SPAN_DROPPED_EVENTS_COUNT, "droppedEventsCount", UINT32),
	SUBS(SPAN_LINKS, "links", span_link),
	F(SPAN_DROPPED_LINKS_COUNT, "droppedLinksCount", UINT32),
	SUB(SPAN_STATUS, "status", span_status),
	F(SPAN_FLAGS, "flags", FIXED32));

/* --- logs -------------------------------------------------------------------- */

MESSAGE(log_record, "LogRecord",
	F(LOG_RECORD_TIME, "timeUnixNano", FIXED64),
	F(LOG_RECORD_SEVERITY_NUMBER, "severityNumber", ENUM),
	F(LOG_RECORD_SEVERITY_TEXT, "severityText", STRING),
	SUB(LOG_RECORD_BODY, "body", any_value),
	SUBS(LOG_RECORD_ATTRIBUTES, "attributes", key_value),
	F(LOG_RECORD_DROPPED_ATTRIBUTES_COUNT, "droppedAttributesCount", UINT32),
	F(LOG_RECORD_FLAGS, "flags", FIXED32),
	F(LOG_RECORD_TRACE_ID, "traceId", ID),
	F(LOG_RECORD_SPAN_ID, "spanId", ID),
	F(LOG_RECORD_OBSERVED_TIME, "observedTimeUnixNano", FIXED64),
	F(LOG_RECORD_EVENT_NAME, "eventName", STRING));

/* --- profiles ---------------------------------------------------------------- */

MESSAGE(value_type, "ValueType",
	F(VALUE_TYPE_TYPE_STRINDEX, "typeStrindex", INT32),
	F(VALUE_TYPE_UNIT_STRINDEX, "unitStrindex", INT32));

MESSAGE(sample, "Sample",
	F(SAMPLE_STACK_INDEX, "stackIndex", INT32),
	LIST(SAMPLE_ATTRIBUTE_INDICES, "attributeIndices", INT32),
	F(SAMPLE_LINK_INDEX, "linkIndex", INT32),
	LIST(SAMPLE_VALUES, "values", INT64),
	LIST(SAMPLE_TIMESTAMPS, "timestampsUnixNano", FIXED64));

MESSAGE(profile, "Profile",
	SUB(PROFILE_SAMPLE_TYPE, "sampleType", value_type),
	SUBS(PROFILE_SAMPLES, "samples", sample),
	F(PROFILE_TIME, "timeUnixNano", FIXED64),
	F(PROFILE_DURATION, "durationNano", UINT64),
	SUB(PROFILE_PERIOD_TYPE, "periodType", value_type),
	F(PROFILE_PERIOD, "period", INT64),
	F(PROFILE_PROFILE_ID, "profileId", ID),
	F(PROFILE_DROPPED_ATTRIBUTES_COUNT, "droppedAttributesCount", UINT32),
	F(PROFILE_ORIGINAL_PAYLOAD_FORMAT, "originalPayloadFormat", STRING),
	F(PROFILE_ORIGINAL_PAYLOAD, "originalPayload", BYTES),
	LIST(PROFILE_ATTRIBUTE_INDICES, "attributeIndices", INT32));

MESSAGE(mapping, "Mapping",
	F(MAPPING_MEMORY_START, "memoryStart", UINT64),
	F(MAPPING_MEMORY_LIMIT, "memoryLimit", UINT64),
	F(MAPPING_FILE_OFFSET, "fileOffset", UINT64),
	F(MAPPING_FILENAME_STRINDEX, "filenameStrindex", INT32),
	LIST(MAPPING_ATTRIBUTE_INDICES, "attributeIndices", INT32));

MESSAGE(line, "Line",
	F(LINE_FUNCTION_INDEX, "functionIndex", INT32),
	F(LINE_LINE, "line", INT64),
	F(LINE_COLUMN, "column", INT64));

MESSAGE(location, "Location",
	F(LOCATION_MAPPING_INDEX, "mappingIndex", INT32),
	F(LOCATION_ADDRESS, "address", UINT64),
	SUBS(LOCATION_LINES, "lines", line),
	LIST(LOCATION_ATTRIBUTE_INDICES, "attributeIndices", INT32));

MESSAGE(function, "Function",
	F(FUNCTION_NAME_STRINDEX, "nameStrindex", INT32),
	F(FUNCTION_SYSTEM_NAME_STRINDEX, "systemNameStrindex", INT32),
	F(FUNCTION_FILENAME_STRINDEX, "filenameStrindex", INT32),
	F(FUNCTION_START_LINE, "startLine", INT64));

MESSAGE(link_message, "Link",
	F(LINK_TRACE_ID, "traceId", ID),
	F(LINK_SPAN_ID, "spanId", ID));

MESSAGE(key_value_and_unit, "KeyValueAndUnit",
	F(KEY_VALUE_AND_UNIT_KEY_STRINDEX, "keyStrindex", INT32),
	SUB(KEY_VALUE_AND_UNIT_VALUE, "value", any_value),
	F(KEY_VALUE_AND_UNIT_UNIT_STRINDEX, "unitStrindex", INT32));

MESSAGE(stack, "Stack",
	LIST(STACK_LOCATION_INDICES, "locationIndices", INT32));

MESSAGE(dictionary, "ProfilesDictionary",
	SUBS(DICTIONARY_MAPPINGS, "mappingTable", mapping),
	SUBS(DICTIONARY_LOCATIONS, "locationTable", location),
	SUBS(DICTIONARY_FUNCTIONS, "functionTable", function),
	SUBS(DICTIONARY_LINKS, "linkTable", link_message),
	LIST(DICTIONARY_STRINGS, "stringTable", STRING),
	SUBS(DICTIONARY_ATTRIBUTES, "attributeTable", key_value_and_unit),
	SUBS(DICTIONARY_STACKS, "stackTable", stack));

/* --- envelopes: the same shape for every signal -------------------------------- */

#define ENVELOPE(signal, proto, resources, scopes, items, item, service, rejected, ...)        \
	MESSAGE(scope_##signal, "Scope" proto,                                                 \
		SUB(SCOPE_GROUP_SCOPE, "scope", scope),                                        \
		SUBS(SCOPE_GROUP_ITEMS, items, item),                                          \
		F(SCOPE_GROUP_SCHEMA_URL, "schemaUrl", STRING));                               \
	MESSAGE(resource_##signal, "Resource" proto,                                           \
		SUB(RESOURCE_GROUP_RESOURCE, "resource", resource),                            \
		SUBS(RESOURCE_GROUP_SCOPES, scopes, scope_##signal),                           \
		F(RESOURCE_GROUP_SCHEMA_URL, "schemaUrl", STRING));                            \
	MESSAGE(request_##signal, "Export" service "ServiceRequest",                           \
		SUBS(REQUEST_RESOURCES, resources, resource_##signal), __VA_ARGS__);           \
	MESSAGE(partial_success_##signal, "Export" service "PartialSuccess",                   \
		F(PARTIAL_SUCCESS_REJECTED, rejected, INT64),                                  \
		F(PARTIAL_SUCCESS_ERROR_MESSAGE, "errorMessage", STRING));                     \
	MESSAGE(response_##signal, "Export" service "ServiceResponse",                         \
		SUB(RESPONSE_PARTIAL_SUCCESS, "partialSuccess", partial_success_##signal))

ENVELOPE(metrics, "Metrics", "resourceMetrics", "scopeMetrics", "metrics", metric,
	 "Metrics", "rejectedDataPoints", {0});
ENVELOPE(traces, "Spans", "resourceSpans", "scopeSpans", "spans", span,
	 "Trace", "rejectedSpans", {0});
ENVELOPE(logs, "Logs", "resourceLogs", "scopeLogs", "logRecords", log_record,
	 "Logs", "rejectedLogRecords", {0});
ENVELOPE(profiles, "Profiles", "resourceProfiles", "scopeProfiles", "profiles", profile,
	 "Profiles", "rejectedProfiles", SUB(REQUEST_DICTIONARY, "dictionary", dictionary));

/* clang-format on */

static const struct {
	const struct schema_message *request;
	const struct schema_message *response;
} signals[SIGNAL_KINDS] = {
	[SIGNAL_METRICS] = {&request_metrics, &response_metrics},
	[SIGNAL_TRACES] = {&request_traces, &response_traces},
	[SIGNAL_LOGS] = {&request_logs, &response_logs},
	[SIGNAL_PROFILES] = {&request_profiles, &response_profiles},
};

const struct schema_message *schema__request(enum signal_kind kind)
{
	return signals[kind].request;
}

const struct schema_message *schema__response(enum signal_kind kind)
{
	return signals[kind].response;
}

const struct schema_field *schema__field(const struct schema_message *message, __u32 number)
{
	for (const struct schema_field *field = message->fields; field->number; field++)
		if (field->number == number)
			return field;
	return NULL;
}
