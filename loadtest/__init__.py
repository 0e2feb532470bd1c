"""The harness: benchmarks and load tests of Lamppost."""
