"""Public fakes, a file per port: the whole pipeline in one process, without Kafka, Ray or weights.

The contract tests run one suite on these and on the real adapters, so what holds here holds there.
"""
