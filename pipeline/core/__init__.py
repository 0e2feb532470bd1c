"""Decisions: plain values in, plain values out, time passed in; nothing here knows Kafka, Ray, torch or FAISS.

=============  =====================================================================
alerting       from a frame's candidates to its alerts, and the id of an alert
batching       cutting faces into searches
clocks         whether a camera's capture times can be trusted
cooldown       one pass is one alert
custody        receipts, the check of a batch and the balance of a run
deadlines      leases and pauses between attempts
intervals      sets of offsets
latency        quantiles over several processes
merge          one answer from several shards
pacing         open-loop capture instants
pressure       the overload policy
replicas       which of a shard's replicas is asked, and where each lives
sharding       entries to shards, cameras to partitions and districts
=============  =====================================================================
"""
